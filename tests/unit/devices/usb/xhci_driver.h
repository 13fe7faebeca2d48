// A small driver of an xHCI controller: its rings lie in guest memory, its events are taken one by one.
#pragma once

#include <catch2/catch.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "devices/usb/xhci/device.h"
#include "tests/support/test_machine.h"

namespace lodge::test {

class XhciDriver {
 public:
  static constexpr uint64_t kBar = 0xF000'0000;
  static constexpr uint64_t kCommands = 0x10000;
  static constexpr uint64_t kTable = 0x11000;
  static constexpr uint64_t kEvents = 0x12000;
  static constexpr uint32_t kEventBlocks = 32;
  static constexpr uint64_t kPointers = 0x13000;  // to the contexts of the slots
  static constexpr uint64_t kInput = 0x14000;
  static constexpr uint64_t kContexts = 0x20000;  // 4 KiB for each slot
  static constexpr uint64_t kRings = 0x40000;     // 4 KiB for each endpoint
  static constexpr uint64_t kData = 0x200000;

  struct Event {
    xhci::Trb trb;
    [[nodiscard]] xhci::TrbType type() const { return xhci::type_of(trb); }
    [[nodiscard]] xhci::Code code() const { return static_cast<xhci::Code>(trb.status >> 24); }
    [[nodiscard]] uint32_t length() const { return trb.status & 0xFFFFFF; }
    [[nodiscard]] uint8_t slot() const { return static_cast<uint8_t>(trb.control >> 24); }
    [[nodiscard]] uint8_t endpoint() const { return static_cast<uint8_t>(trb.control >> 16 & 0x1F); }
  };
  struct Ring {
    uint64_t base = 0;
    uint64_t at = 0;
    bool cycle = true;
    uint64_t blocks = 255;  // and a link
  };

  explicit XhciDriver(TestMachine& machine) : machine_(machine) {}

  uint32_t in(uint32_t offset) { return static_cast<uint32_t>(machine_.read(kBar + offset, 4)); }
  void out(uint32_t offset, uint32_t value) { machine_.write(kBar + offset, value, 4); }
  uint32_t operational(uint32_t offset) { return in(xhci::kOperational + offset); }
  void set_operational(uint32_t offset, uint32_t value) { out(xhci::kOperational + offset, value); }
  uint32_t port(uint32_t number) { return in(xhci::kPorts + (number - 1) * xhci::kPortStride); }
  void set_port(uint32_t number, uint32_t value) { out(xhci::kPorts + (number - 1) * xhci::kPortStride, value); }
  // The loop has done all that there is to do.
  void settle() { machine_.turn(12); }

  void map(uint8_t slot) {
    machine_.set_config(slot, 0x10, kBar);
    machine_.set_config(slot, 0x04, 6, 2);
  }
  void start() {
    set_operational(xhci::kUsbCmd, xhci::kCmdReset);
    settle();
    REQUIRE(operational(xhci::kUsbCmd) == 0);
    set_operational(xhci::kConfig, xhci::kSlots);
    set_operational(xhci::kDcbaap, kPointers);
    set_operational(xhci::kDcbaap + 4, 0);
    commands_ = make_ring(kCommands);
    set_operational(xhci::kCrcr, kCommands | 1);
    set_operational(xhci::kCrcr + 4, 0);
    write(kTable, kEvents);
    write(kTable + 8, uint64_t{kEventBlocks});
    must(machine_.memory->fill(Gpa{kEvents}, uint64_t{kEventBlocks} * 16, std::byte{0}));
    next_event_ = 0;
    event_cycle_ = true;
    out(xhci::kRuntime + xhci::kErstSize, 1);
    out(xhci::kRuntime + xhci::kErdp, kEvents);
    out(xhci::kRuntime + xhci::kErdp + 4, 0);
    out(xhci::kRuntime + xhci::kErstBase, kTable);
    out(xhci::kRuntime + xhci::kErstBase + 4, 0);
    out(xhci::kRuntime + xhci::kIman, xhci::kImanEnabled);
    set_operational(xhci::kUsbCmd, xhci::kCmdRun | xhci::kCmdInterrupts);
    REQUIRE((operational(xhci::kUsbSts) & xhci::kStsHalted) == 0);
  }

