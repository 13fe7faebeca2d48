// virtio-vsock (virtio 1.2 section 5.10): what the kernel is told of its rings and when, and the event after a restore.
#include "devices/virtio/vsock/device.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "devices/virtio/transport_pci.h"
#include "tests/support/guest_driver.h"

namespace lodge::test {
namespace {

constexpr uint64_t kSequencedPackets = 2;

// In the kernel's place: writes down what it is told.
class Server final : public VsockServer {
 public:
  explicit Server(std::vector<std::string>& log) : log_(log) {}
  [[nodiscard]] uint64_t features() const override { return kVirtioVersion1 | kVirtioEventIdx | kSequencedPackets | 8; }
  Result<void> set_up(uint64_t features, const GuestMemory& memory) override {
    log_.push_back(fmt::format("features {:x}, {} bytes", features, memory.total_size()));
    return {};
  }
  Result<void> set_ring(unsigned ring, const VhostRing& place, const GuestMemory&, int kick_fd, int) override {
    if (fails) {
      return fail("no");
    }
    kicks[ring] = kick_fd;
    log_.push_back(fmt::format("ring {} of {} at {}", ring, place.size, place.next));
    return {};
  }
  Result<void> run(bool on) override {
    log_.emplace_back(on ? "run" : "stop");
    return {};
  }
  Result<uint16_t> position(unsigned ring) override { return static_cast<uint16_t>(40 + ring); }
  int kicks[2] = {-1, -1};
  bool fails = false;

 private:
  std::vector<std::string>& log_;
};

struct Bench {
  explicit Bench(const StateReader* saved = nullptr, uint64_t cid = 1234) {
    auto kernel = std::make_unique<Server>(log);
    server = kernel.get();
    VirtioVsock::Options options;
    options.id = "vsock0";
    options.cid = cid;
    options.vhost = std::move(kernel);
    VirtioPci::Options transport;
    transport.id = "vsock0";
    device = must(VirtioPci::create(transport, must(VirtioVsock::create(std::move(options), saved)), *machine.env, saved));
    must(machine.root->plug({1, 0}, device, true));
  }
  ~Bench() { quiesce(); }
  void quiesce() {
    bool done = false;
    device->quiesce([&done] { done = true; });
    REQUIRE(machine.run_until([&done] { return done; }));
  }
  TestMachine machine;
  std::vector<std::string> log;
  Server* server = nullptr;
  std::shared_ptr<VirtioPci> device;
};

}  // namespace

TEST_CASE("vsock_has_its_identity_its_address_and_the_kernels_features") {
  Bench bench;
  CHECK(bench.machine.config(1, 0) == 0x1053'1AF4);
  GuestDriver driver(bench.machine);
  const uint64_t offered = driver.offered();
  CHECK((offered & 0xFF'FFFF) == kSequencedPackets);  // of the device's own bits none that it does not know
  CHECK(bench.machine.read(GuestDriver::kModernBar + virtio_pci::kDeviceAt, 8) == 1234);
}

TEST_CASE("vsock_rings_run_together_and_stop_together") {
  Bench bench;
  GuestDriver driver(bench.machine);
  driver.start(~kVirtioIndirectDesc);
  CHECK(bench.machine.run_until([&] { return bench.log.size() >= 4; }));
  CHECK(bench.log ==
        std::vector<std::string>{"features 120000002, 16777216 bytes", "ring 0 of 64 at 0", "ring 1 of 64 at 0", "run"});
  for (const int kick : bench.server->kicks) {  // the kernel looks at once
    uint64_t count = 0;
    REQUIRE(::read(kick, &count, sizeof count) == sizeof count);
    CHECK(count == 1);
  }
  bench.log.clear();
  bench.quiesce();
  CHECK(bench.log == std::vector<std::string>{"stop"});
  bench.log.clear();
  bench.device->resume();  // goes on where the kernel was
  CHECK(bench.machine.run_until([&] { return bench.log.size() >= 4; }));
  CHECK(bench.log[1] == "ring 0 of 64 at 40");
  CHECK(bench.log[2] == "ring 1 of 64 at 41");
  CHECK_FALSE(driver.needs_reset());
}

TEST_CASE("vsock_that_the_kernel_does_not_serve_needs_a_reset") {
  Bench bench;
  bench.server->fails = true;
  GuestDriver driver(bench.machine);
  driver.start();
  CHECK(bench.machine.run_until([&] { return driver.needs_reset(); }));
  bench.server->fails = false;
  REQUIRE(driver.reset());
  driver.start();
  CHECK_FALSE(driver.needs_reset());
}

TEST_CASE("vsock_tells_a_restored_guest_that_its_connections_are_gone") {
  Bench first;
  GuestDriver driver(first.machine);
  driver.start();
  driver.rings.at(VirtioVsock::kEvents).add({{Gpa{GuestDriver::kBuffers}, 8, true}});
  driver.kick(VirtioVsock::kEvents);
  first.machine.turn(10);
  CHECK_FALSE(driver.rings.at(VirtioVsock::kEvents).used());
  first.quiesce();
  StateWriter out;
  first.device->save(out);
  const StateReader reader = must(StateReader::parse(out.bytes()));

  Bench second(&reader, 99);  // on another host, by another address
  std::vector<std::byte> all(TestMachine::kMemory);
  must(first.machine.memory->read_bytes(Gpa{0}, all));
  must(second.machine.memory->write_bytes(Gpa{0}, all));
  must(second.machine.memory->fill(Gpa{GuestDriver::kBuffers}, 8, std::byte{0xFF}));
  GuestDriver after(second.machine, driver);
  second.device->resume();
  const auto used = after.wait(VirtioVsock::kEvents);
  REQUIRE(used);
  CHECK(used->written == 4);
  CHECK(must(second.machine.memory->read<uint64_t>(Gpa{GuestDriver::kBuffers})) == 0xFFFF'FFFF'0000'0000);
  CHECK(second.machine.read(GuestDriver::kModernBar + virtio_pci::kDeviceAt, 8) == 99);
  // Once, and not after a reset.
  after.rings.at(VirtioVsock::kEvents).add({{Gpa{GuestDriver::kBuffers}, 8, true}});
  after.kick(VirtioVsock::kEvents);
  second.machine.turn(10);
  CHECK_FALSE(after.rings.at(VirtioVsock::kEvents).used());
}

TEST_CASE("vhost_vsock_says_what_is_missing") {
  const auto opened = VhostVsock::create(Fd(::open("/dev/null", O_RDWR | O_CLOEXEC)), 3);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().message.find("vhost-vsock: become the owner") != std::string::npos);
}

}  // namespace lodge::test
