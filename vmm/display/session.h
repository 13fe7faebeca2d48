// ViewerSession: what one viewer's packets do to the guest's screen and keyboard. It knows no socket and no thread; the
// viewer's thread (viewer_thread.h) and tests call it, one at a time.
//
// When it goes, the keys and buttons that its viewer held are let up.
#pragma once

#include <bitset>
#include <chrono>
#include <optional>
#include <span>

#include "devices/display/screen.h"
#include "devices/input/input.h"
#include "vmm/display/channel.h"
#include "vmm/display/rate_limit.h"

namespace lodge {

// What a guest has for people; keyboard and pointer may be null. All outlive who uses them.
struct DisplaySinks {
  Screen* screen = nullptr;
  InputSink* keyboard = nullptr;
  PointerSink* pointer = nullptr;
};

class ViewerSession {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // `picture`: the memory file's pixels.
  ViewerSession(DisplaySinks sinks, std::span<uint32_t> picture) : sinks_(sinks), picture_(picture) {}
  ~ViewerSession();
  ViewerSession(const ViewerSession&) = delete;
  ViewerSession& operator=(const ViewerSession&) = delete;

  // One packet, and the answer to it. Error: the viewer is to be dropped; why.
  [[nodiscard]] Result<std::optional<display::Frame>> handle(std::span<const std::byte> packet, Time now);

 private:
  [[nodiscard]] display::Frame refresh(const display::Refresh& wanted);
  void key(const display::Key& key);
  void move(const display::Move& move);

  DisplaySinks sinks_;
  std::span<uint32_t> picture_;
  Image image_;
  std::bitset<display::kMaxKey + 1> held_;
  uint8_t buttons_ = 0;
  display::RateLimit inputs_{display::kInputsPerSecond};
  display::RateLimit refreshes_{display::kRefreshesPerSecond};
};

}  // namespace lodge
