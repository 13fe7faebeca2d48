// WatchdogTimer: the countdown of a watchdog. It stands still while the guest does, and wakes nobody while it is off.
//
// A guest that feeds its watchdog costs no message to the loop: the loop's timer runs on to the old deadline and is set anew
// then.
//
// start, stop and left from any thread; pause, resume and the end of the countdown on the control loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/io/event_loop.h"
#include "base/mutex.h"

namespace lodge {

class WatchdogTimer {
 public:
  // Nanoseconds of a clock that never goes back; tests replace it.
  using Now = std::function<int64_t()>;
  // The least time of a countdown: what a guest asks for may be next to nothing, and each end of one is work for the host.
  static constexpr int64_t kLeast = 1'000'000;

  // `expired` runs on the loop when the time is over, with nothing locked; a start() may have come since then. It begins
  // paused.
  WatchdogTimer(EventLoop& loop, std::function<void()> expired, Now now = {});
  ~WatchdogTimer() { *alive_ = false; }
  WatchdogTimer(const WatchdogTimer&) = delete;
  WatchdogTimer& operator=(const WatchdogTimer&) = delete;

  // Counts `nanoseconds` down from now on.
  void start(int64_t nanoseconds);
  // The same with what was left at a save, exactly.
  void restore(int64_t left);
  void stop();
  [[nodiscard]] bool counts() const;
  // Nanoseconds that are left; 0: it does not count.
  [[nodiscard]] int64_t left() const;
  void pause();
  void resume();

 private:
  void ask_for_timer() REQUIRES(mutex_);
  void arm();
  void fire();

  EventLoop& loop_;
  std::function<void()> expired_;
  Now now_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  EventLoop::Timer timer_;  // control loop
  mutable Mutex mutex_;
  bool counts_ GUARDED_BY(mutex_) = false;
  bool paused_ GUARDED_BY(mutex_) = true;
  bool asked_ GUARDED_BY(mutex_) = false;
  int64_t left_ GUARDED_BY(mutex_) = 0;      // while paused
  int64_t deadline_ GUARDED_BY(mutex_) = 0;  // else
  int64_t armed_ GUARDED_BY(mutex_) = 0;     // what the loop's timer waits for; 0: there is none
};

}  // namespace lodge
