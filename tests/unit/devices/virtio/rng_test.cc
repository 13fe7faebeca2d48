// virtio-rng: filling, the cap, the limit.
#include "devices/virtio/rng/device.h"

#include <catch2/catch.hpp>

#include "tests/support/device_driver.h"

namespace lodge::test {
namespace {

struct Rng {
  explicit Rng(VirtioRng::Options options = {}, const StateReader* saved = nullptr) {
    options.id = "rng0";
    device = must(VirtioRng::create(std::move(options), saved));
    driver = std::make_unique<DeviceDriver>(*device, kVirtioVersion1);
    buffer = driver->allocate(1 * kMiB);
    driver->start();
  }
  ~Rng() { driver.reset(); }
  std::unique_ptr<VirtioRng> device;
  std::unique_ptr<DeviceDriver> driver;
  Gpa buffer;
};

}  // namespace

TEST_CASE("rng_fills_buffers_with_changing_bytes") {
  Rng rng;
  CHECK(rng.driver->request(0, {{rng.buffer, 32, true}, {Gpa{rng.buffer.value + 100}, 16, true}})->written == 48);
  const std::string first = rng.driver->get(rng.buffer, 32);
  CHECK(first != std::string(32, '\0'));
  CHECK(rng.driver->request(0, {{rng.buffer, 32, true}})->written == 32);
  CHECK(rng.driver->get(rng.buffer, 32) != first);
}

TEST_CASE("rng_caps_a_request") {
  Rng rng;
  CHECK(rng.driver->request(0, {{rng.buffer, 1024 * 1024, true}})->written == VirtioRng::kMaxRequest);
}

TEST_CASE("rng_bad_chains_are_returned_empty") {
  Rng rng;
  CHECK(rng.driver->request(0, {{rng.buffer, 32, false}})->written == 0);
  CHECK(rng.driver->request(0, {{rng.buffer, 0, true}})->written == 0);
  CHECK(rng.driver->request(0, {{rng.buffer, 8, true}})->written == 8);
}

TEST_CASE("rng_limit_holds_requests_until_the_period_ends") {
  VirtioRng::Options options;
  options.max_bytes = 100;
  options.period = std::chrono::milliseconds(50);
  Rng rng(options);
  CHECK(rng.driver->request(0, {{rng.buffer, 64, true}})->written == 64);
  CHECK(rng.driver->request(0, {{rng.buffer, 64, true}})->written == 36);
  rng.driver->ring(0).add({{rng.buffer, 64, true}});
  rng.driver->kick(0);
  rng.driver->turn();
  CHECK_FALSE(rng.driver->ring(0).used());
  SECTION("the period ends") { CHECK(rng.driver->wait(0)->written == 64); }
  SECTION("saved with the budget used up") {
    REQUIRE(rng.driver->stop());
    StateWriter writer;
    rng.device->save("rng0", writer);
    const StateReader reader = must(StateReader::parse(writer.bytes()));
    VirtioRng::Options again = options;
    again.id = "rng0";
    rng.device = must(VirtioRng::create(again, &reader));
    rng.driver->replace(*rng.device);
    rng.driver->start();
    CHECK(rng.driver->wait(0)->written == 64);
  }
}

TEST_CASE("rng_many_requests_share_the_loop") {
  Rng rng;
  for (int i = 0; i < 60; ++i) {
    rng.driver->ring(0).add({{rng.buffer, 65536, true}});
  }
  rng.driver->kick(0);
  for (int i = 0; i < 60; ++i) {
    REQUIRE(rng.driver->wait(0)->written == 65536);
  }
  CHECK(rng.device->counters()[1].value == 60 * 65536);
}

}  // namespace lodge::test
