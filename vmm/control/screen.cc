#include "vmm/control/screen.h"

#include <sys/stat.h>

#include <charconv>

#include "vmm/control/command_call.h"

namespace lodge {
namespace {

constexpr size_t kMaxKeys = 16;  // that are down together, as libvirt has it
constexpr uint64_t kMaxHoldMs = 60'000;
constexpr uint16_t kMaxKey = 0x2FF;  // KEY_MAX

// "29,56,111"
Result<std::vector<uint16_t>> parse_keys(std::string_view text) {
  std::vector<uint16_t> keys;
  for (bool more = true; more;) {
    const std::string_view word = text.substr(0, text.find(','));
    more = word.size() < text.size();
    uint16_t key = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), key);
    if (error != std::errc() || end != word.data() + word.size() || key == 0 || key > kMaxKey) {
      return fail("send-key: '{}' is no key; give numbers of linux/input-event-codes.h, with commas between", word);
    }
    keys.push_back(key);
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  if (keys.size() > kMaxKeys) {
    return fail("send-key: {} keys; give 1 to {}", keys.size(), kMaxKeys);
  }
  return keys;
}

}  // namespace

void screendump(CommandCall& call) {
  auto fd = call.context.descriptors.take(call.text("fdname"));
  if (!fd) {
    call.answer(std::unexpected(fd.error()));
    return;
  }
  struct stat file{};
  if (::fstat(fd->get(), &file) != 0 || !S_ISREG(file.st_mode)) {
    call.answer(fail("screendump: '{}' is no file; pass one that is empty, or a memfd", call.text("fdname")));
    return;
  }
  const Result<void> outcome = call.target().screendump(fd->get());
  fd->reset();  // before the answer says so
  call.finish(outcome);
}

void send_key(CommandCall& call) {
  auto keys = parse_keys(call.text("keys"));
  const uint64_t hold = call.number("hold-ms");
  if (!keys) {
    call.answer(std::unexpected(keys.error()));
  } else if (hold > kMaxHoldMs) {
    call.answer(fail("send-key: keys cannot be held for {} ms; {} is the most", hold, kMaxHoldMs));
  } else {
    call.target().send_keys(std::move(*keys), std::chrono::milliseconds(hold), call.done());
  }
}

void attach_display(CommandCall& call) {
  auto fd = call.context.descriptors.take(call.text("fdname"));
  call.finish(fd ? call.target().attach_display(std::move(*fd)) : std::unexpected(fd.error()));
}

}  // namespace lodge
