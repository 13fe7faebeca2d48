// virtio-blk over real files, and over a backend that fails on demand.
#include "devices/virtio/blk/device.h"

#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <numeric>

#include "devices/block/raw.h"
#include "tests/support/device_driver.h"

namespace lodge::test {
namespace {

constexpr uint64_t kFeatures = kVirtioVersion1 | (1ULL << VIRTIO_BLK_F_FLUSH) | (1ULL << VIRTIO_BLK_F_CONFIG_WCE) |
                               (1ULL << VIRTIO_BLK_F_DISCARD) | (1ULL << VIRTIO_BLK_F_WRITE_ZEROES);

class TempFile {
 public:
  explicit TempFile(uint64_t size) {
    fd = ::mkstemp(path.data());
    REQUIRE(fd >= 0);
    REQUIRE(::ftruncate(fd, static_cast<off_t>(size)) == 0);
  }
  ~TempFile() {
    ::close(fd);
    ::unlink(path.c_str());
  }
  std::string path = "/tmp/lodge-blk-XXXXXX";
  int fd = -1;
};

// Fails the next operations with a chosen error; completes the others at once, in memory.
class FaultyBackend final : public BlockBackend {
 public:
  BlockInfo info() const override {
    BlockInfo info;
    info.size = data.size();
    return info;
  }
  Result<std::unique_ptr<BlockQueue>> open_queue(EventLoop& loop) override { return std::make_unique<Queue>(*this, loop); }
  Result<void> resize(uint64_t size) override {
    data.resize(size);
    return {};
  }
  std::string data = std::string(64 * 1024, '\0');
  std::deque<int> errors;  // taken from the front, one an operation
  std::vector<uint64_t> order;
  bool hold = false;
  std::vector<BlockRequest*> held;

 private:
  class Queue final : public BlockQueue {
   public:
    Queue(FaultyBackend& backend, EventLoop& loop) : backend_(backend), loop_(loop) {}
    void submit(BlockRequest& request) override {
      ++in_flight_;
      request.queue = this;
      if (backend_.hold) {
        backend_.held.push_back(&request);
        return;
      }
      loop_.defer(this, [&request] { static_cast<Queue*>(request.queue)->finish(request); });
    }
    uint32_t in_flight() const override { return in_flight_; }
    void finish(BlockRequest& request) {
      --in_flight_;
      int error = 0;
      if (!backend_.errors.empty()) {
        error = backend_.errors.front();
        backend_.errors.pop_front();
      }
      if (error == 0) {
        backend_.order.push_back(request.offset);
        uint64_t at = request.offset;
        for (const iovec& part : request.iov) {
          if (request.kind == BlockRequest::Kind::read) {
            std::memcpy(part.iov_base, backend_.data.data() + at, part.iov_len);
          } else {
            std::memcpy(backend_.data.data() + at, part.iov_base, part.iov_len);
          }
          at += part.iov_len;
        }
      }
      request.done(request, error);
    }

   private:
    FaultyBackend& backend_;
    EventLoop& loop_;
    uint32_t in_flight_ = 0;
  };
};

struct Disk {
  explicit Disk(std::unique_ptr<BlockBackend> backend, VirtioBlk::Options options = {}, uint64_t features = kFeatures) {
    options.id = "vda";
    options.backend = std::move(backend);
    device = must(VirtioBlk::create(std::move(options), nullptr));
    driver = std::make_unique<DeviceDriver>(*device, features & (device->offered_features() | kVirtioVersion1));
    header = driver->allocate(16);
    status = driver->allocate(1);
    data = driver->allocate(64 * 1024);
    driver->start();
  }
  ~Disk() { driver.reset(); }
  void set_header(uint32_t type, uint64_t sector) {
    must(driver->memory().write(header, type));
    must(driver->memory().write(Gpa{header.value + 4}, uint32_t{0}));
    must(driver->memory().write(Gpa{header.value + 8}, sector));
    must(driver->memory().write(status, uint8_t{0xEE}));
  }
  int run(uint32_t type, uint64_t sector, std::vector<Buffer> middle, size_t queue = 0) {
    set_header(type, sector);
    middle.insert(middle.begin(), Buffer{header, 16, false});
    middle.push_back(Buffer{status, 1, true});
    used = driver->request(queue, middle);
    REQUIRE(used);
    return must(driver->memory().read<uint8_t>(status));
  }
  int write(uint64_t sector, std::string_view text) {
    must(driver->memory().write_bytes(data, std::as_bytes(std::span(text))));
    return run(VIRTIO_BLK_T_OUT, sector, {{data, static_cast<uint32_t>(text.size()), false}});
  }
  int read(uint64_t sector, uint32_t bytes) { return run(VIRTIO_BLK_T_IN, sector, {{data, bytes, true}}); }

