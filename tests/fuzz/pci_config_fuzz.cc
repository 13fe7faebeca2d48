// PCI configuration space of a transitional virtio function, by ports and window, its BARs and MSI-X; saved and restored.
#include "devices/virtio/rng/device.h"
#include "devices/virtio/transport_pci.h"
#include "tests/fuzz/common/test_devices.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  test::TestMachine& machine = fuzz::machine();
  const auto create = [&](const StateReader* saved) {
    auto device = test::must(VirtioRng::create({.id = "rng0"}, saved));
    auto function =
        test::must(VirtioPci::create({.id = "rng0", .transitional = true}, std::move(device), *machine.env, saved));
    test::must(machine.root->plug({1, 0}, function, true));
    return function;
  };
  const auto quiesce = [&](VirtioPci& function) {
    bool done = false;
    function.quiesce([&] { done = true; });
    fuzz::require(machine.run_until([&] { return done; }));
  };
  auto function = create(nullptr);
  for (const auto& [at, value] :
       {std::pair<uint16_t, uint32_t>{0x10, 0xC000}, {0x14, 0xC0100000}, {0x20, 0xC0000000}, {4, 7}}) {
    machine.set_config(1, at, value);
  }
  fuzz::Input in(data, size);
  for (int steps = 0; !in.empty() && steps < 100; ++steps) {
    const auto what = in.take<uint8_t>();
    const auto at = in.take<uint8_t>();
    const auto width = static_cast<uint8_t>(1U << what % 4);
    const uint64_t bar = (what & 4) != 0 ? 0xC0000000 + (at & 3U) * 0x1000 + (at >> 2) : 0xC0100000 + at;
    switch (what >> 4) {
      case 0:
      case 1:
      case 2:
      case 3: machine.write(test::TestMachine::kEcam + 0x8000 + at, in.take<uint32_t>(), width); break;
      case 4:
        machine.out(0xCF8, in.take<uint32_t>(), 4);
        machine.out(0xCFC + at % 4U, in.take<uint32_t>(), width & 7);
        break;
      case 5: (void)machine.read(test::TestMachine::kEcam + 0x8000 + at, width); break;
      case 6:
      case 7:
      case 8: machine.write(bar, in.take<uint32_t>(), width); break;
      case 9: (void)machine.read(bar, width); break;
      case 10:
        if (at != 0x12) {  // a legacy reset waits for the loop, which is this thread
          machine.out(0xC000U + at, in.take<uint16_t>(), width & 7);
        }
        break;
      case 11: (void)machine.in(0xC000U + at, width & 7); break;
      case 12: machine.turn(1); break;
      case 13:
        quiesce(*function);
        function->reset();
        break;
      default: {
        quiesce(*function);
        const StateBytes before = fuzz::bytes(*function);
        const StateReader saved = fuzz::saved(*function);
        machine.root->unplug({1, 0});
        function = create(&saved);
        fuzz::require(fuzz::bytes(*function) == before);
        function->resume();
      }
    }
  }
  quiesce(*function);
  machine.root->unplug({1, 0});
  machine.turn();
  return 0;
}
