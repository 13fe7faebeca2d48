// A thread that runs an EventLoop: the I/O loops are these. The constructor returns when the loop accepts work.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/io/event_loop.h"

namespace lodge {

class LoopThread {
 public:
  // `on_start` runs first on the new thread (name, seccomp filter, CPU affinity).
  [[nodiscard]] static Result<std::unique_ptr<LoopThread>> start(std::string name, std::function<void()> on_start);
  // Stops the loop and joins.
  ~LoopThread();
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  [[nodiscard]] EventLoop& loop() { return *loop_; }
  [[nodiscard]] std::thread::native_handle_type native_handle() { return thread_.native_handle(); }

 private:
  LoopThread() = default;
  std::unique_ptr<EventLoop> loop_;
  std::thread thread_;
};

}  // namespace lodge
