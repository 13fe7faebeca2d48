// VirtioPci: negotiation, reset while requests are in flight, NEEDS_RESET, the 0.9 registers, saved state, every register.
#include "devices/virtio/transport_pci.h"

#include <catch2/catch.hpp>

#include "tests/support/guest_driver.h"

namespace lodge::test {
namespace {

using namespace virtio_pci;

// A device that holds every request until it is told, on one loop.
class HoldingDevice final : public VirtioDevice {
 public:
  static constexpr uint64_t kFeature = 1ULL << 5;
  uint16_t virtio_id() const override { return 4; }
  uint32_t pci_class() const override { return 0x00FF00; }
  uint64_t offered_features() const override { return kFeature; }
  std::span<const uint16_t> queue_sizes() const override { return kSizes; }
  void read_config(uint32_t offset, std::span<std::byte> to) override { copy_config(config, offset, to); }
  void write_config(uint32_t offset, std::span<const std::byte> from) override {
    for (size_t i = 0; i < from.size() && offset + i < config.size(); ++i) {
      config[offset + i] = from[i];
    }
  }
  void attach(VirtioTransport& to) override { transport = &to; }
  void activate(const Activation& activation) override { features = activation.features; }
  void start_queue(Virtqueue&) override { ++started; }
  void kick(Virtqueue& queue) override {
    queue.process([this](Chain chain) {
      held.push_back(std::move(chain));
      return true;
    });
  }
  void stop_queue(Virtqueue& queue, Done done) override {
    ++stops;
    if (give_back) {
      for (Chain& chain : held) {
        if (chain.active() && &chain.queue() == &queue) {
          chain.give_back();
        }
      }
      std::erase_if(held, [](const Chain& chain) { return !chain.active(); });
      done();
    } else {
      waiting.push_back(std::move(done));
    }
  }
  // The I/O ends.
  void finish_all() {
    held.clear();
    for (const Done& done : std::exchange(waiting, {})) {
      done();
    }
  }
  void reset() override { ++resets; }
  void save(std::string_view, StateWriter&) const override {}

