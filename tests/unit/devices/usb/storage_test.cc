// A USB disk under the xHCI controller: the bulk-only transport and its thirteen cases, SCSI commands, errors, saves.
#include <sys/mman.h>
#include <unistd.h>

#include "devices/block/raw.h"
#include "devices/usb/storage/device.h"
#include "tests/unit/devices/usb/xhci_driver.h"

namespace lodge::test {
namespace {

using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document
using Bytes = std::vector<uint8_t>;

constexpr uint32_t kBulkIn = 3;
constexpr uint32_t kBulkOut = 4;
constexpr uint32_t kUsb3Port = 5;
constexpr uint64_t kImage = 1 << 20;
constexpr uint64_t kBlocks = kImage / 512;
constexpr uint64_t kWrapper = XhciDriver::kData + 0x1000;
constexpr uint64_t kBuffer = XhciDriver::kData + 0x10000;

// Fails when it is told to, and counts flushes.
class FaultyQueue final : public BlockQueue {
 public:
  FaultyQueue(std::unique_ptr<BlockQueue> inner, int& error, int& flushes, EventLoop& loop)
      : inner_(std::move(inner)), error_(error), flushes_(flushes), loop_(loop) {}
  void submit(BlockRequest& request) override {
    flushes_ += request.kind == BlockRequest::Kind::flush ? 1 : 0;
    if (error_ == 0) {
      inner_->submit(request);
      return;
    }
    loop_.post([&request, error = error_] { request.done(request, error); });
  }
  [[nodiscard]] uint32_t in_flight() const override { return inner_->in_flight(); }

 private:
  std::unique_ptr<BlockQueue> inner_;
  int& error_;
  int& flushes_;
  EventLoop& loop_;
};

class FaultyBackend final : public BlockBackend {
 public:
  explicit FaultyBackend(std::unique_ptr<BlockBackend> inner) : inner_(std::move(inner)) {}
  [[nodiscard]] BlockInfo info() const override { return inner_->info(); }
  [[nodiscard]] Result<std::unique_ptr<BlockQueue>> open_queue(EventLoop& loop) override {
    return std::make_unique<FaultyQueue>(TRY(inner_->open_queue(loop)), error, flushes, loop);
  }
  [[nodiscard]] Result<void> resize(uint64_t size) override { return inner_->resize(size); }
  int error = 0;
  int flushes = 0;

