#include "devices/watchdog/timer.h"

#include <algorithm>

namespace lodge {

WatchdogTimer::WatchdogTimer(EventLoop& loop, std::function<void()> expired, Now now)
    : loop_(loop), expired_(std::move(expired)), now_(std::move(now)) {
  if (!now_) {
    now_ = [] {
      return std::chrono::duration_cast<std::chrono::nanoseconds>(EventLoop::Clock::now().time_since_epoch()).count();
    };
  }
}

void WatchdogTimer::start(int64_t nanoseconds) {
  const Lock lock(mutex_);
  counts_ = true;
  left_ = std::max(nanoseconds, kLeast);
  if (!paused_) {
    deadline_ = now_() + left_;
    ask_for_timer();
  }
}

void WatchdogTimer::restore(int64_t left) {
  const Lock lock(mutex_);
  counts_ = true;
  left_ = left;  // paused until resume()
}

void WatchdogTimer::stop() {
  const Lock lock(mutex_);
  counts_ = false;
}

bool WatchdogTimer::counts() const {
  const Lock lock(mutex_);
  return counts_;
}

int64_t WatchdogTimer::left() const {
  const Lock lock(mutex_);
  if (!counts_) {
    return 0;
  }
  return std::max<int64_t>(paused_ ? left_ : deadline_ - now_(), 1);
}

void WatchdogTimer::pause() {
  timer_.reset();
  const Lock lock(mutex_);
  armed_ = 0;
  if (!paused_) {
    paused_ = true;
    left_ = deadline_ - now_();
  }
}

void WatchdogTimer::resume() {
  {
    const Lock lock(mutex_);
    if (paused_) {
      paused_ = false;
      deadline_ = now_() + std::max<int64_t>(left_, 0);
    }
  }
  arm();
}

// The loop's timer is early enough, or one is on its way.
void WatchdogTimer::ask_for_timer() {
  if (asked_ || (armed_ != 0 && armed_ <= deadline_)) {
    return;
  }
  asked_ = true;
  loop_.post([this, alive = alive_] {
    if (!*alive) {
      return;
    }
    {
      const Lock lock(mutex_);
      asked_ = false;
    }
    arm();
  });
}

void WatchdogTimer::arm() {
  const Lock lock(mutex_);
  if (!counts_ || paused_) {
    armed_ = 0;
    timer_.reset();
    return;
  }
  armed_ = deadline_;
  timer_ = loop_.after(std::chrono::nanoseconds(std::max<int64_t>(deadline_ - now_(), 0)), [this] { fire(); });
}

void WatchdogTimer::fire() {
  bool over = false;
  {
    const Lock lock(mutex_);
    armed_ = 0;
    if (counts_ && !paused_ && now_() >= deadline_) {
      counts_ = false;
      over = true;
    }
  }
  if (!over) {
    arm();
    return;
  }
  expired_();
}

}  // namespace lodge
