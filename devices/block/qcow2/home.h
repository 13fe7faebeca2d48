// What an image has at its home loop; image.cc's and commit.cc's alone.
#pragma once

#include <algorithm>
#include <deque>
#include <list>

#include "devices/block/qcow2/image.h"

namespace lodge::qcow2 {

// What the home loop has: queues, and who waits for whom.
struct Image::Home {
  Home(EventLoop& on, BlockQueue& image_file, BlockQueue* behind)
      : loop(on), file(image_file), backing(behind), metadata(on), commits(on) {}
  ~Home() { loop.forget(this); }
  Home(const Home&) = delete;
  Home& operator=(const Home&) = delete;

  EventLoop& loop;
  BlockQueue& file;
  BlockQueue* backing;
  AsyncMutex metadata;  // tables and counts
  AsyncMutex commits;   // one at a time; taken before metadata
  struct Claimed {
    uint64_t first;
    uint64_t last;
  };
  std::list<Claimed> claimed;  // guest clusters whose mapping somebody is changing
  std::deque<std::coroutine_handle<>> claimants;
};

// Whoever changes the mapping of guest clusters has them alone meanwhile.
struct Image::Claiming {
  Home& home;
  uint64_t first;
  uint64_t last;

  [[nodiscard]] bool free() const {
    return std::ranges::none_of(home.claimed, [&](const auto& each) { return each.first <= last && first <= each.last; });
  }
  [[nodiscard]] bool await_ready() const { return free(); }
  void await_suspend(std::coroutine_handle<> waiter) const { home.claimants.push_back(waiter); }
  void await_resume() const {}
};

class Image::Claim {
 public:
  explicit Claim(const Claiming& what) : home_(what.home) {
    home_.claimed.push_front({what.first, what.last});
    at_ = home_.claimed.begin();
  }
  ~Claim() {
    home_.claimed.erase(at_);
    // All who wait look again: they may wait for others, too.
    for (const auto waiter : std::exchange(home_.claimants, {})) {
      home_.loop.defer(&home_, [waiter] { waiter.resume(); });
    }
  }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

 private:
  Home& home_;
  std::list<Home::Claimed>::iterator at_;
};

}  // namespace lodge::qcow2
