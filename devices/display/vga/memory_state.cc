#include "devices/display/vga/memory_state.h"

#include <algorithm>
#include <array>

namespace lodge {
namespace {

constexpr uint32_t kPage = 4096;
constexpr size_t kPageWords = kPage / sizeof(uint64_t);
constexpr size_t kRecordPages = 512;

std::string record_id(std::string_view id, size_t number) { return fmt::format("{}/{}", id, number); }

}  // namespace

void save_video_memory(const VideoMemory& memory, std::string_view id, StateWriter& out) {
  VideoPages record;
  size_t number = 0;
  std::array<uint64_t, kPageWords> page;
  for (uint32_t at = 0; at < memory.size(); at += kPage) {
    // SAFETY: words as bytes.
    memory.copy_out(at, std::span(reinterpret_cast<uint8_t*>(page.data()), kPage));
    if (std::ranges::all_of(page, [](uint64_t word) { return word == 0; })) {
      continue;
    }
    record.pages.push_back(at / kPage);
    record.words.insert(record.words.end(), page.begin(), page.end());
    if (record.pages.size() == kRecordPages) {
      out.put(record_id(id, number++), record);
      record = {};
    }
  }
  out.put(record_id(id, number), record);
}

Result<void> load_video_memory(const StateReader& saved, std::string_view id, VideoMemory& memory) {
  for (size_t number = 0;; ++number) {
    const VideoPages record = TRY(saved.get<VideoPages>(record_id(id, number)));
    if (record.pages.size() > kRecordPages || record.words.size() != record.pages.size() * kPageWords) {
      return fail("saved video memory of '{}': {} words for {} pages", id, record.words.size(), record.pages.size());
    }
    for (size_t i = 0; i < record.pages.size(); ++i) {
      if (record.pages[i] >= memory.size() / kPage) {
        return fail("saved video memory of '{}': page {} is beyond its {} bytes", id, record.pages[i], memory.size());
      }
      // SAFETY: words as bytes.
      memory.copy_in(record.pages[i] * kPage,
                     std::span(reinterpret_cast<const uint8_t*>(&record.words[i * kPageWords]), kPage));
    }
    if (record.pages.size() < kRecordPages) {
      return {};
    }
  }
}

}  // namespace lodge
