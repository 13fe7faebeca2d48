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

// What a guest has for people; all but the screen may be null. All outlive who uses them.
struct DisplaySinks {
  Screen* screen = nullptr;
  InputSink* keyboard = nullptr;
  PointerSink* pointer = nullptr;
  TabletSink* tablet = nullptr;
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
  // The kind of pointer that the guest has now, if the viewer was not told of it yet.
  [[nodiscard]] std::optional<display::Pointer> pointer_news();

 private:
  [[nodiscard]] display::Frame refresh(const display::Refresh& wanted);
  void key(const display::Key& key);
  void move(const display::Move& move);
  void place(const display::Position& position);
  void let_up_buttons();

  DisplaySinks sinks_;
  std::span<uint32_t> picture_;
  Image image_;
  std::bitset<display::kMaxKey + 1> held_;
  uint8_t buttons_ = 0;         // of the mouse
  uint8_t tablet_buttons_ = 0;  // at:
  display::Position place_;
  std::optional<bool> told_;  // that the guest takes places
  display::RateLimit inputs_{display::kInputsPerSecond};
  display::RateLimit refreshes_{display::kRefreshesPerSecond};
};

}  // namespace lodge
