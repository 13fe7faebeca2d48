// The UHCI controller with a tablet and a disk: any register takes any value; the frame list, queues and descriptors are
// made of the input; people move the pointer, time passes, ports are reset, devices come and go, and there are saves in
// between, also of states that are the input's.
#include "devices/usb/uhci/device.h"
#include "tests/fuzz/common/test_devices.h"
#include "tests/fuzz/common/usb_population.h"

namespace lodge::fuzz {
namespace {

using namespace uhci;  // NOLINT(google-build-using-namespace): the names of the document

constexpr uint32_t kBase = 0xC000;
constexpr uint32_t kFrameList = 0x1000;
constexpr uint32_t kQueues = 0x2000;  // 16 bytes each
constexpr uint32_t kTds = 0x3000;     // 32 bytes each
constexpr uint32_t kBuffers = 0x10000;

class Bench {
 public:
  explicit Bench(Input in) : in_(in) {}
  ~Bench() { quiesce(); }

  void run() {
    require(make(nullptr));
    start();
    for (int steps = 0; !in_.empty() && steps < 600; ++steps) {
      step();
    }
  }

 private:
  bool make(const StateReader* saved) {
    Uhci::Options options;
    auto devices = population_.make(saved);
    if (!devices) {
      return false;
    }
    options.devices = std::move(*devices);
    options.now = [this] { return now_; };
    auto controller = Uhci::create(std::move(options), *machine_.env, saved);
    if (!controller) {
      return false;
    }
    controller_ = std::move(*controller);
    test::must(machine_.root->plug({3, 0}, controller_, true));
    machine_.set_config(3, 0x20, kBase);
    machine_.set_config(3, 0x04, 7, 2);
    controller_->resume();
    return true;
  }
  void place() {
    const auto x = in_.take<uint16_t>();
    const auto y = in_.take<uint8_t>();
    if (auto* tablet = dynamic_cast<UsbTablet*>(population_.hid(0))) {
      tablet->place(x, y, 0, 0);
    }
  }
  void out(uint32_t offset, uint64_t value, uint8_t size = 2) { machine_.out(kBase + offset, value, size); }
  void word(uint64_t at, uint32_t value) { test::must(machine_.memory->write(Gpa{at}, value)); }
  void pass(uint32_t milliseconds) {
    now_ += std::chrono::milliseconds(milliseconds);
    (void)machine_.in(kBase + kFrame, 2);
    machine_.turn(2);
  }
  void start() {
    test::must(machine_.memory->fill(Gpa{0}, 0x20000, std::byte{0}));
    for (uint32_t i = 0; i < kFrames; ++i) {
      word(kFrameList + 4 * i, (kQueues + 16 * (i & 3)) | kLinkQueue);
    }
    for (uint32_t i = 0; i < 16; ++i) {
      word(kQueues + 16 * i, (kQueues + 16 * ((i + 1) & 15)) | kLinkQueue);
      word(kQueues + 16 * i + 4, kLinkEnd);
    }
    out(kList, kFrameList, 4);
    for (const uint32_t port : {kPorts + 0U, kPorts + 2U}) {
      out(port, kPortReset);
      machine_.turn(2);
      out(port, 0);
      out(port, kPortEnabled);
    }
    out(kCommand, kCmdRun);
  }
  void quiesce() {
    if (!controller_) {
      return;
    }
    come_to_rest(*controller_);
    machine_.turn(4);
    machine_.root->unplug({3, 0});
    population_.forget();
    controller_.reset();
  }
  void save_and_restore() {
    come_to_rest(*controller_);
    const StateReader saved = fuzz::saved(*controller_);
    quiesce();
    require(make(&saved));
  }
  // A state of which only the encoding is sound.
  void hostile_state() {
    UhciState state;
    state.command = in_.take<uint16_t>() & 0x1FF;
    state.status = in_.take<uint16_t>() & 0x7F;
    state.interrupts = in_.take<uint8_t>() & 0x1F;
    state.frame = in_.take<uint16_t>() & 0xFFF;
    state.list = in_.take<uint16_t>() & 0xFFF0U;
    state.ports.resize((in_.take<uint8_t>() & 7) == 0 ? 3 : 2);
    for (UhciPortState& port : state.ports) {
      port.enabled = (in_.take<uint8_t>() & 1) != 0;
      port.reset_due = (in_.take<uint8_t>() & 7) == 0;
      port.control.phase = static_cast<UhciControlPhase>(in_.take<uint8_t>() & 3);
      for (uint8_t& one : port.control.setup) {
        one = in_.take<uint8_t>();
      }
      port.control.asked = (in_.take<uint8_t>() & 1) != 0;
      port.control.at = in_.take<uint8_t>();
      port.control.data.resize(in_.take<uint16_t>());
      port.part_endpoint = in_.take<uint8_t>();
      port.part.resize(in_.take<uint16_t>() & 0x7FF);
    }
    quiesce();
    population_.all_are_there();
    StateWriter saved;
    saved.put("usb0", PciState{});
    saved.put("usb0", state);
    saved.put("hid0", UsbDeviceState{.configuration = 1});
    saved.put("hid0", UsbHidState{});
    saved.put("hid0", UsbPointerState{});
    saved.put("disk0", UsbDeviceState{.address = static_cast<uint8_t>(in_.take<uint8_t>() & 1), .configuration = 1});
    saved.put("disk0", UsbStorageState{});
    const auto reader = StateReader::parse(saved.bytes());
    require(reader.has_value());
    if (!make(&*reader)) {
      require(make(nullptr));
      start();
    }
  }
  // A queue with descriptors that are nearly right.
  void queue() {
    static constexpr std::array<uint8_t, 4> kPids{kPidSetup, kPidIn, kPidOut, kPidIn};
    const uint32_t which = in_.take<uint8_t>() & 15;
    const uint32_t count = in_.take<uint8_t>() & 7;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t at = kTds + 32 * (which * 8 + i);
      const auto flags = in_.take<uint8_t>();
      const uint32_t pid = (flags & 0x3C) == 0 ? in_.take<uint8_t>() : kPids.at(flags & 3);
      const uint32_t length = pid == kPidSetup ? 7 : in_.take<uint16_t>() & 0x7FF;
      const uint32_t target = in_.take<uint8_t>() & 0x73;  // address and endpoint
      word(at, i + 1 < count ? (at + 32) | ((flags & 4) != 0 ? kLinkDepth : 0) : in_.take<uint16_t>() | kLinkEnd);
      word(at + 4, kTdActive | uint32_t{flags} << 24);
      word(at + 8, length << 21 | (target >> 4) << 15 | (target & 3) << 8 | pid);
      word(at + 12, kBuffers + in_.take<uint16_t>());
    }
    word(kQueues + 16 * which + 4, kTds + 32 * which * 8);
  }
  void setup() {
    static constexpr std::array<uint8_t, 10> kRequests{0, 1, 3, 5, 6, 8, 9, 10, 11, 2};
    const auto type = in_.take<uint8_t>();
    const uint32_t first = (type & 0xA3U) | uint32_t{kRequests.at(in_.take<uint8_t>() % kRequests.size())} << 8 |
                           uint32_t{in_.take<uint16_t>()} << 16;
    const uint32_t at = kBuffers + (in_.take<uint16_t>() & 0xFFF8U);
    word(at, first);
    word(at + 4, in_.take<uint8_t>() | uint32_t{in_.take<uint16_t>()} << 16);
  }
  // A command block for the disk.
  void disk() {
    static constexpr std::array<uint8_t, 8> kCodes{0x00, 0x03, 0x12, 0x1A, 0x25, 0x28, 0x2A, 0x35};
    const uint32_t at = kBuffers + (in_.take<uint16_t>() & 0xFFF8U);
    word(at, 0x43425355);
    word(at + 8, in_.take<uint16_t>());
    word(at + 12,
         (in_.take<uint8_t>() & 0x80U) | 10U << 16 | uint32_t{kCodes.at(in_.take<uint8_t>() % kCodes.size())} << 24);
    word(at + 16, 0);
    word(at + 20, in_.take<uint8_t>() | uint32_t{in_.take<uint8_t>()} << 16);
  }
  void step() {
    const auto what = in_.take<uint8_t>();
    const auto width = static_cast<uint8_t>(1U << (what >> 4) % 3);
    switch (what & 15) {
      case 0: out(in_.take<uint8_t>() & 31, in_.take<uint32_t>(), width); break;
      case 1: (void)machine_.in(kBase + (in_.take<uint8_t>() & 31), width); break;
      case 2:
      case 3:
      case 4: queue(); break;
      case 5: setup(); break;
      case 6: disk(); break;
      case 7: out(kPorts + 2 * (in_.take<uint8_t>() & 1U), in_.take<uint16_t>()); break;
      case 8: (what & 16) != 0 ? population_.plug(*controller_, in_) : place(); break;
      case 9:
      case 10:
      case 11: pass(in_.take<uint8_t>()); break;
      case 12: out(kCommand, in_.take<uint16_t>()); break;
      case 13: machine_.turn(in_.take<uint8_t>() % 16); break;
      case 14: (what & 16) != 0 ? hostile_state() : save_and_restore(); break;
      default: (what & 16) != 0 ? start() : word(in_.take<uint16_t>() & 0x7FFCU, in_.take<uint32_t>());
    }
  }

  test::TestMachine& machine_ = fuzz::machine();
  Input in_;
  UsbPopulation population_{{UsbHidKind::tablet}, true};
  EventLoop::Clock::time_point now_{std::chrono::seconds(1000)};
  std::shared_ptr<Uhci> controller_;
};

}  // namespace
}  // namespace lodge::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lodge::fuzz::Bench(lodge::fuzz::Input(data, size)).run();
  return 0;
}
