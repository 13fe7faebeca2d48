// The xHCI controller with a tablet, a mouse, a keyboard and a disk: any register takes any value; rings, contexts and
// commands are made of the input; people type, ports are reset, devices come and go, and there are saves in between, also of
// states that are the input's.
#include "devices/usb/xhci/device.h"
#include "tests/fuzz/common/test_devices.h"
#include "tests/fuzz/common/usb_population.h"

namespace lodge::fuzz {
namespace {

using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document

constexpr uint64_t kBar = 0xF000'0000;
constexpr uint64_t kCommands = 0x1000;
constexpr uint64_t kTable = 0x2000;
constexpr uint64_t kEvents = 0x3000;
constexpr uint64_t kPointers = 0x4000;
constexpr uint64_t kInput = 0x5000;
constexpr uint64_t kContexts = 0x8000;
constexpr uint64_t kRings = 0x10000;  // 256 bytes each
constexpr uint64_t kRingBytes = 256;
constexpr uint64_t kData = 0x20000;

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
    Xhci::Options options;
    auto devices = population_.make(saved);
    if (!devices) {
      return false;
    }
    options.devices = std::move(*devices);
    auto controller = Xhci::create(std::move(options), *machine_.env, saved);
    if (!controller) {
      return false;
    }
    controller_ = std::move(*controller);
    test::must(machine_.root->plug({3, 0}, controller_, true));
    machine_.set_config(3, 0x10, kBar);
    machine_.set_config(3, 0x04, 7, 2);
    controller_->resume();
    return true;
  }
  void out(uint64_t offset, uint64_t value) { machine_.write(kBar + offset, value, 4); }
  void operational(uint64_t offset, uint64_t value) { out(kOperational + offset, value); }
  void write(uint64_t at, uint64_t value) { test::must(machine_.memory->write(Gpa{at}, value)); }
  void start() {
    operational(kConfig, 8);
    operational(kDcbaap, kPointers);
    operational(kCrcr, kCommands | 1);
    command_ = kCommands;
    test::must(machine_.memory->fill(Gpa{0}, 0x40000, std::byte{0}));
    for (uint64_t slot = 1; slot <= 8; ++slot) {
      write(kPointers + 8 * slot, kContexts + 0x400 * slot);
    }
    write(kTable, kEvents);
    write(kTable + 8, 64);
    out(kRuntime + kErstSize, 1);
    out(kRuntime + kErdp, kEvents);
    out(kRuntime + kErstBase, kTable);
    out(kRuntime + kIman, kImanEnabled);
    operational(kUsbCmd, kCmdRun | kCmdInterrupts);
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
    XhciState state;
    state.command = in_.take<uint16_t>() & 0xC0F;
    state.status = in_.take<uint16_t>();
    state.contexts = in_.take<uint32_t>();
    state.config = in_.take<uint8_t>();
    state.commands = {in_.take<uint16_t>() & 0xFFF0U, (in_.take<uint8_t>() & 1) != 0};
    state.commands_run = state.command_armed = true;
    state.segments = in_.take<uint8_t>() & 3;
    state.segment_table = kTable;
    state.segment = in_.take<uint8_t>() & 3;
    state.segment_base = in_.take<uint32_t>();
    state.segment_size = in_.take<uint16_t>();
    state.segment_at = in_.take<uint16_t>();
    state.events.resize(in_.take<uint16_t>() % (kMaxEvents + 2));
    state.ports.resize(8);
    for (XhciPortState& port : state.ports) {
      port.link = in_.take<uint8_t>() & 15;
      port.enabled = (in_.take<uint8_t>() & 1) != 0;
      port.resetting = (in_.take<uint8_t>() & 1) != 0;
    }
    state.slots.resize(in_.take<uint8_t>() & 3);
    for (XhciSlotState& slot : state.slots) {
      slot.id = in_.take<uint8_t>();
      slot.phase = static_cast<SlotPhase>(in_.take<uint8_t>() & 3);
      slot.port = in_.take<uint8_t>() & 15;
      slot.contexts = in_.take<uint16_t>();
      slot.detached = (slot.contexts & 1) != 0;
      slot.endpoints.resize(in_.take<uint8_t>() & 3);
      for (XhciEndpointState& endpoint : slot.endpoints) {
        endpoint.id = in_.take<uint8_t>();
        endpoint.phase = static_cast<EndpointPhase>(in_.take<uint8_t>() & 7);
        endpoint.context[1] = in_.take<uint32_t>();
        endpoint.ring = {kRings + (in_.take<uint16_t>() & 0xFFF0U), (in_.take<uint8_t>() & 1) != 0};
        endpoint.armed = true;
        endpoint.offset = in_.take<uint32_t>() & 0x1FFFF;
        endpoint.skipping = (in_.take<uint8_t>() & 1) != 0;
      }
    }
    quiesce();
    population_.all_are_there();
    StateWriter saved;
    saved.put("usb0", PciState{.msix = {.entries = {{}}}});
    saved.put("usb0", state);
    for (size_t i = 0; i < 3; ++i) {
      const std::string id = std::string("hid") + static_cast<char>('0' + i);
      UsbDeviceState device;
      device.configuration = in_.take<uint8_t>() & 3;
      saved.put(id, device);
      saved.put(id, UsbHidState{});
      if (i == 2) {
        UsbKeyboardState keyboard;
        keyboard.keys.resize(in_.take<uint8_t>(), in_.take<uint8_t>());
        keyboard.waiting.resize(in_.take<uint8_t>(), in_.take<uint16_t>());
        saved.put(id, keyboard);
      } else {
        UsbPointerState pointer;
        pointer.waiting.resize(in_.take<uint8_t>() & 63);
        pointer.last.x = in_.take<int32_t>();
        saved.put(id, pointer);
      }
    }
    saved.put("disk0", UsbDeviceState{.configuration = 1});
    UsbStorageState storage;
    storage.phase = static_cast<UsbStoragePhase>(in_.take<uint8_t>() % 6);
    storage.left = in_.take<uint16_t>();
    storage.residue = in_.take<uint16_t>();
    storage.position = in_.take<uint16_t>();
    storage.bytes = in_.take<uint16_t>();
    storage.wanted = static_cast<UsbStorageIo>(in_.take<uint8_t>() & 3);
    storage.data.resize(in_.take<uint16_t>());
    saved.put("disk0", storage);
    const auto reader = StateReader::parse(saved.bytes());
    require(reader.has_value());
    if (!make(&*reader)) {
      quiesce();
      require(make(nullptr));
      start();
    }
  }
  void block(uint64_t at, uint64_t parameter, uint32_t status, uint32_t control) {
    write(at, parameter);
    write(at + 8, uint64_t{control} << 32 | status);
  }
  uint64_t ring(uint32_t slot, uint32_t endpoint) { return kRings + kRingBytes * ((slot & 7) * 8 + (endpoint & 7)); }
  // A command that is nearly right, with contexts that are.
  void command() {
    static constexpr std::array<uint32_t, 12> kTypes{9, 9, 11, 11, 12, 12, 13, 14, 15, 16, 17, 10};
    const uint32_t type = kTypes.at(in_.take<uint8_t>() % kTypes.size());
    const uint32_t slot = in_.take<uint8_t>() & 7;
    const uint32_t flags = in_.take<uint8_t>();
    const uint32_t endpoint = flags & 15;
    uint64_t parameter = kInput;
    if (type == 16) {
      parameter = ring(slot, endpoint) | 1;
    } else if (type >= 11 && type <= 13) {
      write(kInput, uint64_t{type == 11   ? 3U
                             : type == 12 ? (in_.take<uint16_t>() & ~2U) | 1U
                                          : 3U}
                            << 32 |
                        (type == 12 ? in_.take<uint16_t>() & ~3U : 0));
      write(kInput + 0x20, uint64_t{in_.take<uint8_t>() & 15U} << 48 | 31U << 27);
      for (uint32_t id = 1; id < 8; ++id) {
        const uint32_t kind = id == 1 ? kTypeControl : in_.take<uint8_t>() & 7U;
        write(kInput + 0x20 * (id + 1) + 0, uint64_t{8U << 16 | kind << 3} << 32);
        write(kInput + 0x20 * (id + 1) + 8, ring(slot, id) | 1);
      }
    }
    const uint32_t bits = (flags & 0x80) != 0 ? kTrbDeconfigure : 0;
    block(command_, parameter, 0, type << 10 | slot << 24 | endpoint << 16 | bits | 1);
    command_ += 16;
    if (command_ == kCommands + 0xFF0) {
      command_ = kCommands;
      operational(kCrcr, kCrcrStop);
      machine_.turn(2);
      operational(kCrcr, kCommands | 1);
    }
    out(kDoorbells, 0);
  }
  void transfers() {
    const uint32_t slot = in_.take<uint8_t>() & 7;
    const uint32_t endpoint = in_.take<uint8_t>() & 7;
    const uint64_t base = ring(slot, endpoint);
    const unsigned count = in_.take<uint8_t>() & 15U;
    for (unsigned i = 0; i < count; ++i) {
      const uint32_t type = in_.take<uint8_t>() & 15U;
      const uint64_t parameter = type == 6 ? base + (in_.take<uint8_t>() & 0xF0U) : kData + in_.take<uint16_t>();
      block(base + 16 * i, parameter, in_.take<uint16_t>(), type << 10 | (in_.take<uint16_t>() & 0x3FFU) | 1);
    }
    out(kDoorbells + 4 * slot, endpoint);
  }
  void request() {
    static constexpr std::array<uint8_t, 14> kRequests{0, 1, 3, 5, 6, 8, 9, 10, 11, 1, 2, 3, 9, 10};
    const uint32_t slot = in_.take<uint8_t>() & 7;
    const auto type = in_.take<uint8_t>();
    const uint64_t setup = (type & 0xA3U) | uint64_t{kRequests.at(in_.take<uint8_t>() % kRequests.size())} << 8 |
                           uint64_t{in_.take<uint16_t>()} << 16 | uint64_t{in_.take<uint8_t>() & 0x83U} << 32 |
                           uint64_t{in_.take<uint8_t>()} << 48;
    const uint64_t base = ring(slot, 1);
    block(base, setup, 8, 2U << 10 | kTrbImmediate | 1);
    block(base + 16, kData, in_.take<uint8_t>(), 3U << 10 | 1);
    block(base + 32, 0, 0, 4U << 10 | kTrbEvent | 1);
    block(base + 48, base, 0, 6U << 10 | 1);
    out(kDoorbells + 4 * slot, 1);
  }
  // A command for a disk, with its data and status.
  void disk() {
    static constexpr std::array<uint8_t, 16> kCodes{0x00, 0x03, 0x08, 0x0A, 0x12, 0x1A, 0x25, 0x28,
                                                    0x2A, 0x35, 0x5A, 0x88, 0x8A, 0x9E, 0xA0, 0xA8};
    const uint32_t slot = in_.take<uint8_t>() & 7;
    const auto flags = in_.take<uint8_t>();
    const uint32_t length = uint32_t{in_.take<uint8_t>()} * ((flags & 1) != 0 ? 512 : 4);
    const uint64_t command = kCodes.at(in_.take<uint8_t>() % kCodes.size()) | uint64_t{in_.take<uint16_t>()} << 8;
    write(kData, (flags & 0x7E) != 0 ? 0x43425355 : in_.take<uint64_t>());
    write(kData + 8, length | uint64_t{flags & 0x80U} << 32 | uint64_t{10} << 48 | (command & 0xFF) << 56);
    write(kData + 15, command | uint64_t{in_.take<uint8_t>()} << 40);
    write(kData + 23, uint64_t{in_.take<uint8_t>()});
    const uint64_t out_ring = ring(slot, 4);
    const uint64_t in_ring = ring(slot, 3);
    uint64_t at = out_ring;
    block(at, kData, 31, 1U << 10 | kTrbEvent | 1);
    (flags & 0x80) != 0 ? void(at = in_ring) : void(at += 16);
    block(at, kData + 64, length, 1U << 10 | kTrbEvent | 1);
    block((flags & 0x80) != 0 ? in_ring + 16 : in_ring, kData, 13, 1U << 10 | kTrbEvent | 1);
    out(kDoorbells + 4 * slot, 4);
    machine_.turn(flags & 7);
    out(kDoorbells + 4 * slot, 3);
  }
  void people() {
    const auto a = in_.take<uint16_t>();
    const auto b = in_.take<uint16_t>();
    const auto c = in_.take<uint8_t>();
    auto* const tablet = dynamic_cast<UsbTablet*>(population_.hid(0));
    auto* const mouse = dynamic_cast<UsbMouse*>(population_.hid(1));
    auto* const keyboard = dynamic_cast<UsbKeyboard*>(population_.hid(2));
    if (tablet == nullptr || mouse == nullptr || keyboard == nullptr) {
      return;
    }
    tablet->place(a, b, c, c);
    mouse->move(a - 0x8000, b, -c, c);
    keyboard->key(a & 0xFF, (b & 1) != 0);
  }
  void step() {
    const auto what = in_.take<uint8_t>();
    const auto width = static_cast<uint8_t>(1U << (what >> 4 & 3));
    switch (what & 15) {
      case 0: machine_.write(kBar + (in_.take<uint16_t>() & 0x3FFF), in_.take<uint64_t>(), width); break;
      case 1: (void)machine_.read(kBar + (in_.take<uint16_t>() & 0x3FFF), width); break;
      case 2:
      case 3:
      case 4: command(); break;
      case 5:
      case 6: (what & 64) != 0 ? disk() : transfers(); break;
      case 7:
      case 8: request(); break;
      case 9: out(kPorts + 0x10 * (in_.take<uint8_t>() & 7U), in_.take<uint32_t>()); break;
      case 10: out(kPorts + 0x10 * (in_.take<uint8_t>() & 3U), kPortPower | kPortReset); break;
      case 11: (what & 16) != 0 ? population_.plug(*controller_, in_) : people(); break;
      case 12: out(kRuntime + kErdp, kEvents | (in_.take<uint8_t>() & 0x3FU) * 16U | kErdpBusy); break;
      case 13: machine_.turn(in_.take<uint8_t>() % 16); break;
      case 14: (what & 16) != 0 ? hostile_state() : save_and_restore(); break;
      default: (what & 16) != 0 ? start() : machine_.set_config(3, in_.take<uint8_t>() & 0x3CU, in_.take<uint32_t>(), 4);
    }
  }

  test::TestMachine& machine_ = fuzz::machine();
  Input in_;
  UsbPopulation population_{{UsbHidKind::tablet, UsbHidKind::mouse, UsbHidKind::keyboard}, false};
  uint64_t command_ = kCommands;
  std::shared_ptr<Xhci> controller_;
};

}  // namespace
}  // namespace lodge::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lodge::fuzz::Bench(lodge::fuzz::Input(data, size)).run();
  return 0;
}