  static constexpr std::array<uint16_t, 2> kSizes{64, 16};
  std::array<std::byte, 12> config{std::byte{0x11}, std::byte{0x22}};
  VirtioTransport* transport = nullptr;
  uint64_t features = 0;
  std::vector<Chain> held;
  std::vector<Done> waiting;
  std::atomic<int> started{0};
  std::atomic<int> stops{0};
  std::atomic<int> resets{0};
  bool give_back = false;
};

struct Bench {
  explicit Bench(VirtioPci::Options options = {}, const StateReader* saved = nullptr,
                 TestMachine::Loops loops = TestMachine::Loops::here)
      : machine(loops) {
    options.id = "dev0";
    auto made = std::make_unique<HoldingDevice>();
    device = made.get();
    transport = must(VirtioPci::create(options, std::move(made), *machine.env, saved));
    must(machine.root->plug({1, 0}, transport, true));
  }
  ~Bench() {
    if (machine.threads.empty()) {
      device->give_back = true;
      quiesce();
    }
    machine.threads.clear();
  }
  bool quiesce() {
    auto done = std::make_shared<std::atomic<bool>>(false);
    transport->quiesce([done] { *done = true; });
    machine.turn(5);
    return *done;
  }
  StateBytes save() {
    StateWriter out;
    transport->save(out);
    return out.bytes();
  }
  TestMachine machine;
  HoldingDevice* device = nullptr;
  std::shared_ptr<VirtioPci> transport;
};

std::vector<Buffer> one_buffer() { return {{Gpa{GuestDriver::kBuffers}, 64, true}}; }

}  // namespace

TEST_CASE("transport_shows_identity_and_capabilities") {
  Bench modern;
  CHECK(modern.machine.config(1, 0) == 0x10441AF4);
  CHECK(modern.machine.config(1, 8, 1) == 1);
  Bench transitional({.transitional = true});
  CHECK(transitional.machine.config(1, 0) == 0x10051AF4);
  CHECK(transitional.machine.config(1, 8, 1) == 0);
  CHECK(transitional.machine.config(1, 0x2E, 2) == 4);
}

TEST_CASE("transport_negotiates_offered_features_only") {
  Bench bench({.packed_ring = true});
  GuestDriver driver(bench.machine);
  const uint64_t offered = driver.offered();
  CHECK(offered == (HoldingDevice::kFeature | kVirtioVersion1 | kVirtioIndirectDesc | kVirtioEventIdx | kVirtioRingPacked));
  driver.set_common(kDeviceFeatureSelect, 2, 4);
  CHECK(driver.common(kDeviceFeature, 4) == 0);
  const auto accepted = [&](uint64_t features) {
    driver.reset();
    driver.set_status(3);
    driver.accept(features);
    driver.set_status(11);
    return (driver.status() & kStatusFeaturesOk) != 0;
  };
  CHECK(accepted(offered));
  CHECK(accepted(kVirtioVersion1));
  CHECK_FALSE(accepted(HoldingDevice::kFeature));      // no driver of ours is that old here
  CHECK_FALSE(accepted(kVirtioVersion1 | 1ULL << 6));  // not offered
  CHECK_FALSE(accepted(kVirtioVersion1 | 1ULL << 63));
  driver.set_status(15);
  CHECK((driver.status() & kStatusDriverOk) == 0);
  CHECK(accepted(kVirtioVersion1));
  driver.accept(offered);  // too late
  driver.set_common(kDriverFeatureSelect, 0, 4);
  CHECK(driver.common(kDriverFeature, 4) == 0);
}

TEST_CASE("transport_starts_enabled_queues_and_tells_features") {
  Bench bench;
  GuestDriver driver(bench.machine);
  driver.negotiate(kVirtioVersion1 | HoldingDevice::kFeature);
  driver.add_ring(0, 32, Gpa{GuestDriver::kRings});
  driver.set_status(15);
  bench.machine.turn();
  CHECK(bench.device->started == 1);
  CHECK(bench.device->features == (kVirtioVersion1 | HoldingDevice::kFeature));
  driver.rings.at(0).add(one_buffer());
  driver.kick(0);
  driver.kick(1);   // not enabled
  driver.kick(99);  // not there
  CHECK(bench.machine.run_until([&] { return bench.device->held.size() == 1; }));
}

TEST_CASE("transport_queue_registers_are_checked_and_frozen_while_it_runs") {
  Bench bench;
  GuestDriver driver(bench.machine);
  driver.negotiate();
  driver.set_common(kQueueSelect, 0, 2);
  for (const uint32_t bad : {0U, 3U, 65U, 128U, 0xFFFFU}) {
    driver.set_common(kQueueSize, bad, 2);
    CHECK(driver.common(kQueueSize, 2) == 64);
  }
  driver.set_common(kQueueVector, 3, 2);  // vectors are 0 to 2
  CHECK(driver.common(kQueueVector, 2) == 0xFFFF);
  driver.set_common(kQueueSelect, 2, 2);  // no such queue
  CHECK(driver.common(kQueueSize, 2) == 0);
  driver.set_common(kQueueSize, 8, 2);
  driver.set_common(kQueueEnable, 1, 2);
  driver.start();
  driver.set_common(kQueueSelect, 0, 2);
  const uint64_t before = driver.common(kQueueDescriptors, 4);
  driver.set_common(kQueueDescriptors, 0x1000, 4);
  driver.set_common(kQueueSize, 8, 2);
  CHECK(driver.common(kQueueDescriptors, 4) == before);
  CHECK(driver.common(kQueueSize, 2) == 64);
}

TEST_CASE("transport_rings_outside_of_ram_need_a_reset") {
  Bench bench;
  GuestDriver driver(bench.machine);
  driver.negotiate();
  driver.add_ring(0, 32, Gpa{GuestDriver::kRings});
  driver.set_common(kQueueDescriptors, 0xFFFF'FFFF'FFFF'0000, 8);
  driver.set_status(15);
  bench.machine.turn();
  CHECK(driver.needs_reset());
  CHECK(driver.reset());
  driver.start();
  CHECK(driver.status() == 15);
}

TEST_CASE("transport_reset_waits_for_requests_in_flight_and_shows_it") {
  Bench bench;
  GuestDriver driver(bench.machine);
  driver.start();
  driver.rings.at(0).add(one_buffer());
  driver.kick(0);
  REQUIRE(bench.machine.run_until([&] { return bench.device->held.size() == 1; }));
  driver.set_status(0);
  bench.machine.turn(10);
  CHECK(driver.status() != 0);  // not yet
  driver.set_status(0);         // impatient
  driver.set_status(1);         // nothing counts until it is over
  CHECK(bench.device->resets == 0);
  bench.device->finish_all();
  CHECK(bench.machine.run_until([&] { return driver.status() == 0; }));
  CHECK(bench.device->resets == 1);
  driver.start();
  CHECK(driver.status() == 15);
}

TEST_CASE("transport_quiesce_and_reset_at_once_both_end") {
  Bench bench;
  GuestDriver driver(bench.machine);
  driver.start();
  driver.rings.at(0).add(one_buffer());
  driver.kick(0);
  REQUIRE(bench.machine.run_until([&] { return bench.device->held.size() == 1; }));
  bool quiet = false;
  bool quiet_too = false;
  SECTION("quiesce first") {
    bench.transport->quiesce([&] { quiet = true; });
    driver.set_status(0);
  }
  SECTION("reset first") {
    driver.set_status(0);
    bench.transport->quiesce([&] { quiet = true; });
  }
  bench.transport->quiesce([&] { quiet_too = true; });
  bench.machine.turn(5);
  CHECK_FALSE(quiet);
  bench.device->finish_all();
  CHECK(bench.machine.run_until([&] { return quiet && quiet_too; }));
  CHECK(driver.status() == 0);
  CHECK(bench.device->resets == 1);
}

TEST_CASE("transport_broken_ring_sets_needs_reset_and_interrupts_once") {
  Bench bench;
  GuestDriver driver(bench.machine);
  driver.start();
  const uint64_t generation = driver.common(kGeneration, 1);
  (void)driver.common(kIsrAt, 1);
  driver.rings.at(0).add({{Gpa{UINT64_MAX - 10}, 4, true}});
  driver.kick(0);
  CHECK(bench.machine.run_until([&] { return driver.needs_reset(); }));
  CHECK(driver.common(kGeneration, 1) != generation);
  CHECK(driver.common(kIsrAt, 1) == kIsrConfig);
  CHECK(driver.common(kIsrAt, 1) == 0);
  driver.set_status(15);
  CHECK(driver.needs_reset());  // a driver cannot take it away
  bench.device->give_back = true;
  CHECK(driver.reset());
}

TEST_CASE("transport_interrupts_by_intx_or_msix") {
  Bench bench;
  GuestDriver driver(bench.machine);
  RecordingLine& line = bench.machine.lines[bench.machine.config(1, 0x3C, 1)];
  driver.negotiate(kVirtioVersion1);
  driver.add_ring(0, 32, Gpa{GuestDriver::kRings}, 1);
  driver.set_common(kConfigVector, 0, 2);
  driver.set_status(15);
  const auto complete = [&] {
    driver.rings.at(0).add(one_buffer());
    driver.kick(0);
    CHECK(bench.machine.run_until([&] { return !bench.device->held.empty(); }));
    bench.device->finish_all();
    bench.machine.turn();
  };
  complete();
  CHECK(line.level);
  CHECK(driver.common(kIsrAt, 1) == kIsrQueue);
  CHECK_FALSE(line.level);
  // MSI-X on: table entry 1 unmasked, 0 left masked.
  bench.machine.write(GuestDriver::kMsixBar + 16 + 12, 0, 4);
  uint8_t cap = static_cast<uint8_t>(bench.machine.config(1, 0x34, 1));
  while (bench.machine.config(1, cap, 1) != 0x11) {
    cap = static_cast<uint8_t>(bench.machine.config(1, static_cast<uint16_t>(cap + 1), 1));
  }
  bench.machine.set_config(1, static_cast<uint16_t>(cap + 2), 0x8000, 2);
  complete();
  CHECK(bench.machine.msi.vectors[1]->triggers == 1);
  CHECK_FALSE(line.level);
  bench.device->transport->notify_config();
  CHECK(bench.machine.msi.vectors[0]->triggers == 0);
  bench.machine.write(GuestDriver::kMsixBar + 12, 0, 4);
  CHECK(bench.machine.msi.vectors[0]->triggers == 1);
}

TEST_CASE("transport_config_space_is_bounded") {
  Bench bench;
  GuestDriver driver(bench.machine);
  CHECK(driver.common(kDeviceAt, 4) == 0x2211);
  driver.set_common(kDeviceAt + 10, 0xAABBCCDD, 4);
  CHECK(driver.common(kDeviceAt + 8, 8) == 0xCCDD0000);
  CHECK(driver.common(kDeviceAt + 12, 4) == 0);
  CHECK(driver.common(kDeviceAt + kDeviceSize - 4, 4) == 0);
}

TEST_CASE("transport_survives_every_register_with_every_size") {
  for (const bool running : {false, true}) {
    Bench bench({.transitional = true});
    GuestDriver driver(bench.machine);
    if (running) {
      driver.start();
    }
    for (const uint64_t value : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}, uint64_t{0x8000000000000000}}) {
      for (const uint8_t size : {uint8_t{1}, uint8_t{2}, uint8_t{4}, uint8_t{8}}) {
        for (uint64_t at = 0; at < kModernBarSize; at += at < 0x40 || at % 0x1000 < 0x20 ? 1 : 61) {
          driver.set_common(at, value, size);
          (void)driver.common(at, size);
        }
        for (uint64_t at = 0; at < kLegacyBarSize && size < 8; ++at) {
          bench.device->give_back = true;  // else a write of status 0 waits for requests that this test holds
          if (!(running && at == kLegacyStatus)) {
            bench.machine.out(GuestDriver::kLegacyPort + at, value, size);
          }
          (void)bench.machine.in(GuestDriver::kLegacyPort + at, size);
        }
        bench.machine.turn(2);
      }
    }
    bench.device->give_back = true;
    CHECK(driver.reset());
  }
}

