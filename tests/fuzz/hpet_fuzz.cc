// The HPET: register accesses of any size at any time, saved and restored in between; also created from any state.
#include "devices/chipset/hpet/device.h"
#include "tests/fuzz/common/test_devices.h"

namespace {

using namespace lodge;

// Counts what arrives.
class Line final : public IrqLine {
 public:
  void set(bool asserted) override {
    raised += asserted && !level ? 1 : 0;
    level = asserted;
  }
  uint64_t raised = 0;
  bool level = false;
};

struct World {
  int64_t now = 1;
  bool legacy = false;
  Line lines[2];
};

auto create(World& world, const StateReader* saved) {
  return Hpet::create({.line = [&world](uint32_t gsi) -> IrqLine& {
                         fuzz::require(gsi == Hpet::kTimerGsi || gsi == Hpet::kClockGsi);
                         return world.lines[gsi == Hpet::kTimerGsi ? 0 : 1];
                       },
                       .legacy =
                           [&world](bool on) {
                             fuzz::require(world.legacy != on);
                             world.legacy = on;
                           },
                       .now = [&world] { return world.now; }},
                      *fuzz::machine().env, saved);
}

void registers(fuzz::Input& in) {
  test::TestMachine& machine = fuzz::machine();
  EventLoop& loop = *machine.control;
  World world;
  auto device = test::must(create(world, nullptr));
  device->resume();
  while (!in.empty()) {
    const auto what = in.take<uint8_t>();
    if (what < 32) {
      const uint64_t before = world.lines[0].raised + world.lines[1].raised;
      world.now += in.take<uint32_t>() * int64_t{10};
      device->quiesce([] {});
      device->resume();
      loop.run_once(std::chrono::nanoseconds(0));
      fuzz::require(world.lines[0].raised + world.lines[1].raised - before <= 2 * Hpet::kTimers);
    } else if (what < 40) {
      device->reset();
      fuzz::require(!world.legacy && !world.lines[0].level && !world.lines[1].level);
    } else if (what < 56) {
      device->quiesce([] {});
      const StateReader saved = fuzz::saved(*device);
      const StateBytes before = fuzz::bytes(*device);
      device.reset();
      world.legacy = false;
      world.lines[0].level = world.lines[1].level = false;
      device = test::must(create(world, &saved));
      fuzz::require(fuzz::bytes(*device) == before);
      device->resume();
    } else if (what < 64) {
      loop.run_once(std::chrono::nanoseconds(0));
    } else {
      constexpr uint64_t kPlaces[] = {0x00, 0x10, 0x20, 0xF0, 0x100, 0x108, 0x110, 0x120, 0x128, 0x140, 0x148, 0x160};
      const auto size = static_cast<uint8_t>(1U << (what & 3));
      const uint64_t at = kPlaces[(what >> 2) % std::size(kPlaces)] + (in.take<uint8_t>() & 7U);
      (what & 16) != 0 ? machine.write(Hpet::kBase + at, in.take<uint64_t>(), size)
                       : machine.write(Hpet::kBase + at, in.take<uint16_t>(), size);
      (void)machine.read(Hpet::kBase + at, size);
    }
  }
}

void hostile_state(fuzz::Input& in) {
  World world;
  HpetState state{in.take<uint64_t>(), in.take<uint64_t>(), in.take<uint64_t>(), {}};
  state.timers.resize(in.take<uint8_t>() % 5);
  for (HpetTimerState& timer : state.timers) {
    timer = {in.take<uint64_t>(), in.take<uint64_t>(), in.take<uint64_t>()};
  }
  StateWriter out;
  out.put("hpet0", state);
  const auto reader = StateReader::parse(out.bytes());
  if (auto device = create(world, &*reader)) {
    (*device)->resume();
    world.now += in.take<uint32_t>();
    fuzz::machine().control->run_once(std::chrono::nanoseconds(0));
    (*device)->quiesce([] {});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input in(data, size);
  in.take<uint8_t>() % 4 == 0 ? hostile_state(in) : registers(in);
  return 0;
}
