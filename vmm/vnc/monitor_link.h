// MonitorLink: the viewer's side of the display channel (vmm/display/channel.h). On the loop; never blocks.
#pragma once

#include <sys/mman.h>

#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/io/event_loop.h"
#include "vmm/display/channel.h"

namespace lodge::vnc {

class MonitorLink {
 public:
  struct Hooks {
    std::function<void()> ready;  // Hello came: refresh() may be called
    std::function<void(const display::Frame&)> frame;
    std::function<void(bool absolute)> pointer;
    std::function<void(std::string why)> gone;  // once; empty: the monitor ended. Nothing follows.
  };
  MonitorLink(EventLoop& loop, Fd socket, Hooks hooks);
  MonitorLink(const MonitorLink&) = delete;
  MonitorLink& operator=(const MonitorLink&) = delete;

  // Asks for the picture; `frame` runs later, once. One at a time.
  void refresh();
  [[nodiscard]] bool refreshing() const { return refreshing_; }
  // The guest can be told of a Size. Once it is ready.
  [[nodiscard]] bool takes_sizes() const { return takes_sizes_; }
  // Key, Move, Position or Size. What finds no room for long is lost.
  void send(std::span<const std::byte> packet);
  // What the last frame described; the monitor may be writing to it.
  [[nodiscard]] std::span<const uint32_t> picture() const;

 private:
  static constexpr size_t kMaxQueue = 4096;
  struct Unmap {
    void operator()(std::byte* at) const { ::munmap(at, display::kPictureBytes); }
  };
  void readable();
  [[nodiscard]] Result<bool> take_packet();  // false: none waits
  [[nodiscard]] Result<void> take(const display::FromMonitor& message, Fd file);
  [[nodiscard]] Result<void> take_picture(const Fd& file);
  void flush();
  void end(std::string why);

  EventLoop& loop_;
  Fd socket_;
  Hooks hooks_;
  std::unique_ptr<std::byte, Unmap> picture_;
  std::deque<std::vector<std::byte>> queue_;
  uint32_t serial_ = 0;
  bool takes_sizes_ = false;
  bool refreshing_ = false;
  bool ended_ = false;
  EventLoop::Watch input_;
  EventLoop::Watch room_;
};

}  // namespace lodge::vnc
