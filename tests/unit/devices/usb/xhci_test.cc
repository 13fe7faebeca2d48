// The xHCI controller by its specification: ports, commands, rings, events, short and broken transfers, saves.
#include <deque>

#include "tests/unit/devices/usb/xhci_driver.h"

namespace lodge::test {
namespace {

using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document

constexpr uint32_t kBulkIn = 3;
constexpr uint32_t kBulkOut = 4;

// Sends what it was given, keeps what it gets, `piece` bytes at a time.
class Loopback final : public UsbDevice {
 public:
  explicit Loopback(std::string id, UsbSpeed speed = UsbSpeed::high) : UsbDevice(std::move(id), identity(speed)) {}
  static UsbIdentity identity(UsbSpeed speed) {
    UsbIdentity who;
    who.speed = speed;
    who.vendor = 1;
    who.product = 2;
    who.product_name = "Loopback";
    who.interface_class = 0xFF;
    who.remote_wakeup = true;
    who.endpoints = {{0x81, usb::kBulk, 512, 0}, {0x02, usb::kBulk, 512, 0}};
    return who;
  }
  UsbAnswer transfer_in(uint8_t, std::span<std::byte> room) override {
    if (stalls) {
      return {UsbStatus::stall};
    }
    if (to_send.empty()) {
      return {UsbStatus::nak};
    }
    auto& next = to_send.front();
    const size_t bytes = std::min({next.size(), room.size(), piece});
    for (size_t i = 0; i < bytes; ++i) {
      room[i] = std::byte{next[i]};
    }
    next.erase(next.begin(), next.begin() + static_cast<ptrdiff_t>(bytes));
    if (next.empty()) {
      to_send.pop_front();
      return {UsbStatus::done, bytes};
    }
    return {UsbStatus::more, bytes};
  }
  UsbAnswer transfer_out(uint8_t, std::span<const std::byte> data) override {
    if (blocked) {
      return {UsbStatus::nak};
    }
    const size_t bytes = std::min(data.size(), piece);
    for (size_t i = 0; i < bytes; ++i) {
      got.push_back(std::to_integer<uint8_t>(data[i]));
    }
    return {bytes == data.size() ? UsbStatus::done : UsbStatus::more, bytes};
  }
  UsbAnswer own_request(const UsbSetup& setup, std::span<std::byte> data) override {
    if (setup.in()) {
      const std::vector<uint8_t> answer(setup.value, 7);
      return usb_answer(answer, data);
    }
    got.clear();
    for (const std::byte byte : data) {
      got.push_back(std::to_integer<uint8_t>(byte));
    }
    return {UsbStatus::done};
  }
  void send(std::vector<uint8_t> bytes) {
    to_send.push_back(std::move(bytes));
    wake_port();
  }
  void unblock() {
    blocked = false;
    wake_port();
  }
  Result<void> load(const StateReader& saved) { return load_device(saved); }

