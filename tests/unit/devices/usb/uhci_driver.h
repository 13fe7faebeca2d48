// A small driver for the UHCI controller in a machine: one queue in every frame, time that the test makes pass.
#pragma once

#include <catch2/catch.hpp>
#include <vector>

#include "devices/usb/uhci/device.h"
#include "tests/support/test_machine.h"

namespace lodge::test {

class UhciBench {
 public:
  using Bytes = std::vector<uint8_t>;
  static constexpr uint64_t kBase = 0xC000;
  static constexpr uint32_t kList = 0x10000;
  static constexpr uint32_t kQueue = 0x20000;
  static constexpr uint32_t kTds = 0x30000;   // 32 bytes each
  static constexpr uint32_t kData = 0x40000;  // 2 KiB for each descriptor
  static constexpr uint8_t kSlot = 1;

  explicit UhciBench(std::vector<UsbPlug> devices, const StateReader* saved = nullptr) {
    Uhci::Options options;
    options.devices = std::move(devices);
    options.now = [this] { return time; };
    controller = must(Uhci::create(std::move(options), *machine.env, saved));
    must(machine.root->plug({kSlot, 0}, controller, true));
    if (saved == nullptr) {
      machine.set_config(kSlot, 0x20, kBase);
      machine.set_config(kSlot, 0x04, 7, 2);
      for (uint32_t i = 0; i < uhci::kFrames; ++i) {
        word(kList + 4 * i, kQueue | uhci::kLinkQueue);
      }
      queue(uhci::kLinkEnd);
      controller->resume();
      machine.turn();
    }
  }
  ~UhciBench() { quiesce(); }
  UhciBench(const UhciBench&) = delete;
  UhciBench& operator=(const UhciBench&) = delete;