  std::unique_ptr<VirtioBlk> device;
  std::unique_ptr<DeviceDriver> driver;
  Gpa header, status, data;
  std::optional<Used> used;
};

std::unique_ptr<BlockBackend> raw(const std::string& path, CacheMode cache = CacheMode::writeback,
                                  DiscardMode discard = DiscardMode::unmap, bool read_only = false) {
  RawOptions options;
  options.id = "vda";
  options.path = path;
  options.cache = cache;
  options.discard = discard;
  options.read_only = read_only;
  return must(open_raw(std::move(options)));
}

uint64_t counter(const VirtioBlk& device, std::string_view name) {
  for (const Counter& entry : device.counters()) {
    if (entry.name == name) {
      return entry.value;
    }
  }
  FAIL("no counter " << name);
  return 0;
}

std::string pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) {
    text[i] = static_cast<char>('a' + (i * 7 + i / 512) % 26);
  }
  return text;
}

}  // namespace

TEST_CASE("blk_writes_and_reads_back_in_every_cache_mode") {
  for (const CacheMode mode :
       {CacheMode::none, CacheMode::writeback, CacheMode::writethrough, CacheMode::directsync, CacheMode::unsafe}) {
    TempFile file(1 * kMiB);
    RawOptions options;
    options.path = file.path;
    options.cache = mode;
    auto backend = open_raw(std::move(options));
    if (!backend) {
      WARN("skipped: " << backend.error().message);
      continue;
    }
    Disk disk(std::move(*backend));
    const std::string text = pattern(8192);
    CHECK(disk.write(8, text) == VIRTIO_BLK_S_OK);
    CHECK(disk.used->written == 1);
    CHECK(disk.run(VIRTIO_BLK_T_FLUSH, 0, {}) == VIRTIO_BLK_S_OK);
    must(disk.driver->memory().fill(disk.data, 8192, std::byte{0}));
    CHECK(disk.read(8, 8192) == VIRTIO_BLK_S_OK);
    CHECK(disk.used->written == 8193);
    CHECK(disk.driver->get(disk.data, 8192) == text);
    std::string on_disk(8192, '\0');
    CHECK(::pread(file.fd, on_disk.data(), 8192, 8 * 512) == 8192);
    CHECK(on_disk == text);
    CHECK(counter(*disk.device, "write-bytes") == 8192);
    CHECK(counter(*disk.device, "read-ops") == 1);
    CHECK(counter(*disk.device, "flush-ops") == 1);
  }
}

TEST_CASE("blk_direct_io_serves_unaligned_guest_buffers") {
  TempFile file(4 * kMiB);
  RawOptions options;
  options.path = file.path;
  options.cache = CacheMode::none;
  auto backend = open_raw(std::move(options));
  if (!backend) {
    WARN("skipped: " << backend.error().message);
    return;
  }
  Disk disk(std::move(*backend));
  const uint32_t block = disk.device->backend().info().logical_block;
  const std::string text = pattern(8 * block);
  const Gpa odd{disk.driver->allocate(600 * 1024).value + 3};
  must(disk.driver->memory().write_bytes(odd, std::as_bytes(std::span(text))));
  const uint32_t total = 8 * block;
  CHECK(disk.run(VIRTIO_BLK_T_OUT, 0, {{odd, 5, false}, {Gpa{odd.value + 5}, total - 5, false}}) == VIRTIO_BLK_S_OK);
  must(disk.driver->memory().fill(odd, total, std::byte{0}));
  CHECK(disk.run(VIRTIO_BLK_T_IN, 0, {{odd, total - 1, true}, {Gpa{odd.value + total - 1}, 1, true}}) == VIRTIO_BLK_S_OK);
  CHECK(disk.driver->get(odd, total) == text);
  // More than one bounce buffer.
  const std::string large = pattern(512 * 1024);
  must(disk.driver->memory().write_bytes(odd, std::as_bytes(std::span(large))));
  CHECK(disk.run(VIRTIO_BLK_T_OUT, 0, {{odd, 512 * 1024, false}}) == VIRTIO_BLK_S_OK);
  must(disk.driver->memory().fill(odd, 512 * 1024, std::byte{0}));
  CHECK(disk.run(VIRTIO_BLK_T_IN, 0, {{odd, 512 * 1024, true}}) == VIRTIO_BLK_S_OK);
  CHECK(disk.driver->get(odd, 512 * 1024) == large);
}

