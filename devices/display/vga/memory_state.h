// How video memory is saved: those of its pages that are not zero, in records of at most 2 MiB.
#pragma once

#include <string_view>
#include <tuple>
#include <vector>

#include "base/state/record.h"
#include "devices/display/vga/video_memory.h"

namespace lodge {

struct VideoPages {
  std::vector<uint32_t> pages;  // numbers of 4 KiB
  std::vector<uint64_t> words;  // 512 for each
  friend bool operator==(const VideoPages&, const VideoPages&) = default;
};

template <>
struct Schema<VideoPages> {
  static constexpr std::string_view name = "video-memory";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "pages", &VideoPages::pages), field(2, "words", &VideoPages::words)};
};

// The records' ids are "ID/0", "ID/1", ...; the last one is not full.
void save_video_memory(const VideoMemory& memory, std::string_view id, StateWriter& out);
// Into zeroed memory. Errors: a page beyond its end; bytes that are not whole pages.
[[nodiscard]] Result<void> load_video_memory(const StateReader& saved, std::string_view id, VideoMemory& memory);

}  // namespace lodge
