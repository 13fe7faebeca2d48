// PirqRouter: the four PCI interrupt lines of a pc. A function's INTx drives an input of the IOAPIC, which systems with ACPI
// use, and one of PIRQA to PIRQD, which the PIIX3 steers to an ISA interrupt for those that know only the 8259. Owned by
// the machine; outlives all that interrupt through it. Any thread.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "base/mutex.h"
#include "devices/core/irq.h"
#include "devices/pci/intx.h"

namespace lodge {

class PirqRouter {
 public:
  static constexpr uint32_t kFirstGsi = 16;  // of eight, to which slot and pin are spread: 16 + (slot + pin - 1) % 8
  static constexpr uint8_t kOff = 0x80;      // in a route register
  using Line = std::function<IrqLine&(uint32_t gsi)>;

  explicit PirqRouter(const Line& line);
  PirqRouter(const PirqRouter&) = delete;
  PirqRouter& operator=(const PirqRouter&) = delete;

  // The input of the IOAPIC together with the PIRQ that belongs to it; below 16 an ISA interrupt that PIRQs may share.
  [[nodiscard]] IrqLine& line(uint32_t gsi);
  // A route register (PIRQRC) has this value now.
  void route(size_t pirq, uint8_t value);

 private:
  struct Pirq {
    int asserted = 0;  // inputs
    std::unique_ptr<SharedIrq::Source> target;
  };
  class Input final : public IrqLine {
   public:
    Input(PirqRouter& owner, IrqLine& pin, size_t pirq) : owner_(owner), pin_(pin), pirq_(pirq) {}
    void set(bool asserted) override;

   private:
    PirqRouter& owner_;
    IrqLine& pin_;
    size_t pirq_;
    bool asserted_ = false;
  };
  void changed(size_t pirq, bool asserted);

  std::array<std::unique_ptr<SharedIrq>, 16> isa_;
  std::array<std::unique_ptr<SharedIrq::Source>, 16> own_;  // what drives an ISA interrupt besides PIRQs
  Mutex mutex_;
  std::array<Pirq, 4> pirqs_ GUARDED_BY(mutex_);
  std::array<std::unique_ptr<Input>, 8> inputs_;
};

}  // namespace lodge
