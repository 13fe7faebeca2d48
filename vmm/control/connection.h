// ControlConnection: one client of the control socket. On the control thread; never blocks.
//
// A client that does not read its answers is not read from either; one that lets events pile up is dropped.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/io/event_loop.h"
#include "vmm/control/protocol.h"

namespace lodge {

class ControlConnection {
 public:
  static constexpr size_t kMaxOutput = size_t{4} << 20;     // bytes that wait; more: dropped
  static constexpr size_t kPauseOutput = size_t{64} << 10;  // bytes that wait; more: no further request is taken
  static constexpr unsigned kMaxRunning = 64;               // requests that are not answered yet; more: none is taken
  static constexpr size_t kMaxReceived = 16;                // descriptors of one message
  struct Hooks {
    // A request, with the descriptors that came. The answer: answer().
    std::function<void(const Request& request, std::deque<Fd>& received)> request;
    // The client went, or was too slow. Destroy the connection soon, not inside.
    std::function<void(std::string_view why)> closed;
  };

  ControlConnection(EventLoop& loop, Fd socket, Hooks hooks);
  ControlConnection(const ControlConnection&) = delete;
  ControlConnection& operator=(const ControlConnection&) = delete;

  void send(std::string_view line);
  // The answer to one request.
  void answer(std::string_view line);

 private:
  void readable();
  void take_requests();
  [[nodiscard]] bool may_read() const { return !closed_ && output_.size() <= kPauseOutput && running_ < kMaxRunning; }
  void keep(int fd);
  void write_output();
  void watch();
  void watch_soon();
  void close(std::string_view why);

  EventLoop& loop_;
  Fd socket_;
  Hooks hooks_;
  MessageSplitter splitter_;
  std::deque<Fd> received_;
  std::string output_;
  unsigned running_ = 0;
  bool taking_ = false;
  bool closed_ = false;
  bool watch_deferred_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted work checks it
  EventLoop::Watch input_;
  EventLoop::Watch room_;
};

}  // namespace lodge
