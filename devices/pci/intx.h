// INTx: level interrupts of PCI functions, several of which may share one input of the interrupt controller.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "devices/core/irq.h"

namespace lodge {

// Joins several sources onto one line: asserted while any source is.
class SharedIrq {
 public:
  explicit SharedIrq(IrqLine& line) : line_(line) {}

  class Source final : public IrqLine {
   public:
    explicit Source(SharedIrq& shared) : shared_(shared) {}
    ~Source() override { set(false); }
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;
    void set(bool asserted) override { shared_.set(*this, asserted); }

   private:
    friend class SharedIrq;
    SharedIrq& shared_;
    bool asserted_ = false;
  };

 private:
  void set(Source& source, bool asserted) {
    const Lock lock(mutex_);
    if (source.asserted_ == asserted) {
      return;
    }
    source.asserted_ = asserted;
    count_ += asserted ? 1 : -1;
    if (count_ == (asserted ? 1 : 0)) {
      line_.set(asserted);
    }
  }

  IrqLine& line_;
  Mutex mutex_;
  int count_ GUARDED_BY(mutex_) = 0;
};

}  // namespace lodge
