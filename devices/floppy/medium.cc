// What happens on the I/O loop: reading and writing the image, other disks, and coming to rest.
#include <algorithm>

#include "devices/floppy/controller.h"
#include "devices/floppy/registers.h"

namespace lodge {

using namespace floppy;  // NOLINT(google-build-using-namespace): names of this chip only

// If the loop has something to do.
void FloppyController::wake() {
  {
    const Lock lock(mutex_);
    const bool wanted = s_.phase == FloppyPhase::read_medium || s_.phase == FloppyPhase::write_medium;
    if (!wanted || woken_ || in_flight_ || !running_) {
      return;
    }
    woken_ = true;
  }
  loop_.post([this] { work(); });
}

void FloppyController::work() {
  for (size_t unit = 0; unit < kDrives; ++unit) {
    finish_exchange(unit);
  }
  bool submit = false;
  {
    const Lock lock(mutex_);
    woken_ = false;
    submit = prepare();
  }
  if (submit) {
    seats_.at(request_.unit).queue->submit(request_);
  }
  settle();
}

// True: the request is to be submitted.
bool FloppyController::prepare() {
  while (running_ && !in_flight_ && !halted_) {
    const bool write = s_.phase == FloppyPhase::write_medium;
    if (!write && s_.phase != FloppyPhase::read_medium) {
      return false;
    }
    const FloppyFormat* const disk = format();
    const uint64_t length = uint64_t{s_.count} * kSector;
    if (disk == nullptr || s_.count == 0 || s_.sector == 0 || s_.sector + s_.count - 1 > disk->sectors ||
        s_.head >= disk->heads || s_.drives.at(unit()).cylinder >= disk->cylinders ||
        (write && s_.buffer.size() != length)) {
      finish({.st0 = kAbnormal, .st1 = kMissingMark});  // another disk, or a state that never was
      return false;
    }
    Seat& seat = seats_.at(unit());
    const uint32_t track = uint32_t{s_.drives.at(unit()).cylinder} * disk->heads + s_.head;
    const uint64_t offset = (uint64_t{track} * disk->sectors + s_.sector - 1) * kSector;
    const uint64_t size = seat.backend->info().size;  // smaller than the disk when the image was completed
    const uint64_t there = offset < size ? std::min(length, size - offset) : 0;
    if (there == 0) {
      if (write) {
        finish({.st0 = kAbnormal, .st1 = kDataError, .st2 = kDataErrorInData});
      } else {
        medium_read(std::vector<uint8_t>(length));
      }
      continue;
    }
    if (!seat.queue) {
      auto queue = seat.backend->open_queue(loop_);
      if (!queue) {
        log_error("block", "{}: {}", seat.id, queue.error().message);
        finish({.st0 = kAbnormal, .st1 = kDataError, .st2 = kDataErrorInData});
        return false;
      }
      seat.queue = std::move(*queue);
    }
    data_.assign(length, 0);
    if (write) {
      std::ranges::copy(s_.buffer, data_.begin());
    }
    request_.controller = this;
    request_.unit = unit();
    request_.kind = write ? BlockRequest::Kind::write : BlockRequest::Kind::read;
    request_.durable = write;  // the guest has no way to ask for it
    request_.offset = offset;
    request_.length = there;
    request_.iov.assign(1, {data_.data(), there});
    request_.began = std::chrono::steady_clock::now();
    request_.done = [](BlockRequest& done, int error) { static_cast<Request&>(done).controller->completed(error); };
    in_flight_ = true;
    return true;
  }
  return false;
}

void FloppyController::completed(int error) {
  Seat& seat = seats_.at(request_.unit);
  BlockErrorEvent event{seat.id, request_.kind, error, ErrorAction::report};
  {
    const Lock lock(mutex_);
    in_flight_ = false;
    seat.counters.count(request_.kind, error == 0 ? request_.length : 0, error != 0,
                        std::chrono::steady_clock::now() - request_.began);
    if (std::exchange(abandoned_, false)) {
      error = 0;
    } else {
      take_outcome(seat, error, event);
    }
  }
  if (error != 0 && seat.on_io_error) {
    seat.on_io_error(event);
  }
  work();
}

void FloppyController::take_outcome(Seat& seat, int error, BlockErrorEvent& event) {
  if (error != 0) {
    event.action = seat.errors.choose(request_.kind, error);
    if (event.action == ErrorAction::report) {
      finish({.st0 = kAbnormal, .st1 = kDataError, .st2 = kDataErrorInData});
      return;
    }
    if (event.action != ErrorAction::ignore) {  // it is tried again when the guest goes on
      halted_ = true;
      return;
    }
  }
  if (request_.kind == BlockRequest::Kind::read) {
    medium_read(data_);
  } else {
    medium_written();
  }
}

void FloppyController::exchange_medium(size_t unit, std::unique_ptr<BlockBackend> medium, Exchanged done) {
  auto handed = std::make_shared<std::unique_ptr<BlockBackend>>(std::move(medium));
  loop_.post([this, unit, handed, done = std::move(done)] {
    {
      const Lock lock(mutex_);
      seats_.at(unit).medium = std::move(*handed);
      seats_.at(unit).exchanged = done;
    }
    work();
  });
}

// On the loop: a disk that waits for the last request on the old one.
void FloppyController::finish_exchange(size_t unit) {
  Seat& seat = seats_.at(unit);
  Exchanged done;
  std::shared_ptr<std::unique_ptr<BlockBackend>> old;
  {
    const Lock lock(mutex_);
    if (!seat.exchanged || in_flight_) {
      return;
    }
    seat.queue.reset();
    old = std::make_shared<std::unique_ptr<BlockBackend>>(std::exchange(seat.backend, std::move(seat.medium)));
    seat.format.reset();
    if (seat.backend) {
      if (const auto format = floppy_format(seat.backend->info().size)) {
        seat.format = *format;
      }
    }
    s_.drives.at(unit).changed = true;
    done = std::exchange(seat.exchanged, nullptr);
  }
  env_.control.post([done = std::move(done), old = std::move(old)] { done(std::move(*old)); });
}

void FloppyController::settle() {
  if (on_quiet_.empty()) {
    return;
  }
  {
    const Lock lock(mutex_);
    if (in_flight_) {
      return;
    }
  }
  for (Seat& seat : seats_) {
    seat.queue.reset();
  }
  for (const Done& done : std::exchange(on_quiet_, {})) {
    done();
  }
}

void FloppyController::quiesce(Done done) {
  {
    const Lock lock(mutex_);
    running_ = false;
  }
  loop_.post([this, done = std::move(done)] {
    on_quiet_.push_back(done);
    for (size_t unit = 0; unit < kDrives; ++unit) {
      finish_exchange(unit);
    }
    settle();
  });
}

void FloppyController::resume() {
  {
    const Lock lock(mutex_);
    running_ = true;
    woken_ = false;
    halted_ = false;
  }
  wake();
}

}  // namespace lodge
