// An RTL8139C+ on a test machine, a wire behind it, and what a driver does in either mode.
#pragma once

#include <catch2/catch.hpp>

#include "devices/rtl8139/device.h"
#include "tests/support/test_machine.h"
#include "tests/support/wire.h"

namespace lodge::test {

class Rtl8139Bench {
 public:
  static constexpr uint64_t kBar = 0xF000'0000;
  static constexpr uint64_t kPorts = 0xC000;
  static constexpr uint64_t kTxRing = 0x10000;
  static constexpr uint64_t kHighRing = 0x11000;
  static constexpr uint64_t kRxRing = 0x20000;
  static constexpr uint64_t kTxData = 0x30000;
  static constexpr uint64_t kRxData = 0x40000;
  static constexpr uint32_t kBuffer = 1536;
  static constexpr uint32_t kEntries = 4;
  static constexpr net::MacAddress kMac{0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

  explicit Rtl8139Bench(const NetCapabilities& capabilities = {}, const StateReader* saved = nullptr) {
    auto other = std::make_unique<Wire>();
    wire = other.get();
    Rtl8139::Options options;
    options.id = "net0";
    options.mac = kMac;
    options.port.capabilities = capabilities;
    options.port.queues.push_back(std::move(other));
    card = must(Rtl8139::create(std::move(options), *machine.env, saved));
    must(machine.root->plug({3, 0}, card, true));
    if (saved == nullptr) {
      machine.set_config(3, 0x10, kPorts | 1);
      machine.set_config(3, 0x14, kBar);
      machine.set_config(3, 0x04, 7, 2);
    }
    card->resume();
  }
  ~Rtl8139Bench() { quiesce(); }
  Rtl8139Bench(const Rtl8139Bench&) = delete;
  Rtl8139Bench& operator=(const Rtl8139Bench&) = delete;

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
  uint32_t in(uint32_t offset, uint8_t size) { return static_cast<uint32_t>(machine.read(kBar + offset, size)); }
  void out(uint32_t offset, uint32_t value, uint8_t size) { machine.write(kBar + offset, value, size); }
  bool interrupt() { return machine.lines[16 + 3].level; }
  void write(uint64_t at, const Wire::Frame& bytes) {
    must(machine.memory->write_bytes(Gpa{at}, std::as_bytes(std::span(bytes))));
  }
  Wire::Frame read(uint64_t at, size_t bytes) {
    Wire::Frame frame(bytes);
    must(machine.memory->read_bytes(Gpa{at}, std::as_writable_bytes(std::span(frame))));
    return frame;
  }
  uint32_t word(uint64_t at) { return must(machine.memory->read<uint32_t>(Gpa{at})); }

  // The C mode: a ring of 8 KiB for what comes in.
  void start_plain(uint32_t more = 0) {
    using namespace rtl8139;  // NOLINT(google-build-using-namespace): names of this chip only
    out(kCommand, kTxEnable | kRxEnable, 1);
    out(kRxBuffer, kRxData, 4);
    out(kRxConfig, kAcceptPhysical | kAcceptMulticast | kAcceptBroadcast | more, 4);
    for (uint32_t i = 0; i < kTxDescriptors; ++i) {
      out(kTxAddress + 4 * i, static_cast<uint32_t>(kTxData + i * 2048), 4);
    }
  }
  void send_plain(uint32_t at, size_t bytes) {
    out(rtl8139::kTxStatus + 4 * at, static_cast<uint32_t>(bytes), 4);
    machine.turn(8);
  }

  // The C+ mode: rings of four descriptors.
  void start_plus(uint16_t more = 0) {
    using namespace rtl8139;  // NOLINT(google-build-using-namespace): names of this chip only
    out(kPlusCommand, uint32_t{kPlusTx} | kPlusRx | more, 2);
    out(kTxNormal, kTxRing, 4);
    out(kTxNormal + 4, 0, 4);
    out(kTxHigh, kHighRing, 4);
    out(kTxHigh + 4, 0, 4);
    out(kRxRing + 4, 0, 4);
    out(kRxRing_, kRxRing, 4);
    for (uint32_t i = 0; i < kEntries; ++i) {
      give(i);
    }
    out(kRxConfig, kAcceptPhysical | kAcceptMulticast | kAcceptBroadcast, 4);
    out(kCommand, kTxEnable | kRxEnable, 1);
  }
  static constexpr uint32_t kRxRing_ = rtl8139::kRxRing;
  static uint32_t end_of_ring(uint32_t at) { return at + 1 == kEntries ? rtl8139::kEndOfRing : 0; }
  void give(uint32_t at, uint32_t bytes = kBuffer) {
    const uint64_t place = kRxRing + uint64_t{at} * 16;
    must(machine.memory->write(Gpa{place + 8}, kRxData + at * 8192));
    must(machine.memory->write(Gpa{place + 4}, uint32_t{0}));
    must(machine.memory->write(Gpa{place}, rtl8139::kOwn | end_of_ring(at) | bytes));
  }
  void put(uint64_t ring, uint32_t at, uint32_t command, uint64_t buffer, uint32_t tag = 0) {
    const uint64_t place = ring + uint64_t{at} * 16;
    must(machine.memory->write(Gpa{place + 8}, buffer));
    must(machine.memory->write(Gpa{place + 4}, tag));
    must(machine.memory->write(Gpa{place}, rtl8139::kOwn | end_of_ring(at) | command));
  }
  void send_plus(uint8_t poll = rtl8139::kPollNormal) {
    out(rtl8139::kTxPoll, poll, 1);
    machine.turn(8);
  }
  uint32_t tx_status(uint32_t at, uint64_t ring = kTxRing) { return word(ring + uint64_t{at} * 16); }
  uint32_t rx_status(uint32_t at) { return word(kRxRing + uint64_t{at} * 16); }
  uint32_t rx_tag(uint32_t at) { return word(kRxRing + uint64_t{at} * 16 + 4); }
  bool comes(const Wire::Frame& frame, uint64_t packets) {
    wire->put(frame);
    return machine.run_until([&] { return received() == packets; });
  }
  uint64_t received() { return card->counters().at(0).value; }

  TestMachine machine;
  Wire* wire = nullptr;
  std::shared_ptr<Rtl8139> card;
};

inline Wire::Frame frame_to(const net::MacAddress& to, size_t bytes) {
  Wire::Frame frame(bytes);
  std::copy(to.begin(), to.end(), frame.begin());
  for (size_t i = 12; i < bytes; ++i) {
    frame[i] = static_cast<uint8_t>(i);
  }
  frame[12] = 0x08;
  frame[13] = 0x06;
  return frame;
}

// An IPv4 frame with TCP or UDP in it: lengths, no checksums.
inline Wire::Frame ip_frame(const net::MacAddress& to, uint8_t protocol, size_t payload) {
  const size_t transport = protocol == 6 ? 20 : 8;
  Wire::Frame frame = frame_to(to, 34 + transport + payload);
  const size_t length = 20 + transport + payload;
  frame[13] = 0x00;
  frame[14] = 0x45;
  frame[16] = static_cast<uint8_t>(length >> 8);
  frame[17] = static_cast<uint8_t>(length);
  frame[20] = frame[21] = 0;
  frame[23] = protocol;
  frame[24] = frame[25] = 0;
  if (protocol == 6) {
    frame[46] = 0x50;
    frame[47] = 0x10;
    frame[50] = frame[51] = 0;
  } else {
    frame[38] = static_cast<uint8_t>((transport + payload) >> 8);
    frame[39] = static_cast<uint8_t>(transport + payload);
    frame[40] = frame[41] = 0;
  }
  return frame;
}

// Whether the IP header's and the transport's checksums are right.
inline bool ip_sum_right(const Wire::Frame& frame) {
  return net::sum(std::as_bytes(std::span(frame)).subspan(14, 20)) == 0xFFFF;
}
inline bool transport_sum_right(const Wire::Frame& frame) {
  const auto bytes = std::as_bytes(std::span(frame));
  const size_t length = net::get16(bytes, 16) - 20U;
  const uint16_t pseudo = net::sum(bytes.subspan(26, 8), static_cast<uint32_t>(frame[23] + length));
  return net::sum(bytes.subspan(34, length), pseudo) == 0xFFFF;
}

}  // namespace lodge::test
