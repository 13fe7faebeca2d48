// The e1000: any register takes any value, rings and frames made of the input, frames that come in, a wire that blocks,
// resets, and saves in between, also of states that are the input's.
#include "devices/e1000/device.h"
#include "tests/fuzz/common/test_devices.h"
#include "tests/support/wire.h"

namespace lodge::fuzz {
namespace {

using namespace e1000;  // NOLINT(google-build-using-namespace): names of this chip only

constexpr uint64_t kBar = 0xF000'0000;

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
    E1000::Options options;
    options.id = "net0";
    options.mac = {0x52, 0x54, 0, 1, 2, 3};
    options.port.capabilities = capabilities_;
    options.port.queues.push_back(std::move(other));
    auto card = E1000::create(std::move(options), *machine_.env, saved);
    if (!card) {
      return false;
    }
    card_ = std::move(*card);
    test::must(machine_.root->plug({3, 0}, card_, true));
    machine_.set_config(3, 0x10, kBar);
    machine_.set_config(3, 0x14, 0xC001);
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
  // Registers of which only the number is sound.
  void hostile_state() {
    E1000State state;
    state.registers.resize((in_.take<uint8_t>() & 15) != 0 ? kRegisterBytes / 4 : in_.take<uint16_t>());
    for (int i = 0; i < 24 && !state.registers.empty(); ++i) {
      state.registers[in_.take<uint16_t>() % state.registers.size()] = in_.take<uint32_t>();
    }
    state.eeprom_left = in_.take<uint8_t>() % 18;
    state.contexts.resize(in_.take<uint8_t>() % 3);
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
  void out(uint32_t offset, uint32_t value) { machine_.write(kBar + offset, value, 4); }
  void rings() {
    out(kTdbal, 0x10000);
    out(kTdlen, 128U * (in_.take<uint8_t>() & 7U));
    out(kRdbal, 0x20000);
    out(kRdlen, 128U * (in_.take<uint8_t>() & 7U));
    out(kTctl, kEnable);
    out(kRctl, kEnable | kAllUnicast | kAllMulticast | kBroadcast | (in_.take<uint32_t>() & 0x07FFFFFF));
  }
  void descriptor(uint64_t ring) {
    const uint64_t at = ring + uint64_t{in_.take<uint8_t>() & 63U} * 16;
    const uint64_t address = in_.take<uint16_t>() * 16U;
    test::must(machine_.memory->write(Gpa{at}, address));
    test::must(machine_.memory->write(Gpa{at + 8}, in_.take<uint64_t>()));
  }
  void frame() {
    test::Wire::Frame bytes(size_t{in_.take<uint8_t>()} * (in_.take<uint8_t>() & 63U));
    for (size_t i = 0; i < bytes.size() && i < 20; ++i) {
      bytes[i] = in_.take<uint8_t>();
    }
    if (wire_->waiting.size() < 64) {
      wire_->put(std::move(bytes));
    }
  }
  void step() {
    static constexpr uint32_t kRegisters[] = {kCtrl, kEecd, kEerd,  kMdic,  kIcr,   kIcs,   kIms,    kImc,   kRctl,
                                              kTctl, kRdh,  kRdt,   kTdh,   kTdt,   kRdlen, kTdlen,  kVet,   kRal,
                                              kMta,  kVfta, kTdbal, kTdbah, kRdbal, kRdbah, kRxcsum, kStatus};
    const auto what = in_.take<uint8_t>();
    switch (what & 15) {
      case 0:
        machine_.write(kBar + (in_.take<uint32_t>() & 0x1FFFF), in_.take<uint64_t>(),
                       static_cast<uint8_t>(1U << (what >> 4 & 3)));
        break;
      case 1:
        (void)machine_.read(kBar + (in_.take<uint32_t>() & 0x1FFFF), static_cast<uint8_t>(1U << (what >> 4 & 3)));
        break;
      case 2:
      case 3: out(kRegisters[in_.take<uint8_t>() % std::size(kRegisters)], in_.take<uint32_t>()); break;
      case 4: rings(); break;
      case 5:
      case 6: descriptor(0x10000); break;
      case 7: descriptor(0x20000); break;
      case 8: out(kTdt, in_.take<uint8_t>() & 63U); break;
      case 9: out(kRdt, in_.take<uint8_t>() & 63U); break;
      case 10: frame(); break;
      case 11: machine_.turn(in_.take<uint8_t>() % 16); break;
      case 12: (what & 16) != 0 ? card_->set_link((what & 32) != 0) : void(wire_->blocked = (what & 32) != 0); break;
      case 13: (what & 16) != 0 ? hostile_state() : save_and_restore(); break;
      case 14: machine_.out(0xC000 + (in_.take<uint8_t>() & 7U), in_.take<uint32_t>(), 4); break;
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
  std::shared_ptr<E1000> card_;
};

}  // namespace
}  // namespace lodge::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lodge::fuzz::Bench(lodge::fuzz::Input(data, size)).run();
  return 0;
}
