// The watchdogs: register accesses of any size at any time, saved and restored in between; also created from any state.
#include "devices/watchdog/i6300esb/device.h"
#include "devices/watchdog/ib700/device.h"
#include "tests/fuzz/common/test_devices.h"

namespace {

using namespace lodge;

struct World {
  int64_t now = 1;
  uint64_t ends = 0;
};

template <class T>
auto create(World& world, const StateReader* saved) {
  return T::create({.id = "watchdog0", .expired = [&world] { ++world.ends; }, .now = [&world] { return world.now; }},
                   *fuzz::machine().env, saved);
}

// What a test does that is the same for both: time passes, the device is saved and made anew.
template <class Device>
void common(World& world, Device& device, uint8_t what, fuzz::Input& in, const auto& again) {
  EventLoop& loop = *fuzz::machine().control;
  switch (what & 3) {
    case 0: {
      const uint64_t before = world.ends;
      world.now += in.take<uint32_t>() * int64_t{1000};
      device->quiesce([] {});
      device->resume();
      loop.run_once(std::chrono::nanoseconds(0));
      fuzz::require(world.ends - before <= 2);  // one for each turn of the loop, and one that was due
      break;
    }
    case 1: device->reset(); break;
    case 2: {
      device->quiesce([] {});
      const StateReader saved = fuzz::saved(*device);
      const StateBytes before = fuzz::bytes(*device);
      again(saved);
      fuzz::require(fuzz::bytes(*device) == before);
      device->resume();
      break;
    }
    default: loop.run_once(std::chrono::nanoseconds(0)); break;
  }
}

void ports(fuzz::Input& in) {
  test::TestMachine& machine = fuzz::machine();
  World world;
  auto device = test::must(create<Ib700>(world, nullptr));
  device->resume();
  while (!in.empty()) {
    const auto what = in.take<uint8_t>();
    if (what < 64) {
      common(world, device, what, in, [&](const StateReader& saved) {
        device.reset();
        device = test::must(create<Ib700>(world, &saved));
      });
    } else {
      const auto size = static_cast<uint8_t>(1U << (what >> 3 & 1));
      machine.out(0x441 + (what & 3), in.take<uint16_t>(), size);
      (void)machine.in(0x441 + (what & 3), size);
    }
  }
}

void function(fuzz::Input& in) {
  World world;
  auto device = test::must(create<I6300Esb>(world, nullptr));
  device->config_write(0x10, 4, 0xF0000000);
  device->config_write(4, 2, 2);
  device->resume();
  test::TestMachine& machine = fuzz::machine();
  while (!in.empty()) {
    const auto what = in.take<uint8_t>();
    const auto size = static_cast<uint8_t>(1U << (what & 1) << (what >> 1 & 1));
    const uint32_t offset = what >> 2 & 0xC;
    if (what < 64) {
      common(world, device, what, in, [&](const StateReader& saved) {
        device.reset();
        device = test::must(create<I6300Esb>(world, &saved));
      });
    } else if (what < 128) {
      machine.write(0xF0000000 + offset, in.take<uint32_t>(), size);
      (void)machine.read(0xF0000000 + offset, size);
    } else if (what < 192) {
      machine.write(0xF000000C, 0x80, 2);
      machine.write(0xF000000C, 0x86, 2);
      machine.write(0xF0000000 + offset, in.take<uint32_t>(), size);
    } else {
      const auto at = static_cast<uint16_t>(0x60 + (what & 0xC));
      device->config_write(at, size, in.take<uint32_t>());
      (void)device->config_read(at, size);
    }
  }
}

void hostile_state(fuzz::Input& in) {
  World world;
  I6300EsbState state{{in.take<uint32_t>(), in.take<uint32_t>()},
                      in.take<uint8_t>(),
                      in.take<uint8_t>(),
                      true,
                      false,
                      in.take<uint16_t>(),
                      in.take<uint8_t>(),
                      in.take<uint64_t>()};
  StateWriter out;
  out.put("watchdog0", PciState{});
  out.put("watchdog0", state);
  out.put("watchdog0", Ib700State{in.take<uint64_t>()});
  const auto reader = StateReader::parse(out.bytes());
  const auto turn = [](auto& device) {
    if (device) {
      (*device)->resume();
      fuzz::machine().control->run_once(std::chrono::nanoseconds(0));
    }
  };
  auto one = create<I6300Esb>(world, &*reader);
  turn(one);
  auto other = create<Ib700>(world, &*reader);
  turn(other);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input in(data, size);
  switch (in.take<uint8_t>() % 3) {
    case 0: ports(in); break;
    case 1: function(in); break;
    default: hostile_state(in); break;
  }
  return 0;
}