  Ring make_ring(uint64_t base) {
    Ring ring{.base = base, .at = base};
    must(machine_.memory->fill(Gpa{base}, (ring.blocks + 1) * 16, std::byte{0}));
    return ring;
  }
  // Where the block was put.
  uint64_t put(Ring& ring, xhci::TrbType type, uint64_t parameter, uint32_t status, uint32_t flags = 0) {
    const uint64_t at = ring.at;
    write_block(at, parameter, status, static_cast<uint32_t>(type) << 10 | flags | (ring.cycle ? 1 : 0));
    ring.at += 16;
    if (ring.at == ring.base + 16 * ring.blocks) {
      write_block(ring.at, ring.base, 0,
                  static_cast<uint32_t>(xhci::TrbType::link) << 10 | xhci::kTrbToggle | (ring.cycle ? 1 : 0));
      ring.at = ring.base;
      ring.cycle = !ring.cycle;
    }
    return at;
  }
  std::optional<Event> event() {
    settle();
    const auto trb = must(machine_.memory->read<xhci::Trb>(Gpa{kEvents + 16 * uint64_t{next_event_}}));
    if (((trb.control & 1) != 0) != event_cycle_) {
      return std::nullopt;
    }
    if (++next_event_ == kEventBlocks) {
      next_event_ = 0;
      event_cycle_ = !event_cycle_;
    }
    return Event{trb};
  }
  // The guest has seen all events so far.
  void seen() { out(xhci::kRuntime + xhci::kErdp, static_cast<uint32_t>(kEvents + 16ULL * next_event_) | xhci::kErdpBusy); }
  Event must_event(xhci::TrbType type) {
    const auto got = event();
    REQUIRE(got);
    REQUIRE(got->type() == type);
    seen();
    return *got;
  }
  Event command(xhci::TrbType type, uint64_t parameter = 0, uint32_t flags = 0) {
    const uint64_t at = put(commands_, type, parameter, 0, flags);
    bell(0, 0);
    const Event done = must_event(xhci::TrbType::command_event);
    CHECK(done.trb.parameter == at);
    return done;
  }
  void bell(uint32_t slot, uint32_t endpoint) { out(xhci::kDoorbells + 4 * slot, endpoint); }

  // A port is reset, and its device has an address.
  uint8_t attach(uint32_t port_number) {
    set_port(port_number, xhci::kPortPower | xhci::kPortReset);
    settle();
    REQUIRE((port(port_number) & (xhci::kPortEnabled | xhci::kPortReset)) == xhci::kPortEnabled);
    set_port(port_number, xhci::kPortPower | xhci::kPortChanges);
    (void)must_event(xhci::TrbType::port_event);
    const Event enabled = command(xhci::TrbType::enable_slot);
    REQUIRE(enabled.code() == xhci::Code::success);
    const uint8_t slot = enabled.slot();
    CHECK(address(slot, port_number).code() == xhci::Code::success);
    return slot;
  }
  Event address(uint8_t slot, uint32_t port_number, uint32_t flags = 0) {
    clear_input();
    write(kPointers + 8ULL * slot, kContexts + 0x1000ULL * slot);
    word(kInput + 4, 3);
    word(kInput + 0x20, 1U << 27 | 1U << 20);
    word(kInput + 0x24, port_number << 16);
    put_endpoint(slot, 1, xhci::kTypeControl, 64);
    return command(xhci::TrbType::address_device, kInput, uint32_t{slot} << 24 | flags);
  }
  // Endpoints {index, type, packet} are added.
  Event configure(uint8_t slot, const std::vector<std::array<uint32_t, 3>>& endpoints) {
    clear_input();
    uint32_t adds = 1;
    for (const auto& [id, type, packet] : endpoints) {
      put_endpoint(slot, id, type, packet);
      adds |= 1U << id;
    }
    word(kInput + 4, adds);
    word(kInput + 0x20, 31U << 27);
    return command(xhci::TrbType::configure_endpoint, kInput, uint32_t{slot} << 24);
  }
  Ring& commands() { return commands_; }
  Ring& ring(uint8_t slot, uint32_t endpoint) { return rings_[slot * 32U + endpoint]; }