TEST_CASE("blk_takes_header_and_data_in_any_layout") {
  TempFile file(1 * kMiB);
  Disk disk(raw(file.path));
  const std::string text = pattern(1024);
  // Header and data in one buffer; then the header in two, and status joined to the data.
  const Gpa joined = disk.driver->allocate(16 + 1024);
  must(disk.driver->memory().write(joined, uint32_t{VIRTIO_BLK_T_OUT}));
  must(disk.driver->memory().write(Gpa{joined.value + 8}, uint64_t{2}));
  must(disk.driver->memory().write_bytes(Gpa{joined.value + 16}, std::as_bytes(std::span(text))));
  REQUIRE(disk.driver->request(0, {{joined, 16 + 1024, false}, {disk.status, 1, true}}));
  CHECK(must(disk.driver->memory().read<uint8_t>(disk.status)) == VIRTIO_BLK_S_OK);
  disk.set_header(VIRTIO_BLK_T_IN, 2);
  REQUIRE(
      disk.driver->request(0, {{disk.header, 5, false}, {Gpa{disk.header.value + 5}, 11, false}, {disk.data, 1025, true}}));
  CHECK(disk.driver->get(disk.data, 1024) == text);
  CHECK(must(disk.driver->memory().read<uint8_t>(Gpa{disk.data.value + 1024})) == VIRTIO_BLK_S_OK);
}

TEST_CASE("blk_answers_its_serial_number") {
  TempFile file(4096);
  VirtioBlk::Options options;
  options.serial = "LODGE-SERIAL";
  Disk disk(raw(file.path), std::move(options));
  CHECK(disk.run(VIRTIO_BLK_T_GET_ID, 0, {{disk.data, 20, true}}) == VIRTIO_BLK_S_OK);
  CHECK(disk.driver->get(disk.data, 20) == std::string("LODGE-SERIAL\0\0\0\0\0\0\0\0", 20));
  CHECK(disk.run(VIRTIO_BLK_T_GET_ID, 0, {{disk.data, 4, true}}) == VIRTIO_BLK_S_OK);
}

TEST_CASE("blk_discards_and_zeroes_ranges") {
  TempFile file(1 * kMiB);
  Disk disk(raw(file.path));
  CHECK(disk.write(0, pattern(64 * 1024)) == VIRTIO_BLK_S_OK);
  struct Range {
    uint64_t sector;
    uint32_t sectors;
    uint32_t flags;
  };
  const Range two[] = {{8, 8, 0}, {32, 16, 0}};
  const Gpa ranges = disk.driver->put(std::as_bytes(std::span(two)));
  CHECK(disk.run(VIRTIO_BLK_T_WRITE_ZEROES, 0, {{ranges, 32, false}}) == VIRTIO_BLK_S_OK);
  CHECK(disk.read(8, 4096) == VIRTIO_BLK_S_OK);
  CHECK(disk.driver->get(disk.data, 4096) == std::string(4096, '\0'));
  CHECK(disk.read(32, 8192) == VIRTIO_BLK_S_OK);
  CHECK(disk.driver->get(disk.data, 8192) == std::string(8192, '\0'));
  CHECK(disk.read(16, 512) == VIRTIO_BLK_S_OK);
  CHECK(disk.driver->get(disk.data, 512) == pattern(64 * 1024).substr(16 * 512, 512));
  CHECK(disk.run(VIRTIO_BLK_T_DISCARD, 0, {{ranges, 16, false}}) == VIRTIO_BLK_S_OK);

  const auto one = [&](uint32_t type, Range range) {
    must(disk.driver->memory().write_bytes(ranges, std::as_bytes(std::span(&range, 1))));
    return disk.run(type, 0, {{ranges, 16, false}});
  };
  CHECK(one(VIRTIO_BLK_T_WRITE_ZEROES, {64, 8, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP}) == VIRTIO_BLK_S_OK);
  CHECK(one(VIRTIO_BLK_T_WRITE_ZEROES, {64, 8, 2}) == VIRTIO_BLK_S_UNSUPP);
  CHECK(one(VIRTIO_BLK_T_DISCARD, {64, 8, 1}) == VIRTIO_BLK_S_UNSUPP);
  CHECK(one(VIRTIO_BLK_T_DISCARD, {2048, 1, 0}) == VIRTIO_BLK_S_IOERR);
  CHECK(one(VIRTIO_BLK_T_DISCARD, {UINT64_MAX, 1, 0}) == VIRTIO_BLK_S_IOERR);
  CHECK(one(VIRTIO_BLK_T_DISCARD, {0, UINT32_MAX, 0}) == VIRTIO_BLK_S_IOERR);
  CHECK(disk.run(VIRTIO_BLK_T_DISCARD, 0, {{ranges, 15, false}}) == VIRTIO_BLK_S_IOERR);
  CHECK(disk.run(VIRTIO_BLK_T_DISCARD, 0, {}) == VIRTIO_BLK_S_IOERR);
  CHECK(disk.run(VIRTIO_BLK_T_DISCARD, 0, {{disk.data, 17 * 16, false}}) == VIRTIO_BLK_S_IOERR);
}

