// LegacyLine: interrupt 8 of a pc, which is the real-time clock's until the HPET takes it (legacy replacement). Any thread.
#pragma once

#include "base/mutex.h"
#include "devices/core/irq.h"

namespace lodge {

class LegacyLine final : public IrqLine {
 public:
  explicit LegacyLine(IrqLine& line) : line_(line) {}
  // What the clock says; it arrives unless the HPET has the line.
  void set(bool asserted) override {
    const Lock lock(mutex_);
    clock_ = asserted;
    if (!replaced_) {
      line_.set(asserted);
    }
  }
  // The HPET takes it, or gives it back.
  void replace(bool on) {
    const Lock lock(mutex_);
    if (replaced_ != on) {
      replaced_ = on;
      line_.set(!on && clock_);
    }
  }

 private:
  IrqLine& line_;
  Mutex mutex_;
  bool clock_ GUARDED_BY(mutex_) = false;
  bool replaced_ GUARDED_BY(mutex_) = false;
};

}  // namespace lodge