  struct Answer {
    xhci::Code code = xhci::Code::none;
    std::vector<uint8_t> data;
  };
  Answer control(uint8_t slot, uint8_t type, uint8_t request, uint16_t value, uint16_t index, std::vector<uint8_t> data) {
    const auto length = static_cast<uint16_t>(data.size());
    const bool in = (type & 0x80) != 0;
    Ring& to = ring(slot, 1);
    must(machine_.memory->write_bytes(Gpa{kData}, std::as_bytes(std::span(data))));
    put(to, xhci::TrbType::setup,
        type | uint64_t{request} << 8 | uint64_t{value} << 16 | uint64_t{index} << 32 | uint64_t{length} << 48, 8,
        xhci::kTrbImmediate | (length == 0 ? 0U
                               : in        ? 3U << 16
                                           : 2U << 16));
    uint64_t data_at = 0;
    if (length != 0) {
      data_at = put(to, xhci::TrbType::data, kData, length, xhci::kTrbShortEvent | (in ? 1U << 16 : 0));
    }
    const uint64_t status_at = put(to, xhci::TrbType::status, 0, 0, xhci::kTrbEvent | (in ? 0 : 1U << 16));
    bell(slot, 1);
    Event done = must_event(xhci::TrbType::transfer_event);
    uint32_t left = 0;
    if (done.trb.parameter == data_at && done.code() == xhci::Code::short_packet) {
      left = done.length();
      done = must_event(xhci::TrbType::transfer_event);
    }
    if (done.code() == xhci::Code::success) {
      CHECK(done.trb.parameter == status_at);
    }
    if (in) {
      data.resize(length - left);
      must(machine_.memory->read_bytes(Gpa{kData}, std::as_writable_bytes(std::span(data))));
    }
    return {done.code(), data};
  }
  // A device that is at rest there is set up: SET_CONFIGURATION, and its endpoints.
  void set_up(uint8_t slot, const std::vector<std::array<uint32_t, 3>>& endpoints) {
    REQUIRE(configure(slot, endpoints).code() == xhci::Code::success);
    REQUIRE(control(slot, 0, 9, 1, 0, {}).code == xhci::Code::success);
  }
  // A buffer for one transfer.
  uint64_t queue(uint8_t slot, uint32_t endpoint, uint64_t buffer, uint32_t bytes, uint32_t flags = xhci::kTrbEvent) {
    const uint64_t at = put(ring(slot, endpoint), xhci::TrbType::normal, buffer, bytes, flags);
    return at;
  }
  std::vector<uint8_t> memory(uint64_t at, size_t bytes) {
    std::vector<uint8_t> data(bytes);
    must(machine_.memory->read_bytes(Gpa{at}, std::as_writable_bytes(std::span(data))));
    return data;
  }
  uint32_t endpoint_phase(uint8_t slot, uint32_t endpoint) {
    return must(machine_.memory->read<uint32_t>(Gpa{kContexts + 0x1000ULL * slot + 0x20ULL * endpoint})) & 7;
  }
  uint32_t slot_phase(uint8_t slot) {
    return must(machine_.memory->read<uint32_t>(Gpa{kContexts + 0x1000ULL * slot + 12})) >> 27;
  }
  void word(uint64_t at, uint32_t value) { must(machine_.memory->write(Gpa{at}, value)); }
  void clear_input() { must(machine_.memory->fill(Gpa{kInput}, 33 * 32, std::byte{0})); }
  void put_endpoint(uint8_t slot, uint32_t id, uint32_t type, uint32_t packet) {
    const uint64_t base = kRings + 0x2000ULL * (slot * 32ULL + id) % 0x180000;
    ring(slot, id) = make_ring(base);
    const uint64_t context = kInput + 0x20ULL * (id + 1);
    word(context + 4, packet << 16 | type << 3 | 3U << 1);
    write(context + 8, base | 1);
  }
  // The rings go on elsewhere, after a save.
  void follow(const XhciDriver& other) {
    commands_ = other.commands_;
    rings_ = other.rings_;
    next_event_ = other.next_event_;
    event_cycle_ = other.event_cycle_;
  }

 private:
  void write(uint64_t at, uint64_t value) { must(machine_.memory->write(Gpa{at}, value)); }
  void write_block(uint64_t at, uint64_t parameter, uint32_t status, uint32_t control) {
    write(at, parameter);
    word(at + 8, status);
    word(at + 12, control);
  }

  TestMachine& machine_;
  Ring commands_;
  std::map<uint32_t, Ring> rings_;
  uint32_t next_event_ = 0;
  bool event_cycle_ = true;
};

// A controller in a machine, in PCI slot 1.
struct XhciBench {
  explicit XhciBench(std::vector<UsbPlug> devices, const StateReader* saved = nullptr) : driver(machine) {
    Xhci::Options options;
    options.devices = std::move(devices);
    controller = must(Xhci::create(std::move(options), *machine.env, saved));
    must(machine.root->plug({1, 0}, controller, true));
    if (saved == nullptr) {  // else it goes on when its memory is there
      driver.map(1);
      controller->resume();
      driver.start();
    }
  }
  ~XhciBench() {
    quiesce();
    machine.turn();
  }
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
  bool interrupt() { return machine.lines[16 + 1].level; }
  void copy_memory_to(XhciBench& other) {
    std::vector<std::byte> all(TestMachine::kMemory);
    must(machine.memory->read_bytes(Gpa{0}, all));
    must(other.machine.memory->write_bytes(Gpa{0}, all));
  }
  TestMachine machine;
  std::shared_ptr<Xhci> controller;
  XhciDriver driver;
};

}  // namespace lodge::test