TEST_CASE("blk_fails_malformed_requests_and_goes_on") {
  TempFile file(64 * 1024);
  Disk disk(raw(file.path));
  CHECK(disk.read(127, 512) == VIRTIO_BLK_S_OK);
  CHECK(disk.read(128, 512) == VIRTIO_BLK_S_IOERR);
  CHECK(disk.read(127, 1024) == VIRTIO_BLK_S_IOERR);
  CHECK(disk.read(UINT64_MAX, 512) == VIRTIO_BLK_S_IOERR);
  CHECK(disk.read(UINT64_MAX / 512, 512) == VIRTIO_BLK_S_IOERR);
  CHECK(disk.read(0, 100) == VIRTIO_BLK_S_IOERR);
  CHECK(disk.read(0, 0) == VIRTIO_BLK_S_OK);
  CHECK(disk.run(77, 0, {}) == VIRTIO_BLK_S_UNSUPP);
  SECTION("a header that is too short") {
    disk.set_header(VIRTIO_BLK_T_IN, 0);
    REQUIRE(disk.driver->request(0, {{disk.header, 15, false}, {disk.status, 1, true}}));
    CHECK(must(disk.driver->memory().read<uint8_t>(disk.status)) == VIRTIO_BLK_S_IOERR);
  }
  SECTION("no room for the status") {
    disk.set_header(VIRTIO_BLK_T_IN, 0);
    const auto used = disk.driver->request(0, {{disk.header, 16, false}});
    REQUIRE(used);
    CHECK(used->written == 0);
  }
  SECTION("everything writable") {
    REQUIRE(disk.driver->request(0, {{disk.header, 16, true}, {disk.status, 1, true}}));
    CHECK(must(disk.driver->memory().read<uint8_t>(disk.status)) == VIRTIO_BLK_S_IOERR);
  }
  CHECK(disk.read(0, 512) == VIRTIO_BLK_S_OK);
  CHECK_FALSE(disk.driver->transport().needs_reset);
  CHECK(counter(*disk.device, "guest-mistakes") > 0);
}

TEST_CASE("blk_refuses_writes_to_a_read_only_disk") {
  TempFile file(64 * 1024);
  Disk disk(raw(file.path, CacheMode::writeback, DiscardMode::unmap, true));
  CHECK((disk.device->offered_features() & (1ULL << VIRTIO_BLK_F_RO)) != 0);
  CHECK(disk.write(0, pattern(512)) == VIRTIO_BLK_S_IOERR);
  CHECK(disk.run(VIRTIO_BLK_T_FLUSH, 0, {}) == VIRTIO_BLK_S_OK);
  CHECK(disk.read(0, 512) == VIRTIO_BLK_S_OK);
}

