// Devices of the builder: what the configuration asks for, turned into specs for devices/registry.
#include <fcntl.h>
#include <algorithm>

#include "base/hex.h"
#include "base/log.h"
#include "devices/block/raw.h"
#include "devices/legacy/pvpanic/device.h"
#include "devices/net/none.h"
#include "devices/net/passt.h"
#include "devices/net/tap.h"
#include "devices/pci/chipset.h"
#include "vmm/machine/builder.h"
#include "vmm/machine/layout.h"

namespace lodge {
namespace {

constexpr uint16_t kMaxAutoDiskQueues = 4;

ErrorAction error_action(DiskError error) {
  switch (error) {
    case DiskError::report: return ErrorAction::report;
    case DiskError::ignore: return ErrorAction::ignore;
    case DiskError::stop: return ErrorAction::stop;
    case DiskError::enospc: return ErrorAction::enospc;
  }
  return ErrorAction::report;
}

CacheMode cache_mode(DiskCache cache) {
  switch (cache) {
    case DiskCache::none: return CacheMode::none;
    case DiskCache::writeback: return CacheMode::writeback;
    case DiskCache::writethrough: return CacheMode::writethrough;
    case DiskCache::directsync: return CacheMode::directsync;
    case DiskCache::unsafe: return CacheMode::unsafe;
  }
  return CacheMode::writeback;
}

Result<net::MacAddress> parse_mac(std::string_view text) {
  net::MacAddress mac{};
  size_t at = 0;
  for (size_t i = 0; i < mac.size(); ++i) {
    unsigned value = 0;
    if (at + 2 > text.size() || (i > 0 && text[at - 1] != ':')) {
      return fail("MAC address '{}' is not six bytes; write it as in 52:54:00:12:34:56", text);
    }
    for (size_t digit = 0; digit < 2; ++digit) {
      const int v = hex_digit(text[at + digit]);
      if (v < 0) {
        return fail("MAC address '{}' is not six bytes; write it as in 52:54:00:12:34:56", text);
      }
      value = value * 16 + static_cast<unsigned>(v);
    }
    mac[i] = static_cast<uint8_t>(value);
    at += 3;
  }
  if (at != text.size() + 1 || (mac[0] & 1) != 0) {
    return fail("MAC address '{}' is not the address of one interface; use one whose first byte is even", text);
  }
  return mac;
}

}  // namespace

namespace {

Result<std::unique_ptr<CharBackend>> open_other_side(const CharSettings& settings) {
  switch (settings.kind) {
    case CharKind::none: return make_null_char();
    case CharKind::stdio: return open_stdio_char();
    case CharKind::pty: return open_pty_char();
    case CharKind::file:
      return settings.fd >= 0 ? make_file_char(Fd(settings.fd)) : open_file_char(settings.path, settings.append);
    case CharKind::socket: {
      SocketCharOptions options;
      options.path = settings.path;
      options.fd = Fd(settings.fd);
      options.server = settings.server;
      return open_socket_char(std::move(options));
    }
  }
  return make_null_char();
}

}  // namespace

Result<std::unique_ptr<CharBackend>> open_char(const CharSettings& settings, std::string_view what) {
  auto backend = TRY_CONTEXT(open_other_side(settings), what);
  if (settings.log_fd < 0 && settings.log.empty()) {
    return backend;
  }
  Fd log = settings.log_fd >= 0 ? Fd(settings.log_fd) : TRY_CONTEXT(open_char_log(settings.log, settings.log_append), what);
  return make_logged_char(std::move(backend), std::move(log), settings.log.empty() ? std::string(what) : settings.log);
}

Result<void> MachineBuilder::create_root() {
  const bool microvm = !pc();
  Machine* machine = &machine_;
  machine_.root_ =
      TRY(PciRoot::create({.gsi_of = [](uint8_t slot, uint8_t pin) { return kFirstPciGsi + (uint32_t{slot} + pin - 1) % 8; },
                           .line = [machine](uint32_t gsi) -> IrqLine& { return machine->vm_->line(gsi); }},
                          saved()));
  if (microvm) {
    TRY_VOID(machine_.root_->map_ecam(machine_.mmio_, kEcam));
  }
  return {};
}

Result<void> MachineBuilder::add(DeviceSpec spec, uint32_t slot) {
  CreatedDevice created = TRY(create_device(std::move(spec), *machine_.env_, saved()));
  if (created.function) {
    TRY_VOID(machine_.root_->plug({static_cast<uint8_t>(slot), 0}, created.function, true));
  }
  machine_.devices_.push_back(std::move(created.device));
  return {};
}

Result<void> MachineBuilder::create_devices() {
  if (pc()) {
    TRY_VOID(add(FixedPowerSpec{kSciGsi}));
    auto* power = dynamic_cast<FixedPower*>(machine_.devices_.back().get());
    machine_.power_ = power;
    TRY_VOID(machine_.root_->map_ports(machine_.pio_, &power->reset_port()));
    const uint64_t low = ram_size() < kLowRamLimit ? ram_size() : kLowRamLimit;
    TRY_VOID(add(CmosRtcSpec{low, ram_size() - low}));
  } else {
    TRY_VOID(add(ReducedPowerSpec{kReducedPowerBase, kReducedEventGsi}));
    machine_.power_ = dynamic_cast<PowerDevice*>(machine_.devices_.back().get());
  }
  TRY_VOID(add_chipset());
  if (config_.debug_console) {
    TRY_VOID(add(DebugConsoleSpec{}));
  }
  if (config_.debug_exit) {
    TRY_VOID(add(DebugExitSpec{}));
  }
  if (config_.panic) {
    TRY_VOID(add(PvPanicSpec{}));
  }
  TRY_VOID(add_serials());
  TRY_VOID(add_small_virtio());
  TRY_VOID(add_nets());
  return add_disks();
}

// Bridges have no state that the guest can change to effect, so they are not devices of the machine.
Result<void> MachineBuilder::add_chipset() {
  const auto plain = [this](const char* id, const PciIdentity& identity) {
    return std::make_shared<PlainFunction>(id, identity, *machine_.env_);
  };
  if (!pc()) {
    return machine_.root_->plug({0, 0}, plain("host-bridge", kHostBridgePcie), false);
  }
  TRY_VOID(machine_.root_->plug({0, 0}, plain("host-bridge", kHostBridge440fx), false));
  TRY_VOID(machine_.root_->plug({1, 0}, plain("isa-bridge", kIsaBridgePiix3), false));
  return machine_.root_->plug({1, 3}, plain("power-management", kPowerPiix4), false);
}

Result<void> MachineBuilder::add_serials() {
  if (config_.serials.size() > std::size(kSerialPorts)) {
    return fail("{} serial ports are too many; a machine has {}", config_.serials.size(), std::size(kSerialPorts));
  }
  for (size_t i = 0; i < config_.serials.size(); ++i) {
    if (config_.serials[i].kind == CharKind::none) {
      continue;
    }
    SerialSpec spec;
    spec.options.id = fmt::format("serial{}", i);
    spec.options.port = kSerialPorts[i];
    spec.options.backend = TRY(open_char(config_.serials[i], spec.options.id));
    spec.gsi = kSerialIrqs[i];
    TRY_VOID(add(std::move(spec)));
  }
  return {};
}

VirtioPci::Options MachineBuilder::virtio_options(std::string id, const VirtioSettings& settings) const {
  VirtioPci::Options options;
  options.id = std::move(id);
  options.transitional =
      settings.version == VirtioVersion::transitional || (settings.version == VirtioVersion::automatic && pc());
  options.legacy_only = settings.version == VirtioVersion::legacy;
  options.packed_ring = settings.ring == RingLayout::packed;
  options.event_index = settings.event_index;
  options.indirect = settings.indirect;
  return options;
}

Result<void> MachineBuilder::add_disks() {
  for (const DiskSettings& disk : config_.disks) {
    const std::string& id = disk.id;
    if (disk.bus != "virtio") {
      return fail("disk '{}': bus '{}' is not offered; use bus=virtio", id, disk.bus);
    }
    RawOptions raw;
    raw.id = id;
    raw.path = disk.path;
    raw.fd = Fd(disk.fd);
    raw.read_only = disk.read_only;
    raw.cache = cache_mode(disk.cache);
    raw.discard = disk.discard == DiskDiscard::unmap ? DiscardMode::unmap : DiscardMode::ignore;
    raw.lock = !disk.shareable;
    BlkSpec spec;
    spec.transport = virtio_options(id, disk.virtio);
    spec.options.id = id;
    spec.options.backend = TRY(open_raw(std::move(raw)));
    spec.options.serial = disk.serial;
    spec.options.queues = disk.queues != 0
                              ? static_cast<uint16_t>(disk.queues)
                              : static_cast<uint16_t>(std::min<uint32_t>(config_.cpu.count, kMaxAutoDiskQueues));
    spec.options.queue_size = static_cast<uint16_t>(disk.queue_size);
    spec.options.errors = {error_action(disk.read_errors), error_action(disk.write_errors)};
    spec.options.on_io_error = [machine = &machine_](const BlockErrorEvent& event) { machine->block_error(event); };
    TRY_VOID(add(std::move(spec), disk.slot));
  }
  return {};
}

Result<void> MachineBuilder::add_nets() {
  for (const NetSettings& net : config_.nets) {
    NetSpec spec;
    const std::string& id = net.id;
    spec.transport = virtio_options(id, net.virtio);
    spec.options.id = id;
    spec.options.mac = TRY_CONTEXT(parse_mac(net.mac), id);
    spec.options.mtu = static_cast<uint16_t>(net.mtu);
    spec.options.link_up = net.link;
    switch (net.kind) {
      case NetKind::none: spec.options.port = TRY(open_none(static_cast<uint16_t>(net.queues))); break;
      case NetKind::tap: {
        TapOptions tap;
        tap.id = id;
        tap.name = net.tap;
        tap.queue_pairs = static_cast<uint16_t>(net.queues);
        for (const int fd : net.fds) {
          tap.fds.emplace_back(fd);
        }
        spec.options.port = TRY(open_tap(std::move(tap)));
        break;
      }
      case NetKind::user: {
        PasstOptions passt;
        passt.id = id;
        spec.options.port = TRY(open_passt(std::move(passt)));
        break;
      }
    }
    if (net.vhost) {
      spec.transport.packed_ring = false;  // vhost knows split rings only
      for (size_t pair = 0; pair < spec.options.port.queues.size(); ++pair) {
        Fd fd(pair < net.vhost_fds.size() ? net.vhost_fds[pair] : ::open("/dev/vhost-net", O_RDWR | O_CLOEXEC));
        if (!fd.valid()) {
          return fail_errno(errno, "NIC '{}': cannot open /dev/vhost-net; load vhost_net, or leave vhost off", id);
        }
        spec.options.vhost.push_back(TRY(VhostNet::create(std::move(fd), id)));
      }
    }
    TRY_VOID(add(std::move(spec), net.slot));
  }
  return {};
}

Result<void> MachineBuilder::add_small_virtio() {
  if (config_.rng.enabled) {
    RngSpec spec;
    spec.transport = virtio_options("rng0", {});
    spec.options.id = "rng0";
    spec.options.max_bytes = config_.rng.bytes;
    spec.options.period = std::chrono::milliseconds(config_.rng.period_ms);
    TRY_VOID(add(std::move(spec), config_.rng.slot));
  }
  if (config_.balloon.enabled) {
    BalloonSpec spec;
    spec.transport = virtio_options("balloon0", {});
    spec.options.id = "balloon0";
    spec.options.deflate_on_oom = config_.balloon.deflate_on_oom;
    spec.options.reporting = config_.balloon.free_page_reporting;
    spec.options.stats_period = std::chrono::seconds(5);
    spec.options.on_change = [machine = &machine_](uint64_t inflated) { machine->balloon_changed(inflated); };
    TRY_VOID(add(std::move(spec), config_.balloon.slot));
  }
  if (!has_virtio_serial(config_)) {
    return {};
  }
  ConsoleSpec spec;
  spec.transport = virtio_options("console0", {});
  spec.options.id = "console0";
  spec.options.ports.push_back({.name = "", .console = true, .backend = TRY(open_char(config_.console, "virtio console"))});
  for (const CharSettings& channel : config_.channels) {
    spec.options.ports.push_back({.name = channel.name,
                                  .console = false,
                                  .backend = TRY(open_char(channel, fmt::format("channel '{}'", channel.name)))});
  }
  return add(std::move(spec), config_.virtio_serial.slot);
}

AcpiConfig MachineBuilder::acpi_config() const {
  AcpiConfig acpi;
  acpi.machine = pc() ? AcpiMachine::pc : AcpiMachine::microvm;
  for (uint32_t i = 0; i < config_.cpu.count; ++i) {
    acpi.cpus.push_back({x2apic_id(topology_, i), 0, true});
  }
  uint64_t next_byte = 0;
  for (size_t cell = 0; cell < config_.memory.cells.size(); ++cell) {
    const NumaCell& settings = config_.memory.cells[cell];
    AcpiNode node;
    uint64_t left = settings.memory_mib * kMiB;
    while (left > 0) {  // a cell may reach across the hole
      const bool low = next_byte < kLowRamLimit;
      const uint64_t take = low ? std::min(left, kLowRamLimit - next_byte) : left;
      node.memory.push_back({low ? next_byte : kHighRamStart + (next_byte - kLowRamLimit), take});
      next_byte += take;
      left -= take;
    }
    for (const uint32_t distance : settings.distances) {
      node.distances.push_back(static_cast<uint8_t>(std::min(distance, 255U)));
    }
    for (const uint32_t cpu : settings.cpus) {
      if (cpu < acpi.cpus.size()) {
        acpi.cpus[cpu].node = static_cast<uint32_t>(cell);
      }
    }
    acpi.nodes.push_back(std::move(node));
  }
  AcpiPci pci;
  pci.last_bus = 0;
  pci.window32 = {kPciWindow32, kPciWindow32Size};
  const uint64_t above = align_up(high_ram_end(ram_size()), kPciWindow64Size);
  pci.window64 = {above, kPciWindow64Size};
  pci.gsi = [](uint32_t slot, uint32_t pin) { return kFirstPciGsi + (slot + pin) % 8; };
  if (pc()) {
    pci.io = {{0x0000, 0xCF8}, {0xD00, 0x10000 - 0xD00}};
  } else {
    pci.ecam = {kEcam, kEcamMapped};
    pci.io = {{0x1000, 0xF000}};
    acpi.reduced.sleep_control = {AcpiSpace::memory, kReducedPowerBase + ReducedPower::kSleepControl};
    acpi.reduced.sleep_status = {AcpiSpace::memory, kReducedPowerBase + ReducedPower::kSleepStatus};
    acpi.reduced.reset = {AcpiSpace::memory, kReducedPowerBase + ReducedPower::kReset};
    acpi.reduced.reset_value = ReducedPower::kResetValue;
    acpi.reduced.event = {AcpiSpace::memory, kReducedPowerBase + ReducedPower::kEvent};
    acpi.reduced.event_gsi = kReducedEventGsi;
  }
  acpi.pci = std::move(pci);
  acpi.fixed.i8042 = false;  // only its reset line is there
  acpi.fixed.vga = false;
  if (config_.panic) {
    acpi.panic_port = PvPanic::kPort;
  }
  for (size_t i = 0; i < config_.serials.size() && i < std::size(kSerialPorts); ++i) {
    if (config_.serials[i].kind != CharKind::none) {
      acpi.serial.push_back({kSerialPorts[i], kSerialIrqs[i]});
    }
  }
  return acpi;
}

}  // namespace lodge
