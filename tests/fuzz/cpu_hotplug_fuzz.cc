// The registers of CPU hotplug: accesses at any time between what the machine does; saved and restored in between.
#include "devices/legacy/cpu_hotplug/device.h"
#include "tests/fuzz/common/test_devices.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  constexpr uint64_t kBase = 0xAF00;
  constexpr uint32_t kCpus = 16;
  test::TestMachine& machine = fuzz::machine();
  fuzz::Input in(data, size);
  std::vector<bool> present(kCpus);
  present[0] = true;
  const auto create = [&](const StateReader* saved) {
    return CpuHotplug::create(machine.pio, kBase, present,
                              {[] {},
                               [&](uint32_t cpu) {
                                 fuzz::require(cpu > 0 && cpu < kCpus && present[cpu]);
                                 present[cpu] = false;
                               },
                               [&](uint32_t cpu) { fuzz::require(cpu > 0 && cpu < kCpus && present[cpu]); }},
                              saved);
  };
  auto device = test::must(create(nullptr));
  while (!in.empty()) {
    const auto what = in.take<uint8_t>();
    const uint32_t cpu = what % (kCpus - 1) + 1;
    switch (what >> 5) {
      case 0:
        present[cpu] = true;
        device->added(cpu);
        break;
      case 1: device->ask_to_leave(cpu); break;
      case 2:
        present[cpu] = false;
        device->gone(cpu);
        break;
      case 3:
        if ((what & 1) == 0) {
          device->reset();
        } else {
          const StateReader saved = fuzz::saved(*device);
          const StateBytes before = fuzz::bytes(*device);
          device.reset();
          device = test::must(create(&saved));
          fuzz::require(fuzz::bytes(*device) == before);
        }
        break;
      case 4: (void)machine.in(kBase + what % CpuHotplug::kSize, 4); break;
      case 5: machine.out(kBase + (what & 3) * 4, in.take<uint8_t>() % (kCpus + 2), 4); break;
      default: machine.out(kBase + what % CpuHotplug::kSize, in.take<uint32_t>(), static_cast<uint8_t>(1U << (what & 2)));
    }
  }
  return 0;
}
