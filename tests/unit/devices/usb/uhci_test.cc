// The UHCI controller against the design guide 1.1: registers, ports, the schedule's rules, what descriptors say afterwards,
// and a tablet and a disk behind it.
#include "tests/unit/devices/usb/uhci_driver.h"

#include <sys/mman.h>
#include <unistd.h>

#include "devices/block/raw.h"
#include "devices/usb/hid/device.h"
#include "devices/usb/hid/pointer.h"
#include "devices/usb/storage/device.h"

namespace lodge::test {
namespace {

using namespace uhci;  // NOLINT(google-build-using-namespace): the names of the document
using Bytes = UhciBench::Bytes;

std::shared_ptr<UsbDevice> tablet(const StateReader* saved = nullptr) {
  return must(create_usb_hid({"tablet0", UsbHidKind::tablet, {}}, saved));
}

UsbTablet& as_tablet(UhciBench& bench) { return dynamic_cast<UsbTablet&>(*bench.controller->devices()[0].device); }

TEST_CASE("a UHCI controller is what drivers look for") {
  UhciBench bench({{1, tablet()}});
  CHECK(bench.machine.config(1, 0x00) == 0x70208086);
  CHECK(bench.machine.config(1, 0x08) >> 8 == 0x0C0300);
  CHECK(bench.machine.config(1, 0x60, 1) == 0x10);
  CHECK(bench.machine.config(1, 0xC0, 2) == 0x2000);
  CHECK(bench.in(kCommand) == 0);
  CHECK(bench.in(kStatus) == kStsHalted);
  CHECK(bench.in(kInterrupts) == 0);
  CHECK(bench.in(kFrame) == 0);
  CHECK(bench.machine.in(UhciBench::kBase + kList, 4) == 0);
  CHECK(bench.machine.in(UhciBench::kBase + kSof, 1) == 0x40);
  CHECK(bench.port(1) == (kPortAlwaysOne | kPortLineIdle | kPortConnected | kPortConnectChange));
  CHECK(bench.port(2) == kPortAlwaysOne);
  CHECK(bench.port(3) == 0);  // by the missing bit drivers know that there are no more
}

TEST_CASE("UHCI registers keep what can be written, at any width") {
  UhciBench bench({{1, tablet()}});
  bench.machine.out(UhciBench::kBase + kList, 0x12345FFF, 4);
  CHECK(bench.machine.in(UhciBench::kBase + kList, 4) == 0x12345000);
  bench.machine.out(UhciBench::kBase + kList + 2, 0x89, 1);
  CHECK(bench.machine.in(UhciBench::kBase + kList, 4) == 0x12895000);
  bench.out(kFrame, 0xFFFF);
  CHECK(bench.in(kFrame) == 0x7FF);
  bench.out(kInterrupts, 0xFFFF);
  CHECK(bench.in(kInterrupts) == 0x0F);
  bench.machine.out(UhciBench::kBase + kSof, 0xFF, 1);
  CHECK(bench.machine.in(UhciBench::kBase + kSof, 1) == 0x7F);
  bench.out(kCommand, kCmdReset);
  CHECK(bench.in(kCommand) == 0);
  CHECK(bench.in(kInterrupts) == 0);
  CHECK(bench.machine.in(UhciBench::kBase + kList, 4) == 0);
  // A byte of a port leaves the changes in the other byte, and those it does not name.
  bench.machine.out(UhciBench::kBase + kPorts + 1, 0x10, 1);
  CHECK((bench.port() & (kPortConnectChange | kPortSuspended)) == (kPortConnectChange | kPortSuspended));
}

TEST_CASE("frames are counted while the controller runs, and only then") {
  UhciBench bench({});
  bench.frames(5);
  CHECK(bench.in(kFrame) == 0);
  bench.run();
  CHECK(bench.in(kStatus) == 0);
  const uint16_t first = bench.in(kFrame);
  bench.frames(10);
  CHECK(bench.in(kFrame) == first + 10);
  bench.out(kFrame, 0);  // not while it runs
  CHECK(bench.in(kFrame) == first + 10);
  bench.time += std::chrono::milliseconds(3000);  // the host was away: the count is right all the same
  bench.frames();
  CHECK(bench.in(kFrame) == ((first + 3011) & 0x7FF));
  bench.out(kCommand, 0);
  CHECK(bench.in(kStatus) == kStsHalted);
  bench.frames(5);
  CHECK(bench.in(kFrame) == ((first + 3011) & 0x7FF));
}

TEST_CASE("a UHCI port is reset, enabled, disabled and suspended") {
  UhciBench bench({{2, tablet()}});
  bench.set_port(kPortEnabled, 1);  // nobody there
  CHECK((bench.port(1) & kPortEnabled) == 0);
  bench.set_port(kPortReset, 2);
  CHECK((bench.port(2) & (kPortReset | kPortEnabled | kPortLineIdle)) == kPortReset);
  bench.machine.turn();
  bench.set_port(0, 2);
  CHECK((bench.port(2) & (kPortReset | kPortEnabled)) == 0);
  bench.set_port(kPortEnabled | kPortConnectChange, 2);
  CHECK((bench.port(2) & (kPortEnabled | kPortConnectChange)) == kPortEnabled);
  bench.set_port(kPortEnabled | kPortSuspended, 2);
  CHECK((bench.port(2) & kPortSuspended) != 0);
  bench.set_port(kPortEnabled | kPortSuspended | kPortResume, 2);
  CHECK((bench.port(2) & (kPortSuspended | kPortResume)) == (kPortSuspended | kPortResume));
  bench.set_port(kPortEnabled | kPortSuspended, 2);  // the end of resuming wakes the port
  CHECK((bench.port(2) & (kPortSuspended | kPortResume)) == 0);
}

TEST_CASE("a tablet is enumerated and reports through UHCI") {
  UhciBench bench({{1, tablet()}});
  bench.run();
  bench.reset_port();
  const auto device = bench.request(0, 0x80, usb::kGetDescriptor, 0x0100, 0, Bytes(18));
  REQUIRE(device);
  REQUIRE(device->size() == 18);
  CHECK((*device)[1] == usb::kDeviceDescriptor);
  CHECK((*device)[7] == 64);  // packets of the control endpoint
  bench.enumerate(5);
  CHECK(!bench.request(0, 0x80, usb::kGetDescriptor, 0x0100, 0, Bytes(18)));  // no more at address 0
  const auto configuration = bench.request(5, 0x80, usb::kGetDescriptor, 0x0200, 0, Bytes(255));
  REQUIRE(configuration);
  CHECK(configuration->size() == 34);                                                 // ended by a short packet
  CHECK(!bench.request(5, 0x80, usb::kGetDescriptor, 0x0F00, 0, Bytes(5)));           // stalls
  CHECK(bench.request(5, 0x80, usb::kGetConfiguration, 0, 0, Bytes(1)) == Bytes{1});  // and works again
  CHECK(!bench.receive(5, 1, 8));
  CHECK((bench.control(0) & (kTdActive | kTdNak)) == (kTdActive | kTdNak));
  as_tablet(bench).place(0x1234, 0x7FFF, 0, 0);
  CHECK(bench.receive(5, 1, 8) == Bytes{0, 0x34, 0x12, 0xFF, 0x7F, 0});
}

TEST_CASE("UHCI interrupts by completion, short packets and errors, as they are asked for") {
  UhciBench bench({{1, tablet()}});
  bench.run();
  bench.enumerate(5);
  bench.out(kStatus, 0x1F);
  const auto descriptor = [&](uint32_t flags) {
    bench.put(0, {0x80, usb::kGetDescriptor, 0, 1, 0, 0, 64, 0});
    bench.td(0, kPidSetup, 5, 0, 8, bench.td_at(1) | kLinkDepth);
    bench.td(1, kPidIn, 5, 0, 64, bench.td_at(2) | kLinkDepth, flags);
    bench.td(2, kPidOut, 5, 0, 0, kLinkEnd);
    bench.queue(bench.td_at(0));
    bench.frames(3);
  };
  descriptor(0);
  CHECK((bench.control(2) & kTdActive) == 0);  // the whole queue in one frame
  CHECK(bench.in(kStatus) == 0);
  CHECK(!bench.interrupt());
  descriptor(kTdComplete);
  CHECK(bench.in(kStatus) == kStsInterrupt);
  CHECK(!bench.interrupt());
  bench.out(kInterrupts, kIntComplete);
  CHECK(bench.interrupt());
  bench.out(kStatus, kStsInterrupt);
  CHECK(!bench.interrupt());
  bench.out(kInterrupts, kIntShort);
  descriptor(kTdComplete);
  CHECK(!bench.interrupt());
  bench.out(kStatus, kStsInterrupt);
  descriptor(kTdShort);
  CHECK(bench.interrupt());
  CHECK(bench.length(1) == 18);
  CHECK((bench.control(1) & kTdActive) == 0);
  CHECK((bench.word(UhciBench::kQueue + 4) & kLinkMask) == bench.td_at(1));  // the queue stands where it was short
  CHECK((bench.control(2) & kTdActive) != 0);
  bench.out(kStatus, 0x1F);
  // Nobody answers: three errors, then it is over.
  bench.out(kInterrupts, kIntError);
  bench.td(0, kPidIn, 77, 1, 8, kLinkEnd);
  bench.queue(bench.td_at(0));
  bench.frames(1);
  CHECK((bench.control(0) & (kTdActive | kTdTimeout | kTdErrors)) == (kTdActive | kTdTimeout | 2U << kTdErrorShift));
  CHECK(!bench.interrupt());
  bench.frames(2);
  CHECK((bench.control(0) & (kTdActive | kTdStalled | kTdTimeout | kTdErrors)) == (kTdStalled | kTdTimeout));
  CHECK(bench.interrupt());
  bench.out(kStatus, kStsError);
  CHECK(!bench.interrupt());
}

TEST_CASE("the UHCI schedule goes by depth or by breadth, and a loop of queues ends") {
  UhciBench bench({{1, tablet()}});
  bench.run();
  bench.enumerate(5);
  constexpr uint32_t kSecond = UhciBench::kQueue + 0x40;
  // By breadth: one of each queue, and again as the queues are a loop.
  for (uint32_t i = 0; i < 4; ++i) {
    bench.put(i, {0x00, usb::kSetConfiguration, 1, 0, 0, 0, 0, 0});
    bench.td(i, kPidSetup, 5, 0, 8, i % 2 == 0 ? bench.td_at(i + 1) : kLinkEnd);
  }
  bench.queue(bench.td_at(0), kSecond | kLinkQueue);
  bench.queue(bench.td_at(2), UhciBench::kQueue | kLinkQueue, kSecond);
  bench.frames();
  for (uint32_t i = 0; i < 4; ++i) {
    CHECK((bench.control(i) & kTdActive) == 0);
  }
  CHECK(bench.word(kSecond + 4) == kLinkEnd);
  // More than a frame has room for waits for the next one.
  for (uint32_t i = 0; i < 80; ++i) {
    bench.put(i, {0x00, usb::kSetConfiguration, 1, 0, 0, 0, 0, 0});
    bench.td(i, kPidSetup, 5, 0, 8, i < 79 ? bench.td_at(i + 1) | kLinkDepth : kLinkEnd);
  }
  bench.queue(bench.td_at(0));
  bench.frames();
  CHECK((bench.control(0) & kTdActive) == 0);
  CHECK((bench.control(79) & kTdActive) != 0);
  bench.frames();
  CHECK((bench.control(79) & kTdActive) == 0);
}

TEST_CASE("a UHCI schedule that makes no sense stops the controller") {
  UhciBench bench({{1, tablet()}});
  SECTION("a list that is not in memory") {
    bench.machine.out(UhciBench::kBase + kList, 0xFFFFF000, 4);
    bench.out(kCommand, kCmdRun);
    bench.frames();
    CHECK(bench.in(kStatus) == (kStsHalted | kStsSystemError));
  }
  SECTION("a queue head that is not in memory") {
    bench.queue(0xFFFFFFF0 | kLinkQueue);
    bench.run();
    bench.frames();
    CHECK(bench.in(kStatus) == (kStsHalted | kStsSystemError));
  }
  SECTION("a packet of no kind") {
    bench.td(0, 0x42, 5, 0, 8, kLinkEnd);
    bench.queue(bench.td_at(0));
    bench.run();
    bench.frames();
    CHECK(bench.in(kStatus) == (kStsHalted | kStsProcessError));
  }
  SECTION("a packet that is too long") {
    bench.td(0, kPidIn, 5, 0, 1281, kLinkEnd);
    bench.queue(bench.td_at(0));
    bench.run();
    bench.frames();
    CHECK(bench.in(kStatus) == (kStsHalted | kStsProcessError));
  }
  CHECK(bench.interrupt());
  CHECK((bench.in(kCommand)&kCmdRun) == 0);
  bench.out(kStatus, 0x1F);
  CHECK(!bench.interrupt());
}

TEST_CASE("a tablet wakes a UHCI bus that sleeps") {
  UhciBench bench({{1, tablet()}});
  bench.run();
  bench.enumerate(5);
  bench.out(kInterrupts, kIntResume);
  bench.out(kStatus, 0x1F);
  bench.set_port(kPortEnabled | kPortSuspended);
  as_tablet(bench).place(1, 1, 0, 0);
  bench.machine.turn();
  CHECK(!bench.interrupt());  // it was not asked to wake anybody
  bench.set_port(kPortEnabled);
  REQUIRE(bench.request(5, 0x00, usb::kSetFeature, usb::kFeatureRemoteWakeup, 0, {}));
  bench.out(kStatus, 0x1F);
  bench.set_port(kPortEnabled | kPortSuspended);
  as_tablet(bench).place(2, 2, 0, 0);
  bench.machine.turn();
  CHECK(bench.in(kStatus) == kStsResume);
  CHECK(bench.interrupt());
  CHECK((bench.port() & (kPortSuspended | kPortResume)) == (kPortSuspended | kPortResume));
}

TEST_CASE("UHCI goes on after a save in the middle of a request") {
  UhciBench before({{1, tablet()}});
  before.run();
  before.enumerate(5);
  before.put(0, {0x80, usb::kGetDescriptor, 0, 1, 0, 0, 18, 0});
  before.td(0, kPidSetup, 5, 0, 8, before.td_at(1) | kLinkDepth);
  before.td(1, kPidIn, 5, 0, 8, kLinkEnd);
  before.queue(before.td_at(0));
  before.frames(2);
  REQUIRE((before.control(1) & kTdActive) == 0);
  const uint16_t frame = before.in(kFrame);
  const StateBytes bytes = before.save();
  const StateReader saved = must(StateReader::parse(bytes));
  UhciBench after({{1, tablet(&saved)}}, &saved);
  before.copy_memory_to(after);
  after.controller->resume();
  after.machine.turn();
  CHECK(after.in(kFrame) >= frame);
  CHECK((after.port() & kPortEnabled) != 0);
  after.td(0, kPidIn, 5, 0, 8, after.td_at(1) | kLinkDepth);
  after.td(1, kPidIn, 5, 0, 8, after.td_at(2) | kLinkDepth);
  after.td(2, kPidOut, 5, 0, 0, kLinkEnd);
  after.queue(after.td_at(0));
  after.frames(2);
  CHECK((after.control(2) & (kTdActive | kTdStalled)) == 0);
  CHECK(after.length(0) == 8);
  CHECK(after.length(1) == 2);  // 18 in all
}

TEST_CASE("UHCI states that no controller has are refused") {
  const auto refused = [](const std::function<void(UhciState&)>& change) {
    UhciBench bench({{1, tablet()}});
    const StateBytes bytes = bench.save();
    const StateReader good = must(StateReader::parse(bytes));
    auto state = must(good.get<UhciState>("usb0"));
    change(state);
    StateWriter out;
    out.put("usb0", must(good.get<PciState>("usb0")));
    out.put("usb0", state);
    const StateBytes changed = out.bytes();
    const StateReader bad = must(StateReader::parse(changed));
    TestMachine machine;
    Uhci::Options options;
    options.devices = {{1, tablet()}};
    return !Uhci::create(std::move(options), *machine.env, &bad);
  };
  CHECK(!refused([](UhciState&) {}));
  CHECK(refused([](UhciState& state) { state.ports.resize(1); }));
  CHECK(refused([](UhciState& state) { state.frame = 0x800; }));
  CHECK(refused([](UhciState& state) { state.list = 1; }));
  CHECK(refused([](UhciState& state) { state.command = kCmdRun; }));  // and halted
  CHECK(refused([](UhciState& state) { state.ports[0].control.at = 1; }));
  CHECK(refused([](UhciState& state) { state.ports[0].part.resize(1281); }));
  CHECK(refused([](UhciState& state) { state.ports[0].control.phase = static_cast<UhciControlPhase>(3); }));
}

TEST_CASE("devices that cannot be at a UHCI port are refused") {
  TestMachine machine;
  const auto tried = [&](std::vector<UsbPlug> plugs) {
    Uhci::Options options;
    options.devices = std::move(plugs);
    const auto made = Uhci::create(std::move(options), *machine.env, nullptr);
    return made ? std::string() : made.error().message;
  };
  CHECK(tried({{3, tablet()}}).find("no port 3") != std::string::npos);
  CHECK(tried({{1, tablet()}, {1, tablet()}}).find("port 1 is taken") != std::string::npos);
}

// A disk of 64 KiB whose bytes tell where they are.
std::shared_ptr<UsbDevice> disk(bool full_speed) {
  const int fd = ::memfd_create("disk", MFD_CLOEXEC);
  Bytes image(64 * 1024);
  for (size_t i = 0; i < image.size(); ++i) {
    image[i] = static_cast<uint8_t>(i / 512 + i);
  }
  REQUIRE(::pwrite(fd, image.data(), image.size(), 0) == static_cast<ssize_t>(image.size()));
  RawOptions raw;
  raw.fd = Fd(fd);
  raw.lock = false;
  UsbStorageOptions options;
  options.id = "disk0";
  options.backend = must(open_raw(std::move(raw)));
  options.full_speed = full_speed;
  return must(UsbStorage::create(std::move(options), nullptr));
}

Bytes command(uint32_t length, bool in, Bytes cdb) {
  Bytes block{0x55, 0x53, 0x42, 0x43, 1, 2, 3, 4};
  for (int i = 0; i < 4; ++i) {
    block.push_back(static_cast<uint8_t>(length >> (8 * i)));
  }
  block.push_back(in ? 0x80 : 0);
  block.push_back(0);
  block.push_back(static_cast<uint8_t>(cdb.size()));
  cdb.resize(16);
  block.insert(block.end(), cdb.begin(), cdb.end());
  return block;
}

TEST_CASE("a disk is read and written through UHCI in packets of 64 bytes") {
  UhciBench bench({{1, disk(true)}});
  bench.run();
  bench.enumerate(9);
  constexpr uint8_t kIn = 1;
  constexpr uint8_t kOut = 2;
  const auto read_blocks = [&](uint8_t first, uint8_t count) {
    REQUIRE(bench.send(9, kOut, command(count * 512U, true, {0x28, 0, 0, 0, 0, first, 0, 0, count, 0})));
    Bytes all;
    while (all.size() < count * 512U) {
      const auto part = bench.receive(9, kIn, 64, UhciBench::kDisk);
      REQUIRE(part);
      REQUIRE(part->size() == 64);
      all.insert(all.end(), part->begin(), part->end());
    }
    const auto status = bench.receive(9, kIn, 13, UhciBench::kDisk);
    REQUIRE(status);
    REQUIRE(status->size() == 13);
    CHECK((*status)[12] == 0);
    return all;
  };
  const Bytes two = read_blocks(3, 2);
  CHECK(two[0] == static_cast<uint8_t>(3 + 3 * 512));
  CHECK(two[1023] == static_cast<uint8_t>(4 + 4 * 512 + 511));
  REQUIRE(bench.send(9, kOut, command(512, false, {0x2A, 0, 0, 0, 0, 7, 0, 0, 1, 0})));
  for (uint8_t i = 0; i < 8; ++i) {
    REQUIRE(bench.send(9, kOut, Bytes(64, static_cast<uint8_t>(0xA0 + i))));
  }
  const auto status = bench.receive(9, kIn, 13, UhciBench::kDisk);
  REQUIRE(status);
  CHECK((*status)[12] == 0);
  const Bytes back = read_blocks(7, 1);
  CHECK(back[0] == 0xA0);
  CHECK(back[511] == 0xA7);
  TestMachine machine;
  Uhci::Options options;
  options.devices = {{1, disk(false)}};
  CHECK(!Uhci::create(std::move(options), *machine.env, nullptr));  // one of USB 3.0
}

}  // namespace
}  // namespace lodge::test
