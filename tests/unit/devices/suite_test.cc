// The shared suite: what must hold for every row of devices/registry.cc. A new row needs a spec in make_spec() below.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <random>
#include <set>

#include "devices/block/raw.h"
#include "devices/chipset/power/device.h"
#include "devices/legacy/cmos_rtc/state.h"
#include "devices/legacy/power/device.h"
#include "devices/net/none.h"
#include "devices/registry.h"
#include "tests/support/guest_driver.h"

namespace lodge::test {
namespace {

constexpr uint64_t kPowerBase = 0xFEB0'0000;
constexpr size_t kRows = std::variant_size_v<DeviceSpec>;

Fd memory_disk() {
  Fd fd(::memfd_create("disk", MFD_CLOEXEC));
  REQUIRE(::ftruncate(fd.get(), 1 << 20) == 0);
  return fd;
}

VirtioPci::Options transport(std::string id, bool packed) {
  VirtioPci::Options options;
  options.id = std::move(id);
  options.transitional = !packed;
  options.packed_ring = packed;
  return options;
}

// A typical device of each row.
std::optional<DeviceSpec> make_spec(size_t row, bool packed = false) {
  const std::string_view name = device_kinds()[row].name;
  if (name == "reduced-power") {
    return ReducedPowerSpec{kPowerBase, 9};
  }
  if (name == "fixed-power") {
    return FixedPowerSpec{9};
  }
  if (name == "host-bridge") {
    return HostBridgeSpec{{.low_ram = 1 * kGiB, .apply = {}}};
  }
  if (name == "isa-bridge") {
    static PirqRouter router([](uint32_t gsi) -> IrqLine& {
      static std::map<uint32_t, RecordingLine> lines;
      return lines[gsi];
    });
    return IsaBridgeSpec{&router};
  }
  if (name == "fw-cfg") {
    return FwCfgSpec{};
  }
  if (name == "vmgenid") {
    return VmGenIdSpec{{.id = {1, 2, 3}, .announce = [] {}}};
  }
  if (name == "vmcoreinfo") {
    return VmCoreInfoSpec{};
  }
  if (name == "hpet") {
    static RecordingLine line;
    return HpetSpec{{.line = [](uint32_t) -> IrqLine& { return line; }, .legacy = {}}};
  }
  if (name == "parallel") {
    ParallelSpec spec;
    spec.options.id = "parallel0";
    spec.options.backend = make_null_char();
    return spec;
  }
  if (name == "virtio-vsock") {
    VsockSpec spec;
    spec.transport = transport("vsock0", packed);
    spec.options.id = "vsock0";
    spec.options.cid = 3;
    return spec;
  }
  if (name == "virtio-fs") {
    return FsSpec{transport("fs0", packed), {.id = "fs0", .tag = "home", .backend = {}}};
  }
  if (name == "nor-flash") {
    NorFlashSpec spec;
    spec.options.base = 0xFFC0'0000;
    spec.options.store = must(FlashStore::open({.file = memory_disk(), .path = "flash", .written_through = false}));
    return spec;
  }
  if (name == "pci-hotplug") {
    return PciHotplugSpec{true, 0xAE00, {[] {}, [](uint8_t) {}, [](uint8_t) {}}};
  }
  if (name == "cpu-hotplug") {
    return CpuHotplugSpec{true, 0xAF00, {true, true, false, true}, {[] {}, [](uint32_t) {}, [](uint32_t) {}}};
  }
  if (name == "cmos-rtc") {
    return CmosRtcSpec{1 * kGiB, 5 * kGiB};
  }
  if (name == "i8042") {
    return I8042Spec{};
  }
  if (name == "debug-console") {
    return DebugConsoleSpec{};
  }
  if (name == "debug-exit") {
    return DebugExitSpec{};
  }
  if (name == "pvpanic") {
    return PvPanicSpec{};
  }
  if (name == "ib700") {
    return Ib700Spec{{.id = "watchdog0", .expired = [] {}}};
  }
  if (name == "i6300esb") {
    return I6300EsbSpec{{.id = "watchdog0", .expired = [] {}}};
  }
  if (name == "uart16550") {
    SerialSpec spec;
    spec.options.id = "serial0";
    spec.options.backend = make_null_char();
    return spec;
  }
  if (name == "vga") {
    return VgaSpec{{.id = "video0", .memory = 1U << 20, .map = {}, .bring_writes = {}}};
  }
  if (name == "ide") {
    IdeSpec spec;
    spec.options.decoded = true;
    for (const uint8_t place : {uint8_t{0}, uint8_t{1}, uint8_t{2}}) {
      RawOptions raw;
      raw.fd = memory_disk();
      raw.lock = false;
      raw.read_only = place == 2;
      IdeDriveOptions drive;
      drive.id = fmt::format("disk{}", place);
      drive.cdrom = place == 2;
      drive.backend = must(open_raw(std::move(raw)));
      spec.options.drives.push_back({{static_cast<uint8_t>(place / 2), static_cast<uint8_t>(place % 2)}, std::move(drive)});
    }
    return spec;
  }
  if (name == "floppy") {
    FloppySpec spec;
    RawOptions raw;
    raw.fd = memory_disk();
    raw.lock = false;
    FloppyController::Drive drive;
    drive.id = "fda";
    drive.backend = must(open_raw(std::move(raw)));
    spec.options.drives.push_back(std::move(drive));
    return spec;
  }
  if (name == "e1000") {
    return E1000Spec{{.id = "net0", .port = must(open_none(1)), .mac = {0x52, 0x54, 0, 1, 2, 3}}};
  }
  if (name == "rtl8139") {
    return Rtl8139Spec{{.id = "net0", .port = must(open_none(1)), .mac = {0x52, 0x54, 0, 1, 2, 3}}};
  }
  if (name == "uhci") {
    UhciSpec spec;
    spec.devices.push_back({1, UsbHidOptions{"tablet0", UsbHidKind::tablet, {}}});
    spec.devices.push_back({2, UsbHidOptions{"keyboard0", UsbHidKind::keyboard, {}}});
    return spec;
  }
  if (name == "xhci") {
    XhciSpec spec;
    spec.devices.push_back({1, UsbHidOptions{"tablet0", UsbHidKind::tablet, {}}});
    spec.devices.push_back({2, UsbHidOptions{"mouse0", UsbHidKind::mouse, {}}});
    spec.devices.push_back({3, UsbHidOptions{"keyboard0", UsbHidKind::keyboard, {}}});
    RawOptions raw;
    raw.fd = memory_disk();
    raw.lock = false;
    UsbStorageOptions disk;
    disk.id = "disk0";
    disk.backend = must(open_raw(std::move(raw)));
    spec.devices.push_back({4, std::move(disk)});
    return spec;
  }
  if (name == "virtio-rng") {
    RngSpec spec;
    spec.transport = transport("rng0", packed);
    spec.options.id = "rng0";
    return spec;
  }
  if (name == "virtio-balloon") {
    BalloonSpec spec;
    spec.transport = transport("balloon0", packed);
    spec.options.id = "balloon0";
    spec.options.reporting = true;
    return spec;
  }
  if (name == "virtio-console") {
    ConsoleSpec spec;
    spec.transport = transport("console0", packed);
    spec.options.id = "console0";
    spec.options.ports.push_back({"", true, make_null_char()});
    spec.options.ports.push_back({"org.lodge.test", false, make_null_char()});
    return spec;
  }
  if (name == "virtio-gpu") {
    VirtioGpuSpec spec;
    spec.transport = transport("video0", packed);
    return spec;
  }
  if (name == "virtio-vga") {
    VirtioVgaSpec spec;
    spec.transport = transport("video0", packed);
    spec.transport.transitional = false;
    spec.vga.memory = 1U << 20;
    return spec;
  }
  if (name == "virtio-input") {
    VirtioInputSpec spec;
    spec.transport = transport("input0", packed);
    spec.options.id = "input0";
    spec.options.kind = packed ? VirtioInputKind::keyboard : VirtioInputKind::tablet;
    return spec;
  }
  if (name == "virtio-net") {
    NetSpec spec;
    spec.transport = transport("net0", packed);
    spec.options.id = "net0";
    spec.options.mac = {0x52, 0x54, 0, 1, 2, 3};
    spec.options.port = must(open_none(2));
    return spec;
  }
  if (name == "virtio-blk") {
    BlkSpec spec;
    spec.transport = transport("disk0", packed);
    spec.options.id = "disk0";
    spec.options.queues = 2;
    RawOptions raw;
    raw.fd = memory_disk();
    raw.lock = false;
    spec.options.backend = must(open_raw(std::move(raw)));
    return spec;
  }
  return std::nullopt;
}

// One machine with one device.
struct Bench {
  explicit Bench(size_t row, const StateReader* saved = nullptr, bool packed = false,
                 TestMachine::Loops loops = TestMachine::Loops::here)
      : machine(loops) {
    auto spec = make_spec(row, packed);
    REQUIRE(spec);
    REQUIRE(spec->index() == row);
    created = must(create_device(std::move(*spec), *machine.env, saved));
    if (created.function) {
      must(machine.root->plug({1, 0}, created.function, true));
    }
  }
  ~Bench() {
    quiesce();
    machine.threads.clear();
  }
  void quiesce() {
    auto done = std::make_shared<std::atomic<bool>>(false);
    created.device->quiesce([done] { *done = true; });
    if (!machine.run_until([&] { return done->load(); })) {
      FAIL("quiesce does not end");
    }
  }
  StateBytes save() const {
    StateWriter out;
    created.device->save(out);
    return out.bytes();
  }
  TestMachine machine;
  CreatedDevice created;
};

// Timers that run on are not part of the comparison.
StateBytes comparable(const StateBytes& bytes) {
  const StateReader reader = must(StateReader::parse(bytes));
  StateWriter out;
  if (reader.has<FixedPowerState>("power0")) {
    auto state = must(reader.get<FixedPowerState>("power0"));
    state.timer_nanoseconds = 0;
    out.put("power0", state);
    return out.bytes();
  }
  if (reader.has<CmosRtcState>("rtc0")) {
    auto state = must(reader.get<CmosRtcState>("rtc0"));
    state.flags = 0;  // a period of it is less than a millisecond
    out.put("rtc0", state);
    return out.bytes();
  }
  if (reader.has<UhciState>("usb0")) {
    auto state = must(reader.get<UhciState>("usb0"));
    state.frame = 0;
    out.put("usb0", must(reader.get<PciState>("usb0")));
    for (const char* const id : {"tablet0", "keyboard0"}) {
      out.put(id, must(reader.get<UsbDeviceState>(id)));
    }
    out.put("usb0", state);
    return out.bytes();
  }
  if (reader.has<Rtl8139State>("net0")) {
    auto state = must(reader.get<Rtl8139State>("net0"));
    state.timer = 0;
    out.put("net0", must(reader.get<PciState>("net0")));
    out.put("net0", state);
    return out.bytes();
  }
  return bytes;
}

void check_restores_equal(const Bench& from, size_t row, bool packed = false) {
  const StateBytes saved = from.save();
  const StateReader reader = must(StateReader::parse(saved));
  const Bench second(row, &reader, packed);
  CHECK(comparable(second.save()) == comparable(saved));
  CHECK(reader.check_all_used());
}

// Every register of every port and of the power block, written and read, of every size.
void poke_everything(TestMachine& machine, unsigned seed) {
  std::mt19937 random(seed);
  for (uint32_t port = 0; port < 0x10000; ++port) {
    for (const uint8_t size : {uint8_t{1}, uint8_t{2}, uint8_t{4}}) {
      machine.out(port, random(), size);
      (void)machine.in(port, size);
    }
  }
  for (uint64_t at = kPowerBase; at < kPowerBase + 16; ++at) {
    for (const uint8_t size : {uint8_t{1}, uint8_t{2}, uint8_t{4}, uint8_t{8}}) {
      machine.write(at, random(), size);
      (void)machine.read(at, size);
    }
  }
}

// The configuration space of the function in slot 1.
void poke_config(TestMachine& machine, unsigned seed, int count) {
  std::mt19937 random(seed);
  for (int i = 0; i < count; ++i) {
    const auto size = static_cast<uint8_t>(1U << random() % 3);
    const auto offset = static_cast<uint16_t>(random() % 256 / size * size);
    random() % 3 == 0 ? void(machine.config(1, offset, size))
                      : machine.set_config(1, offset, static_cast<uint32_t>(random()), size);
  }
}

bool is_virtio(size_t row) { return std::string_view(device_kinds()[row].name).starts_with("virtio-"); }

void poke_function(TestMachine& machine, unsigned seed, int count) {
  std::mt19937 random(seed);
  constexpr uint64_t kBars[] = {GuestDriver::kModernBar,
                                GuestDriver::kModernBar + 0x1000,
                                GuestDriver::kModernBar + 0x2000,
                                GuestDriver::kModernBar + 0x3000,
                                GuestDriver::kMsixBar,
                                GuestDriver::kMsixBar + 0x8000};
  for (int i = 0; i < count; ++i) {
    const auto size = static_cast<uint8_t>(1U << random() % 4);
    const uint64_t at = kBars[random() % std::size(kBars)] + random() % 0x60;
    random() % 3 == 0 ? void(machine.read(at, size)) : machine.write(at, random() % 2 == 0 ? random() % 16 : random(), size);
    if (i % 64 == 0) {
      machine.turn();
    }
  }
}

// The rows that are PCI functions.
std::vector<size_t> functions() {
  std::vector<size_t> rows;
  for (size_t row = 0; row < kRows; ++row) {
    if (is_virtio(row)) {
      rows.push_back(row);
    }
  }
  return rows;
}

// Puts `chains` requests of one readable and one writable buffer on every queue.
void fill_rings(GuestDriver& driver, unsigned chains) {
  uint64_t at = GuestDriver::kBuffers;
  for (auto& [index, ring] : driver.rings) {
    for (unsigned i = 0; i < chains && 2 * (i + 1) <= ring.size(); ++i) {
      ring.add({{Gpa{at}, 16, false}, {Gpa{at + 512}, 1025, true}});
      at += 2048;
    }
  }
}

void kick_all(GuestDriver& driver) {
  for (const auto& [index, ring] : driver.rings) {
    driver.kick(index);
  }
}

void copy_ram(TestMachine& from, TestMachine& to) {
  std::vector<std::byte> all(TestMachine::kMemory);
  must(from.memory->read_bytes(Gpa{0}, all));
  must(to.memory->write_bytes(Gpa{0}, all));
}

}  // namespace

TEST_CASE("suite_has_a_spec_for_every_row") {
  for (size_t row = 0; row < kRows; ++row) {
    INFO(device_kinds()[row].name);
    const auto spec = make_spec(row);
    REQUIRE(spec);
    CHECK(spec->index() == row);
  }
}

TEST_CASE("every_device_fresh_reset_twice_saves_and_restores_equal") {
  for (size_t row = 0; row < kRows; ++row) {
    INFO(device_kinds()[row].name);
    Bench bench(row);
    const StateBytes fresh = comparable(bench.save());
    bench.quiesce();
    bench.created.device->reset();
    bench.created.device->reset();
    CHECK(comparable(bench.save()) == fresh);
    check_restores_equal(bench, row);
    bench.created.device->resume();
    bench.quiesce();
    bench.quiesce();  // idempotent
    CHECK(comparable(bench.save()) == fresh);
  }
}

TEST_CASE("every_device_restores_equal_after_garbage_in_every_register") {
  for (size_t row = 0; row < kRows; ++row) {
    for (const unsigned seed : {1U, 2U}) {
      INFO(device_kinds()[row].name << " seed " << seed);
      Bench bench(row);
      poke_everything(bench.machine, seed);
      if (is_virtio(row)) {
        GuestDriver driver(bench.machine);
        driver.start();
        poke_function(bench.machine, seed, 5000);
      } else if (bench.created.function) {
        poke_config(bench.machine, seed, 5000);
        poke_everything(bench.machine, seed);
      }
      bench.quiesce();
      check_restores_equal(bench, row);
      bench.created.device->reset();
      bench.created.device->resume();
    }
  }
}

TEST_CASE("every_device_refuses_a_state_cut_short") {
  for (size_t row = 0; row < kRows; ++row) {
    INFO(device_kinds()[row].name);
    Bench bench(row);
    if (is_virtio(row)) {
      GuestDriver(bench.machine).start();
    } else {
      poke_everything(bench.machine, 3);
    }
    bench.quiesce();
    const StateBytes whole = bench.save();
    for (size_t length = 0; length < whole.size(); length += 1 + length / 64) {
      const auto reader = StateReader::parse(std::span(whole).first(length));
      if (!reader) {
        continue;
      }
      TestMachine machine;
      CHECK_FALSE(create_device(*make_spec(row), *machine.env, &*reader));
    }
  }
}

TEST_CASE("every_virtio_device_goes_on_after_save_in_mid_operation") {
  for (const size_t row : functions()) {
    for (const bool packed : {false, true}) {
      INFO(device_kinds()[row].name << (packed ? " packed" : " split"));
      Bench first(row, nullptr, packed);
      GuestDriver driver(first.machine);
      driver.start();
      fill_rings(driver, 30);
      kick_all(driver);
      first.machine.turn(1);
      first.quiesce();
      REQUIRE_FALSE(driver.needs_reset());
      const StateBytes saved = first.save();
      const StateReader reader = must(StateReader::parse(saved));

      Bench second(row, &reader, packed);
      copy_ram(first.machine, second.machine);
      CHECK(second.save() == saved);
      GuestDriver after(second.machine, driver);
      second.created.device->resume();
      kick_all(after);
      second.machine.turn(20);
      CHECK_FALSE(after.needs_reset());
      for (auto& [index, ring] : after.rings) {  // nothing twice, whoever did it
        std::set<uint16_t> seen;
        while (const auto used = ring.used()) {
          CHECK(seen.insert(used->head).second);
          CHECK(used->written <= 1025);
        }
        CHECK(seen.size() <= 30);
      }
      // And the source goes on as well, as after a failed migration.
      first.created.device->resume();
      first.machine.turn(20);
      CHECK_FALSE(driver.needs_reset());
    }
  }
}

TEST_CASE("every_virtio_device_is_reset_in_mid_operation_and_works_again") {
  for (const size_t row : functions()) {
    for (const bool packed : {false, true}) {
      INFO(device_kinds()[row].name << (packed ? " packed" : " split"));
      Bench bench(row, nullptr, packed, TestMachine::Loops::threads);
      GuestDriver driver(bench.machine);
      for (int round = 0; round < 10; ++round) {
        driver.start();
        fill_rings(driver, 30);
        kick_all(driver);
        if (round % 3 == 0) {
          bench.created.device->quiesce([] {});  // a quiesce meets the reset
        }
        REQUIRE(driver.reset());
        bench.quiesce();
        bench.created.device->resume();
        if (round % 2 == 0) {
          bench.quiesce();
          bench.created.device->reset();  // the machine's reset, too
          driver.map();
        }
      }
      driver.start();
      CHECK((driver.status() & 0x4F) == 0x0F);
    }
  }
}

TEST_CASE("every_virtio_device_survives_rings_full_of_garbage") {
  for (const size_t row : functions()) {
    for (const bool packed : {false, true}) {
      for (unsigned seed = 1; seed <= 12; ++seed) {
        INFO(device_kinds()[row].name << (packed ? " packed" : " split") << " seed " << seed);
        std::mt19937 random(seed);
        Bench bench(row, nullptr, packed);
        GuestDriver driver(bench.machine);
        driver.start(seed % 2 == 0 ? ~uint64_t{0} : ~kVirtioIndirectDesc, 16);
        for (int burst = 0; burst < 8; ++burst) {
          for (auto& [index, ring] : driver.rings) {
            for (uint16_t i = 0; i < ring.size(); ++i) {
              const uint64_t at = random() % 4 == 0 ? random() : random() % TestMachine::kMemory;
              const auto length = static_cast<uint32_t>(random() % 3 == 0 ? 16 * (random() % 64) : random() % 70000);
              const auto flags = static_cast<uint16_t>(random() % 8 | (random() % 2 == 0 ? 0x80 : 0x8000));
              ring.put_descriptor(i, at, length, packed ? static_cast<uint16_t>(random() % 20) : flags,
                                  packed ? flags : static_cast<uint16_t>(random() % 17));
              if (!packed) {
                must(bench.machine.memory->write(Gpa{ring.driver + 4 + 2ULL * i}, static_cast<uint16_t>(random() % 17)));
              }
            }
            must(bench.machine.memory->write(Gpa{ring.driver + 2}, static_cast<uint16_t>(random() % 40)));
          }
          kick_all(driver);
          bench.machine.turn(2);
          if (burst == 4) {
            bench.quiesce();
            check_restores_equal(bench, row, packed);
            bench.created.device->resume();
          }
        }
        REQUIRE(driver.reset());
        CHECK_FALSE(driver.needs_reset());
        driver.start();
        CHECK(driver.status() == 15);
      }
    }
  }
}

TEST_CASE("every_virtio_device_is_unplugged_under_load") {
  for (const size_t row : functions()) {
    INFO(device_kinds()[row].name);
    Bench bench(row, nullptr, false, TestMachine::Loops::threads);
    GuestDriver driver(bench.machine);
    driver.start();
    fill_rings(driver, 30);
    kick_all(driver);
    bench.machine.root->unplug({1, 0});
    CHECK(bench.machine.config(1, 0) == 0xFFFFFFFF);
    CHECK(bench.machine.read(GuestDriver::kModernBar, 4) == 0xFFFFFFFF);
    CHECK(bench.machine.doorbells.bells.empty());
    bench.quiesce();
  }
}

}  // namespace lodge::test
