// The RTL8139C+: any register takes any value, rings of both modes and frames made of the input, frames that come in, a wire
// that blocks, resets, and saves in between, also of states that are the input's.
#include "devices/rtl8139/device.h"
#include "tests/fuzz/common/test_devices.h"
#include "tests/support/wire.h"

namespace lodge::fuzz {
namespace {

using namespace rtl8139;  // NOLINT(google-build-using-namespace): names of this chip only

constexpr uint64_t kBar = 0xF000'0000;
constexpr uint64_t kTxRing = 0x10000;
constexpr uint64_t kHighRing = 0x11000;
constexpr uint64_t kReceiveRing = 0x20000;

class Bench {
 public:
  explicit Bench(Input in) : in_(in) {}
  ~Bench() { quiesce(); }

  void run() {
    const auto flags = in_.take<uint8_t>();
    capabilities_ = {.vnet_header = true, .checksum = (flags & 1) != 0, .tso = (flags & 2) != 0, .uso = (flags & 4) != 0};
    require(make(nullptr));
    for (int steps = 0; !in_.empty() && steps < 600; ++steps) {
      step();
    }
  }

 private:
  bool make(const StateReader* saved) {
    auto other = std::make_unique<test::Wire>();
    wire_ = other.get();
    Rtl8139::Options options;
    options.id = "net0";
    options.mac = {0x52, 0x54, 0, 1, 2, 3};
    options.port.capabilities = capabilities_;
    options.port.queues.push_back(std::move(other));
    auto card = Rtl8139::create(std::move(options), *machine_.env, saved);
    if (!card) {
      return false;
    }
    card_ = std::move(*card);
    test::must(machine_.root->plug({3, 0}, card_, true));
    machine_.set_config(3, 0x10, 0xC001);
    machine_.set_config(3, 0x14, kBar);
    machine_.set_config(3, 0x04, 7, 2);
    card_->resume();
    return true;
  }
  void quiesce() {
    if (!card_) {
      return;
    }
    come_to_rest(*card_);
    machine_.turn(4);
    machine_.root->unplug({3, 0});
    card_.reset();
  }
  void save_and_restore() {
    come_to_rest(*card_);
    const StateReader saved = fuzz::saved(*card_);
    quiesce();
    require(make(&saved));
  }
  // Registers and places of which only the number is sound.
  void hostile_state() {
    Rtl8139State state;
    state.registers.resize((in_.take<uint8_t>() & 15) != 0 ? kRegisterBytes : in_.take<uint16_t>());
    for (int i = 0; i < 48 && !state.registers.empty(); ++i) {
      state.registers[in_.take<uint8_t>() % state.registers.size()] = in_.take<uint8_t>();
    }
    state.timer = in_.take<uint32_t>();
    state.tx_next = in_.take<uint8_t>();
    state.tx_index = {in_.take<uint8_t>(), in_.take<uint8_t>()};
    state.rx_index = in_.take<uint8_t>();
    state.eeprom.words.resize((in_.take<uint8_t>() & 15) != 0 ? 64 : in_.take<uint8_t>());
    state.eeprom.in = in_.take<uint32_t>() >> (in_.take<uint8_t>() & 31U);
    state.eeprom.left = in_.take<uint8_t>() % 18;
    quiesce();
    StateWriter out;
    out.put("net0", PciState{});
    out.put("net0", state);
    const auto reader = StateReader::parse(out.bytes());
    require(reader.has_value());
    if (!make(&*reader)) {
      require(make(nullptr));
    }
  }
  void out(uint32_t offset, uint32_t value, uint8_t size) { machine_.write(kBar + offset, value, size); }
  void start() {
    const auto how = in_.take<uint8_t>();
    out(kPlusCommand, how & 0x63U, 2);
    if ((how & kPlusTx) != 0) {
      out(kTxNormal, kTxRing, 4);
      out(kTxHigh, kHighRing, 4);
    } else {
      for (uint32_t i = 0; i < kTxDescriptors; ++i) {
        out(kTxAddress + 4 * i, in_.take<uint16_t>() * 16U, 4);
      }
    }
    out(kRxRing, kReceiveRing, 4);
    out(kRxBuffer, 0x30000, 4);
    out(kRxConfig, kAcceptAll | in_.take<uint32_t>(), 4);
    out(kTxConfig, (how & 8) != 0 ? kLoopback : 0, 4);
    out(kCommand, kTxEnable | kRxEnable, 1);
  }
  void descriptor(uint64_t ring) {
    const uint64_t at = ring + uint64_t{in_.take<uint8_t>() & 15U} * 16;
    const uint64_t address = in_.take<uint16_t>() * 16U;
    const auto command = in_.take<uint32_t>();
    test::must(machine_.memory->write(Gpa{at + 8}, address));
    test::must(machine_.memory->write(Gpa{at + 4}, in_.take<uint32_t>()));
    test::must(machine_.memory->write(Gpa{at}, (command & 1) != 0 ? command | kOwn : command));
  }
  // Headers where the card looks for them.
  void packet() {
    const uint64_t at = in_.take<uint16_t>() * 16U;
    std::array<uint8_t, 64> bytes{};
    for (uint8_t& byte : bytes) {
      byte = in_.take<uint8_t>();
    }
    bytes[12] = 0x08;
    bytes[13] = 0x00;
    bytes[14] = static_cast<uint8_t>(0x40 | (bytes[14] & 0xF));
    bytes[23] = (bytes[23] & 1) != 0 ? 6 : 17;
    test::must(machine_.memory->write_bytes(Gpa{at}, std::as_bytes(std::span(bytes))));
  }
  void frame() {
    test::Wire::Frame bytes(size_t{in_.take<uint8_t>()} * (in_.take<uint8_t>() & 31U));
    for (size_t i = 0; i < bytes.size() && i < 40; ++i) {
      bytes[i] = in_.take<uint8_t>();
    }
    if (wire_->waiting.size() < 64) {
      wire_->put(std::move(bytes));
    }
  }
  void step() {
    const auto what = in_.take<uint8_t>();
    const auto size = static_cast<uint8_t>(1U << (what >> 4 & 3));
    switch (what & 15) {
      case 0:
      case 1: machine_.write(kBar + in_.take<uint8_t>(), in_.take<uint64_t>(), size); break;
      case 2: (void)machine_.read(kBar + in_.take<uint8_t>(), size); break;
      case 3: start(); break;
      case 4: descriptor(kTxRing); break;
      case 5: descriptor((what & 16) != 0 ? kHighRing : kTxRing); break;
      case 6: descriptor(kReceiveRing); break;
      case 7: out(kTxPoll, in_.take<uint8_t>(), 1); break;
      case 8: out(kTxStatus + 4 * (what >> 4 & 3U), in_.take<uint16_t>() & 0x1FFFU, 4); break;
      case 9: out(kRxRead, in_.take<uint16_t>(), 2); break;
      case 10: frame(); break;
      case 11: machine_.turn(in_.take<uint8_t>() % 16); break;
      case 12: (what & 16) != 0 ? card_->set_link((what & 32) != 0) : void(wire_->blocked = (what & 32) != 0); break;
      case 13: (what & 16) != 0 ? hostile_state() : save_and_restore(); break;
      case 14: (what & 16) != 0 ? packet() : machine_.out(0xC000 + in_.take<uint8_t>(), in_.take<uint32_t>(), size); break;
      default: machine_.set_config(3, in_.take<uint8_t>() & 0x3CU, in_.take<uint32_t>(), 4); break;
    }
    if (wire_->sent.size() > 4096) {
      wire_->sent.clear();
    }
  }

  test::TestMachine& machine_ = fuzz::machine();
  Input in_;
  NetCapabilities capabilities_;
  test::Wire* wire_ = nullptr;
  std::shared_ptr<Rtl8139> card_;
};

}  // namespace
}  // namespace lodge::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lodge::fuzz::Bench(lodge::fuzz::Input(data, size)).run();
  return 0;
}
