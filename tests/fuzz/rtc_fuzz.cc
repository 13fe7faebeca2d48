// The CMOS clock: register accesses at any time, saved and restored in between; also created from any state.
#include "devices/legacy/cmos_rtc/device.h"
#include "tests/fuzz/common/test_devices.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  test::TestMachine& machine = fuzz::machine();
  fuzz::Input in(data, size);
  int64_t now = in.take<int64_t>() & (INT64_MAX >> 1);
  const auto create = [&](const StateReader* saved) {
    return CmosRtc::create({.board = {kGiB, 5 * kGiB}, .now = [&] { return now; }}, *machine.env, machine.lines[8], saved);
  };
  if (in.take<uint8_t>() == 0xFF) {  // a hostile saved state
    CmosRtcState state{in.take<uint8_t>(), {}, in.take<int64_t>(), in.take<uint8_t>()};
    std::ranges::copy(in.bytes(128), std::as_writable_bytes(std::span(state.ram)).begin());
    StateWriter out;
    out.put("rtc0", state);
    const auto reader = StateReader::parse(out.bytes());
    if (const auto device = create(&*reader)) {
      for (int i = 0; i < 256; ++i) {
        (void)machine.in(0x71);
        machine.out(0x70, static_cast<uint64_t>(i));
      }
    }
    return 0;
  }
  auto device = test::must(create(nullptr));
  while (!in.empty()) {
    const auto what = in.take<uint8_t>();
    const auto width = static_cast<uint8_t>(1U << (what & 1));
    switch (what >> 4) {
      case 0: {
        const int64_t step = in.take<int64_t>();  // nanoseconds; the host's clock may be set back
        now = static_cast<int64_t>(static_cast<uint64_t>(now) + static_cast<uint64_t>(step)) & (INT64_MAX >> 1);
        machine.control->run_once(std::chrono::nanoseconds(0));
        break;
      }
      case 1: device->reset(); break;
      case 2: {
        const StateReader saved = fuzz::saved(*device);
        const StateBytes before = fuzz::bytes(*device);
        device.reset();
        auto again = create(&saved);
        fuzz::require(again.has_value());
        device = std::move(*again);
        fuzz::require(fuzz::bytes(*device) == before);
        break;
      }
      case 3:
      case 4:
      case 5:
      case 6: machine.out(0x70, what >> 1 & 1, width); [[fallthrough]];
      case 7:
      case 8: (void)machine.in(0x70 + (what & 1)); break;
      default:
        machine.out(0x70, in.take<uint8_t>());
        machine.out(0x71, in.take<uint8_t>());
        (void)machine.in(0x71);
        break;
    }
  }
  return 0;
}