 private:
  std::unique_ptr<BlockBackend> inner_;
};

struct Disk {
  explicit Disk(const Fd& image, const StateReader* saved = nullptr, ErrorPolicy errors = {}, bool read_only = false) {
    RawOptions raw;
    raw.fd = must(image.duplicate());
    raw.lock = false;
    raw.read_only = read_only;
    auto faulty = std::make_unique<FaultyBackend>(must(open_raw(std::move(raw))));
    backend = faulty.get();
    UsbStorageOptions options;
    options.id = "disk0";
    options.serial = "SERIAL-7";
    options.errors = errors;
    options.backend = std::move(faulty);
    options.on_io_error = [this](const BlockErrorEvent& event) { events.push_back(event.action); };
    device = must(UsbStorage::create(std::move(options), saved));
  }
  std::shared_ptr<UsbDevice> device;
  FaultyBackend* backend = nullptr;
  std::vector<ErrorAction> events;
};

Fd make_image() {
  Fd image(::memfd_create("image", MFD_CLOEXEC));
  REQUIRE(::ftruncate(image.get(), kImage) == 0);
  return image;
}

struct Bench {
  explicit Bench(ErrorPolicy errors = {}, bool read_only = false, Fd file = make_image())
      : image(std::move(file)), disk(image, nullptr, errors, read_only), xhci({{1, disk.device}}), driver(xhci.driver) {
    slot = driver.attach(kUsb3Port);
    driver.set_up(slot, {{kBulkIn, kTypeBulkIn, 1024}, {kBulkOut, kTypeBulkOut, 1024}});
  }
  XhciDriver::Event wait() {
    std::optional<XhciDriver::Event> event;
    REQUIRE(xhci.machine.run_until([&] { return (event = driver.event()).has_value(); }));
    driver.seen();
    REQUIRE(event->type() == TrbType::transfer_event);
    return *event;
  }
  void write(uint64_t at, const Bytes& bytes) {
    must(xhci.machine.memory->write_bytes(Gpa{at}, std::as_bytes(std::span(bytes))));
  }
  static Bytes wrapper(const Bytes& cdb, uint32_t length, bool in, uint32_t tag = 99) {
    Bytes block(31);
    const std::array<uint32_t, 3> head{0x43425355, tag, length};
    std::memcpy(block.data(), head.data(), sizeof head);
    block[12] = in ? 0x80 : 0;
    block[14] = static_cast<uint8_t>(cdb.size());
    std::copy(cdb.begin(), cdb.end(), block.begin() + 15);
    return block;
  }
  Code send(const Bytes& block) {
    write(kWrapper, block);
    driver.queue(slot, kBulkOut, kWrapper, static_cast<uint32_t>(block.size()));
    driver.bell(slot, kBulkOut);
    return wait().code();
  }
  // Queues a transfer of the data stage, in blocks of 64 KiB.
  void queue_data(uint32_t endpoint, uint32_t length) {
    for (uint32_t at = 0; at < length; at += 65536) {
      const uint32_t now = std::min(length - at, 65536U);
      driver.queue(slot, endpoint, kBuffer + at, now,
                   at + now < length ? kTrbChain | (endpoint == kBulkIn ? kTrbShortEvent : 0) : kTrbEvent);
    }
    driver.bell(slot, endpoint);
  }
  struct Status {
    uint8_t outcome = 0xFF;
    uint32_t residue = 0;
  };
  Status status(uint32_t tag = 99) {
    driver.queue(slot, kBulkIn, kWrapper, 13);
    driver.bell(slot, kBulkIn);
    REQUIRE(wait().code() == Code::success);
    const Bytes block = driver.memory(kWrapper, 13);
    std::array<uint32_t, 3> head{};
    std::memcpy(head.data(), block.data(), sizeof head);
    CHECK((head[0] == 0x53425355 && head[1] == tag));
    return {block[12], head[2]};
  }
  Status none(const Bytes& cdb) {
    REQUIRE(send(wrapper(cdb, 0, false)) == Code::success);
    return status();
  }
  Bytes in(const Bytes& cdb, uint32_t length, Status* outcome = nullptr) {
    REQUIRE(send(wrapper(cdb, length, true)) == Code::success);
    queue_data(kBulkIn, length);
    (void)wait();
    const Status got = status();
    if (outcome != nullptr) {
      *outcome = got;
    }
    return driver.memory(kBuffer, length - got.residue);
  }
  Status out(const Bytes& cdb, const Bytes& data) {
    REQUIRE(send(wrapper(cdb, static_cast<uint32_t>(data.size()), false)) == Code::success);
    write(kBuffer, data);
    queue_data(kBulkOut, static_cast<uint32_t>(data.size()));
    (void)wait();
    return status();
  }
  // {key, code}
  std::pair<uint8_t, uint8_t> sense() {
    const Bytes data = in({0x03, 0, 0, 0, 18, 0}, 18);
    return {data.at(2), data.at(12)};
  }
  Bytes image_bytes(uint64_t at, size_t bytes) const {
    Bytes data(bytes);
    REQUIRE(::pread(image.get(), data.data(), bytes, static_cast<off_t>(at)) == static_cast<ssize_t>(bytes));
    return data;
  }

