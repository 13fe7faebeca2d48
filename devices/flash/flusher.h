// FlashFlusher: brings what was written to a flash's file to stable storage, on an I/O loop, one flush at a time.
//
// ask() and when_done() from any thread. It may go while a flush is in flight: that keeps what it needs.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "base/io/event_loop.h"
#include "base/mutex.h"

namespace lodge {

class FlashFlusher final : public std::enable_shared_from_this<FlashFlusher>, private UringOp {
 public:
  using Done = std::function<void()>;
  FlashFlusher(EventLoop& loop, Fd file, std::string name)
      : UringOp{&FlashFlusher::on_complete}, loop_(loop), file_(std::move(file)), name_(std::move(name)) {}

  // All that was written before this call gets there.
  void ask();
  // Runs `done` when no flush is under way or asked for: at once, or on the loop.
  void when_done(Done done);

 private:
  static void on_complete(UringOp& op, int32_t result);
  void begin();      // loop
  void completed();  // loop

  EventLoop& loop_;
  Fd file_;
  std::string name_;
  std::shared_ptr<FlashFlusher> self_;  // while a flush is in flight; loop
  Mutex mutex_;
  bool busy_ GUARDED_BY(mutex_) = false;   // posted or in flight
  bool again_ GUARDED_BY(mutex_) = false;  // asked for since it began
  std::vector<Done> waiting_ GUARDED_BY(mutex_);
};

}  // namespace lodge
