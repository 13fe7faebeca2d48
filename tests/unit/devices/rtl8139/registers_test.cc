// The RTL8139C+'s registers by its data sheet: what they are after a reset, EEPROM, PHY, interrupts, timer, counters, saves.
#include "tests/unit/devices/rtl8139/bench.h"

namespace lodge::test {
namespace {

using namespace rtl8139;  // NOLINT(google-build-using-namespace): names of this chip only
using Bench = Rtl8139Bench;

TEST_CASE("the RTL8139 as it is after a reset") {
  Bench bench;
  CHECK(bench.machine.config(3, 0) == 0x813910EC);
  CHECK(bench.machine.config(3, 8) == 0x02000020);
  CHECK(bench.in(kId, 4) == 0x12005452);
  CHECK(bench.in(kId + 4, 2) == 0x5634);
  CHECK(bench.in(kCommand, 1) == kBufferEmpty);
  CHECK(bench.in(kTxConfig, 4) == kHardwareVersion);
  CHECK(bench.in(kRxRead, 2) == 0xFFF0);
  CHECK(bench.in(kRxWritten, 2) == 0);
  CHECK(bench.in(kIntMask, 4) == 0);
  CHECK(bench.in(kTxSummary, 2) == 0x000F);
  for (uint32_t i = 0; i < kTxDescriptors; ++i) {
    CHECK(bench.in(kTxStatus + 4 * i, 4) == kTxOwn);
  }
}

TEST_CASE("the command register's reset leaves address, groups and configuration") {
  Bench bench;
  bench.out(kId, 0x01020304, 4);
  bench.out(kMulticast, 0xFFFFFFFF, 4);
  bench.out(kIntMask, 0xFFFF, 2);
  bench.out(kRxConfig, kAcceptAll, 4);
  bench.out(kPlusCommand, 3, 2);
  bench.out(kEepromCommand, kEeConfig, 1);
  bench.out(kConfig1, 0x20, 1);
  bench.out(kCommand, kReset | kTxEnable, 1);
  CHECK(bench.in(kCommand, 1) == kBufferEmpty);
  CHECK(bench.in(kId, 4) == 0x01020304);
  CHECK(bench.card->mac()[0] == 0x04);
  CHECK(bench.in(kMulticast, 4) == 0xFFFFFFFF);
  CHECK(bench.in(kConfig1, 1) == 0x2C);
  CHECK(bench.in(kIntMask, 2) == 0);
  CHECK(bench.in(kRxConfig, 4) == 0);
  CHECK(bench.in(kPlusCommand, 2) == 0);
  bench.card->reset();
  bench.machine.set_config(3, 0x14, Bench::kBar);
  bench.machine.set_config(3, 0x04, 7, 2);
  CHECK(bench.in(kId, 4) == 0x12005452);
  CHECK(bench.in(kMulticast, 4) == 0);
  CHECK(bench.in(kConfig1, 1) == 0x0C);
}

TEST_CASE("registers are bytes, in memory as at ports") {
  Bench bench;
  bench.machine.out(Bench::kPorts + kIntMask, 0x25, 1);
  bench.machine.out(Bench::kPorts + kIntMask + 1, 0x80, 1);
  CHECK(bench.in(kIntMask, 2) == 0x8025);
  CHECK(bench.machine.in(Bench::kPorts + kIntMask, 4) == 0x8025);
  bench.out(kRxRead + 1, 0x12, 1);
  CHECK(bench.in(kRxRead, 2) == 0x12F0);
  bench.out(kEarlyCount, 0xFFFFFFFF, 2);  // read only
  CHECK(bench.in(kEarlyCount, 2) == 0);
  bench.out(kRxConfig, 0xFFFFFFFF, 4);
  CHECK(bench.in(kRxConfig, 4) == kRxConfigWritable);
  bench.out(kTxConfig, 0xFFFFFFFF, 4);
  CHECK(bench.in(kTxConfig, 4) == (kTxConfigWritable | kHardwareVersion));
  bench.out(0x8C, 0xA1B2C3D4, 4);
  CHECK(bench.in(0x8D, 2) == 0xB2C3);
  bench.out(0xFC, 1, 4);
  CHECK(bench.in(0xFC, 4) == 0);
  // The last one reaches beyond the file: nothing of it does anything.
  CHECK(bench.machine.read(Bench::kBar + 0xF8, 8) == 0);
}

TEST_CASE("configuration registers want to be unlocked") {
  Bench bench;
  for (const uint32_t at : {kConfig1, kConfig3, kConfig4}) {
    const uint32_t before = bench.in(at, 1);
    bench.out(at, before ^ 0x20, 1);
    CHECK(bench.in(at, 1) == before);
  }
  bench.out(kBasicControl, 0x2000, 2);
  CHECK(bench.in(kBasicControl, 2) == 0x3100);
  bench.out(kEepromCommand, kEeConfig, 1);
  bench.out(kConfig4, 0x20, 1);
  CHECK(bench.in(kConfig4, 1) == 0x20);
  bench.out(kBasicControl, 0x2000, 2);
  CHECK(bench.in(kBasicControl, 2) == 0x2000);
  bench.out(kBasicControl, kPhyReset, 2);
  CHECK(bench.in(kBasicControl, 2) == 0x3100);
}

// A Microwire master on the three bits.
class Microwire {
 public:
  explicit Microwire(Bench& bench) : bench_(bench) {}
  void begin() { bench_.out(kEepromCommand, kEeProgram | kEeSelect, 1); }
  void end() { bench_.out(kEepromCommand, kEeProgram, 1); }
  bool clock(bool bit) {
    const uint32_t lines = kEeProgram | kEeSelect | (bit ? uint32_t{kEeIn} : 0);
    bench_.out(kEepromCommand, lines, 1);
    bench_.out(kEepromCommand, lines | kEeClock, 1);
    const bool out = (bench_.in(kEepromCommand, 1) & kEeOut) != 0;
    bench_.out(kEepromCommand, lines, 1);
    return out;
  }
  void bits(uint32_t value, int count) {
    for (int bit = count - 1; bit >= 0; --bit) {
      (void)clock((value >> bit & 1) != 0);
    }
  }
  uint16_t read(uint32_t word) {
    begin();
    bits(0b0110U << 6 | word, 10);  // a zero in front
    CHECK((bench_.in(kEepromCommand, 1) & kEeOut) == 0);
    uint32_t value = 0;
    for (int bit = 0; bit < 16; ++bit) {
      value = value << 1 | (clock(false) ? 1 : 0);
    }
    end();
    return static_cast<uint16_t>(value);
  }
  void write(uint32_t code, uint32_t word, uint16_t value) {
    begin();
    bits(0b100U << 6 | code << 6 | word, 9);
    bits(value, 16);
    CHECK((bench_.in(kEepromCommand, 1) & kEeOut) != 0);  // ready
    end();
  }
  void command(uint32_t code, uint32_t address) {
    begin();
    bits(0b100U << 6 | code << 6 | address, 9);
    end();
  }

