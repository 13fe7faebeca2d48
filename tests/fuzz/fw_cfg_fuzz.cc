// The firmware configuration device: any access to any of its ports, and requests for DMA made of the input.
#include "devices/legacy/fw_cfg/device.h"
#include "tests/fuzz/common/test_devices.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  test::TestMachine& machine = fuzz::machine();
  fuzz::Input in(data, size);
  const auto create = [&](const StateReader* saved) {
    auto device = test::must(FwCfg::create(*machine.env, saved));
    FwCfgItems items;
    items.add_file("etc/first", std::vector<std::byte>(3000, std::byte{1}));
    items.add_number_file("etc/second", 7, 4);
    items.set_text(fw_cfg::kCommandLineData, "quiet");
    device->offer(std::move(items));
    return device;
  };
  std::unique_ptr<FwCfg> device;
  if (in.take<uint8_t>() == 0xFF) {  // a hostile saved state
    StateWriter out;
    out.put("fw-cfg", FwCfgState{in.take<uint16_t>(), in.take<uint32_t>(), in.take<uint32_t>()});
    const auto reader = StateReader::parse(out.bytes());
    device = create(&*reader);
  } else {
    device = create(nullptr);
  }
  while (!in.empty()) {
    const auto what = in.take<uint8_t>();
    const auto width = static_cast<uint8_t>(1U << (what & 3));
    const uint64_t port = FwCfg::kPort + in.take<uint8_t>() % FwCfg::kPorts;
    switch (what >> 4) {
      case 0: device->reset(); break;
      case 1: {
        const StateReader saved = fuzz::saved(*device);
        const StateBytes before = fuzz::bytes(*device);
        device.reset();
        device = create(&saved);
        fuzz::require(fuzz::bytes(*device) == before);
        break;
      }
      case 2:
      case 3: machine.out(FwCfg::kPort, in.take<uint8_t>() % 40, 2); break;
      case 4:
      case 5: (void)machine.in(port, width); break;
      case 6:
      case 7: machine.out(port, in.take<uint64_t>(), width); break;
      default: {
        const uint64_t at = in.take<uint16_t>();
        const auto request = in.bytes(16);
        test::must(machine.memory->write_bytes(Gpa{at}, request));
        machine.out(FwCfg::kPort + FwCfg::kDma, 0, 4);
        machine.out(FwCfg::kPort + FwCfg::kDma + 4, __builtin_bswap32(static_cast<uint32_t>(at)), 4);
        break;
      }
    }
  }
  return 0;
}