  void quiesce() {
    bool done = false;
    controller->quiesce([&done] { done = true; });
    CHECK(machine.run_until([&] { return done; }));
  }
  StateBytes save() {
    quiesce();
    StateWriter out;
    controller->save(out);
    return out.bytes();
  }
  uint16_t in(uint16_t offset) { return static_cast<uint16_t>(machine.in(kBase + offset, 2)); }
  void out(uint16_t offset, uint16_t value) { machine.out(kBase + offset, value, 2); }
  uint16_t port(size_t number = 1) { return in(static_cast<uint16_t>(uhci::kPorts + 2 * (number - 1))); }
  void set_port(uint16_t value, size_t number = 1) { out(static_cast<uint16_t>(uhci::kPorts + 2 * (number - 1)), value); }
  void word(uint32_t at, uint32_t value) { must(machine.memory->write(Gpa{at}, value)); }
  uint32_t word(uint32_t at) { return must(machine.memory->read<uint32_t>(Gpa{at})); }
  Bytes memory(uint32_t at, size_t bytes) {
    Bytes all(bytes);
    must(machine.memory->read_bytes(Gpa{at}, std::as_writable_bytes(std::span(all))));
    return all;
  }
  void queue(uint32_t element, uint32_t next = uhci::kLinkEnd, uint32_t at = kQueue) {
    word(at, next);
    word(at + 4, element);
  }
  void run() {
    machine.out(kBase + uhci::kList, kList, 4);
    out(uhci::kCommand, uhci::kCmdRun);
    machine.turn();
  }
  // So many frames pass.
  void frames(int count = 1) {
    for (int i = 0; i < count; ++i) {
      time += std::chrono::milliseconds(1);
      (void)in(uhci::kFrame);  // brings them up to date
      machine.turn();
    }
  }
  // The port's device is reset and listens at address 0.
  void reset_port(size_t number = 1) {
    set_port(uhci::kPortReset, number);
    machine.turn();
    set_port(0, number);
    set_port(uhci::kPortEnabled | uhci::kPortConnectChange | uhci::kPortEnableChange, number);
    REQUIRE((port(number) & (uhci::kPortEnabled | uhci::kPortReset)) == uhci::kPortEnabled);
  }
  static uint32_t td_at(uint32_t index) { return kTds + 32 * index; }
  static uint32_t data_at(uint32_t index) { return kData + 2048 * index; }
  // Descriptor `index`; `link`: what comes after it.
  void td(uint32_t index, uint8_t pid, uint8_t address, uint8_t endpoint, size_t bytes, uint32_t link, uint32_t flags = 0) {
    const uint32_t at = td_at(index);
    word(at, link);
    word(at + 4, uhci::kTdActive | 3U << uhci::kTdErrorShift | flags);
    word(at + 8,
         ((static_cast<uint32_t>(bytes) - 1) & 0x7FF) << 21 | uint32_t{endpoint} << 15 | uint32_t{address} << 8 | pid);
    word(at + 12, data_at(index));
  }
  uint32_t control(uint32_t index) { return word(td_at(index) + 4); }
  size_t length(uint32_t index) { return (control(index) + 1) & uhci::kTdLengthMask; }
  void put(uint32_t index, const Bytes& data) {
    must(machine.memory->write_bytes(Gpa{data_at(index)}, std::as_bytes(std::span(data))));
  }
  // A control transfer in packets of 8 bytes; what came, or nothing if it stalled. `data`: what is sent, or room.
  std::optional<Bytes> request(uint8_t address, uint8_t type, uint8_t code, uint16_t value, uint16_t index, Bytes data) {
    using namespace uhci;  // NOLINT(google-build-using-namespace): the names of the document
    const bool reads = (type & usb::kIn) != 0;
    const auto length16 = static_cast<uint16_t>(data.size());
    const auto low = [](uint16_t half) { return static_cast<uint8_t>(half); };
    const auto high = [](uint16_t half) { return static_cast<uint8_t>(half >> 8); };
    const auto link = [](uint32_t at) { return td_at(at) | kLinkDepth; };
    put(0, {type, code, low(value), high(value), low(index), high(index), low(length16), high(length16)});
    td(0, kPidSetup, address, 0, 8, link(1));
    uint32_t at = 1;
    for (size_t sent = 0; sent < data.size(); sent += 8, ++at) {
      const size_t now = std::min<size_t>(8, data.size() - sent);
      if (!reads) {
        put(at, Bytes(data.begin() + static_cast<ptrdiff_t>(sent), data.begin() + static_cast<ptrdiff_t>(sent + now)));
      }
      td(at, reads ? kPidIn : kPidOut, address, 0, now, link(at + 1), reads ? kTdShort : 0);
    }
    td(at, reads && !data.empty() ? kPidOut : kPidIn, address, 0, 0, kLinkEnd, kTdComplete);
    queue(td_at(0));
    Bytes got;
    const auto answered = [&](uint32_t which) {
      for (int i = 0; i < 100 && (control(which) & kTdActive) != 0; ++i) {
        frames();
      }
      return (control(which) & (kTdActive | kTdStalled)) == 0;
    };
    if (!answered(0)) {
      return std::nullopt;
    }
    for (uint32_t which = 1; which < at; ++which) {
      if (!answered(which)) {
        return std::nullopt;
      }
      const Bytes part = memory(data_at(which), reads ? length(which) : 0);
      got.insert(got.end(), part.begin(), part.end());
      if (reads && part.size() < 8) {  // short: the driver goes on with the status
        queue(td_at(at));
        break;
      }
    }
    return answered(at) ? std::optional(got) : std::nullopt;
  }
  // For a device that waits for its disk: frames pass as fast as they are looked at, a disk does not.
  static constexpr int kDisk = 10000;
  // One packet; what came. `patience`: frames, each of a millisecond at most when a disk is waited for.
  std::optional<Bytes> receive(uint8_t address, uint8_t endpoint, size_t room, int patience = 4) {
    td(0, uhci::kPidIn, address, endpoint, room, uhci::kLinkEnd, uhci::kTdComplete);
    queue(td_at(0));
    for (int i = 0; i < patience && (control(0) & uhci::kTdActive) != 0; ++i) {
      frames();
      if (patience == kDisk && (control(0) & uhci::kTdActive) != 0) {
        machine.control->run_once(std::chrono::milliseconds(1));
      }
    }
    return (control(0) & (uhci::kTdActive | uhci::kTdStalled)) == 0 ? std::optional(memory(data_at(0), length(0)))
                                                                    : std::nullopt;
  }
  bool send(uint8_t address, uint8_t endpoint, const Bytes& data) {
    put(0, data);
    td(0, uhci::kPidOut, address, endpoint, data.size(), uhci::kLinkEnd, uhci::kTdComplete);
    queue(td_at(0));
    frames(2);
    return (control(0) & (uhci::kTdActive | uhci::kTdStalled)) == 0;
  }
  // The device at a port is there with an address, configured.
  void enumerate(uint8_t address, size_t number = 1) {
    reset_port(number);
    REQUIRE(request(0, 0x00, usb::kSetAddress, address, 0, {}));
    REQUIRE(request(address, 0x00, usb::kSetConfiguration, 1, 0, {}));
  }
  bool interrupt() { return machine.lines[16 + kSlot].level; }
  void copy_memory_to(UhciBench& other) {
    std::vector<std::byte> all(TestMachine::kMemory);
    must(machine.memory->read_bytes(Gpa{0}, all));
    must(other.machine.memory->write_bytes(Gpa{0}, all));
  }

  TestMachine machine;
  EventLoop::Clock::time_point time{std::chrono::seconds(1000)};
  std::shared_ptr<Uhci> controller;
};

}  // namespace lodge::test