 private:
  Bench& bench_;
};

TEST_CASE("the 93C46 is read and written bit by bit") {
  Bench bench;
  Microwire wire(bench);
  CHECK(wire.read(0) == 0x8129);
  CHECK(wire.read(1) == 0x10EC);
  CHECK(wire.read(2) == 0x8139);
  CHECK(wire.read(7) == 0x5452);
  CHECK(wire.read(9) == 0x5634);
  wire.write(1, 9, 0x7777);  // locked
  CHECK(wire.read(9) == 0x5634);
  wire.command(0, 0b110000);
  wire.write(1, 9, 0x7777);
  wire.command(3, 20);
  CHECK(wire.read(9) == 0x7777);
  CHECK(wire.read(20) == 0xFFFF);
  // Its address is the card's after a reload, and after a reset of the machine.
  bench.out(kEepromCommand, kEeAutoload, 1);
  CHECK(bench.in(kEepromCommand, 1) == kEeOut);
  CHECK(bench.in(kId + 4, 2) == 0x7777);
  bench.card->reset();
  CHECK(bench.card->mac()[5] == 0x77);
  bench.machine.set_config(3, 0x14, Bench::kBar);
  bench.machine.set_config(3, 0x04, 7, 2);
  wire.command(0, 0b110000);
  wire.write(0, 0b010000, 0x1234);  // all of them
  CHECK(wire.read(63) == 0x1234);
  wire.command(0, 0b100000);
  CHECK(wire.read(0) == 0xFFFF);
  wire.command(0, 0b000000);
  wire.write(1, 0, 0);
  CHECK(wire.read(0) == 0xFFFF);
}

TEST_CASE("a driver that takes the 93C46 for a larger one sees that it is none") {
  Bench bench;
  Microwire wire(bench);
  wire.begin();
  wire.bits(0b110U << 8, 11);
  uint32_t value = 0;
  for (int bit = 0; bit < 16; ++bit) {
    value = value << 1 | (wire.clock(false) ? 1 : 0);
  }
  wire.end();
  CHECK(value != 0x8129);
  CHECK(wire.read(0) == 0x8129);
}

TEST_CASE("a cable that is pulled shows in all places") {
  Bench bench;
  CHECK((bench.in(kBasicStatus, 2) & 0x24) == 0x24);
  CHECK((bench.in(kMediaStatus, 1) & kLinkDown) == 0);
  CHECK(bench.in(kPartner, 2) == 0x45E1);
  bench.out(kIntMask, kIntLink, 2);
  bench.card->set_link(false);
  CHECK_FALSE(bench.card->link_up());
  CHECK(bench.interrupt());
  CHECK((bench.in(kBasicStatus, 2) & 0x24) == 0);
  CHECK((bench.in(kMediaStatus, 1) & kLinkDown) != 0);
  CHECK(bench.in(kPartner, 2) == 0);
  bench.out(kIntStatus, kIntLink, 2);
  CHECK_FALSE(bench.interrupt());
  bench.out(kMediaStatus, 0xFF, 1);
  CHECK(bench.in(kMediaStatus, 1) == (kFlowControl | kLinkDown));
  bench.card->set_link(true);
  CHECK(bench.interrupt());
  CHECK((bench.in(kBasicStatus, 2) & 0x24) == 0x24);
}

TEST_CASE("the RTL8139's interrupt causes go by writing them, and a driver can make one") {
  Bench bench;
  bench.out(kTxPoll, kForceInterrupt, 1);
  CHECK(bench.in(kIntStatus, 2) == kIntSoftware);
  CHECK_FALSE(bench.interrupt());
  bench.out(kIntMask, kIntSoftware, 2);
  CHECK(bench.interrupt());
  bench.out(kIntStatus, 0xFFFF & ~uint32_t{kIntSoftware}, 2);
  CHECK(bench.interrupt());
  bench.out(kIntStatus + 1, kIntSoftware >> 8, 1);
  CHECK_FALSE(bench.interrupt());
  CHECK(bench.in(kIntStatus, 2) == 0);
  bench.out(kIntMask, 0xFFFF, 2);
  CHECK(bench.in(kIntMask, 2) == kIntAll);
}

TEST_CASE("the timer counts, and interrupts where it is told to") {
  Bench bench;
  bench.out(kTimer, 0, 4);
  const uint32_t first = bench.in(kTimer, 4);
  REQUIRE(bench.machine.run_until([&] { return bench.in(kTimer, 4) > first; }));
  bench.out(kIntMask, kIntTimer, 2);
  bench.machine.turn();
  CHECK_FALSE(bench.interrupt());
  bench.out(kTimerInt, 1000, 4);
  bench.out(kTimer, 77, 4);
  REQUIRE(bench.machine.run_until([&] { return bench.interrupt(); }));
  CHECK(bench.in(kTimer, 4) >= 1000);
  CHECK(bench.in(kIntStatus, 2) == kIntTimer);
  bench.quiesce();
  CHECK(bench.in(kTimer, 4) == bench.in(kTimer, 4));  // it stands
  bench.card->resume();
}

TEST_CASE("the counters go to memory when they are asked for") {
  Bench bench;
  bench.start_plus();
  bench.write(Bench::kTxData, frame_to({1, 2, 3, 4, 5, 6}, 100));
  bench.put(Bench::kTxRing, 0, kFirst | kLast | 100, Bench::kTxData);
  bench.send_plus();
  REQUIRE(bench.comes(frame_to(Bench::kMac, 60), 1));
  REQUIRE(bench.comes(frame_to({255, 255, 255, 255, 255, 255}, 60), 2));
  bench.out(kDump + 4, 0, 4);
  bench.out(kDump, 0x50000 | kDumpNow, 4);
  CHECK((bench.in(kDump, 4) & kDumpNow) == 0);
  CHECK(bench.word(0x50000) == 1);       // sent
  CHECK(bench.word(0x50000 + 8) == 2);   // received,
  CHECK(bench.word(0x50000 + 40) == 1);  // of these to its own address,
  CHECK(bench.word(0x50000 + 48) == 1);  // and to all
  bench.out(kDump + 4, 0xFFFF, 4);
  bench.out(kDump, kDumpNow, 4);  // outside of RAM: only a warning
  CHECK(bench.card->counters().back().value == 1);
}

TEST_CASE("an RTL8139 that is saved goes on elsewhere") {
  Bench from;
  from.start_plus();
  from.out(kIntMask, kIntTxOk, 2);
  from.out(kTimerInt, 100'000'000, 4);
  from.wire->blocked = true;
  from.put(Bench::kTxRing, 0, kFirst | kLast | 60, Bench::kTxData);
  from.send_plus();
  CHECK((from.tx_status(0) & kOwn) != 0);
  Microwire(from).begin();
  from.quiesce();
  const StateBytes bytes = from.save();
  CHECK(from.save() == bytes);
  const StateReader saved = must(StateReader::parse(bytes));
  Bench to({}, &saved);
  to.put(Bench::kTxRing, 0, kFirst | kLast | 60, Bench::kTxData);
  CHECK(to.in(kTimer, 4) > 0);
  CHECK(to.machine.run_until([&] { return to.interrupt(); }));
  CHECK(to.wire->sent.size() == 1);

  Rtl8139State broken;
  const auto refused = [&](const Rtl8139State& state) {
    StateWriter out;
    out.put("net0", PciState{});
    out.put("net0", state);
    const StateReader reader = must(StateReader::parse(out.bytes()));
    Rtl8139::Options options;
    options.id = "net0";
    options.port.queues.push_back(std::make_unique<Wire>());
    return !Rtl8139::create(std::move(options), *to.machine.env, &reader);
  };
  CHECK(refused(broken));
  broken.registers.resize(kRegisterBytes);
  CHECK(refused(broken));
  broken.eeprom.words.resize(64);
  broken.eeprom.left = 17;
  CHECK(refused(broken));
  broken.eeprom.left = 16;
  broken.tx_next = 255;
  broken.tx_index = {255, 255};
  broken.rx_index = 255;
  CHECK_FALSE(refused(broken));
}

}  // namespace
}  // namespace lodge::test