TEST_CASE("legacy_registers_drive_a_queue") {
  Bench bench({.transitional = true}, nullptr, TestMachine::Loops::threads);
  bench.device->give_back = true;
  GuestDriver map(bench.machine);
  const uint16_t port = GuestDriver::kLegacyPort;
  auto& machine = bench.machine;
  CHECK(machine.in(port, 4) ==
        ((HoldingDevice::kFeature | kVirtioIndirectDesc | kVirtioEventIdx | kVirtioAnyLayout) & UINT32_MAX));
  for (int round = 0; round < 3; ++round) {
    machine.out(port + kLegacyStatus, 0);
    CHECK(machine.in(port + kLegacyStatus) == 0);
    machine.out(port + kLegacyStatus, 1);
    machine.out(port + kLegacyStatus, 3);
    machine.out(port + kLegacyDriverFeatures, HoldingDevice::kFeature | 1, 4);
    CHECK(machine.in(port + kLegacyDriverFeatures, 4) == HoldingDevice::kFeature);
    machine.out(port + kLegacyQueueSelect, 1, 2);
    CHECK(machine.in(port + kLegacyQueueSize, 2) == 16);
    machine.out(port + kLegacyQueuePage, GuestDriver::kRings / 4096, 4);
    CHECK(machine.in(port + kLegacyQueuePage, 4) == GuestDriver::kRings / 4096);
    CHECK(machine.in(port + 0x14, 2) == 0x2211);  // without MSI-X the device's configuration is here
    GuestRing ring(*machine.memory, Gpa{GuestDriver::kRings}, 16, false);
    machine.out(port + kLegacyStatus, 7);
    ring.add(one_buffer());
    machine.out(port + kLegacyNotify, 1, 2);
    CHECK(machine.run_until([&] {
      size_t held = 0;
      machine.threads[0]->loop().run_sync([&] { held = bench.device->held.size(); });
      return held == 1;
    }));
  }
  machine.out(port + kLegacyStatus, 0);  // returns when the request is back
  machine.threads[0]->loop().run_sync([&] { CHECK(bench.device->held.empty()); });
  CHECK(bench.device->resets == 3);
  machine.out(port + kLegacyQueueSelect, 2, 2);
  CHECK(machine.in(port + kLegacyQueueSize, 2) == 0);
}

