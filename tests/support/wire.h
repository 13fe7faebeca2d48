// The other side of a NIC in memory: what it sends is kept, what is put in comes out, and it can be blocked.
#pragma once

#include <deque>
#include <vector>

#include "base/fd.h"
#include "devices/net/backend.h"
#include "devices/net/frame.h"
#include "tests/support/device_driver.h"

namespace lodge::test {

class Wire final : public NetBackend {
 public:
  using Frame = std::vector<uint8_t>;
  struct Sent {
    Frame header;
    Frame frame;
  };

  [[nodiscard]] int poll_fd() const override { return readable_.get(); }
  Io send(std::span<const iovec> frame) override {
    if (blocked) {
      return Io::would_block;
    }
    std::vector<std::byte> bytes(iov_bytes(frame));
    gather(frame, 0, bytes);
    const auto* const first = reinterpret_cast<const uint8_t*>(bytes.data());
    sent.push_back({Frame(first, first + kVnetHeader), Frame(first + kVnetHeader, first + bytes.size())});
    return Io::done;
  }
  Io receive(std::span<const iovec> into, size_t& bytes) override {
    if (waiting.empty()) {
      (void)readable_.drain();
      return Io::would_block;
    }
    std::vector<std::byte> all(kVnetHeader + waiting.front().size());
    std::ranges::copy(std::as_bytes(std::span(waiting.front())), all.begin() + kVnetHeader);  // it may be empty
    waiting.pop_front();
    scatter(into, 0, all);
    bytes = all.size();
    return Io::done;
  }
  [[nodiscard]] Result<void> set_offloads(uint32_t) override { return {}; }
  void put(Frame frame) {
    waiting.push_back(std::move(frame));
    readable_.signal();
  }

  std::vector<Sent> sent;
  std::deque<Frame> waiting;
  bool blocked = false;  // an event counter is always writable: it is tried again at once

 private:
  EventFd readable_ = must(EventFd::create());
};

}  // namespace lodge::test