  Fd image;
  Disk disk;
  XhciBench xhci;
  XhciDriver& driver;
  uint8_t slot = 0;
};

Bytes noise(size_t bytes) {
  Bytes data(bytes);
  for (size_t i = 0; i < bytes; ++i) {
    data[i] = static_cast<uint8_t>(i * 13 + i / 500);
  }
  return data;
}

Bytes transfer10(uint8_t code, uint32_t block, uint16_t count, uint8_t flags = 0) {
  return {code,
          flags,
          static_cast<uint8_t>(block >> 24),
          static_cast<uint8_t>(block >> 16),
          static_cast<uint8_t>(block >> 8),
          static_cast<uint8_t>(block),
          0,
          static_cast<uint8_t>(count >> 8),
          static_cast<uint8_t>(count),
          0};
}

TEST_CASE("a USB disk says what it is") {
  Bench bench;
  const auto configuration = bench.driver.control(bench.slot, 0x80, 6, 0x0200, 0, Bytes(255)).data;
  REQUIRE(configuration.size() == 9 + 9 + 2 * (7 + 6));
  CHECK((configuration[14] == 8 && configuration[15] == 6 && configuration[16] == 0x50));
  CHECK(bench.driver.control(bench.slot, 0x80, 6, 0x0F00, 0, Bytes(255)).data.size() == 22);
  CHECK(bench.driver.control(bench.slot, 0xA1, 0xFE, 0, 0, Bytes(1)).data == Bytes{0});
  const Bytes inquiry = bench.in({0x12, 0, 0, 0, 36, 0}, 36);
  REQUIRE(inquiry.size() == 36);
  CHECK((inquiry[0] == 0 && std::string(inquiry.begin() + 8, inquiry.begin() + 24) == "LODGE   USB DISK"));
  CHECK(bench.in({0x12, 1, 0, 0, 255, 0}, 255) == Bytes{0, 0, 0, 3, 0, 0x80, 0x83});
  const Bytes serial = bench.in({0x12, 1, 0x80, 0, 255, 0}, 255);
  CHECK(std::string(serial.begin() + 4, serial.end()) == "SERIAL-7");
  CHECK(bench.in({0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 8) == Bytes{0, 0, (kBlocks - 1) >> 8, (kBlocks - 1) & 0xFF, 0, 0, 2, 0});
  const Bytes long_one = bench.in({0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0}, 32);
  CHECK((long_one.size() == 32 && long_one[6] == (kBlocks - 1) >> 8 && long_one[10] == 2));
  CHECK(bench.in({0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0}, 16).size() == 16);
  CHECK(bench.in({0x23, 0, 0, 0, 0, 0, 0, 0, 12, 0}, 12).size() == 12);
  CHECK(bench.none({0, 0, 0, 0, 0, 0}).outcome == 0);
  CHECK(bench.none({0x1E, 0, 0, 0, 1, 0}).outcome == 0);
  const Bytes caching = bench.in({0x1A, 0, 8, 0, 255, 0}, 255);
  REQUIRE(caching.size() == 24);
  CHECK((caching[0] == 23 && (caching[2] & 0x80) == 0 && (caching[6] & 4) != 0));
  CHECK(bench.in({0x5A, 0, 0x3F, 0, 0, 0, 0, 0, 255, 0}, 255).size() == 8 + 24 + 20);
}

TEST_CASE("blocks are written and read, whatever the sizes") {
  Bench bench;
  for (const uint16_t count : {uint16_t{1}, uint16_t{127}, uint16_t{128}, uint16_t{129}, uint16_t{700}}) {
    const Bytes data = noise(count * 512U);
    CHECK(bench.out(transfer10(0x2A, 5, count), data).outcome == 0);
    CHECK((bench.image_bytes(5 * 512, data.size()) == data));
    CHECK((bench.in(transfer10(0x28, 5, count), static_cast<uint32_t>(data.size())) == data));
  }
  const Bytes data = noise(1024);
  CHECK(bench.out({0x8A, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0}, data).outcome == 0);
  CHECK((bench.image_bytes(9 * 512, 1024) == data));
  CHECK((bench.in({0x88, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0}, 1024) == data));
  CHECK((bench.in({0xA8, 0, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0}, 1024) == data));
  CHECK((bench.in({0x08, 0, 0, 9, 2, 0}, 1024) == data));
  CHECK(bench.disk.backend->flushes == 0);
  CHECK(bench.none({0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0}).outcome == 0);
  CHECK(bench.disk.backend->flushes == 1);
  const auto counters = bench.disk.device->counters();
  CHECK((counters.front().name == "read-ops" && counters.front().value > 5));
}

TEST_CASE("what a disk cannot do fails with a reason, and the next command works") {
  Bench bench({}, true);
  Bench::Status outcome;
  CHECK(bench.in(transfer10(0x28, kBlocks - 1, 2), 1024, &outcome).empty());
  CHECK((outcome.outcome == 1 && outcome.residue == 1024));
  CHECK(bench.sense() == std::pair<uint8_t, uint8_t>{5, 0x21});
  CHECK(bench.sense() == std::pair<uint8_t, uint8_t>{0, 0});
  CHECK(bench.out(transfer10(0x2A, 0, 1), Bytes(512)).outcome == 1);
  CHECK(bench.sense() == std::pair<uint8_t, uint8_t>{7, 0x27});
  CHECK((bench.in({0x1A, 0, 8, 0, 255, 0}, 255)[2] & 0x80) != 0);
  CHECK(bench.none({0x77, 0, 0, 0, 0, 0}).outcome == 1);
  CHECK(bench.sense() == std::pair<uint8_t, uint8_t>{5, 0x20});
  CHECK(bench.none(transfer10(0x28, 0, 0)).outcome == 0);
}

TEST_CASE("hosts and disks that disagree about data") {
  Bench bench;
  Bench::Status outcome;
  CHECK(bench.none(transfer10(0x28, 0, 1)).outcome == 2);     // the host wants none, the disk has some
  CHECK(bench.none(transfer10(0x2A, 0, 1)).outcome == 2);     // the disk wants some
  CHECK(bench.in({0, 0, 0, 0, 0, 0}, 64, &outcome).empty());  // the host wants some, the disk has none
  CHECK((outcome.outcome == 0 && outcome.residue == 64));
  CHECK(bench.in(transfer10(0x28, 0, 2), 4096, &outcome).size() == 1024);
  CHECK((outcome.outcome == 0 && outcome.residue == 3072));
  CHECK(bench.in(transfer10(0x28, 0, 2), 512, &outcome).empty());
  CHECK(outcome.outcome == 2);
  CHECK(bench.in(transfer10(0x2A, 0, 1), 512, &outcome).empty());
  CHECK(outcome.outcome == 2);
  const auto more = bench.out(transfer10(0x2A, 0, 1), noise(1024));
  CHECK((more.outcome == 0 && more.residue == 512));
  CHECK((bench.image_bytes(0, 512) == noise(512)));
  CHECK(bench.out(transfer10(0x28, 0, 1), Bytes(512)).outcome == 2);
  CHECK(bench.out(transfer10(0x2A, 0, 2), Bytes(512)).outcome == 2);
  CHECK(bench.out({0, 0, 0, 0, 0, 0}, Bytes(100)).outcome == 0);
}

TEST_CASE("a command block that makes no sense stalls the disk until it is reset") {
  Bench bench;
  auto& driver = bench.driver;
  const auto clear = [&] {
    for (const uint32_t endpoint : {kBulkIn, kBulkOut}) {
      const uint32_t to = uint32_t{bench.slot} << 24 | endpoint << 16;
      (void)driver.command(TrbType::reset_endpoint, 0, to);
      (void)driver.command(TrbType::stop_endpoint, 0, to);
      const auto& ring = driver.ring(bench.slot, endpoint);
      CHECK(driver.command(TrbType::set_dequeue, ring.at | (ring.cycle ? 1 : 0), to).code() == Code::success);
      CHECK(driver.control(bench.slot, 2, 1, 0, endpoint == kBulkIn ? 0x81 : 2, {}).code == Code::success);
    }
  };
  CHECK(bench.send(Bytes(31)) == Code::stall);
  clear();
  CHECK(bench.send(Bench::wrapper({0, 0, 0, 0, 0, 0}, 0, false)) == Code::stall);
  CHECK(driver.control(bench.slot, 0x21, 0xFF, 0, 0, {}).code == Code::success);
  clear();
  CHECK(bench.none({0, 0, 0, 0, 0, 0}).outcome == 0);
  CHECK(bench.send(Bytes(30)) == Code::stall);
}

TEST_CASE("storage that fails: the guest is told, or waits until it is well") {
  SECTION("told") {
    Bench bench({ErrorAction::report, ErrorAction::report});
    bench.disk.backend->error = EIO;
    Bench::Status outcome;
    CHECK(bench.in(transfer10(0x28, 0, 1), 512, &outcome).empty());
    CHECK(outcome.outcome == 1);
    CHECK(bench.out(transfer10(0x2A, 0, 200), Bytes(200 * 512)).outcome == 1);
    CHECK(bench.disk.events == std::vector{ErrorAction::report, ErrorAction::report});
    bench.disk.backend->error = 0;
    CHECK(bench.sense() == std::pair<uint8_t, uint8_t>{3, 0x0C});
    CHECK(bench.in(transfer10(0x28, 0, 1), 512).size() == 512);
  }
  SECTION("waits") {
    Bench bench({ErrorAction::stop, ErrorAction::stop});
    bench.disk.backend->error = ENOSPC;
    REQUIRE(bench.send(Bench::wrapper(transfer10(0x2A, 3, 1), 512, false)) == Code::success);
    bench.write(kBuffer, noise(512));
    bench.queue_data(kBulkOut, 512);
    CHECK(bench.xhci.machine.run_until([&] { return !bench.disk.events.empty(); }));
    bench.xhci.quiesce();
    bench.disk.backend->error = 0;
    bench.xhci.controller->resume();
    CHECK(bench.wait().code() == Code::success);
    CHECK(bench.status().outcome == 0);
    CHECK((bench.image_bytes(3 * 512, 512) == noise(512)));
  }
}

TEST_CASE("a reset in the middle of a transfer drops it") {
  Bench bench;
  REQUIRE(bench.send(Bench::wrapper(transfer10(0x28, 0, 1024), 1024 * 512, true)) == Code::success);
  bench.driver.set_port(kUsb3Port, kPortPower | kPortWarmReset);
  bench.driver.settle();
  const StateBytes state = bench.xhci.save();
  const auto disk = must(must(StateReader::parse(state)).get<UsbStorageState>("disk0"));
  CHECK(disk == UsbStorageState{});
}

TEST_CASE("a disk goes on after a save in the middle of a command") {
  for (const bool in : {true, false}) {
    Bench first;
    const Bytes data = noise(400 * 512);
    REQUIRE(::pwrite(first.image.get(), data.data(), data.size(), 0) == static_cast<ssize_t>(data.size()));
    const auto length = static_cast<uint32_t>(data.size());
    const uint32_t block = in ? 0 : 500;
    REQUIRE(first.send(Bench::wrapper(transfer10(in ? 0x28 : 0x2A, block, 400), length, in)) == Code::success);
    if (!in) {
      first.write(kBuffer, data);
    }
    first.queue_data(in ? kBulkIn : kBulkOut, length);
    first.xhci.machine.turn(2);
    const StateBytes saved = first.xhci.save();
    const StateReader reader = must(StateReader::parse(saved));
    CHECK(must(reader.get<UsbStorageState>("disk0")).phase != UsbStoragePhase::command);

    Disk disk(first.image, &reader);
    XhciBench second({{1, disk.device}}, &reader);
    first.xhci.copy_memory_to(second);
    second.driver.follow(first.driver);
    CHECK((second.save() == saved));
    second.controller->resume();
    const auto wait = [&second] {
      std::optional<XhciDriver::Event> event;
      REQUIRE(second.machine.run_until([&] { return (event = second.driver.event()).has_value(); }));
      second.driver.seen();
      return event->code();
    };
    CHECK(wait() == Code::success);
    second.driver.queue(first.slot, kBulkIn, kWrapper, 13);
    second.driver.bell(first.slot, kBulkIn);
    CHECK(wait() == Code::success);
    CHECK(second.driver.memory(kWrapper, 13)[12] == 0);
    CHECK((in ? second.driver.memory(kBuffer, length) == data : first.image_bytes(500 * 512, length) == data));
  }
}

TEST_CASE("disk states that make no sense are refused") {
  const Fd image = make_image();
  const auto refused = [&image](const UsbStorageState& state) {
    StateWriter out;
    out.put("disk0", UsbDeviceState{});
    out.put("disk0", state);
    const auto reader = must(StateReader::parse(out.bytes()));
    RawOptions raw;
    raw.fd = must(image.duplicate());
    raw.lock = false;
    UsbStorageOptions options;
    options.id = "disk0";
    options.backend = must(open_raw(std::move(raw)));
    return !UsbStorage::create(std::move(options), &reader);
  };
  CHECK(!refused({}));
  CHECK(refused({.phase = static_cast<UsbStoragePhase>(5)}));
  CHECK(refused({.position = kImage, .bytes = 1}));
  CHECK(refused({.phase = UsbStoragePhase::data_out, .wanted = UsbStorageIo::write}));
  CHECK(
      refused({.phase = UsbStoragePhase::data_out, .position = kImage - 1, .wanted = UsbStorageIo::write, .data = {1, 2}}));
  CHECK(refused({.data = Bytes(UsbStorage::kBuffer + 1)}));
}

}  // namespace
}  // namespace lodge::test
