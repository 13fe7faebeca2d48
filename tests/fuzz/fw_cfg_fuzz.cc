// The firmware configuration device: any access to any of its ports, and requests for DMA made of the input. With the files
// that can be written, and those who keep them.
#include "devices/legacy/fw_cfg/device.h"
#include "devices/legacy/vmcoreinfo/device.h"
#include "devices/legacy/vmgenid/device.h"
#include "tests/fuzz/common/test_devices.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  test::TestMachine& machine = fuzz::machine();
  fuzz::Input in(data, size);
  std::unique_ptr<VmGenId> generation;
  std::unique_ptr<VmCoreInfo> notes;
  const auto create = [&](const StateReader* saved) {
    const bool known = saved != nullptr && saved->has<VmGenIdState>("vmgenid0");
    generation = test::must(VmGenId::create({.id = {1, 2}, .announce = [] {}}, *machine.env, known ? saved : nullptr));
    notes = test::must(VmCoreInfo::create(*machine.env, known ? saved : nullptr));
    auto device = test::must(FwCfg::create(*machine.env, saved));
    FwCfgItems items;
    items.add_file("etc/first", std::vector<std::byte>(3000, std::byte{1}));
    items.add_number_file("etc/second", 7, 4);
    items.add_file(VmGenId::kAddressFile, *generation);
    items.add_file(VmCoreInfo::kFile, *notes);
    items.set_text(fw_cfg::kCommandLineData, "quiet");
    device->offer(std::move(items));
    return device;
  };
  std::unique_ptr<FwCfg> device;
  if (in.take<uint8_t>() == 0xFF) {  // a hostile saved state
    StateWriter out;
    out.put("fw-cfg", FwCfgState{in.take<uint16_t>(), in.take<uint32_t>(), in.take<uint32_t>()});
    out.put("vmgenid0", VmGenIdState{{in.take<uint8_t>()}, in.take<uint64_t>(), true});
    out.put("vmcoreinfo0",
            VmCoreInfoState{in.take<uint16_t>(), in.take<uint16_t>(), in.take<uint32_t>(), in.take<uint64_t>()});
    const auto reader = StateReader::parse(out.bytes());
    device = create(&*reader);
  } else {
    device = create(nullptr);
  }
  generation->resume();
  while (!in.empty()) {
    const auto what = in.take<uint8_t>();
    const auto width = static_cast<uint8_t>(1U << (what & 3));
    const uint64_t port = FwCfg::kPort + in.take<uint8_t>() % FwCfg::kPorts;
    switch (what >> 4) {
      case 0:
        device->reset();
        generation->reset();
        notes->reset();
        break;
      case 1: {
        const auto save = [&] {
          StateWriter out;
          device->save(out);
          generation->save(out);
          notes->save(out);
          return out.bytes();
        };
        const StateBytes before = save();
        const StateReader saved = test::must(StateReader::parse(before));
        device.reset();
        device = create(&saved);
        fuzz::require(save() == before);
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
  if (const auto note = notes->note()) {
    fuzz::require(note->size <= VmCoreInfo::kMaxNote);
    fuzz::require(machine.memory->iovec_for(Gpa{note->address}, note->size).iov_len == note->size);
  }
  if (const uint64_t at = generation->address(); at != 0) {
    test::must(machine.memory->read<uint64_t>(Gpa{at + 8}));
  }
  return 0;
}