TEST_CASE("transport_saved_running_and_created_from_it_is_equal_and_goes_on") {
  for (const bool packed : {false, true}) {
    Bench first({.packed_ring = true});
    GuestDriver driver(first.machine);
    driver.start(packed ? ~uint64_t{0} : ~kVirtioRingPacked);
    driver.rings.at(0).add(one_buffer());
    driver.rings.at(0).add(one_buffer());
    driver.kick(0);
    REQUIRE(first.machine.run_until([&] { return first.device->held.size() == 2; }));
    first.device->give_back = true;
    REQUIRE(first.quiesce());
    const StateBytes saved = first.save();
    const StateReader reader = must(StateReader::parse(saved));
    Bench second({.packed_ring = true}, &reader);
    CHECK(second.save() == saved);
    std::vector<std::byte> all(TestMachine::kMemory);
    must(first.machine.memory->read_bytes(Gpa{0}, all));
    must(second.machine.memory->write_bytes(Gpa{0}, all));
    GuestDriver after(second.machine, driver);
    CHECK(after.status() == 15);
    second.transport->resume();
    CHECK(second.machine.run_until([&] { return second.device->held.size() == 2; }));
    second.device->finish_all();
    second.machine.turn();
    CHECK(after.rings.at(0).used());
    CHECK(after.rings.at(0).used());
    after.rings.at(0).add(one_buffer());
    after.kick(0);
    CHECK(second.machine.run_until([&] { return second.device->held.size() == 1; }));
    second.device->finish_all();
  }
}

