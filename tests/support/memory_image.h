// An image in memory whose requests can be held back or fail.
#pragma once

#include <cstring>
#include <deque>
#include <numeric>
#include <vector>

#include "base/units.h"
#include "devices/block/backend.h"

namespace lodge::test {

class MemoryImage final : public BlockBackend {
 public:
  explicit MemoryImage(size_t size, bool read_only = false) : data(size), read_only_(read_only) {
    std::iota(data.begin(), data.end(), uint8_t{0});
    for (size_t sector = 0; sector * 512 < size; ++sector) {  // each one is another
      data[sector * 512] = static_cast<uint8_t>(sector);
      data[sector * 512 + 1] = static_cast<uint8_t>(sector >> 8);
    }
  }
  BlockInfo info() const override {
    BlockInfo info;
    info.size = data.size();
    info.read_only = read_only_;
    info.description = "'image'";
    return info;
  }
  Result<std::unique_ptr<BlockQueue>> open_queue(EventLoop& loop) override { return std::make_unique<Queue>(*this, loop); }
  Result<void> resize(uint64_t) override { return {}; }

  std::vector<uint8_t> data;
  std::deque<int> errors;  // taken from the front, one a request
  bool hold = false;
  std::vector<BlockRequest*> held;
  int flushes = 0;
  int durable = 0;

  void let_go() {
    hold = false;
    for (BlockRequest* request : std::exchange(held, {})) {
      finish(*request);
    }
  }

 private:
  class Queue final : public BlockQueue {
   public:
    Queue(MemoryImage& image, EventLoop& loop) : image_(image), loop_(loop) {}
    void submit(BlockRequest& request) override {
      if (image_.hold) {
        image_.held.push_back(&request);
        return;
      }
      loop_.post([this, &request] { image_.finish(request); });
    }
    uint32_t in_flight() const override { return 0; }

   private:
    MemoryImage& image_;
    EventLoop& loop_;
  };
  void finish(BlockRequest& request) {
    int error = 0;
    if (!errors.empty()) {
      error = errors.front();
      errors.pop_front();
    }
    if (error == 0) {
      size_t at = request.offset;
      for (const iovec& part : request.iov) {
        if (request.kind == BlockRequest::Kind::read) {
          std::memcpy(part.iov_base, data.data() + at, part.iov_len);
        } else if (request.kind == BlockRequest::Kind::write) {
          std::memcpy(data.data() + at, part.iov_base, part.iov_len);
        }
        at += part.iov_len;
      }
      flushes += request.kind == BlockRequest::Kind::flush ? 1 : 0;
      durable += request.durable ? 1 : 0;
    }
    request.done(request, error);
  }
  bool read_only_;
};

}  // namespace lodge::test
