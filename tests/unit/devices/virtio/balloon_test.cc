// virtio-balloon: pages given and taken, statistics, reporting.
#include "devices/virtio/balloon/device.h"

#include <catch2/catch.hpp>

#include "tests/support/device_driver.h"

namespace lodge::test {
namespace {

constexpr uint64_t kAll = kVirtioVersion1 | 1U << 1 | 1U << 2 | 1U << 5;

struct Balloon {
  explicit Balloon(VirtioBalloon::Options options = {}, uint64_t features = kAll) {
    options.id = "balloon0";
    options.reporting = true;
    options.deflate_on_oom = true;
    device = must(VirtioBalloon::create(std::move(options), nullptr));
    driver = std::make_unique<DeviceDriver>(*device, features);
    pages = driver->allocate(64 * 4096);
    list = driver->allocate(4096);
    must(driver->memory().fill(pages, 64 * 4096, std::byte{0x55}));
    driver->start();
  }
  ~Balloon() {
    if (driver->running()) {
      driver->reset();
    }
  }
  uint32_t frame(uint32_t page) const { return static_cast<uint32_t>(pages.value / 4096 + page); }
  bool zero(uint32_t page) { return driver->get(Gpa{pages.value + page * 4096ULL}, 4096) == std::string(4096, '\0'); }
  std::optional<Used> inflate(const std::vector<uint32_t>& frames) {
    must(driver->memory().write_bytes(list, std::as_bytes(std::span(frames))));
    return driver->request(0, {{list, static_cast<uint32_t>(frames.size() * 4), false}});
  }
  std::unique_ptr<VirtioBalloon> device;
  std::unique_ptr<DeviceDriver> driver;
  Gpa pages, list;
};

}  // namespace

TEST_CASE("balloon_inflate_gives_pages_to_the_host") {
  Balloon balloon;
  REQUIRE(balloon.inflate({balloon.frame(5), balloon.frame(3), balloon.frame(4), balloon.frame(9), balloon.frame(9)}));
  for (const uint32_t page : {3, 4, 5, 9}) {
    CHECK(balloon.zero(page));
  }
  for (const uint32_t page : {2, 6, 8, 10}) {
    CHECK_FALSE(balloon.zero(page));
  }
  CHECK(balloon.device->counters()[0].value == 4 * 4096);
  must(balloon.driver->memory().write(balloon.list, balloon.frame(3)));
  REQUIRE(balloon.driver->request(1, {{balloon.list, 4, false}}));  // deflate
}

TEST_CASE("balloon_pages_outside_of_ram_are_counted_mistakes") {
  Balloon balloon;
  const auto last = static_cast<uint32_t>(DeviceDriver::kMemory / 4096 - 1);
  REQUIRE(balloon.inflate({last, last + 1, 0xFFFFFFFF, balloon.frame(1)}));
  CHECK(balloon.zero(1));
  CHECK(balloon.device->counters()[0].value == 2 * 4096);
  CHECK(balloon.device->counters()[2].value == 2);
  REQUIRE(balloon.driver->request(0, {{balloon.list, 3, false}}));
  REQUIRE(balloon.driver->request(0, {{balloon.list, 4, true}}));
  REQUIRE(balloon.driver->request(0, {{balloon.pages, 60 * 4096, false}}));
}

TEST_CASE("balloon_target_and_real_size_go_through_the_config_space") {
  uint64_t told = 0;
  VirtioBalloon::Options options;
  options.on_change = [&](uint64_t bytes) { told = bytes; };
  Balloon balloon(std::move(options));
  balloon.device->set_size(10 * kMiB);
  CHECK(balloon.driver->transport().config_changes == 1);
  uint32_t wanted = 0;
  balloon.device->read_config(0, writable_bytes_of(wanted));
  CHECK(wanted == 2560);
  const uint32_t actual = 100;
  balloon.device->write_config(4, bytes_of(actual));
  CHECK(balloon.device->size() == 409600);
  CHECK(told == 409600);
  balloon.device->write_config(0, bytes_of(actual));
  CHECK(balloon.device->target() == 10 * kMiB);
  StateWriter writer;
  balloon.device->save("balloon0", writer);
  const StateReader reader = must(StateReader::parse(writer.bytes()));
  VirtioBalloon::Options again;
  again.id = "balloon0";
  const auto restored = must(VirtioBalloon::create(std::move(again), &reader));
  CHECK(restored->target() == 10 * kMiB);
  CHECK(restored->size() == 409600);
}

TEST_CASE("balloon_statistics_are_polled") {
  VirtioBalloon::Options options;
  options.stats_period = std::chrono::milliseconds(20);
  Balloon balloon(std::move(options));
  struct [[gnu::packed]] {
    uint16_t tag;
    uint64_t value;
  } wire[] = {{4, 1000}, {5, 2000}, {77, 3}};
  const Gpa at = balloon.driver->put(std::as_bytes(std::span(wire)));
  balloon.driver->ring(2).add({{at, 30, false}});
  balloon.driver->kick(2);
  CHECK(balloon.device->stats().values[BalloonStats::kFree] == 1000);
  CHECK(balloon.device->stats().values[BalloonStats::kTotal] == 2000);
  CHECK(balloon.device->stats().values[BalloonStats::kCaches] == BalloonStats::kUnknown);
  REQUIRE(balloon.driver->wait(2));  // the device asks again
  balloon.driver->ring(2).add({{at, 25, false}});
  balloon.driver->kick(2);
  CHECK(balloon.device->stats().values[BalloonStats::kTotal] == 2000);
  // Stopped with the buffer held: it comes again.
  REQUIRE(balloon.driver->stop());
  CHECK_FALSE(balloon.driver->ring(2).used());
  balloon.driver->start();
  REQUIRE(balloon.driver->wait(2));
}

TEST_CASE("balloon_statistics_period_changes_at_runtime") {
  Balloon balloon;
  const Gpa at = balloon.driver->allocate(64);
  balloon.driver->ring(2).add({{at, 10, false}});
  balloon.driver->kick(2);
  balloon.driver->turn(3);
  CHECK_FALSE(balloon.driver->ring(2).used());
  balloon.device->set_stats_period(std::chrono::milliseconds(5));
  CHECK(balloon.driver->wait(2));
}

TEST_CASE("balloon_reported_pages_are_discarded") {
  Balloon balloon;
  REQUIRE(
      balloon.driver->request(3, {{balloon.pages, 2 * 4096, true}, {Gpa{balloon.pages.value + 5 * 4096 + 1}, 8192, true}}));
  CHECK(balloon.zero(0));
  CHECK(balloon.zero(1));
  CHECK_FALSE(balloon.zero(2));
  CHECK_FALSE(balloon.zero(5));
  CHECK(balloon.zero(6));
  CHECK_FALSE(balloon.zero(7));
  REQUIRE(balloon.driver->request(3, {{balloon.pages, 4096, false}}));
}

TEST_CASE("balloon_reporting_queue_moves_up_without_statistics") {
  Balloon balloon({}, kVirtioVersion1 | 1U << 5);
  REQUIRE(balloon.driver->request(2, {{balloon.pages, 4096, true}}));
  CHECK(balloon.zero(0));
}

}  // namespace lodge::test