TEST_CASE("blk_error_policy_report_and_ignore") {
  std::vector<BlockErrorEvent> events;
  for (const ErrorAction action : {ErrorAction::report, ErrorAction::ignore}) {
    auto backend = std::make_unique<FaultyBackend>();
    FaultyBackend& faulty = *backend;
    VirtioBlk::Options options;
    options.errors = {action, action};
    options.on_io_error = [&](const BlockErrorEvent& event) { events.push_back(event); };
    Disk disk(std::move(backend), std::move(options));
    faulty.errors = {EIO};
    CHECK(disk.read(0, 512) == (action == ErrorAction::report ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK));
    CHECK(events.back().error == EIO);
    CHECK(events.back().action == action);
    CHECK(counter(*disk.device, "read-errors") == 1);
  }
}

TEST_CASE("blk_error_policy_stop_keeps_requests_and_retries_them_in_order") {
  auto backend = std::make_unique<FaultyBackend>();
  FaultyBackend& faulty = *backend;
  int stops = 0;
  VirtioBlk::Options options;
  options.on_io_error = [&](const BlockErrorEvent& event) {
    CHECK(event.action == ErrorAction::stop);
    CHECK(event.operation == BlockRequest::Kind::write);
    ++stops;
  };
  Disk disk(std::move(backend), std::move(options));
  faulty.errors = {0, ENOSPC, 0, ENOSPC};
  DeviceDriver& driver = *disk.driver;
  std::vector<Gpa> statuses;
  for (uint64_t i = 0; i < 4; ++i) {
    const Gpa block = driver.allocate(16 + 512 + 1);
    must(driver.memory().write(block, uint32_t{VIRTIO_BLK_T_OUT}));
    must(driver.memory().write(Gpa{block.value + 8}, i));
    must(driver.memory().fill(Gpa{block.value + 16}, 512, static_cast<std::byte>('A' + i)));
    statuses.push_back(Gpa{block.value + 528});
    must(driver.memory().write(statuses.back(), uint8_t{0xEE}));
    driver.ring(0).add({{block, 528, false}, {statuses.back(), 1, true}});
  }
  driver.kick(0);
  REQUIRE(driver.wait(0));
  REQUIRE(driver.wait(0));
  driver.turn(3);
  CHECK(stops == 2);
  CHECK_FALSE(driver.ring(0).used());
  CHECK(driver.queue(0).in_flight() == 2);
  // What comes while the disk is halted waits.
  disk.set_header(VIRTIO_BLK_T_FLUSH, 0);
  driver.ring(0).add({{disk.header, 16, false}, {disk.status, 1, true}});
  driver.kick(0);
  driver.turn(3);
  CHECK_FALSE(driver.ring(0).used());
  CHECK(must(driver.memory().read<uint8_t>(statuses[1])) == 0xEE);

  faulty.order.clear();
  REQUIRE(driver.stop());
  SECTION("resumed") { driver.start(); }
  SECTION("saved and restored") {
    StateWriter writer;
    disk.device->save("vda", writer);
    const StateReader reader = must(StateReader::parse(writer.bytes()));
    auto other = std::make_unique<FaultyBackend>();
    other->data = faulty.data;
    VirtioBlk::Options again;
    again.id = "vda";
    again.backend = std::move(other);
    disk.device = must(VirtioBlk::create(std::move(again), &reader));
    driver.replace(*disk.device);
    driver.start();
  }
  for (int i = 0; i < 3; ++i) {
    REQUIRE(driver.wait(0));
  }
  const auto& now = static_cast<FaultyBackend&>(disk.device->backend());
  REQUIRE(now.order.size() == 3);
  CHECK(now.order[0] == 512);
  CHECK(now.order[1] == 3 * 512);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(must(driver.memory().read<uint8_t>(statuses[i])) == VIRTIO_BLK_S_OK);
    CHECK(now.data[i * 512] == static_cast<char>('A' + i));
  }
}

TEST_CASE("blk_enospc_policy_reports_other_errors") {
  auto backend = std::make_unique<FaultyBackend>();
  FaultyBackend& faulty = *backend;
  Disk disk(std::move(backend));
  faulty.errors = {EIO};
  CHECK(disk.write(0, pattern(512)) == VIRTIO_BLK_S_IOERR);
}

