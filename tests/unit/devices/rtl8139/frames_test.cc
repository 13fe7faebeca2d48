// Frames through the RTL8139C+: its C mode, its C+ mode, what it leaves out, and hostile rings.
#include "tests/unit/devices/rtl8139/bench.h"

namespace lodge::test {
namespace {

using namespace rtl8139;  // NOLINT(google-build-using-namespace): names of this chip only
using Bench = Rtl8139Bench;

constexpr net::MacAddress kOther{0x52, 0x54, 0, 9, 9, 9};
constexpr net::MacAddress kAll{255, 255, 255, 255, 255, 255};
constexpr net::MacAddress kGroup{0x01, 0, 0x5E, 1, 2, 3};

TEST_CASE("C mode: four descriptors in turn") {
  Bench bench;
  bench.start_plain();
  bench.out(kIntMask, kIntTxOk, 2);
  const Wire::Frame frame = frame_to(kOther, 100);
  bench.write(Bench::kTxData, frame);
  bench.write(Bench::kTxData + 2048, frame_to(kOther, 42));
  bench.send_plain(1, 42);  // not its turn yet
  CHECK(bench.wire->sent.empty());
  bench.send_plain(0, 100);
  REQUIRE(bench.wire->sent.size() == 2);
  CHECK(bench.wire->sent[0].frame == frame);
  CHECK(bench.wire->sent[1].frame.size() == 60);
  CHECK(bench.in(kTxStatus, 4) == (kTxOwn | kTxOk | 100));
  CHECK(bench.in(kTxSummary, 2) == 0x300F);
  CHECK(bench.interrupt());
  for (uint32_t i = 2; i < 10; ++i) {
    bench.send_plain(i % 4, 60);
    CHECK(bench.wire->sent.size() == i + 1);
  }
}

TEST_CASE("C mode: what cannot be sent is told, and the next one goes") {
  Bench bench;
  bench.start_plain();
  bench.send_plain(0, 1793);
  CHECK(bench.in(kTxStatus, 4) == (kTxOwn | kTxUnderrun | 1793));
  CHECK(bench.in(kIntStatus, 2) == kIntTxError);
  bench.out(kTxAddress + 4, 0xFFFF0000, 4);
  bench.send_plain(1, 60);
  CHECK((bench.in(kTxStatus + 4, 4) & kTxUnderrun) != 0);
  CHECK(bench.wire->sent.empty());
  bench.wire->blocked = true;
  bench.send_plain(2, 60);
  CHECK((bench.in(kTxStatus + 8, 4) & kTxOwn) == 0);
  bench.wire->blocked = false;
  CHECK(bench.machine.run_until([&] { return bench.wire->sent.size() == 1; }));
  bench.card->set_link(false);
  bench.send_plain(3, 60);
  CHECK((bench.in(kTxStatus + 12, 4) & kTxCarrierLost) != 0);
  CHECK(bench.wire->sent.size() == 1);
  bench.out(kCommand, kReset, 1);
  CHECK(bench.in(kTxSummary, 2) == 0x000F);
}

TEST_CASE("C mode: a driver's own checksum at the end is left out") {
  Bench bench;
  bench.start_plain();
  bench.out(kTxConfig, kTxNoCrc, 4);
  bench.send_plain(0, 104);
  REQUIRE(bench.wire->sent.size() == 1);
  CHECK(bench.wire->sent[0].frame.size() == 100);
}

TEST_CASE("C mode: frames stand in the ring, each behind its header") {
  Bench bench;
  bench.start_plain();
  bench.out(kIntMask, kIntRxOk, 2);
  CHECK((bench.in(kCommand, 1) & kBufferEmpty) != 0);
  const Wire::Frame frame = frame_to(Bench::kMac, 99);
  REQUIRE(bench.comes(frame, 1));
  CHECK(bench.interrupt());
  CHECK((bench.in(kCommand, 1) & kBufferEmpty) == 0);
  CHECK(bench.word(Bench::kRxData) == (uint32_t{103} << 16 | kRxIsPhysical | kRxGood));
  CHECK(bench.read(Bench::kRxData + 4, 99) == frame);
  CHECK(bench.in(kRxWritten, 2) == 108);
  REQUIRE(bench.comes(frame_to(kAll, 20), 2));
  CHECK(bench.word(Bench::kRxData + 108) == (uint32_t{64} << 16 | kRxIsBroadcast | kRxGood));
  CHECK(bench.in(kRxWritten, 2) == 108 + 68);
  CHECK(bench.in(kRxWritten, 4) >> 16 == bench.in(kIntMask, 2));
  bench.out(kRxRead, 108 + 68 - 16, 2);
  CHECK((bench.in(kCommand, 1) & kBufferEmpty) != 0);
}

// Fills the ring up to where the next frame crosses its end.
void go_near_the_end(Bench& bench) {
  for (uint64_t i = 1; i <= 5; ++i) {
    REQUIRE(bench.comes(frame_to(Bench::kMac, 1510), i));  // 1520 bytes with header and CRC
    bench.out(kRxRead, static_cast<uint32_t>(i * 1520 - 16), 2);
  }
}

TEST_CASE("C mode: the ring's end divides a frame, or what is behind takes it") {
  const Wire::Frame frame = frame_to(Bench::kMac, 1000);
  const uint32_t at = 5 * 1520;
  const uint32_t first = 8192 - at - 4;
  Bench divided;
  divided.start_plain();
  go_near_the_end(divided);
  REQUIRE(divided.comes(frame, 6));
  CHECK(divided.read(Bench::kRxData + at + 4, first) == Wire::Frame(frame.begin(), frame.begin() + first));
  CHECK(divided.read(Bench::kRxData, 1000 - first) == Wire::Frame(frame.begin() + first, frame.end()));
  CHECK(divided.in(kRxWritten, 2) == (at + 1008) % 8192);
  Bench behind;
  behind.start_plain(kRxNoWrap);
  go_near_the_end(behind);
  REQUIRE(behind.comes(frame, 6));
  CHECK(behind.read(Bench::kRxData + at + 4, 1000) == frame);
  CHECK(behind.in(kRxWritten, 2) == (at + 1008) % 8192);
}

TEST_CASE("C mode: frames wait for room in the ring") {
  Bench bench;
  bench.start_plain();
  uint64_t count = 0;
  for (int i = 0; i < 8; ++i) {
    bench.wire->put(frame_to(Bench::kMac, 1510));
  }
  bench.machine.turn(16);
  count = bench.received();
  CHECK(count == 5);
  CHECK(bench.wire->waiting.size() == 3);
  bench.out(kRxRead, 2 * 1520 - 16, 2);
  CHECK(bench.machine.run_until([&] { return bench.received() == 7; }));
  CHECK(bench.in(kMissed, 4) == 0);
}

TEST_CASE("C+ mode: packets of several descriptors, both rings, the high one first") {
  Bench bench;
  bench.start_plus();
  const Wire::Frame frame = frame_to(kOther, 100);
  bench.write(Bench::kTxData, frame);
  bench.put(Bench::kTxRing, 0, kFirst | 40, Bench::kTxData);
  bench.send_plus();
  CHECK(bench.wire->sent.empty());  // its end is not there
  CHECK(bench.in(kIntStatus, 2) == kIntTxNone);
  bench.put(Bench::kTxRing, 1, kLast | 60, Bench::kTxData + 40);
  bench.put(Bench::kHighRing, 0, kFirst | kLast | 70, Bench::kTxData);
  bench.send_plus(kPollNormal | kPollHigh);
  REQUIRE(bench.wire->sent.size() == 2);
  CHECK(bench.wire->sent[0].frame.size() == 70);
  CHECK(bench.wire->sent[1].frame == frame);
  CHECK(bench.tx_status(0) == kFirst);
  CHECK(bench.tx_status(1) == kLast);
  CHECK(bench.tx_status(0, Bench::kHighRing) == (kFirst | kLast));
  CHECK((bench.in(kIntStatus, 2) & kIntTxOk) != 0);
  CHECK(bench.in(kTxPoll, 1) == 0);
  for (uint32_t i = 2; i < 12; ++i) {  // around, by the ring's end
    bench.put(Bench::kTxRing, i % 4, kFirst | kLast | 60, Bench::kTxData);
    bench.send_plus();
    CHECK(bench.wire->sent.size() == i + 1);
    CHECK(bench.tx_status(i % 4) == (kFirst | kLast | Bench::end_of_ring(i % 4)));
  }
}

TEST_CASE("C+ mode: a packet that cannot go waits; one that is no packet is lost") {
  Bench bench;
  bench.start_plus();
  bench.wire->blocked = true;
  bench.put(Bench::kTxRing, 0, kFirst | kLast | 60, Bench::kTxData);
  bench.send_plus();
  CHECK((bench.tx_status(0) & kOwn) != 0);
  bench.wire->blocked = false;
  CHECK(bench.machine.run_until([&] { return (bench.tx_status(0) & kOwn) == 0; }));
  bench.put(Bench::kTxRing, 1, kFirst | kLast | 60, 0xFFFF'FFFF'0000);
  bench.send_plus();
  CHECK(bench.tx_status(1) == (kFirst | kLast | kTxFailed | kTxFifoEmpty));
  CHECK((bench.in(kIntStatus, 2) & kIntTxError) != 0);
  bench.card->set_link(false);
  bench.put(Bench::kTxRing, 2, kFirst | kLast | 60, Bench::kTxData);
  bench.send_plus();
  CHECK(bench.tx_status(2) == (kFirst | kLast | kTxFailed | kTxLinkFailed));
  bench.card->set_link(true);
  for (uint32_t i = 0; i < 4; ++i) {  // a packet without an end, round and round
    bench.put(Bench::kTxRing, i, 10, Bench::kTxData);
  }
  bench.send_plus();
  CHECK((bench.tx_status(0) & kTxFailed) != 0);
  CHECK(bench.wire->sent.size() == 1);
  bench.out(kTxNormal, 0xFFFFFF00, 4);
  bench.send_plus();
  CHECK(bench.wire->sent.size() == 1);
}

TEST_CASE("C+ mode: checksums are made here, or left to the other side") {
  for (const bool left : {false, true}) {
    for (const uint8_t protocol : {uint8_t{6}, uint8_t{17}}) {
      Bench bench({.checksum = left});
      bench.start_plus();
      bench.write(Bench::kTxData, ip_frame(kOther, protocol, 100));
      const auto bytes = static_cast<uint32_t>(ip_frame(kOther, protocol, 100).size());
      const uint32_t wanted = kIpChecksum | (protocol == 6 ? kTcpChecksum : kUdpChecksum);
      bench.put(Bench::kTxRing, 0, kFirst | kLast | wanted | bytes, Bench::kTxData);
      bench.put(Bench::kTxRing, 1, kFirst | kLast | bytes, Bench::kTxData);  // without
      bench.send_plus();
      REQUIRE(bench.wire->sent.size() == 2);
      CHECK(ip_sum_right(bench.wire->sent[0].frame));
      CHECK(transport_sum_right(bench.wire->sent[0].frame) != left);
      CHECK(bench.wire->sent[0].header[0] == (left ? 1 : 0));
      CHECK_FALSE(ip_sum_right(bench.wire->sent[1].frame));
    }
  }
}

TEST_CASE("C+ mode: a frame that is padded has its checksum without the padding") {
  Bench bench({.checksum = true});
  bench.start_plus();
  bench.write(Bench::kTxData, ip_frame(kOther, 17, 3));
  bench.put(Bench::kTxRing, 0, kFirst | kLast | kUdpChecksum | kIpChecksum | 45, Bench::kTxData);
  bench.send_plus();
  REQUIRE(bench.wire->sent.size() == 1);
  CHECK(bench.wire->sent[0].frame.size() == 60);
  CHECK(bench.wire->sent[0].header[0] == 0);
  CHECK(transport_sum_right(bench.wire->sent[0].frame));
}

TEST_CASE("C+ mode: large sends are cut here, or left to the other side") {
  const auto sends = [](Bench& bench, uint32_t size) {
    bench.start_plus();
    bench.write(Bench::kTxData, ip_frame(kOther, 6, 1000));
    bench.put(Bench::kTxRing, 0, kFirst | kLast | kLargeSend | size << 16 | 1054, Bench::kTxData);
    bench.send_plus();
    CHECK(bench.tx_status(0) == (kFirst | kLast));
  };
  Bench here;
  sends(here, 400);
  REQUIRE(here.wire->sent.size() == 3);
  CHECK(here.wire->sent[0].frame.size() == 454);
  CHECK(here.wire->sent[2].frame.size() == 254);
  for (const Wire::Sent& one : here.wire->sent) {
    CHECK(ip_sum_right(one.frame));
    CHECK(transport_sum_right(one.frame));
  }
  Bench there({.vnet_header = true, .checksum = true, .tso = true});
  sends(there, 400);
  REQUIRE(there.wire->sent.size() == 1);
  CHECK(there.wire->sent[0].header == Wire::Frame{1, 1, 54, 0, 144, 1, 34, 0, 16, 0, 0, 0});
  Bench tiny;
  sends(tiny, 1);
  CHECK(tiny.wire->sent.empty());
}

TEST_CASE("C+ mode: tags are put in and taken out") {
  Bench bench;
  bench.start_plus(kRxVlan);
  const Wire::Frame frame = frame_to(Bench::kMac, 100);
  bench.write(Bench::kTxData, frame);
  bench.put(Bench::kTxRing, 0, kFirst | kLast | 100, Bench::kTxData, kTxTag | 0x0720);  // priority 1, id 7
  bench.send_plus();
  REQUIRE(bench.wire->sent.size() == 1);
  Wire::Frame tagged = frame;
  tagged.insert(tagged.begin() + 12, {0x81, 0x00, 0x20, 0x07});
  CHECK(bench.wire->sent[0].frame == tagged);
  REQUIRE(bench.comes(tagged, 1));
  CHECK(bench.rx_tag(0) == (kRxTag | 0x0720));
  CHECK(bench.read(Bench::kRxData, 100) == frame);
  bench.out(kPlusCommand, uint32_t{kPlusTx} | kPlusRx, 2);
  REQUIRE(bench.comes(tagged, 2));
  CHECK(bench.rx_tag(1) == 0);
  CHECK(bench.read(Bench::kRxData + 8192, 104) == tagged);
}

TEST_CASE("C+ mode: received frames, and what the card says of their checksums") {
  Bench bench;
  bench.start_plus(kRxChecksum);
  const uint32_t whole = kFirst | kLast | kRxIsPhysical << kPlusShift;
  REQUIRE(bench.comes(frame_to(Bench::kMac, 42), 1));
  CHECK(bench.rx_status(0) == (whole | 64));
  Wire::Frame right = ip_frame(Bench::kMac, 6, 100);
  REQUIRE(bench.comes(right, 2));
  CHECK(bench.rx_status(1) == (whole | kRxIsTcp | kIpWrong | kTcpWrong | 158));
  net::put16(std::as_writable_bytes(std::span(right)), 24,
             static_cast<uint16_t>(~net::sum(std::as_bytes(std::span(right)).subspan(14, 20))));
  const auto pseudo = net::sum(std::as_bytes(std::span(right)).subspan(26, 8), 6 + 120);
  net::put16(std::as_writable_bytes(std::span(right)), 50,
             static_cast<uint16_t>(~net::sum(std::as_bytes(std::span(right)).subspan(34), pseudo)));
  REQUIRE(bench.comes(right, 3));
  CHECK(bench.rx_status(2) == (whole | kRxIsTcp | 158));
  const Wire::Frame none = ip_frame(Bench::kMac, 17, 100);  // UDP without a checksum
  REQUIRE(bench.comes(none, 4));
  CHECK(bench.rx_status(3) == (whole | kEndOfRing | kRxIsUdp | kIpWrong | 146));
}

TEST_CASE("C+ mode: a large frame takes several buffers") {
  Bench bench;
  bench.start_plus();
  for (uint32_t i = 0; i < 4; ++i) {
    bench.give(i, 600);
  }
  const Wire::Frame frame = frame_to(Bench::kMac, 1500);
  REQUIRE(bench.comes(frame, 1));
  CHECK((bench.rx_status(0) & (kOwn | kFirst | kLast)) == kFirst);
  CHECK((bench.rx_status(1) & (kOwn | kFirst | kLast)) == 0);
  CHECK((bench.rx_status(2) & (kOwn | kFirst | kLast)) == kLast);
  CHECK((bench.rx_status(2) & kRxBytes) == 1504);
  CHECK(bench.read(Bench::kRxData + 2 * 8192, 300) == Wire::Frame(frame.begin() + 1200, frame.end()));
  bench.wire->put(frame_to(Bench::kMac, 1500));  // there is one left
  CHECK(bench.machine.run_until([&] { return bench.in(kMissed, 4) == 1; }));
  CHECK((bench.in(kIntStatus, 2) & kIntRxFull) != 0);
  CHECK((bench.rx_status(3) & kOwn) != 0);
  bench.wire->put(frame_to(Bench::kMac, 4093));  // longer than the card takes
  CHECK(bench.machine.run_until([&] { return bench.wire->waiting.empty(); }));
  CHECK(bench.received() == 1);
  for (uint32_t i = 0; i < 4; ++i) {
    bench.give(i, 0);
  }
  bench.wire->put(frame_to(Bench::kMac, 60));
  CHECK(bench.machine.run_until([&] { return bench.in(kMissed, 4) == 2; }));
}

TEST_CASE("C+ mode: frames wait a while for descriptors, then they are lost") {
  Bench bench;
  bench.start_plus();
  for (uint64_t i = 1; i <= 4; ++i) {
    REQUIRE(bench.comes(frame_to(Bench::kMac, 60), i));
  }
  bench.wire->put(frame_to(Bench::kMac, 60));
  bench.machine.turn();
  bench.give(0);
  bench.out(kIntStatus, 0xFFFF, 2);
  REQUIRE(bench.machine.run_until([&] { return bench.received() == 5; }));
  bench.give(1);  // found without being told
  bench.wire->put(frame_to(Bench::kMac, 60));
  REQUIRE(bench.machine.run_until([&] { return bench.received() == 6; }));
  bench.wire->put(frame_to(Bench::kMac, 60));
  bench.wire->put(frame_to(Bench::kMac, 60));
  REQUIRE(bench.machine.run_until([&] { return bench.in(kMissed, 4) == 2; }));
  CHECK((bench.in(kIntStatus, 2) & kIntRxFull) != 0);
  bench.out(kMissed, 5, 4);
  CHECK(bench.in(kMissed, 4) == 0);
  bench.give(2);
  CHECK(bench.comes(frame_to(Bench::kMac, 60), 7));
}

TEST_CASE("only what is for the RTL8139 comes in") {
  Bench bench;
  bench.start_plain();
  uint64_t expected = 0;
  const auto comes = [&](const net::MacAddress& to, bool wanted) {
    bench.wire->put(frame_to(to, 60));
    CHECK(bench.machine.run_until([&] { return bench.wire->waiting.empty(); }));
    bench.machine.turn(4);
    expected += wanted ? 1 : 0;
    CHECK(bench.received() == expected);
  };
  comes(Bench::kMac, true);
  comes(kOther, false);
  comes(kAll, true);
  comes(kGroup, false);
  // The upper six bits of the CRC-32 of 01:00:5e:00:00:01 (polynomial 0x04C11DB7) are 0x1F.
  const net::MacAddress all_systems{0x01, 0, 0x5E, 0, 0, 1};
  bench.out(kMulticast, 1U << 31, 4);
  comes(all_systems, true);
  comes(kGroup, false);
  bench.out(kMulticast, 0xFFFFFFFF, 4);
  bench.out(kMulticast + 4, 0xFFFFFFFF, 4);
  comes(kGroup, true);
  bench.out(kRxConfig, kAcceptPhysical, 4);
  comes(kGroup, false);
  comes(kAll, false);
  bench.out(kRxConfig, kAcceptAll, 4);
  comes(kOther, true);
  comes(kAll, true);
  bench.out(kRxConfig, 0, 4);
  comes(Bench::kMac, false);
}

TEST_CASE("what is sent comes back in loopback, and nothing else comes or goes") {
  Bench bench;
  bench.start_plus();
  bench.out(kTxConfig, kLoopback, 4);
  const Wire::Frame frame = ip_frame(Bench::kMac, 6, 100);
  bench.write(Bench::kTxData, frame);
  bench.put(Bench::kTxRing, 0, kFirst | kLast | kTcpChecksum | kIpChecksum | 154, Bench::kTxData);
  bench.put(Bench::kTxRing, 1, kFirst | kLast | kLargeSend | 60U << 16 | 154, Bench::kTxData);
  bench.wire->put(frame_to(Bench::kMac, 60));
  bench.send_plus();
  CHECK(bench.machine.run_until([&] { return bench.wire->waiting.empty(); }));
  CHECK(bench.wire->sent.empty());
  CHECK(bench.received() == 3);
  const Wire::Frame back = bench.read(Bench::kRxData, 154);
  CHECK(ip_sum_right(back));
  CHECK(transport_sum_right(back));
  CHECK((bench.rx_status(2) & kRxBytes) == 98);
}

TEST_CASE("the RTL8139 moves nothing without bus mastering or with a pulled cable") {
  Bench bench;
  bench.machine.set_config(3, 0x04, 3, 2);
  bench.start_plus();
  bench.put(Bench::kTxRing, 0, kFirst | kLast | 60, Bench::kTxData);
  bench.send_plus();
  CHECK(bench.wire->sent.empty());
  bench.machine.set_config(3, 0x04, 7, 2);
  CHECK(bench.machine.run_until([&] { return bench.wire->sent.size() == 1; }));
  bench.card->set_link(false);
  bench.wire->put(frame_to(Bench::kMac, 60));
  CHECK(bench.machine.run_until([&] { return bench.wire->waiting.empty(); }));
  CHECK(bench.received() == 0);
  bench.card->set_link(true);
  bench.out(kCommand, kTxEnable, 1);
  bench.wire->put(frame_to(Bench::kMac, 60));
  bench.machine.turn(8);
  CHECK(bench.wire->waiting.size() == 1);
  bench.out(kCommand, kTxEnable | kRxEnable, 1);
  CHECK(bench.machine.run_until([&] { return bench.received() == 1; }));
}

}  // namespace
}  // namespace lodge::test
