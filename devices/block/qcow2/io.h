// One request of an image's own, awaited by a coroutine of its loop.
#pragma once

#include <coroutine>

#include "devices/block/backend.h"

namespace lodge::qcow2 {

// co_await BlockIo(...): 0 or an errno value.
class BlockIo : public BlockRequest {
 public:
  BlockIo(BlockQueue& on, Kind what, uint64_t at, uint64_t size) : on_(on) {
    kind = what;
    offset = at;
    length = size;
  }
  BlockIo(BlockQueue& on, Kind what, uint64_t at, void* memory, uint64_t size) : BlockIo(on, what, at, size) {
    iov.push_back({memory, size});
  }

  [[nodiscard]] static bool await_ready() noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) {
    waiter_ = waiter;
    done = [](BlockRequest& request, int error) {
      auto& self = static_cast<BlockIo&>(request);
      self.error_ = error;
      self.waiter_.resume();
    };
    on_.submit(*this);
  }
  [[nodiscard]] int await_resume() const noexcept { return error_; }

 private:
  BlockQueue& on_;
  std::coroutine_handle<> waiter_;
  int error_ = 0;
};

}  // namespace lodge::qcow2