TEST_CASE("blk_reset_in_flight_waits_for_the_storage") {
  auto backend = std::make_unique<FaultyBackend>();
  FaultyBackend& faulty = *backend;
  Disk disk(std::move(backend));
  faulty.hold = true;
  disk.set_header(VIRTIO_BLK_T_IN, 0);
  disk.driver->ring(0).add({{disk.header, 16, false}, {disk.data, 512, true}, {disk.status, 1, true}});
  disk.driver->kick(0);
  REQUIRE(faulty.held.size() == 1);
  disk.driver->loop().post([&] { faulty.held[0]->done(*faulty.held[0], 0); });
  disk.driver->reset();
  disk.driver->turn();
  CHECK(disk.driver->ring(0).used());
}

TEST_CASE("blk_resize_changes_capacity_and_tells_the_driver") {
  TempFile file(64 * 1024);
  Disk disk(raw(file.path));
  CHECK(disk.read(128, 512) == VIRTIO_BLK_S_IOERR);
  must(disk.device->resize(128 * 1024));
  CHECK(disk.driver->transport().config_changes == 1);
  uint64_t capacity = 0;
  disk.device->read_config(0, writable_bytes_of(capacity));
  CHECK(capacity == 256);
  CHECK(disk.read(128, 512) == VIRTIO_BLK_S_OK);
  REQUIRE(::ftruncate(file.fd, 256 * 1024) == 0);
  must(disk.device->resize(0));
  CHECK(disk.read(500, 512) == VIRTIO_BLK_S_OK);
}

TEST_CASE("blk_reads_past_the_end_of_a_shrunken_file_give_zeros") {
  for (const CacheMode mode : {CacheMode::writeback, CacheMode::none}) {
    TempFile file(64 * 1024);
    Disk disk(raw(file.path, mode));
    CHECK(disk.write(0, pattern(64 * 1024)) == VIRTIO_BLK_S_OK);
    REQUIRE(::ftruncate(file.fd, 4096 + 100) == 0);
    CHECK(disk.read(0, 16384) == VIRTIO_BLK_S_OK);
    CHECK(disk.driver->get(disk.data, 4096 + 100) == pattern(64 * 1024).substr(0, 4096 + 100));
    CHECK(disk.driver->get(Gpa{disk.data.value + 4096 + 100}, 16384 - 4196) == std::string(16384 - 4196, '\0'));
  }
}

TEST_CASE("blk_config_tells_features_and_takes_the_cache_byte") {
  TempFile file(1 * kMiB);
  VirtioBlk::Options options;
  options.queues = 3;
  Disk disk(raw(file.path), std::move(options));
  virtio_blk_config config{};
  disk.device->read_config(0, std::as_writable_bytes(std::span(&config, 1)));
  CHECK(config.capacity == 2048);
  CHECK(config.blk_size == 512);
  CHECK(config.seg_max == 254);
  CHECK(config.num_queues == 3);
  CHECK(config.wce == 1);
  CHECK(config.max_discard_seg == 16);
  std::byte past[4] = {std::byte{9}, std::byte{9}, std::byte{9}, std::byte{9}};
  disk.device->read_config(4000, past);
  CHECK(past[0] == std::byte{0});
  const std::byte off{0};
  disk.device->write_config(32, std::span(&off, 1));
  disk.device->read_config(0, std::as_writable_bytes(std::span(&config, 1)));
  CHECK(config.wce == 0);
  CHECK(disk.write(0, pattern(1024)) == VIRTIO_BLK_S_OK);  // durable now
  CHECK(disk.run(VIRTIO_BLK_T_IN, 0, {{disk.data, 512, true}}, 2) == VIRTIO_BLK_S_OK);
  StateWriter writer;
  disk.device->save("vda", writer);
  const StateReader reader = must(StateReader::parse(writer.bytes()));
  CHECK(must(reader.get<BlkState>("vda")).write_cache == false);
  disk.driver->reset();
  disk.device->read_config(0, std::as_writable_bytes(std::span(&config, 1)));
  CHECK(config.wce == 1);
}

TEST_CASE("blk_state_of_a_larger_disk_is_refused") {
  StateWriter writer;
  BlkState state;
  state.capacity = 1 * kGiB;
  writer.put("vda", state);
  const StateReader reader = must(StateReader::parse(writer.bytes()));
  TempFile file(1 * kMiB);
  VirtioBlk::Options options;
  options.id = "vda";
  options.backend = raw(file.path);
  const auto device = VirtioBlk::create(std::move(options), &reader);
  REQUIRE_FALSE(device);
  CHECK(device.error().message.find("vda") != std::string::npos);
}

}  // namespace lodge::test