TEST_CASE("transport_saved_in_mid_negotiation_is_restored") {
  Bench bench;
  GuestDriver driver(bench.machine);
  driver.set_status(3);
  driver.accept(~uint64_t{0});  // refused once FEATURES_OK is tried; until then it stands in the register
  const StateBytes saved = bench.save();
  const auto reader = must(StateReader::parse(saved));
  Bench second({}, &reader);
  CHECK(second.save() == saved);
}

TEST_CASE("transport_features_cannot_change_while_it_runs") {
  Bench bench;
  GuestDriver driver(bench.machine);
  driver.start();
  driver.set_status(3);  // takes FEATURES_OK away; DRIVER_OK goes by a reset only
  CHECK(driver.status() == (3 | kStatusDriverOk));
  driver.accept(~uint64_t{0});
  driver.set_common(kDriverFeatureSelect, 1, 4);
  CHECK(driver.common(kDriverFeature, 4) == kVirtioVersion1 >> 32);
}

TEST_CASE("transport_state_that_does_not_fit_is_refused") {
  Bench bench;
  GuestDriver(bench.machine).start();
  bench.device->give_back = true;
  REQUIRE(bench.quiesce());
  const auto reader = must(StateReader::parse(bench.save()));
  const auto transport = must(reader.get<VirtioTransportState>("dev0"));
  const auto pci = must(reader.get<PciState>("dev0"));
  const auto refused = [&](auto change) {
    VirtioTransportState changed = transport;
    change(changed);
    StateWriter out;
    out.put("dev0", changed);
    out.put("dev0", pci);
    const auto other = must(StateReader::parse(out.bytes()));
    TestMachine machine;
    return !VirtioPci::create({.id = "dev0"}, std::make_unique<HoldingDevice>(), *machine.env, &other);
  };
  CHECK_FALSE(refused([](VirtioTransportState&) {}));
  CHECK(refused([](VirtioTransportState& s) { s.queues.pop_back(); }));
  CHECK(refused([](VirtioTransportState& s) { s.queues[1].size = 17; }));
  CHECK(refused([](VirtioTransportState& s) { s.driver_features |= kVirtioRingPacked; }));
  CHECK(refused([](VirtioTransportState& s) { s.queues[1].pending.resize(17); }));
}

}  // namespace lodge::test