  std::deque<std::vector<uint8_t>> to_send;
  std::vector<uint8_t> got;
  size_t piece = SIZE_MAX;
  bool stalls = false;
  bool blocked = false;
};

struct Bench : XhciBench {
  explicit Bench(std::shared_ptr<Loopback> one = std::make_shared<Loopback>("loop0"), const StateReader* saved = nullptr)
      : XhciBench({{1, one}}, saved), device(std::move(one)) {}
  uint8_t set_up() {
    const uint8_t slot = driver.attach(1);
    driver.set_up(slot, {{kBulkIn, kTypeBulkIn, 512}, {kBulkOut, kTypeBulkOut, 512}});
    return slot;
  }
  std::shared_ptr<Loopback> device;
};

std::vector<uint8_t> pattern(size_t bytes) {
  std::vector<uint8_t> data(bytes);
  for (size_t i = 0; i < bytes; ++i) {
    data[i] = static_cast<uint8_t>(i * 7 + i / 256);
  }
  return data;
}

TEST_CASE("the controller says what it is and has") {
  Bench bench;
  XhciDriver& driver = bench.driver;
  CHECK(bench.machine.config(1, 0) == 0x000D1B36);
  CHECK(bench.machine.config(1, 8) == 0x0C033001);
  CHECK(bench.machine.config(1, 0x60, 1) == 0x30);
  CHECK(driver.in(kCapLength) == 0x01000040);
  CHECK(driver.in(kHcsParams1) >> 24 == 8);
  CHECK((driver.in(kHccParams) >> 16) * 4 == kProtocols);
  CHECK(driver.in(kProtocols) == 0x02000402);
  CHECK(driver.in(kProtocols + 8) == 0x0401);
  CHECK(driver.in(kProtocols + 0x10) == 0x03000002);
  CHECK(driver.in(kProtocols + 0x18) == 0x0405);
  CHECK(driver.operational(kPageSizes) == 1);
  CHECK(bench.machine.read(XhciDriver::kBar + 2, 2) == 0x0100);
  CHECK(driver.in(0x3FFC) == 0);
}

TEST_CASE("ports connect, are reset, disabled, put to sleep and woken") {
  XhciBench bench({{1, std::make_shared<Loopback>("a")}, {2, std::make_shared<Loopback>("b", UsbSpeed::super)}});
  XhciDriver& driver = bench.driver;
  CHECK(driver.port(1) == (kPortConnected | kLinkPolling << 5 | kPortPower | 3U << 10 | kPortConnectChange));
  CHECK(driver.port(6) == (kPortConnected | kPortEnabled | kPortPower | 4U << 10 | kPortConnectChange));
  CHECK(driver.port(2) == (kLinkDetect << 5 | kPortPower));
  driver.set_port(1, kPortPower | kPortChanges);
  CHECK((driver.port(1) & kPortChanges) == 0);
  driver.set_port(1, kPortPower | kPortReset);
  driver.settle();
  CHECK(driver.port(1) == (kPortConnected | kPortEnabled | kPortPower | 3U << 10 | kPortResetChange));
  const auto event = driver.must_event(TrbType::port_event);
  CHECK((event.trb.parameter >> 24 == 1 && event.code() == Code::success));
  CHECK((driver.operational(kUsbSts) & kStsPort) != 0);
  CHECK(!driver.event());
  driver.set_port(1, kPortPower | kPortChanges | kLinkU3 << 5 | kPortLinkWrite);
  CHECK((driver.port(1) & kPortLinkMask) >> 5 == kLinkU3);
  driver.set_port(1, kPortPower | kLinkResume << 5 | kPortLinkWrite);
  driver.set_port(1, kPortPower | kLinkU0 << 5 | kPortLinkWrite);
  CHECK((driver.port(1) & (kPortLinkMask | kPortLinkChange)) == kPortLinkChange);
  driver.must_event(TrbType::port_event);
  driver.set_port(1, kPortPower | kPortEnabled);
  CHECK((driver.port(1) & kPortEnabled) == 0);
  driver.set_port(6, kPortPower | kPortChanges | kPortWarmReset);
  driver.settle();
  CHECK((driver.port(6) & (kPortResetChange | kPortWarmChange)) == (kPortResetChange | kPortWarmChange));
}

TEST_CASE("commands do what they are for and refuse what makes no sense") {
  Bench bench;
  XhciDriver& driver = bench.driver;
  CHECK(driver.command(TrbType::no_op_command).code() == Code::success);
  CHECK(driver.command(static_cast<TrbType>(40)).code() == Code::trb_error);
  CHECK(driver.command(TrbType::address_device, XhciDriver::kInput, 5U << 24).code() == Code::slot_not_enabled);
  const uint8_t slot = driver.command(TrbType::enable_slot).slot();
  REQUIRE(slot == 1);
  const uint32_t to = uint32_t{slot} << 24;
  CHECK(driver.address(slot, 1).code() == Code::transaction_error);  // the port was not reset
  CHECK(driver.address(slot, 9).code() == Code::parameter);
  CHECK(driver.configure(slot, {}).code() == Code::context_state);
  driver.set_port(1, kPortPower | kPortReset);
  driver.must_event(TrbType::port_event);
  CHECK(driver.address(slot, 1, kTrbBlockSetAddress).code() == Code::success);
  CHECK(driver.slot_phase(slot) == 1);
  CHECK(driver.address(slot, 1).code() == Code::success);
  CHECK(driver.slot_phase(slot) == 2);
  CHECK(driver.endpoint_phase(slot, 1) == 1);
  CHECK(driver.address(slot, 1).code() == Code::context_state);
  const uint8_t other = driver.command(TrbType::enable_slot).slot();
  CHECK(driver.address(other, 1).code() == Code::parameter);  // somebody is there
  CHECK(driver.command(TrbType::disable_slot, 0, uint32_t{other} << 24).code() == Code::success);

  CHECK(driver.configure(slot, {{kBulkIn, 0, 512}}).code() == Code::parameter);
  CHECK(driver.configure(slot, {{kBulkIn, kTypeBulkIn, 0}}).code() == Code::parameter);
  CHECK(driver.configure(slot, {{kBulkIn, kTypeBulkIn, 512}}).code() == Code::success);
  CHECK(driver.slot_phase(slot) == 3);
  CHECK(driver.endpoint_phase(slot, kBulkIn) == 1);
  CHECK(driver.command(TrbType::set_dequeue, 0x5001, to | kBulkIn << 16).code() == Code::context_state);
  CHECK(driver.command(TrbType::reset_endpoint, 0, to | kBulkIn << 16).code() == Code::context_state);
  CHECK(driver.command(TrbType::stop_endpoint, 0, to | kBulkIn << 16).code() == Code::success);
  CHECK(driver.endpoint_phase(slot, kBulkIn) == 3);
  CHECK(driver.command(TrbType::set_dequeue, 0x5001, to | kBulkIn << 16).code() == Code::success);
  CHECK(must(bench.machine.memory->read<uint64_t>(Gpa{XhciDriver::kContexts + 0x1000 + 0x20ULL * kBulkIn + 8})) == 0x5001);
  CHECK(driver.command(TrbType::configure_endpoint, 0, to | kTrbDeconfigure).code() == Code::success);
  CHECK(driver.slot_phase(slot) == 2);
  CHECK(driver.endpoint_phase(slot, kBulkIn) == 0);

  driver.clear_input();
  driver.put_endpoint(slot, 1, kTypeControl, 8);
  driver.word(XhciDriver::kInput + 4, 2);
  CHECK(driver.command(TrbType::evaluate_context, XhciDriver::kInput, to).code() == Code::success);
  CHECK(must(bench.machine.memory->read<uint32_t>(Gpa{XhciDriver::kContexts + 0x1000 + 0x24})) >> 16 == 8);
  CHECK(driver.command(TrbType::reset_device, 0, to).code() == Code::success);
  CHECK(driver.slot_phase(slot) == 1);
  CHECK(driver.command(TrbType::reset_device, 0, to).code() == Code::context_state);
  CHECK(driver.command(TrbType::disable_slot, 0, to).code() == Code::success);
  CHECK(driver.command(TrbType::disable_slot, 0, to).code() == Code::slot_not_enabled);
}

TEST_CASE("slots run out, and a command ring stops and goes on") {
  Bench bench;
  XhciDriver& driver = bench.driver;
  for (uint32_t i = 1; i <= kSlots; ++i) {
    CHECK(driver.command(TrbType::enable_slot).slot() == i);
  }
  CHECK(driver.command(TrbType::enable_slot).code() == Code::no_slots);
  CHECK((driver.operational(kCrcr) & kCrcrRunning) != 0);
  driver.set_operational(kCrcr, kCrcrAbort);
  CHECK(driver.must_event(TrbType::command_event).code() == Code::ring_stopped);
  CHECK((driver.operational(kCrcr) & kCrcrRunning) == 0);
  for (int i = 0; i < 600; ++i) {  // over the link, twice
    REQUIRE(driver.command(TrbType::no_op_command).code() == Code::success);
  }
}

TEST_CASE("standard requests of a device") {
  Bench bench;
  XhciDriver& driver = bench.driver;
  const uint8_t slot = driver.attach(1);
  const auto device = driver.control(slot, 0x80, 6, 0x0100, 0, std::vector<uint8_t>(64));
  CHECK(device.code == Code::success);
  REQUIRE(device.data.size() == 18);
  CHECK((device.data[1] == 1 && device.data[7] == 64 && device.data[8] == 1 && device.data[10] == 2));
  CHECK(driver.control(slot, 0x80, 6, 0x0100, 0, std::vector<uint8_t>(8)).data.size() == 8);
  const auto configuration = driver.control(slot, 0x80, 6, 0x0200, 0, std::vector<uint8_t>(255)).data;
  REQUIRE(configuration.size() == 9 + 9 + 7 + 7);
  CHECK(configuration[2] == configuration.size());
  CHECK(configuration[7] == 0xA0);
  const auto name = driver.control(slot, 0x80, 6, 0x0301, 0x409, std::vector<uint8_t>(255)).data;
  CHECK((name.size() == 18 && name[2] == 'L' && name[16] == 'k'));
  CHECK(driver.control(slot, 0x80, 8, 0, 0, std::vector<uint8_t>(1)).data == std::vector<uint8_t>{0});
  driver.set_up(slot, {{kBulkIn, kTypeBulkIn, 512}});
  CHECK(driver.control(slot, 0x80, 8, 0, 0, std::vector<uint8_t>(1)).data == std::vector<uint8_t>{1});
  CHECK(driver.control(slot, 0, 3, 1, 0, {}).code == Code::success);  // remote wakeup
  CHECK(driver.control(slot, 0x80, 0, 0, 0, std::vector<uint8_t>(2)).data == std::vector<uint8_t>{2, 0});
  CHECK(driver.control(slot, 2, 3, 0, 0x81, {}).code == Code::success);  // an endpoint halts
  CHECK(driver.control(slot, 0x82, 0, 0, 0x81, std::vector<uint8_t>(2)).data == std::vector<uint8_t>{1, 0});
  CHECK(driver.control(slot, 2, 1, 0, 0x81, {}).code == Code::success);
  CHECK(driver.control(slot, 0x82, 0, 0, 0x81, std::vector<uint8_t>(2)).data == std::vector<uint8_t>{0, 0});
  CHECK(driver.control(slot, 0xC0, 9, 20, 0, std::vector<uint8_t>(50)).data.size() == 20);
  CHECK(driver.control(slot, 0x40, 9, 0, 0, {4, 5, 6}).code == Code::success);
  CHECK(bench.device->got == std::vector<uint8_t>{4, 5, 6});
}

TEST_CASE("a request that is refused halts the endpoint until that is cleared") {
  Bench bench;
  XhciDriver& driver = bench.driver;
  const uint8_t slot = driver.attach(1);
  const uint32_t to = uint32_t{slot} << 24 | 1U << 16;
  CHECK(driver.control(slot, 0x80, 6, 0x0600, 0, std::vector<uint8_t>(10)).code == Code::stall);
  CHECK(driver.endpoint_phase(slot, 1) == 2);
  driver.bell(slot, 1);
  CHECK(!driver.event());
  CHECK(driver.command(TrbType::reset_endpoint, 0, to).code() == Code::success);
  const XhciDriver::Ring& ring = driver.ring(slot, 1);
  CHECK(driver.command(TrbType::set_dequeue, ring.at | 1, to).code() == Code::success);
  CHECK(driver.control(slot, 0x80, 6, 0x0100, 0, std::vector<uint8_t>(18)).code == Code::success);
}

TEST_CASE("bulk data goes both ways in pieces of any size, and waits without a timer") {
  Bench bench;
  XhciDriver& driver = bench.driver;
  const uint8_t slot = bench.set_up();
  for (const size_t piece : {SIZE_MAX, size_t{512}, size_t{40960}}) {
    bench.device->piece = piece;
    bench.device->got.clear();
    const auto data = pattern(150000);
    must(bench.machine.memory->write_bytes(Gpa{XhciDriver::kData}, std::as_bytes(std::span(data))));
    driver.queue(slot, kBulkOut, XhciDriver::kData, 65536, kTrbChain);
    driver.queue(slot, kBulkOut, XhciDriver::kData + 65536, 100, kTrbChain);
    const uint64_t last = driver.queue(slot, kBulkOut, XhciDriver::kData + 65636, 150000 - 65636);
    driver.bell(slot, kBulkOut);
    CHECK(bench.machine.run_until([&] { return bench.device->got.size() == data.size(); }));
    const auto sent = driver.must_event(TrbType::transfer_event);
    CHECK((sent.code() == Code::success && sent.trb.parameter == last && sent.length() == 0));
    CHECK((bench.device->got == data));

    const uint64_t to = XhciDriver::kData + 0x80000;
    driver.queue(slot, kBulkIn, to, 65536, kTrbChain);
    driver.queue(slot, kBulkIn, to + 65536, 100, kTrbChain);
    driver.queue(slot, kBulkIn, to + 65636, 65536, kTrbChain);
    const uint64_t end = driver.queue(slot, kBulkIn, to + 131172, 65536);
    driver.bell(slot, kBulkIn);
    CHECK(!driver.event());
    bench.device->send(data);
    std::optional<XhciDriver::Event> got;
    CHECK(bench.machine.run_until([&] { return (got = driver.event()).has_value(); }));
    driver.seen();
    CHECK((got->code() == Code::short_packet && got->length() == 131172 + 65536 - 150000));
    CHECK(got->trb.parameter == end);
    CHECK((driver.memory(to, data.size()) == data));
  }
}

TEST_CASE("a short packet ends the transfer, and one event tells of it") {
  Bench bench;
  XhciDriver& driver = bench.driver;
  const uint8_t slot = bench.set_up();
  const uint64_t buffer = XhciDriver::kData;
  SECTION("in the first of two blocks") {
    const uint64_t first = driver.queue(slot, kBulkIn, buffer, 1024, kTrbChain | kTrbShortEvent);
    driver.queue(slot, kBulkIn, buffer + 1024, 1024);
    const uint64_t next = driver.queue(slot, kBulkIn, buffer + 4096, 512);
    bench.device->to_send = {std::vector<uint8_t>(100, 1), std::vector<uint8_t>(512, 2)};
    driver.bell(slot, kBulkIn);
    auto event = driver.must_event(TrbType::transfer_event);
    CHECK((event.code() == Code::short_packet && event.trb.parameter == first && event.length() == 924));
    event = driver.must_event(TrbType::transfer_event);
    CHECK((event.code() == Code::success && event.trb.parameter == next));
    CHECK(driver.memory(buffer + 4096, 1) == std::vector<uint8_t>{2});
  }
  SECTION("where only the last block wants an event") {
    driver.queue(slot, kBulkIn, buffer, 1024, kTrbChain);
    const uint64_t last = driver.queue(slot, kBulkIn, buffer + 1024, 1024);
    bench.device->to_send = {std::vector<uint8_t>(100, 1)};
    driver.bell(slot, kBulkIn);
    const auto event = driver.must_event(TrbType::transfer_event);
    CHECK((event.code() == Code::short_packet && event.trb.parameter == last && event.length() == 1024));
  }
  SECTION("with an event data block") {
    driver.queue(slot, kBulkIn, buffer, 1024, kTrbChain);
    driver.queue(slot, kBulkIn, buffer + 1024, 1024, kTrbChain);
    driver.put(driver.ring(slot, kBulkIn), TrbType::event_data, 0x1234567890, 0, kTrbEvent);
    bench.device->to_send = {std::vector<uint8_t>(1100, 1)};
    driver.bell(slot, kBulkIn);
    const auto event = driver.must_event(TrbType::transfer_event);
    CHECK((event.trb.parameter == 0x1234567890 && event.length() == 1100));
    CHECK((event.trb.control & kTrbEventData) != 0);
  }
  CHECK(!driver.event());
}

TEST_CASE("an endpoint that stalls, one that is not there, and a port that is off") {
  Bench bench;
  XhciDriver& driver = bench.driver;
  const uint8_t slot = bench.set_up();
  const uint32_t to = uint32_t{slot} << 24;
  bench.device->stalls = true;
  const uint64_t at = driver.queue(slot, kBulkIn, XhciDriver::kData, 512);
  driver.bell(slot, kBulkIn);
  auto event = driver.must_event(TrbType::transfer_event);
  CHECK((event.code() == Code::stall && event.trb.parameter == at && event.length() == 512));
  CHECK(driver.endpoint_phase(slot, kBulkIn) == 2);
  bench.device->stalls = false;
  CHECK(driver.command(TrbType::reset_endpoint, 0, to | kBulkIn << 16).code() == Code::success);
  driver.bell(slot, kBulkIn);
  CHECK(driver.must_event(TrbType::transfer_event).code() == Code::stall);  // the device stalls on
  CHECK(driver.control(slot, 2, 1, 0, 0x81, {}).code == Code::success);
  CHECK(driver.command(TrbType::reset_endpoint, 0, to | kBulkIn << 16).code() == Code::success);
  bench.device->send({1, 2, 3});
  driver.bell(slot, kBulkIn);
  CHECK(driver.must_event(TrbType::transfer_event).code() == Code::short_packet);

  CHECK(driver.configure(slot, {{7, kTypeInterruptIn, 8}}).code() == Code::success);
  driver.queue(slot, 7, XhciDriver::kData, 8);
  driver.bell(slot, 7);
  CHECK(driver.must_event(TrbType::transfer_event).code() == Code::transaction_error);
  driver.set_port(1, kPortPower | kPortEnabled);
  driver.queue(slot, kBulkOut, XhciDriver::kData, 8);
  driver.bell(slot, kBulkOut);
  CHECK(driver.must_event(TrbType::transfer_event).code() == Code::transaction_error);
}

TEST_CASE("a transfer that waits is stopped, and goes on or is forgotten") {
  Bench bench;
  XhciDriver& driver = bench.driver;
  const uint8_t slot = bench.set_up();
  const uint32_t to = uint32_t{slot} << 24 | kBulkIn << 16;
  const uint64_t at = driver.queue(slot, kBulkIn, XhciDriver::kData, 512);
  driver.bell(slot, kBulkIn);
  CHECK(!driver.event());
  // Stop: the transfer's event comes before the command's.
  const auto stop = [&] {
    XhciDriver::Event first{};
    (void)driver.put(driver.commands(), TrbType::stop_endpoint, 0, 0, to);
    driver.bell(0, 0);
    first = driver.must_event(TrbType::transfer_event);
    CHECK(driver.must_event(TrbType::command_event).code() == Code::success);
    return first;
  };
  const auto stopped = stop();
  CHECK((stopped.code() == Code::stopped && stopped.trb.parameter == at && stopped.length() == 512));
  bench.device->send({9});
  CHECK(!driver.event());
  driver.bell(slot, kBulkIn);
  CHECK(driver.must_event(TrbType::transfer_event).code() == Code::short_packet);

  driver.queue(slot, kBulkIn, XhciDriver::kData, 512);
  driver.bell(slot, kBulkIn);
  (void)stop();
  const uint64_t next = driver.ring(slot, kBulkIn).at;
  CHECK(driver.command(TrbType::set_dequeue, next | 1, to).code() == Code::success);
  const uint64_t second = driver.queue(slot, kBulkIn, XhciDriver::kData, 512);
  bench.device->send({9});
  driver.bell(slot, kBulkIn);
  CHECK(driver.must_event(TrbType::transfer_event).trb.parameter == second);
}

TEST_CASE("interrupts follow the events, by line and by message") {
  Bench bench;
  XhciDriver& driver = bench.driver;
  driver.settle();
  CHECK(!bench.interrupt());
  (void)driver.put(driver.commands(), TrbType::no_op_command, 0, 0);
  driver.bell(0, 0);
  driver.settle();
  CHECK(bench.interrupt());
  CHECK((driver.operational(kUsbSts) & kStsEvent) != 0);
  driver.out(kRuntime + kIman, kImanEnabled | kImanPending);
  CHECK(!bench.interrupt());
  (void)driver.put(driver.commands(), TrbType::no_op_command, 0, 0);
  driver.bell(0, 0);
  driver.settle();
  CHECK(!bench.interrupt());  // the guest is busy with the first
  CHECK(driver.event());
  driver.seen();
  CHECK(bench.interrupt());  // and there is another
  CHECK(driver.event());
  driver.out(kRuntime + kIman, kImanEnabled | kImanPending);
  driver.seen();
  CHECK(!bench.interrupt());

  bench.machine.set_config(1, 0x18, 0xF0010000);
  const auto message = [&](uint32_t control) { bench.machine.write(0xF0010000 + 12, control, 4); };
  bench.machine.write(0xF0010000, 0xFEE00000, 4);
  bench.machine.set_config(1, 0x42, 0x8000, 2);
  message(0);
  const int before = bench.machine.msi.vectors.at(0)->triggers;
  CHECK(driver.command(TrbType::no_op_command).code() == Code::success);
  CHECK(bench.machine.msi.vectors.at(0)->triggers == before + 1);
  CHECK((driver.in(kRuntime + kIman) & kImanPending) == 0);
  CHECK(!bench.interrupt());
}

TEST_CASE("an event ring that is full holds everything up, and loses nothing") {
  Bench bench;
  XhciDriver& driver = bench.driver;
  constexpr uint32_t kCommands = XhciDriver::kEventBlocks * 2;
  for (uint32_t i = 0; i < kCommands; ++i) {
    (void)driver.put(driver.commands(), TrbType::no_op_command, 0, 0);
  }
  driver.bell(0, 0);
  uint32_t events = 0;
  while (driver.event()) {
    ++events;
  }
  CHECK(events == XhciDriver::kEventBlocks - 1);
  driver.seen();
  while (driver.event()) {
    ++events;
    driver.seen();
  }
  CHECK(events == kCommands);
}

TEST_CASE("rings that lead nowhere stop, and the loop goes on") {
  Bench bench;
  XhciDriver& driver = bench.driver;
  const uint8_t slot = bench.set_up();
  XhciDriver::Ring& ring = driver.ring(slot, kBulkOut);
  SECTION("a link to itself") {
    driver.put(ring, TrbType::link, ring.at, 0);
    driver.bell(slot, kBulkOut);
    CHECK(driver.must_event(TrbType::transfer_event).code() == Code::trb_error);
    CHECK(driver.endpoint_phase(slot, kBulkOut) == 4);
  }
  SECTION("blocks without an end") {
    const uint64_t base = ring.at;
    driver.put(ring, TrbType::normal, XhciDriver::kData, 64, 0);
    driver.put(ring, TrbType::link, base, 0);
    driver.bell(slot, kBulkOut);
    CHECK(bench.machine.run_until([&] { return bench.controller->counters().back().value != 0; }));
    driver.settle();
    CHECK(bench.device->got.size() == 64ULL * kAllBudget + 64);
  }
  SECTION("a transfer without an end") {
    const uint64_t base = ring.at;
    driver.put(ring, TrbType::normal, XhciDriver::kData, 0, kTrbChain);
    driver.put(ring, TrbType::link, base, 0);
    driver.bell(slot, kBulkOut);
    CHECK(bench.machine.run_until([&] { return bench.controller->counters().back().value != 0; }));
  }
  SECTION("a buffer outside of memory") {
    driver.queue(slot, kBulkOut, uint64_t{1} << 40, 64);
    driver.bell(slot, kBulkOut);
    CHECK(driver.must_event(TrbType::transfer_event).code() == Code::trb_error);
  }
  SECTION("a command ring outside of memory") {
    driver.set_operational(kCrcr, kCrcrStop);
    driver.must_event(TrbType::command_event);
    driver.set_operational(kCrcr, 0xFFFFFFC1);
    driver.set_operational(kCrcr + 4, 0xFF);
    driver.bell(0, 0);
    driver.settle();
    CHECK((driver.operational(kUsbSts) & (kStsSystemError | kStsHalted)) == (kStsSystemError | kStsHalted));
    return;
  }
  CHECK(driver.command(TrbType::no_op_command).code() == Code::success);
}

TEST_CASE("a device that sleeps wakes its host") {
  Bench bench;
  XhciDriver& driver = bench.driver;
  const uint8_t slot = bench.set_up();
  CHECK(driver.control(slot, 0, 3, 1, 0, {}).code == Code::success);
  driver.queue(slot, kBulkIn, XhciDriver::kData, 512);
  driver.bell(slot, kBulkIn);
  driver.settle();
  driver.set_port(1, kPortPower | kLinkU3 << 5 | kPortLinkWrite);
  bench.device->send({1});
  driver.must_event(TrbType::port_event);
  CHECK((driver.port(1) & kPortLinkMask) >> 5 == kLinkResume);
  CHECK(!driver.event());
  driver.set_port(1, kPortPower | kPortChanges | kLinkU0 << 5 | kPortLinkWrite);
  driver.must_event(TrbType::port_event);
  CHECK(driver.must_event(TrbType::transfer_event).code() == Code::short_packet);
}

TEST_CASE("a transfer goes on where it was after a save") {
  Bench first;
  const uint8_t slot = first.set_up();
  const auto data = pattern(100000);
  must(first.machine.memory->write_bytes(Gpa{XhciDriver::kData}, std::as_bytes(std::span(data))));
  first.driver.queue(slot, kBulkOut, XhciDriver::kData, 65536, kTrbChain);
  first.driver.queue(slot, kBulkOut, XhciDriver::kData + 65536, 100000 - 65536);
  first.driver.queue(slot, kBulkIn, XhciDriver::kData + 0x80000, 512);
  first.driver.bell(slot, kBulkIn);
  first.driver.settle();
  first.device->piece = 1024;
  first.driver.bell(slot, kBulkOut);
  REQUIRE(first.machine.run_until([&] { return !first.device->got.empty(); }));
  const StateBytes saved = first.save();
  REQUIRE(first.device->got.size() < data.size());

  const StateReader reader = must(StateReader::parse(saved));
  auto device = std::make_shared<Loopback>("loop0");
  must(device->load(reader));
  device->got = first.device->got;
  Bench second(device, &reader);
  first.copy_memory_to(second);
  second.driver.follow(first.driver);
  CHECK((second.save() == saved));
  second.controller->resume();
  CHECK(second.machine.run_until([&] { return device->got.size() == data.size(); }));
  CHECK((device->got == data));
  CHECK(second.driver.must_event(TrbType::transfer_event).code() == Code::success);
  device->send({5});
  const auto event = second.driver.must_event(TrbType::transfer_event);
  CHECK((event.code() == Code::short_packet && event.endpoint() == kBulkIn));
}

TEST_CASE("states that make no sense are refused") {
  const auto refused = [](const std::function<void(XhciState&)>& spoil) {
    TestMachine machine;
    XhciState state;
    state.ports.resize(8);
    XhciEndpointState endpoint{.id = 3, .phase = EndpointPhase::running};
    endpoint.context[1] = 512U << 16;
    state.slots.push_back({.id = 1, .endpoints = {endpoint}});
    spoil(state);
    StateWriter out;
    out.put("usb0", PciState{.msix = {.entries = {{}}}});
    out.put("usb0", state);
    const auto reader = must(StateReader::parse(out.bytes()));
    return !Xhci::create({}, *machine.env, &reader);
  };
  CHECK(!refused([](XhciState&) {}));
  CHECK(refused([](XhciState& state) { state.ports.resize(7); }));
  CHECK(refused([](XhciState& state) { state.slots[0].id = 33; }));
  CHECK(refused([](XhciState& state) { state.slots.push_back(state.slots[0]); }));
  CHECK(refused([](XhciState& state) { state.slots[0].port = 9; }));
  CHECK(refused([](XhciState& state) { state.slots[0].endpoints[0].id = 32; }));
  CHECK(refused([](XhciState& state) { state.slots[0].endpoints[0].id = 0; }));
  CHECK(refused([](XhciState& state) { state.slots[0].endpoints[0].context[1] = 0; }));
  CHECK(refused([](XhciState& state) { state.events.resize(kMaxEvents + 1); }));
  CHECK(refused([](XhciState& state) { state.segment_at = 5000; }));
}

}  // namespace
}  // namespace lodge::test
