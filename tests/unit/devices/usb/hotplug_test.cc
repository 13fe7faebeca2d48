// USB devices that come and go while the guest runs, under both controllers.
#include <sys/mman.h>
#include <unistd.h>

#include "devices/block/raw.h"
#include "devices/usb/hid/pointer.h"
#include "devices/usb/storage/device.h"
#include "tests/unit/devices/usb/uhci_driver.h"
#include "tests/unit/devices/usb/xhci_driver.h"

namespace lodge::test {
namespace {

using Bytes = std::vector<uint8_t>;
using xhci::Code;
using xhci::TrbType;

constexpr uint32_t kReports = 3;  // endpoint 1 of a tablet, as xHCI numbers it
constexpr uint32_t kBulkIn = 3;
constexpr uint32_t kBulkOut = 4;

std::shared_ptr<UsbDevice> tablet(std::string id = "tablet0") {
  return must(create_usb_hid({std::move(id), UsbHidKind::tablet, {}}, nullptr));
}

// Requests wait until the test lets them go on.
class HeldQueue final : public BlockQueue {
 public:
  HeldQueue(std::unique_ptr<BlockQueue> inner, std::vector<std::function<void()>>& held, bool& gone)
      : inner_(std::move(inner)), held_(held), gone_(gone) {}
  ~HeldQueue() override { gone_ = true; }
  void submit(BlockRequest& request) override {
    held_.emplace_back([this, &request] { inner_->submit(request); });
  }
  [[nodiscard]] uint32_t in_flight() const override { return static_cast<uint32_t>(held_.size()) + inner_->in_flight(); }

 private:
  std::unique_ptr<BlockQueue> inner_;
  std::vector<std::function<void()>>& held_;
  bool& gone_;
};

class HeldBackend final : public BlockBackend {
 public:
  struct Watch {
    std::vector<std::function<void()>> held;
    bool queue_gone = false;
    bool given_up = false;
  };
  HeldBackend(std::unique_ptr<BlockBackend> inner, Watch& watch) : inner_(std::move(inner)), watch_(watch) {}
  [[nodiscard]] BlockInfo info() const override { return inner_->info(); }
  [[nodiscard]] Result<std::unique_ptr<BlockQueue>> open_queue(EventLoop& loop) override {
    return std::make_unique<HeldQueue>(TRY(inner_->open_queue(loop)), watch_.held, watch_.queue_gone);
  }
  [[nodiscard]] Result<void> resize(uint64_t size) override { return inner_->resize(size); }
  void give_up() override { watch_.given_up = true; }

