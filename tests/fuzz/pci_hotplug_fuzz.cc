// The hotplug registers: accesses at any time between what the machine does; saved and restored in between.
#include "devices/pci/hotplug.h"
#include "tests/fuzz/common/test_devices.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  constexpr uint64_t kBase = 0xAE00;
  test::TestMachine& machine = fuzz::machine();
  fuzz::Input in(data, size);
  const auto slot_exists = [](uint8_t slot) { fuzz::require(slot < 32); };
  const auto create = [&](const StateReader* saved) {
    return PciHotplug::create(machine.pio, kBase, {[] {}, slot_exists, slot_exists}, saved);
  };
  auto device = test::must(create(nullptr));
  while (!in.empty()) {
    const auto what = in.take<uint8_t>();
    const auto slot = static_cast<uint8_t>(what & 31);
    switch (what >> 5) {
      case 0: device->added(slot); break;
      case 1: device->ask_to_leave(slot); break;
      case 2: device->gone(slot); break;
      case 3:
        if (slot == 0) {
          device->reset();
        } else if (slot == 1) {
          const StateReader saved = fuzz::saved(*device);
          const StateBytes before = fuzz::bytes(*device);
          device.reset();
          device = test::must(create(&saved));
          fuzz::require(fuzz::bytes(*device) == before);
        }
        break;
      case 4:
      case 5: (void)machine.in(kBase + (what & 15), static_cast<uint8_t>(1U << (what >> 4 & 1) * 2)); break;
      default: machine.out(kBase + (what & 15), in.take<uint32_t>(), static_cast<uint8_t>(1U << (what >> 4 & 1) * 2)); break;
    }
  }
  return 0;
}
