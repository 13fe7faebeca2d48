// virtio-fs (virtio 1.2 section 5.11) with a back-end at the other end of a socket: rings start, work, stop and go on; a
// back-end that goes away or lies costs the filesystem, not the guest.
#include "devices/virtio/fs/device.h"

#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "devices/virtio/transport_pci.h"
#include "tests/support/guest_driver.h"
#include "tests/support/vhost_user_backend.h"

namespace lodge::test {
namespace {

using namespace std::chrono_literals;
using Header = VhostUserBackend::Header;

struct Bench {
  explicit Bench(VhostUserBackend::Options options = {}, std::chrono::milliseconds patience = 20s)
      : backend(std::move(options)) {
    const GuestMemory::Range range{Gpa{0}, TestMachine::kMemory};
    machine.memory = must(GuestMemory::create({&range, 1}, {.backing = MemoryBacking::memfd}));
    machine.env = std::make_unique<DeviceEnv>(DeviceEnv{.memory = *machine.memory,
                                                        .mmio = machine.mmio,
                                                        .pio = machine.pio,
                                                        .msi = machine.msi,
                                                        .doorbells = machine.doorbells,
                                                        .control = *machine.control,
                                                        .loops = *machine.pool});
    VirtioFs::Options fs{.id = "fs0", .tag = "home", .queues = 1, .queue_size = 64, .backend = {}, .patience = patience};
    fs.backend = must(VhostUser::open(backend.take_front(), "filesystem 'fs0'", *machine.memory, 2));
    device = must(VirtioPci::create({.id = "fs0"}, must(VirtioFs::create(std::move(fs), nullptr)), *machine.env, nullptr));
    must(machine.root->plug({1, 0}, device, true));
  }
  ~Bench() { quiesce(); }
  void quiesce() {
    bool done = false;
    device->quiesce([&done] { done = true; });
    REQUIRE(machine.run_until([&done] { return done; }));
  }
  // How often it was asked for something.
  long asked(const std::string& prefix) {
    const auto log = backend.log();
    return std::ranges::count_if(log, [&](const std::string& line) { return line.starts_with(prefix); });
  }
  VhostUserBackend backend;
  TestMachine machine;
  std::shared_ptr<VirtioPci> device;
};

// A request through `queue`, answered by the back-end.
void check_request(Bench& bench, GuestDriver& driver, uint16_t queue) {
  must(bench.machine.memory->fill(Gpa{GuestDriver::kBuffers}, 4096, std::byte{0}));
  const auto used =
      driver.request(queue, {{Gpa{GuestDriver::kBuffers}, 40, false}, {Gpa{GuestDriver::kBuffers + 64}, 16, true}});
  REQUIRE(used);
  CHECK(used->written == 16);
  CHECK(must(bench.machine.memory->read<uint64_t>(Gpa{GuestDriver::kBuffers + 64})) == 0xF5F5'F5F5'F5F5'F5F5);
  CHECK(must(bench.machine.memory->read<uint64_t>(Gpa{GuestDriver::kBuffers + 32})) == 0);
}

}  // namespace

TEST_CASE("fs_has_its_identity_and_its_tag") {
  Bench bench;
  CHECK(bench.machine.config(1, 0) == 0x105A'1AF4);
  CHECK(bench.machine.config(1, 8) >> 8 == 0x018000);
  const uint64_t at = GuestDriver::kModernBar + virtio_pci::kDeviceAt;
  GuestDriver driver(bench.machine);
  CHECK(bench.machine.read(at, 4) == 0x656D'6F68);
  CHECK(bench.machine.read(at + 4, 4) == 0);
  CHECK(bench.machine.read(at + 36, 4) == 1);
  CHECK((driver.offered() & 0xFF'FFFF) == 0);
  CHECK(driver.common(virtio_pci::kQueueCount, 2) == 2);
}

TEST_CASE("fs_takes_tags_that_fit") {
  const auto create = [](const std::string& tag) {
    return VirtioFs::create({.id = "fs0", .tag = tag, .backend = {}}, nullptr);
  };
  CHECK(create(std::string(36, 'x')));
  CHECK_FALSE(create(std::string(37, 'x')));
  CHECK_FALSE(create(""));
  CHECK_FALSE(VirtioFs::create({.id = "fs0", .tag = "x", .queues = 65, .backend = {}}, nullptr));
}

TEST_CASE("fs_rings_are_served_stop_and_go_on_where_they_were") {
  Bench bench;
  GuestDriver driver(bench.machine);
  driver.start(~kVirtioIndirectDesc);
  check_request(bench, driver, 1);
  check_request(bench, driver, 0);
  check_request(bench, driver, 1);
  bench.quiesce();
  CHECK(bench.asked("11:") == 2);
  bench.device->resume();
  check_request(bench, driver, 1);
  CHECK(bench.asked("10:8:0:200000001") == 1);  // SET_VRING_BASE of ring 1: two were taken
  CHECK(bench.asked("10:8:0:100000000") == 1);
  REQUIRE(driver.reset());
  CHECK(bench.asked("11:") == 4);
  driver.start(~kVirtioIndirectDesc);
  check_request(bench, driver, 1);
  CHECK_FALSE(driver.needs_reset());
}

TEST_CASE("fs_serves_what_the_guest_announced_while_it_was_paused") {
  Bench bench;
  GuestDriver driver(bench.machine);
  driver.start();
  bench.quiesce();
  driver.rings.at(1).add({{Gpa{GuestDriver::kBuffers}, 8, true}});
  bench.device->resume();
  CHECK(driver.wait(1));
}

TEST_CASE("fs_signals_the_vector_of_the_queue") {
  Bench bench;
  bench.machine.write(GuestDriver::kMsixBar + 16 + 12, 0, 4);
  GuestDriver driver(bench.machine);
  bench.machine.set_config(1, static_cast<uint16_t>(bench.machine.config(1, 0x34, 1) + 2), 0x8000, 2);
  driver.negotiate(~kVirtioIndirectDesc);
  driver.add_ring(1, 8, Gpa{GuestDriver::kRings}, 1);
  driver.set_status(15);
  REQUIRE(driver.request(1, {{Gpa{GuestDriver::kBuffers}, 8, true}}));
  const auto signalled = [&] {
    return std::ranges::any_of(bench.machine.msi.vectors, [](const auto& vector) { return vector->event.drain() > 0; });
  };
  CHECK(bench.machine.run_until(signalled));
}

TEST_CASE("fs_whose_back_end_ends_needs_a_reset_and_stays_without") {
  Bench bench;
  GuestDriver driver(bench.machine);
  driver.start();
  CHECK_FALSE(driver.needs_reset());
  bench.backend.stop();
  CHECK(bench.machine.run_until([&] { return driver.needs_reset(); }));
  bench.quiesce();  // does not wait for it
  bench.device->resume();
  REQUIRE(driver.reset());
  CHECK_FALSE(driver.needs_reset());
  driver.start();
  CHECK(bench.machine.run_until([&] { return driver.needs_reset(); }));
}

TEST_CASE("fs_whose_back_end_ended_before_the_driver_came_needs_a_reset") {
  Bench bench;
  bench.backend.stop();
  GuestDriver driver(bench.machine);
  driver.start();
  CHECK(bench.machine.run_until([&] { return driver.needs_reset(); }));
}

TEST_CASE("fs_gives_up_a_back_end_that_does_not_stop") {
  Bench bench({.twist = [](const Header& header, std::string answer) -> std::optional<std::string> {
                return header.request == 11 ? std::string() : std::move(answer);
              }},
              20ms);
  GuestDriver driver(bench.machine);
  driver.start();
  bench.quiesce();
  CHECK(driver.needs_reset());
}

TEST_CASE("fs_gives_up_a_back_end_that_lies_about_a_ring") {
  struct Case {
    uint32_t request, flags, size, index, number;
  };
  const Case wrong = GENERATE(Case{11, 5, 8, 1, 0}, Case{11, 5, 8, 0, 0x10000}, Case{12, 5, 8, 0, 0}, Case{11, 1, 8, 0, 0},
                              Case{11, 5, 12, 0, 0});
  Bench bench({.twist = [wrong](const Header& header, std::string answer) -> std::optional<std::string> {
    return header.request == 11 ? std::string(reinterpret_cast<const char*>(&wrong), sizeof wrong) : std::move(answer);
  }});
  GuestDriver driver(bench.machine);
  driver.start();
  bench.quiesce();
  CHECK(driver.needs_reset());
}

TEST_CASE("fs_takes_an_answer_in_pieces") {
  Bench bench(
      {.twist = [held = std::string()](const Header& header, std::string answer) mutable -> std::optional<std::string> {
        if (header.request != 11) {
          return answer;
        }
        // The first one's end comes with the second.
        std::string all = std::exchange(held, {}) + answer;
        if (all.size() == 20) {
          held = all.substr(7);
          all.resize(7);
        }
        return all;
      }});
  GuestDriver driver(bench.machine);
  driver.start();
  bench.quiesce();
  CHECK_FALSE(driver.needs_reset());
}

TEST_CASE("fs_gives_up_a_back_end_that_speaks_unasked") {
  Bench bench({.twist = [](const Header& header, std::string answer) -> std::optional<std::string> {
    return header.request == 18 ? std::string(1000, 'x') : std::move(answer);
  }});
  GuestDriver driver(bench.machine);
  driver.start();
  CHECK(bench.machine.run_until([&] { return driver.needs_reset(); }));
}

}  // namespace lodge::test
