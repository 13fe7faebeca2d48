// The e1000 by its manual: registers, EEPROM, PHY, interrupts, rings, filters, offloads, and saves.
#include <catch2/catch.hpp>

#include "devices/e1000/device.h"
#include "tests/support/test_machine.h"
#include "tests/support/wire.h"

namespace lodge::test {
namespace {

using namespace e1000;  // NOLINT(google-build-using-namespace): names of this chip only

constexpr uint64_t kBar = 0xF000'0000;
constexpr uint64_t kTxRing = 0x10000;
constexpr uint64_t kRxRing = 0x20000;
constexpr uint64_t kTxData = 0x30000;
constexpr uint64_t kRxData = 0x40000;
constexpr uint32_t kEntries = 8;
constexpr net::MacAddress kMac{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

class Bench {
 public:
  explicit Bench(const NetCapabilities& capabilities = {}, const StateReader* saved = nullptr) {
    auto other = std::make_unique<Wire>();
    wire = other.get();
    E1000::Options options;
    options.id = "net0";
    options.mac = kMac;
    options.port.capabilities = capabilities;
    options.port.queues.push_back(std::move(other));
    card = must(E1000::create(std::move(options), *machine.env, saved));
    must(machine.root->plug({3, 0}, card, true));
    if (saved == nullptr) {
      machine.set_config(3, 0x10, kBar);
      machine.set_config(3, 0x14, 0xC001);
      machine.set_config(3, 0x04, 7, 2);
    }
    card->resume();
  }
  ~Bench() { quiesce(); }
  void quiesce() {
    bool done = false;
    card->quiesce([&done] { done = true; });
    CHECK(machine.run_until([&] { return done; }));
  }
  StateBytes save() {
    StateWriter out;
    card->save(out);
    return out.bytes();
  }
  uint32_t in(uint32_t offset) { return static_cast<uint32_t>(machine.read(kBar + offset, 4)); }
  void out(uint32_t offset, uint32_t value) { machine.write(kBar + offset, value, 4); }
  bool interrupt() { return machine.lines[16 + 3].level; }

  void start() {
    out(kTdbal, kTxRing);
    out(kTdlen, kEntries * 16);
    out(kTctl, kEnable);
    out(kRdbal, kRxRing);
    out(kRdlen, kEntries * 16);
    for (uint64_t i = 0; i < kEntries; ++i) {
      must(machine.memory->write(Gpa{kRxRing + i * 16}, kRxData + i * 2048));
      must(machine.memory->write(Gpa{kRxRing + i * 16 + 8}, uint64_t{0}));
    }
    out(kRdt, kEntries - 1);
    out(kRctl, kEnable | kBroadcast | kStripCrc);
  }
  void put(uint32_t at, uint64_t address, uint32_t lower, uint32_t upper) {
    must(machine.memory->write(Gpa{kTxRing + uint64_t{at} * 16}, address));
    must(machine.memory->write(Gpa{kTxRing + uint64_t{at} * 16 + 8}, uint64_t{upper} << 32 | lower));
  }
  uint64_t tx_status(uint32_t at) { return must(machine.memory->read<uint8_t>(Gpa{kTxRing + uint64_t{at} * 16 + 12})); }
  uint64_t rx_word(uint32_t at) { return must(machine.memory->read<uint64_t>(Gpa{kRxRing + uint64_t{at} * 16 + 8})); }
  void send(uint32_t tail) {
    out(kTdt, tail);
    machine.turn(8);
  }
  Wire::Frame received(uint32_t at, size_t bytes) {
    Wire::Frame frame(bytes);
    must(machine.memory->read_bytes(Gpa{kRxData + uint64_t{at} * 2048}, std::as_writable_bytes(std::span(frame))));
    return frame;
  }
  void write(uint64_t at, const Wire::Frame& bytes) {
    must(machine.memory->write_bytes(Gpa{at}, std::as_bytes(std::span(bytes))));
  }

  TestMachine machine;
  Wire* wire = nullptr;
  std::shared_ptr<E1000> card;
};

Wire::Frame frame_to(const net::MacAddress& to, size_t bytes) {
  Wire::Frame frame(bytes);
  std::copy(to.begin(), to.end(), frame.begin());
  for (size_t i = 12; i < bytes; ++i) {
    frame[i] = static_cast<uint8_t>(i);
  }
  frame[12] = 0x08;
  frame[13] = 0x00;
  return frame;
}

TEST_CASE("the card as it is after a reset") {
  Bench bench;
  CHECK(bench.machine.config(3, 0) == 0x100E8086);
  CHECK((bench.in(kStatus) & 3) == 3);
  CHECK(bench.in(kRal) == 0x12005452);
  CHECK(bench.in(kRal + 4) == 0x80005634);
  CHECK(bench.in(kEecd) == kEePresent);
  bench.out(kRal, 1);
  bench.out(kIms, 0xFF);
  bench.out(kCtrl, kReset);
  CHECK(bench.in(kRal) == 0x12005452);
  CHECK(bench.in(kIms) == 0);
  CHECK((bench.in(kCtrl)&kReset) == 0);
  bench.out(kStatus, 0);
  CHECK((bench.in(kStatus) & 3) == 3);
  bench.out(0x5BF8, 77);  // no register
  CHECK(bench.in(0x5BF8) == 0);
  CHECK(bench.in(0x1FFF0) == 0);
}

TEST_CASE("registers by ports") {
  Bench bench;
  bench.machine.out(0xC000, kRal, 4);
  CHECK(bench.machine.in(0xC004, 4) == 0x12005452);
  bench.machine.out(0xC004, 0x99, 4);
  CHECK(bench.in(kRal) == 0x99);
  CHECK(bench.machine.in(0xC000, 4) == kRal);
  bench.machine.out(0xC000, 0xFFFFFFFF, 4);
  bench.machine.out(0xC004, 1, 4);
  CHECK(bench.machine.in(0xC004, 4) == 0);
}

TEST_CASE("the EEPROM, by its register and bit by bit") {
  Bench bench;
  uint16_t sum = 0;
  for (uint32_t word = 0; word < 64; ++word) {
    bench.out(kEerd, word << 8 | kEerdStart);
    const uint32_t answer = bench.in(kEerd);
    CHECK((answer & kEerdDone) != 0);
    sum = static_cast<uint16_t>(sum + (answer >> 16));

    bench.out(kEecd, kEeRequest);
    CHECK((bench.in(kEecd)&kEeGrant) != 0);
    const auto clock = [&bench](bool bit) {
      const uint32_t base = kEeRequest | kEeSelect | (bit ? kEeIn : 0);
      bench.out(kEecd, base);
      bench.out(kEecd, base | kEeClock);
      const bool out = (bench.in(kEecd)&kEeOut) != 0;
      bench.out(kEecd, base);
      return out;
    };
    const uint32_t command = 0b110U << 6 | word;
    for (int bit = 8; bit >= 0; --bit) {
      (void)clock((command >> bit & 1) != 0);
    }
    uint32_t serial = 0;
    for (int bit = 0; bit < 16; ++bit) {
      serial = serial << 1 | (clock(false) ? 1 : 0);
    }
    CHECK(serial == answer >> 16);
    bench.out(kEecd, 0);
  }
  CHECK(sum == kEepromSum);
  bench.out(kEerd, kEerdStart);
  CHECK(bench.in(kEerd) >> 16 == 0x5452);
}

TEST_CASE("the PHY, and a cable that is pulled") {
  Bench bench;
  const auto phy = [&bench](uint32_t at, uint32_t address = 1) {
    bench.out(kMdic, kMdicRead | address << 21 | at << 16);
    return bench.in(kMdic);
  };
  CHECK((phy(kPhyId1) & 0xFFFF) == 0x0141);
  CHECK((phy(kPhyId2) & 0xFFFF) == 0x0C20);
  CHECK((phy(kPhyStatus) & 0x24) == 0x24);
  CHECK((phy(kPhyStatus, 2) & kMdicError) != 0);
  bench.out(kMdic, kMdicWrite | 1U << 21 | kPhyId1 << 16 | 0x7777);
  CHECK((phy(kPhyId1) & 0xFFFF) == 0x0141);
  bench.out(kMdic, kMdicWrite | 1U << 21 | kPhyAdvertise << 16 | 0x0101);
  CHECK((phy(kPhyAdvertise) & 0xFFFF) == 0x0101);
  bench.out(kMdic, kMdicWrite | 1U << 21 | kPhyControl << 16 | kPhyControlReset);
  CHECK((phy(kPhyAdvertise) & 0xFFFF) == 0x0DE1);
  (void)bench.in(kIcr);
  bench.out(kIms, kIntLink);
  bench.card->set_link(false);
  CHECK(bench.interrupt());
  CHECK((bench.in(kStatus)&kStatusLinkUp) == 0);
  CHECK((phy(kPhyStatus) & 0x24) == 0);
  CHECK((bench.in(kIcr)&kIntLink) != 0);
  CHECK_FALSE(bench.interrupt());
  bench.card->set_link(true);
  CHECK((phy(kPhySpecificStatus) & 0x400) != 0);
}

TEST_CASE("interrupt causes and their mask") {
  Bench bench;
  bench.out(kIcs, 5);
  CHECK_FALSE(bench.interrupt());
  bench.out(kIms, 4);
  CHECK(bench.interrupt());
  bench.out(kImc, 4);
  CHECK_FALSE(bench.interrupt());
  bench.out(kIms, 1);
  CHECK(bench.interrupt());
  bench.out(kIcr, 1);
  CHECK_FALSE(bench.interrupt());
  CHECK(bench.in(kIcr) == 4);
  CHECK(bench.in(kIcr) == 0);
}

TEST_CASE("frames are sent, and their descriptors handed back") {
  Bench bench;
  bench.start();
  const Wire::Frame frame = frame_to({1, 2, 3, 4, 5, 6}, 100);
  bench.write(kTxData, frame);
  bench.put(0, kTxData, 40 | 0x08U << 24, 0);
  bench.put(1, kTxData + 40, 60 | 0x09U << 24, 0);
  bench.put(2, kTxData, 100 | 0x01U << 24, 0);  // no report
  bench.send(3);
  REQUIRE(bench.wire->sent.size() == 2);
  CHECK(bench.wire->sent[0].frame == frame);
  CHECK(bench.tx_status(0) == kDone);
  CHECK(bench.tx_status(1) == kDone);
  CHECK(bench.tx_status(2) == 0);
  CHECK(bench.in(kTdh) == 3);
  CHECK(bench.in(kIcr) == (kIntTransmitted | kIntTransmitEmpty));
  CHECK(bench.in(kGoodTransmitted) == 2);
  CHECK(bench.in(kGoodTransmitted) == 0);
  CHECK(bench.in(kGoodOctetsTransmitted) == 200);
}

TEST_CASE("a packet whose end is not there yet waits; one that cannot go waits, too") {
  Bench bench;
  bench.start();
  bench.write(kTxData, frame_to({1, 2, 3, 4, 5, 6}, 100));
  bench.put(0, kTxData, 50, 0);
  bench.put(1, kTxData + 50, 50 | 0x09U << 24, 0);
  bench.send(1);
  CHECK(bench.wire->sent.empty());
  CHECK(bench.in(kTdh) == 0);
  bench.wire->blocked = true;
  bench.send(2);
  CHECK(bench.in(kTdh) == 0);
  bench.wire->blocked = false;
  CHECK(bench.machine.run_until([&] { return bench.wire->sent.size() == 1; }));
  CHECK(bench.in(kTdh) == 2);
}

TEST_CASE("the ring wraps, and hostile rings stop it") {
  Bench bench;
  bench.start();
  bench.write(kTxData, frame_to({1, 2, 3, 4, 5, 6}, 60));
  for (uint32_t i = 0; i < kEntries; ++i) {
    bench.put(i, kTxData, 60 | 0x09U << 24, 0);
  }
  bench.send(7);
  CHECK(bench.wire->sent.size() == 7);
  bench.send(3);
  CHECK(bench.wire->sent.size() == 11);
  CHECK(bench.in(kTdh) == 3);
  bench.send(500);
  CHECK(bench.wire->sent.size() == 11);
  bench.out(kTdh, 0xFFFF);
  bench.send(1);
  CHECK(bench.wire->sent.size() == 11);
  bench.out(kTdh, 0);
  bench.put(0, 0xFFFF'FFFF'0000, 60 | 0x09U << 24, 0);
  bench.send(1);
  CHECK(bench.wire->sent.size() == 11);
  CHECK(bench.in(kTdh) == 1);  // lost, and the ring goes on
  bench.out(kTdlen, 0);
  bench.send(2);
  CHECK(bench.wire->sent.size() == 11);
}

// An IPv4 TCP frame as a driver leaves it for the card: no lengths, no checksums.
Wire::Frame tcp_frame(size_t payload) {
  Wire::Frame frame = frame_to({1, 2, 3, 4, 5, 6}, 54 + payload);
  frame[14] = 0x45;
  frame[16] = frame[17] = 0;
  frame[23] = 6;
  frame[24] = frame[25] = 0;
  frame[46] = 0x50;
  frame[47] = 0x10;
  frame[50] = frame[51] = 0;
  return frame;
}

void put_context(Bench& bench, uint32_t at, uint8_t command, uint16_t segment) {
  bench.put(at, uint64_t{34} << 32 | uint64_t{50} << 40 | 14 | 24 << 8 | 33 << 16,
            static_cast<uint32_t>(0x20 | command) << 24 | 1000, 54U << 8 | uint32_t{segment} << 16);
}

TEST_CASE("checksums and segments are made here, or left to the other side") {
  const auto sends = [](Bench& bench) {
    bench.start();
    bench.write(kTxData, tcp_frame(1000));
    put_context(bench, 0, 0x07, 400);  // TCP, IPv4, segmentation
    bench.put(1, kTxData, 1054 | 1U << 20 | 0x2DU << 24, 0x300);
    bench.send(2);
  };
  Bench here;
  sends(here);
  REQUIRE(here.wire->sent.size() == 3);
  CHECK(here.wire->sent[0].frame.size() == 454);
  CHECK(here.wire->sent[2].frame.size() == 254);
  for (const Wire::Sent& one : here.wire->sent) {
    CHECK(one.header == Wire::Frame(kVnetHeader, 0));
    CHECK(net::sum(std::as_bytes(std::span(one.frame)).subspan(14, 20)) == 0xFFFF);
  }
  Bench there({.vnet_header = true, .checksum = true, .tso = true});
  sends(there);
  REQUIRE(there.wire->sent.size() == 1);
  const Wire::Sent& one = there.wire->sent[0];
  CHECK(one.frame.size() == 1054);
  CHECK(one.header == Wire::Frame{1, 1, 54, 0, 144, 1, 34, 0, 16, 0, 0, 0});
  CHECK(net::get16(std::as_bytes(std::span(one.frame)), 16) == 1040);
}

TEST_CASE("tiny segments are refused, and the descriptors given back") {
  Bench bench;
  bench.start();
  bench.write(kTxData, tcp_frame(1000));
  put_context(bench, 0, 0x07, 1);
  bench.put(1, kTxData, 1054 | 1U << 20 | 0x2DU << 24, 0x300);
  bench.send(2);
  CHECK(bench.wire->sent.empty());
  CHECK(bench.in(kTdh) == 2);
}

TEST_CASE("one checksum without segments") {
  for (const bool left : {false, true}) {
    Bench bench({.checksum = left});
    bench.start();
    bench.write(kTxData, tcp_frame(100));
    put_context(bench, 0, 0x03, 0);
    bench.put(1, kTxData, 154 | 1U << 20 | 0x29U << 24, 0x300);
    bench.send(2);
    REQUIRE(bench.wire->sent.size() == 1);
    const Wire::Sent& one = bench.wire->sent[0];
    CHECK(net::sum(std::as_bytes(std::span(one.frame)).subspan(14, 20)) == 0xFFFF);
    CHECK(one.header[0] == (left ? 1 : 0));
    if (!left) {
      CHECK(net::sum(std::as_bytes(std::span(one.frame)).subspan(34)) == 0xFFFF);
    }
  }
}

TEST_CASE("tags are put in and taken out") {
  Bench bench;
  bench.start();
  bench.out(kVet, 0x8100);
  bench.out(kCtrl, kVlanMode);
  const Wire::Frame frame = frame_to(kMac, 100);
  bench.write(kTxData, frame);
  bench.put(0, kTxData, 100 | 0x49U << 24, 0x0007'0000);
  bench.send(1);
  REQUIRE(bench.wire->sent.size() == 1);
  Wire::Frame tagged = frame;
  tagged.insert(tagged.begin() + 12, {0x81, 0x00, 0x00, 0x07});
  CHECK(bench.wire->sent[0].frame == tagged);
  bench.wire->put(tagged);
  REQUIRE(bench.machine.run_until([&] { return bench.in(kRdh) == 1; }));
  CHECK(bench.rx_word(0) == (uint64_t{7} << 48 | uint64_t{0x0F} << 32 | 100));
  CHECK(bench.received(0, 100) == frame);
  bench.out(kRctl, kEnable | kStripCrc | kVlanFilter);
  bench.wire->put(tagged);
  bench.machine.turn(8);
  CHECK(bench.in(kRdh) == 1);
  bench.out(kVfta, 1U << 7);
  bench.wire->put(tagged);
  CHECK(bench.machine.run_until([&] { return bench.in(kRdh) == 2; }));
}

TEST_CASE("frames come in, padded, with or without four bytes more") {
  Bench bench;
  bench.start();
  bench.out(kIms, kIntReceived);
  const Wire::Frame frame = frame_to(kMac, 42);
  bench.wire->put(frame);
  REQUIRE(bench.machine.run_until([&] { return bench.interrupt(); }));
  CHECK(bench.rx_word(0) == (uint64_t{kDone | kEndOfPacket | kIgnoreChecksum} << 32 | 60));
  Wire::Frame padded = frame;
  padded.resize(60);
  CHECK(bench.received(0, 60) == padded);
  bench.out(kRctl, kEnable | kBroadcast);
  bench.wire->put(frame);
  REQUIRE(bench.machine.run_until([&] { return bench.in(kRdh) == 2; }));
  CHECK((bench.rx_word(1) & 0xFFFF) == 64);
}

TEST_CASE("large frames take several buffers, if they may come at all") {
  Bench bench;
  bench.start();
  bench.wire->put(frame_to(kMac, 5000));
  bench.machine.turn(8);
  CHECK(bench.in(kRdh) == 0);
  bench.out(kRctl, kEnable | kStripCrc | kLongPackets);
  bench.wire->put(frame_to(kMac, 5000));
  REQUIRE(bench.machine.run_until([&] { return bench.in(kRdh) == 3; }));
  CHECK((bench.rx_word(0) >> 32 & kEndOfPacket) == 0);
  CHECK((bench.rx_word(2) >> 32 & kEndOfPacket) != 0);
  CHECK((bench.rx_word(2) & 0xFFFF) == 5000 - 4096);
  bench.wire->put(frame_to(kMac, 10000));  // more than is free
  CHECK(bench.machine.run_until([&] { return (bench.in(kIcr)&kIntReceiveOverrun) != 0; }));
  CHECK(bench.in(kMissedPackets) == 1);
  CHECK(bench.in(kRdh) == 3);
}

TEST_CASE("only what is for the card comes in") {
  Bench bench;
  bench.start();
  uint32_t expected = 0;
  const auto comes = [&](const net::MacAddress& to, bool wanted) {
    bench.wire->put(frame_to(to, 60));
    bench.machine.run_until([&] { return bench.wire->waiting.empty(); });
    bench.machine.turn(4);
    expected += wanted ? 1 : 0;
    CHECK(bench.in(kRdh) == expected);
  };
  const net::MacAddress other{0x52, 0x54, 0, 9, 9, 9};
  const net::MacAddress group{0x01, 0, 0x5E, 1, 2, 3};
  const net::MacAddress all{255, 255, 255, 255, 255, 255};
  comes(kMac, true);
  comes(other, false);
  comes(group, false);
  comes(all, true);
  const uint32_t hash = (3U << 8 | 2U) >> 4 & 0xFFF;
  bench.out(kMta + 4 * (hash >> 5), 1U << (hash & 31));
  comes(group, true);
  bench.out(kRctl, kEnable | kStripCrc | kAllUnicast);
  comes(other, true);
  comes(all, false);
  bench.out(kRctl, kEnable | kStripCrc | kAllMulticast);
  comes(all, true);
  comes({0x01, 0, 0x5E, 7, 7, 7}, true);
}

TEST_CASE("frames wait for buffers") {
  Bench bench;
  bench.start();
  bench.out(kRdt, 1);
  bench.wire->put(frame_to(kMac, 60));
  bench.wire->put(frame_to(kMac, 60));
  REQUIRE(bench.machine.run_until([&] { return bench.in(kRdh) == 1; }));
  bench.machine.turn(8);
  CHECK(bench.wire->waiting.size() == 1);
  bench.out(kRdt, 3);
  CHECK(bench.machine.run_until([&] { return bench.in(kRdh) == 2; }));
  bench.card->set_link(false);
  bench.wire->put(frame_to(kMac, 60));
  CHECK(bench.machine.run_until([&] { return bench.wire->waiting.empty(); }));
  CHECK(bench.in(kRdh) == 2);
}

TEST_CASE("without bus mastering nothing moves, and a function that gets it goes on") {
  Bench bench;
  bench.machine.set_config(3, 0x04, 3, 2);
  bench.start();
  bench.write(kTxData, frame_to({1, 2, 3, 4, 5, 6}, 60));
  bench.put(0, kTxData, 60 | 0x09U << 24, 0);
  bench.send(1);
  CHECK(bench.wire->sent.empty());
  bench.machine.set_config(3, 0x04, 7, 2);
  CHECK(bench.machine.run_until([&] { return bench.wire->sent.size() == 1; }));
}

TEST_CASE("a card that is saved goes on elsewhere") {
  Bench from;
  from.start();
  from.out(kIms, kIntReceived);
  from.wire->blocked = true;
  from.write(kTxData, frame_to({1, 2, 3, 4, 5, 6}, 60));
  from.put(0, kTxData, 60 | 0x09U << 24, 0);
  from.send(1);
  from.quiesce();
  const StateBytes bytes = from.save();
  const StateReader saved = must(StateReader::parse(bytes));
  Bench to({}, &saved);
  CHECK(to.save() == bytes);
  to.write(kTxData, frame_to({1, 2, 3, 4, 5, 6}, 60));
  to.put(0, kTxData, 60 | 0x09U << 24, 0);
  CHECK(to.machine.run_until([&] { return to.in(kTdh) == 1; }));

  StateWriter out;
  out.put("net0", PciState{});
  out.put("net0", E1000State{});
  const StateReader empty = must(StateReader::parse(out.bytes()));
  E1000::Options options;
  options.id = "net0";
  options.port.queues.push_back(std::make_unique<Wire>());
  CHECK_FALSE(E1000::create(std::move(options), *to.machine.env, &empty));
}

}  // namespace
}  // namespace lodge::test
