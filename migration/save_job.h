// SaveJob: writes a quiet guest to a file on a thread of its own and reports to the control loop. The file appears under its
// name only when it is whole and on stable storage; a save that fails leaves nothing.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "base/io/event_loop.h"
#include "migration/save_file.h"

namespace lodge {

class SaveJob {
 public:
  struct Request {
    std::string path;
    std::string config;
    StateBytes records;
    SaveOptions options;
  };
  // `done` runs on `loop`, once, unless the job is destroyed before. `memory` does not change until then.
  [[nodiscard]] static std::unique_ptr<SaveJob> start(EventLoop& loop, Request request, const GuestMemory& memory,
                                                      std::function<void(Result<void>)> done);
  // Gives up and waits for the thread (milliseconds).
  ~SaveJob();
  SaveJob(const SaveJob&) = delete;
  SaveJob& operator=(const SaveJob&) = delete;

  // Bytes of RAM looked at. Any thread.
  [[nodiscard]] uint64_t progress() const { return progress_.load(std::memory_order_relaxed); }

 private:
  SaveJob(Request request, const GuestMemory& memory) : request_(std::move(request)), memory_(memory) {}
  [[nodiscard]] Result<void> run();

  Request request_;
  const GuestMemory& memory_;
  std::atomic<uint64_t> progress_{0};
  std::atomic<bool> give_up_{false};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::thread thread_;
};

}  // namespace lodge
