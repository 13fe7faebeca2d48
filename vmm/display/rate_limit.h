// RateLimit: how often something may happen: so many times a second, and as many at once after a quiet second. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace lodge::display {

class RateLimit {
 public:
  using Time = std::chrono::steady_clock::time_point;
  explicit RateLimit(uint32_t per_second) : per_second_(per_second), left_(per_second) {}

  // One more; false: too many.
  [[nodiscard]] bool admit(Time now) {
    if (room(now) * per_second_ < 1) {
      return false;
    }
    left_ -= 1;
    return true;
  }
  // How much is left, of 1.
  [[nodiscard]] double room(Time now) {
    if (now > last_) {
      const std::chrono::duration<double> passed = std::min<Time::duration>(now - last_, std::chrono::seconds(1));
      left_ = std::min(per_second_, left_ + passed.count() * per_second_);
      last_ = now;
    }
    return left_ / per_second_;
  }

 private:
  double per_second_;
  double left_;
  Time last_{};
};

}  // namespace lodge::display