 private:
  std::unique_ptr<BlockBackend> inner_;
  Watch& watch_;
};

struct Disk {
  Disk() : image(::memfd_create("image", MFD_CLOEXEC)) {
    REQUIRE(::ftruncate(image.get(), 64 * 1024) == 0);
    RawOptions raw;
    raw.fd = must(image.duplicate());
    raw.lock = false;
    UsbStorageOptions options;
    options.id = "disk0";
    options.backend = std::make_unique<HeldBackend>(must(open_raw(std::move(raw))), watch);
    device = must(UsbStorage::create(std::move(options), nullptr));
  }
  uint8_t first_byte() const {
    uint8_t byte = 0;
    REQUIRE(::pread(image.get(), &byte, 1, 0) == 1);
    return byte;
  }
  void let_go() {
    for (const auto& submit : std::exchange(watch.held, {})) {
      submit();
    }
  }
  HeldBackend::Watch watch;
  Fd image;
  std::shared_ptr<UsbDevice> device;
};

Bytes write_command(uint32_t bytes) {
  Bytes block(31);
  const std::array<uint32_t, 3> head{0x43425355, 1, bytes};
  std::memcpy(block.data(), head.data(), sizeof head);
  block[14] = 10;
  block[15] = 0x2A;
  block[23] = static_cast<uint8_t>(bytes / 512);
  return block;
}

// The guest takes note of what came to a port.
void note_port(XhciDriver& driver, uint32_t port) {
  CHECK(driver.must_event(TrbType::port_event).trb.parameter >> 24 == port);
  driver.set_port(port, xhci::kPortPower | xhci::kPortChanges);
}

TEST_CASE("a device comes to an xHCI port, works, and goes") {
  using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document
  XhciBench bench({});
  XhciDriver& driver = bench.driver;
  CHECK(driver.port(2) == (kLinkDetect << 5 | kPortPower));
  driver.set_port(2, kPortPower | kPortWakes);
  must(bench.controller->add_device({2, tablet()}));
  CHECK(driver.port(2) == (kPortConnected | kLinkPolling << 5 | kPortPower | 1U << 10 | kPortConnectChange | kPortWakes));
  note_port(driver, 2);
  const uint8_t slot = driver.attach(2);
  driver.set_up(slot, {{kReports, kTypeInterruptIn, 8}});
  const uint64_t first = driver.queue(slot, kReports, XhciDriver::kData, 8);
  driver.queue(slot, kReports, XhciDriver::kData + 64, 8);
  driver.bell(slot, kReports);
  dynamic_cast<UsbTablet&>(*bench.controller->devices()[0].device).place(5, 6, 0, 0);
  const auto report = driver.must_event(TrbType::transfer_event);
  CHECK((report.code() == Code::short_packet && report.trb.parameter == first));

  bool done = false;
  auto gone = must(bench.controller->remove_device("tablet0", [&done] { done = true; }));
  CHECK(bench.controller->devices().empty());
  CHECK(driver.port(2) == (kLinkDetect << 5 | kPortPower | kPortConnectChange));
  note_port(driver, 2);
  const auto failed = driver.must_event(TrbType::transfer_event);
  CHECK((failed.code() == Code::transaction_error && failed.trb.parameter == first + 16 && failed.slot() == slot));
  CHECK(done);
  CHECK(gone.use_count() == 1);
  gone.reset();
  // The slot is the guest's until it disables it.
  CHECK(driver.slot_phase(slot) == static_cast<uint32_t>(SlotPhase::configured));
  CHECK(driver.endpoint_phase(slot, kReports) == static_cast<uint32_t>(EndpointPhase::halted));
  CHECK(driver.control(slot, 0x80, 0, 0, 0, Bytes(2)).code == Code::transaction_error);
  CHECK(driver.command(TrbType::reset_endpoint, 0, uint32_t{slot} << 24 | 1U << 16).code() == Code::success);
  CHECK(!bench.controller->remove_device("tablet0", [] {}));
  const uint8_t other = driver.command(TrbType::enable_slot).slot();
  CHECK(driver.address(other, 2).code() == Code::transaction_error);
  CHECK(driver.command(TrbType::disable_slot, 0, uint32_t{slot} << 24).code() == Code::success);
}

TEST_CASE("the slot of a device that has gone does not reach the one that came after it") {
  using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document
  XhciBench bench({{1, tablet()}});
  XhciDriver& driver = bench.driver;
  const uint8_t slot = driver.attach(1);
  driver.set_up(slot, {{kReports, kTypeInterruptIn, 8}});
  (void)must(bench.controller->remove_device("tablet0", [] {}));
  must(bench.controller->add_device({1, tablet("tablet1")}));
  note_port(driver, 1);
  const uint8_t other = driver.attach(1);
  CHECK(other != slot);
  driver.set_up(other, {{kReports, kTypeInterruptIn, 8}});
  driver.queue(slot, kReports, XhciDriver::kData, 8);
  driver.bell(slot, kReports);
  CHECK(driver.must_event(TrbType::transfer_event).code() == Code::transaction_error);
  driver.queue(other, kReports, XhciDriver::kData, 8);
  driver.bell(other, kReports);
  CHECK(!driver.event());
  dynamic_cast<UsbTablet&>(*bench.controller->devices()[0].device).place(1, 1, 0, 0);
  CHECK(driver.must_event(TrbType::transfer_event).slot() == other);
  // What was the first one's may become another's, by a new address.
  (void)must(bench.controller->remove_device("tablet1", [] {}));
  must(bench.controller->add_device({1, tablet("tablet2")}));
  note_port(driver, 1);
  driver.set_port(1, kPortPower | kPortReset);
  driver.settle();
  note_port(driver, 1);
  CHECK(driver.command(TrbType::reset_device, 0, uint32_t{slot} << 24).code() == Code::success);
  CHECK(driver.address(slot, 1).code() == Code::success);
  CHECK(driver.control(slot, 0x80, 0, 0, 0, Bytes(2)).code == Code::success);
}

TEST_CASE("a device that goes while its xHCI port is being reset ends the reset") {
  using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document
  XhciBench bench({{1, tablet()}});
  XhciDriver& driver = bench.driver;
  driver.set_port(1, kPortPower | kPortChanges | kPortReset);
  CHECK((driver.port(1) & kPortReset) != 0);
  (void)must(bench.controller->remove_device("tablet0", [] {}));
  driver.settle();
  CHECK(driver.port(1) == (kLinkDetect << 5 | kPortPower | kPortConnectChange | kPortResetChange));
}

TEST_CASE("ports that are not there or taken, and devices that are too fast, are refused live, too") {
  XhciBench bench({{1, tablet()}});
  CHECK(bench.controller->add_device({1, tablet("b")}).error().message == "USB device 'b': port 1 is taken; choose another");
  CHECK(bench.controller->add_device({5, tablet("b")}).error().message ==
        "USB device 'b': there is no port 5; the controller has 1 to 4");
  CHECK(bench.controller->devices().size() == 1);
  UhciBench uhci({});
  CHECK(uhci.controller->add_device({1, Disk().device}).error().message == "USB device 'disk0' is not one of full speed");
}

TEST_CASE("xHCI goes on after a save with the devices that are there then") {
  using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document
  XhciBench first({{1, tablet()}});
  const uint8_t slot = first.driver.attach(1);
  first.driver.set_up(slot, {{kReports, kTypeInterruptIn, 8}});
  (void)must(first.controller->remove_device("tablet0", [] {}));
  must(first.controller->add_device({2, tablet("tablet1")}));
  const StateBytes saved = first.save();
  const StateReader reader = must(StateReader::parse(saved));
  CHECK(!reader.get<UsbDeviceState>("tablet0"));
  XhciBench second({{2, must(create_usb_hid({"tablet1", UsbHidKind::tablet, {}}, &reader))}}, &reader);
  first.copy_memory_to(second);
  second.driver.follow(first.driver);
  CHECK((second.save() == saved));
  second.controller->resume();
  note_port(second.driver, 1);
  note_port(second.driver, 2);
  CHECK(second.driver.control(slot, 0x80, 0, 0, 0, Bytes(2)).code == Code::transaction_error);
  must(second.controller->add_device({1, tablet()}));
  note_port(second.driver, 1);
  CHECK(second.driver.attach(1) != slot);
}

TEST_CASE("a disk that goes finishes what is in flight, and then lets go of its image") {
  using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document
  Disk disk;
  XhciBench bench({});
  XhciDriver& driver = bench.driver;
  must(bench.controller->add_device({1, disk.device}));
  note_port(driver, 5);
  const uint8_t slot = driver.attach(5);
  driver.set_up(slot, {{kBulkIn, kTypeBulkIn, 1024}, {kBulkOut, kTypeBulkOut, 1024}});
  const Bytes command = write_command(512);
  must(bench.machine.memory->write_bytes(Gpa{XhciDriver::kData}, std::as_bytes(std::span(command))));
  must(bench.machine.memory->fill(Gpa{XhciDriver::kData + 4096}, 512, std::byte{0x5A}));
  driver.queue(slot, kBulkOut, XhciDriver::kData, 31);
  driver.queue(slot, kBulkOut, XhciDriver::kData + 4096, 512);
  driver.queue(slot, kBulkIn, XhciDriver::kData + 8192, 13);
  driver.bell(slot, kBulkOut);
  driver.bell(slot, kBulkIn);
  CHECK(driver.must_event(TrbType::transfer_event).code() == Code::success);
  CHECK(driver.must_event(TrbType::transfer_event).code() == Code::success);
  REQUIRE(disk.watch.held.size() == 1);

  bool done = false;
  auto gone = must(bench.controller->remove_device("disk0", [&done] { done = true; }));
  note_port(driver, 5);
  CHECK(driver.must_event(TrbType::transfer_event).code() == Code::transaction_error);  // the status never came
  bool quiet = false;
  bench.controller->quiesce([&quiet] { quiet = true; });
  driver.settle();
  CHECK_FALSE((done || quiet || disk.watch.queue_gone));
  disk.let_go();
  CHECK(bench.machine.run_until([&] { return done && quiet; }));
  CHECK((disk.watch.queue_gone && disk.first_byte() == 0x5A));
  dynamic_cast<UsbStorage&>(*gone).give_up();
  CHECK(disk.watch.given_up);
}

TEST_CASE("a disk that comes while the machine stands still works when it goes on") {
  using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document
  Disk disk;
  XhciBench bench({});
  XhciDriver& driver = bench.driver;
  bench.quiesce();
  must(bench.controller->add_device({1, disk.device}));
  driver.settle();
  bench.controller->resume();
  note_port(driver, 5);
  const uint8_t slot = driver.attach(5);
  driver.set_up(slot, {{kBulkIn, kTypeBulkIn, 1024}, {kBulkOut, kTypeBulkOut, 1024}});
  const Bytes command = write_command(512);
  must(bench.machine.memory->write_bytes(Gpa{XhciDriver::kData}, std::as_bytes(std::span(command))));
  driver.queue(slot, kBulkOut, XhciDriver::kData, 31);
  driver.queue(slot, kBulkOut, XhciDriver::kData + 4096, 512);
  driver.bell(slot, kBulkOut);
  driver.settle();
  CHECK(disk.watch.held.size() == 1);
  disk.let_go();
}

TEST_CASE("a device comes to a UHCI port, works, and goes") {
  using namespace uhci;  // NOLINT(google-build-using-namespace): the names of the document
  UhciBench bench({});
  bench.run();
  CHECK(bench.port(2) == kPortAlwaysOne);
  must(bench.controller->add_device({2, tablet()}));
  bench.machine.turn();
  CHECK(bench.port(2) == (kPortAlwaysOne | kPortConnected | kPortLineIdle | kPortConnectChange));
  bench.enumerate(7, 2);
  dynamic_cast<UsbTablet&>(*bench.controller->devices()[0].device).place(1, 2, 0, 0);
  CHECK(bench.receive(7, 1, 8));

  bool done = false;
  auto gone = must(bench.controller->remove_device("tablet0", [&done] { done = true; }));
  CHECK(bench.machine.run_until([&] { return done; }));
  CHECK(gone.use_count() == 1);
  CHECK(bench.port(2) == (kPortAlwaysOne | kPortConnectChange | kPortEnableChange));
  bench.out(kStatus, 0x1F);
  CHECK(!bench.receive(7, 1, 8));
  CHECK((bench.control(0) & (kTdActive | kTdStalled | kTdTimeout)) == (kTdStalled | kTdTimeout));
  CHECK((bench.in(kStatus)&kStsError) != 0);
  must(bench.controller->add_device({2, tablet("tablet1")}));
  bench.enumerate(8, 2);
  CHECK(!bench.request(7, 0x80, usb::kGetStatus, 0, 0, Bytes(2)));
  CHECK(bench.request(8, 0x80, usb::kGetStatus, 0, 0, Bytes(2)));
}

TEST_CASE("a UHCI bus that sleeps wakes when a device comes or goes") {
  using namespace uhci;  // NOLINT(google-build-using-namespace): the names of the document
  UhciBench bench({});
  bench.out(kInterrupts, kIntResume);
  bench.out(kCommand, kCmdGlobalSuspend);
  must(bench.controller->add_device({1, tablet()}));
  CHECK(bench.in(kStatus) == (kStsResume | kStsHalted));
  CHECK(bench.in(kCommand) == (kCmdGlobalSuspend | kCmdGlobalResume));
  CHECK(bench.interrupt());
  bench.out(kStatus, kStsResume);
  bench.out(kCommand, kCmdGlobalSuspend);
  CHECK(!bench.interrupt());
  (void)must(bench.controller->remove_device("tablet0", [] {}));
  CHECK(bench.interrupt());
  CHECK(bench.port(1) == (kPortAlwaysOne | kPortConnectChange));
  bench.out(kStatus, kStsResume);
  bench.out(kCommand, 0);
  must(bench.controller->add_device({1, tablet()}));
  CHECK(!bench.interrupt());  // nobody sleeps
}

TEST_CASE("a UHCI device that goes in the middle of a request leaves nothing of it to the next device") {
  UhciBench bench({{1, tablet()}});
  bench.run();
  bench.enumerate(3);
  // A request of which the device has not been asked yet.
  const Bytes setup{0x80, usb::kGetDescriptor, 0, 1, 0, 0, 18, 0};
  bench.put(0, setup);
  bench.td(0, uhci::kPidSetup, 3, 0, 8, uhci::kLinkEnd);
  bench.queue(UhciBench::td_at(0));
  bench.frames(2);
  REQUIRE((bench.control(0) & uhci::kTdActive) == 0);
  (void)must(bench.controller->remove_device("tablet0", [] {}));
  must(bench.controller->add_device({1, tablet("tablet1")}));
  bench.reset_port(1);
  CHECK(!bench.receive(0, 0, 8));  // no request is under way: it stalls
  const StateBytes saved = bench.save();
  const StateReader reader = must(StateReader::parse(saved));
  UhciBench again({{1, must(create_usb_hid({"tablet1", UsbHidKind::tablet, {}}, &reader))}}, &reader);
  CHECK((again.save() == saved));
  CHECK(!reader.get<UsbDeviceState>("tablet0"));
}

}  // namespace
}  // namespace lodge::test
