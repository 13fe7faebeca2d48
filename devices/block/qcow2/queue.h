// One virtqueue's way to a qcow2 image (backend.h). On its own loop, but for run_for(), which is the home's.
#pragma once

#include <memory>
#include <vector>

#include "devices/block/qcow2/backend.h"

namespace lodge::qcow2 {

class Queue final : public BlockQueue {
 public:
  Queue(Backend& backend, EventLoop& loop, std::unique_ptr<BlockQueue> file, std::unique_ptr<BlockQueue> backing);
  ~Queue() override;

  void submit(BlockRequest& request) override;
  [[nodiscard]] uint32_t in_flight() const override { return in_flight_; }

  [[nodiscard]] EventLoop& loop() { return loop_; }
  [[nodiscard]] BlockQueue& file() { return *file_; }
  [[nodiscard]] BlockQueue* backing() { return backing_.get(); }

 private:
  // A request that the mapping answers, in parts.
  struct Parent;
  struct Part : BlockRequest {
    Parent* parent = nullptr;
  };
  struct Parent {
    Queue* queue = nullptr;
    BlockRequest* request = nullptr;
    uint64_t generation = 0;
    uint32_t parts = 0;
    int error = 0;
  };
  [[nodiscard]] bool quick(BlockRequest& request, uint64_t generation);
  void send_home(BlockRequest& request, uint64_t generation);
  void finish(BlockRequest& request, uint64_t generation, int error);
  void part_done(Part& part, int error);
  [[nodiscard]] Part& take_part();

  Backend& backend_;
  EventLoop& loop_;
  std::unique_ptr<BlockQueue> file_;
  std::unique_ptr<BlockQueue> backing_;
  uint32_t in_flight_ = 0;
  std::vector<std::unique_ptr<Part>> parts_;  // all of them, reused
  std::vector<Part*> idle_parts_;
  std::vector<std::unique_ptr<Parent>> parents_;
  std::vector<Parent*> idle_parents_;
  std::vector<Extent> extents_;  // of the request at hand
};

}  // namespace lodge::qcow2
