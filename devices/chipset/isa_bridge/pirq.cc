#include "devices/chipset/isa_bridge/pirq.h"

namespace lodge {
namespace {

// The timer, the keyboard, the cascade, the clock and the coprocessor keep theirs (290550, PIRQRC).
constexpr uint16_t kRoutable = 0xDEF8;

// Slot s, pin p (1 for INTA): input (s + p - 1) % 8 and PIRQ (s + p - 2) % 4, so the first gives the second.
constexpr size_t pirq_of(size_t input) { return (input + 3) % 4; }

}  // namespace

PirqRouter::PirqRouter(const Line& line) {
  for (uint32_t irq = 0; irq < isa_.size(); ++irq) {
    isa_[irq] = std::make_unique<SharedIrq>(line(irq));
    own_[irq] = std::make_unique<SharedIrq::Source>(*isa_[irq]);
  }
  for (size_t i = 0; i < inputs_.size(); ++i) {
    inputs_[i] = std::make_unique<Input>(*this, line(kFirstGsi + static_cast<uint32_t>(i)), pirq_of(i));
  }
}

IrqLine& PirqRouter::line(uint32_t gsi) {
  if (gsi < kFirstGsi) {
    return *own_.at(gsi);
  }
  return *inputs_.at(gsi - kFirstGsi);
}

void PirqRouter::Input::set(bool asserted) {
  if (std::exchange(asserted_, asserted) != asserted) {
    owner_.changed(pirq_, asserted);
  }
  pin_.set(asserted);
}

void PirqRouter::changed(size_t pirq, bool asserted) {
  const Lock lock(mutex_);
  Pirq& line = pirqs_[pirq];
  line.asserted += asserted ? 1 : -1;
  if (line.target) {
    line.target->set(line.asserted > 0);
  }
}

void PirqRouter::route(size_t pirq, uint8_t value) {
  const Lock lock(mutex_);
  Pirq& line = pirqs_.at(pirq);
  line.target.reset();  // lowers the old one
  const unsigned irq = value & 0x0F;
  if ((value & kOff) == 0 && ((kRoutable >> irq) & 1) != 0) {
    line.target = std::make_unique<SharedIrq::Source>(*isa_[irq]);
    line.target->set(line.asserted > 0);
  }
}

}  // namespace lodge
