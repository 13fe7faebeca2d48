#include "devices/flash/flusher.h"

#include <cstring>

#include "base/log.h"

namespace lodge {

void FlashFlusher::ask() {
  {
    const Lock lock(mutex_);
    if (busy_) {
      again_ = true;
      return;
    }
    busy_ = true;
  }
  loop_.post([self = shared_from_this()] { self->begin(); });
}

void FlashFlusher::when_done(Done done) {
  {
    const Lock lock(mutex_);
    if (busy_) {
      waiting_.push_back(std::move(done));
      return;
    }
  }
  done();
}

void FlashFlusher::begin() {
  self_ = shared_from_this();
  loop_.ring().fdatasync(*this, {file_.get(), false});
}

void FlashFlusher::on_complete(UringOp& op, int32_t result) {
  auto& flusher = static_cast<FlashFlusher&>(op);
  if (result < 0) {
    log_error("flash", "{}: bring changes to stable storage: {}; a power cut may lose them", flusher.name_,
              std::strerror(-result));
  }
  flusher.completed();
}

void FlashFlusher::completed() {
  const std::shared_ptr<FlashFlusher> self = std::move(self_);
  std::vector<Done> waiting;
  {
    const Lock lock(mutex_);
    if (again_) {
      again_ = false;
    } else {
      busy_ = false;
      waiting = std::exchange(waiting_, {});
    }
    if (busy_) {
      loop_.post([self] { self->begin(); });
      return;
    }
  }
  for (const Done& done : waiting) {
    done();
  }
}

}  // namespace lodge
