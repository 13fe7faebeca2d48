// Devices of the builder: what the configuration asks for, turned into specs for devices/registry.
#include <algorithm>

#include "base/log.h"
#include "devices/legacy/pvpanic/device.h"
#include "devices/pci/chipset.h"
#include "vmm/config/complete.h"
#include "vmm/machine/builder.h"
#include "vmm/machine/device_specs.h"
#include "vmm/machine/layout.h"

namespace lodge {
namespace {

// As vmm/boot/acpi_hotplug.cc lays them out.
static_assert(PciHotplug::kSize == AcpiHotplug::kSize && PciHotplug::kUp == 0 && PciHotplug::kDown == 4 &&
              PciHotplug::kEject == 8 && PciHotplug::kEvent == 12 && PciHotplug::kStatus == 13 && PciHotplug::kSlot == 14);

// As vmm/boot/acpi_cpus.cc has them.
static_assert(CpuHotplug::kSize == kCpuHotplugSize && CpuHotplug::kSelect == 0 && CpuHotplug::kStatus == 4 &&
              CpuHotplug::kNews == 8 && CpuHotplug::kEject == 12 && CpuHotplug::kEvent == 16 && CpuHotplug::kOutcome == 20);

constexpr std::chrono::seconds kLockPatience(1);  // the process that has the image may just be ending

Result<std::unique_ptr<CharBackend>> open_other_side(const CharSettings& settings) {
  switch (settings.kind) {
    case CharKind::none:
    case CharKind::null: return make_null_char();
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
  static_assert(kFirstPciGsi == PirqRouter::kFirstGsi);
  Machine* machine = &machine_;
  if (firmware()) {
    machine_.pirqs_ = std::make_unique<PirqRouter>(machine_.env_->line);
  }
  machine_.root_ =
      TRY(PciRoot::create({.gsi_of = [](uint8_t slot, uint8_t pin) { return kFirstPciGsi + (uint32_t{slot} + pin - 1) % 8; },
                           .line = [machine](uint32_t gsi) -> IrqLine& {
                             return machine->pirqs_ ? machine->pirqs_->line(gsi) : machine->vm_->line(gsi);
                           }},
                          saved()));
  if (microvm) {
    TRY_VOID(machine_.root_->map_ecam(machine_.mmio_, kEcam));
  }
  return {};
}

Result<void> MachineBuilder::add(DeviceSpec spec, uint32_t slot) {
  return add_at(std::move(spec), {static_cast<uint8_t>(slot), 0}, true);
}

Result<void> MachineBuilder::add_at(DeviceSpec spec, PciAddress at, bool wants_intx) {
  CreatedDevice created = TRY(create_device(std::move(spec), *machine_.env_, saved()));
  if (created.function) {
    TRY_VOID(machine_.root_->plug(at, created.function, wants_intx));
  }
  machine_.devices_.push_back(std::move(created.device));
  return {};
}

Result<void> MachineBuilder::create_devices() {
  if (pc()) {
    TRY_VOID(add_power());
    const uint64_t low = low_ram_end(ram_size());
    TRY_VOID(add_floppies());
    CmosRtcSpec rtc{.low_ram = low,
                    .high_ram = ram_size() - low,
                    .cpus = config_.cpu.count,
                    .offset_seconds = config_.clock.offset_seconds,
                    .time_set = [machine = &machine_](int64_t offset) { machine->clock_set(offset); }};
    for (size_t unit = 0; machine_.floppy_ != nullptr && unit < rtc.floppies.size(); ++unit) {
      rtc.floppies.at(unit) = static_cast<uint8_t>(machine_.floppy_->kind(unit));
    }
    TRY_VOID(add(std::move(rtc)));
  } else {
    TRY_VOID(add(ReducedPowerSpec{kReducedPowerBase, kReducedEventGsi}));
    machine_.power_ = dynamic_cast<PowerDevice*>(machine_.devices_.back().get());
  }
  PciHotplugSpec hotplug{pc(), pc() ? kHotplugPort : kHotplugBase, {}};
  hotplug.hooks = {.interrupt = [machine = &machine_] { machine->power_->announce_hotplug(); },
                   .ejected = [machine = &machine_](uint8_t slot) { machine->slot_ejected(slot); },
                   .refused = [machine = &machine_](uint8_t slot) { machine->slot_refused(slot); }};
  TRY_VOID(add(std::move(hotplug)));
  machine_.hotplug_ = dynamic_cast<PciHotplug*>(machine_.devices_.back().get());
  if (config_.cpu.max != 0) {
    TRY_VOID(add_cpu_hotplug());
  }
  TRY_VOID(add_chipset());
  TRY_VOID(add_inputs());
  TRY_VOID(add_usb());
  TRY_VOID(add_keyboard());
  if (config_.debug_console) {
    TRY_VOID(add(DebugConsoleSpec{}));
  }
  if (config_.debug_exit) {
    TRY_VOID(add(DebugExitSpec{}));
  }
  if (config_.panic) {
    TRY_VOID(add(PvPanicSpec{}));
  }
  TRY_VOID(add_platform());
  TRY_VOID(add_watchdog());
  TRY_VOID(add_serials());
  TRY_VOID(add_video());
  TRY_VOID(add_small_virtio());
  TRY_VOID(add_vsock());
  TRY_VOID(add_filesystems());
  TRY_VOID(add_nets());
  TRY_VOID(add_ide());
  return add_disks();
}

Result<void> MachineBuilder::add_cpu_hotplug() {
  Machine* machine = &machine_;
  CpuHotplugSpec spec{pc(), pc() ? kCpuHotplugPort : kCpuHotplugBase, {}, {}};
  for (uint32_t i = 0; i < config_.cpu.max; ++i) {
    spec.present.push_back(is_present(config_.cpu, i));
  }
  spec.hooks = {.interrupt = [machine] { machine->power_->announce_cpus(); },
                .ejected = [machine](uint32_t cpu) { machine->cpu_ejected(cpu); },
                .refused = [machine](uint32_t cpu) { machine->cpu_refused(cpu); }};
  TRY_VOID(add(std::move(spec)));
  machine_.cpu_hotplug_ = dynamic_cast<CpuHotplug*>(machine_.devices_.back().get());
  return {};
}

Result<void> MachineBuilder::add_power() {
  FixedPowerSpec spec{kSciGsi};
  if (firmware()) {
    spec.placed = FixedPower::Placed::by_firmware;
    spec.sci = &machine_.pirqs_->line(kSciGsi);
  }
  TRY_VOID(add_at(spec, {kPcChipsetSlot, 3}, false));
  auto* power = dynamic_cast<FixedPower*>(machine_.devices_.back().get());
  machine_.power_ = power;
  return machine_.root_->map_ports(machine_.pio_, &power->reset_port());
}

// Without firmware the bridges have no state that the guest can change to effect, so they are not devices of the machine.
Result<void> MachineBuilder::add_chipset() {
  const auto plain = [this](const char* id, const PciIdentity& identity) {
    return std::make_shared<PlainFunction>(id, identity, *machine_.env_);
  };
  if (!pc()) {
    return machine_.root_->plug({0, 0}, plain("host-bridge", kHostBridgePcie), false);
  }
  if (!firmware()) {
    TRY_VOID(machine_.root_->plug({0, 0}, plain("host-bridge", kHostBridge440fx), false));
    return machine_.root_->plug({kPcChipsetSlot, 0}, plain("isa-bridge", kIsaBridgePiix3), false);
  }
  HostBridgeSpec host;
  host.options.low_ram = low_ram_end(ram_size());
  host.options.apply = [map = machine_.firmware_map_.get()](const ShadowMap& shadow) { map->apply(shadow); };
  TRY_VOID(add_at(std::move(host), {0, 0}, false));
  TRY_VOID(add_at(IsaBridgeSpec{machine_.pirqs_.get()}, {kPcChipsetSlot, 0}, false));
  TRY_VOID(add(FwCfgSpec{}));
  machine_.fw_cfg_ = dynamic_cast<FwCfg*>(machine_.devices_.back().get());
  return add_flash();
}

// Where a kernel is booted directly, nobody types.
Result<void> MachineBuilder::add_keyboard() {
  if (!firmware()) {
    return {};
  }
  TRY_VOID(add(I8042Spec{}));
  machine_.input_.add(*machine_.devices_.back(), InputRank::ps2);
  return {};
}

// Those that know virtio are preferred to the others, once the guest has a driver for them.
Result<void> MachineBuilder::add_inputs() {
  for (const InputSettings& input : config_.inputs) {
    TRY_VOID(add(input_spec(config_, input, [machine = &machine_] { machine->pointer_changed(); }), input.slot));
    machine_.input_.add(*machine_.find_virtio<VirtioInput>(input.id), InputRank::virtio);
  }
  return {};
}

// What is there for people at USB is preferred to PS/2, once the guest listens to it.
Result<void> MachineBuilder::add_usb() {
  if (!config_.usb.enabled) {
    return {};
  }
  std::vector<UsbDeviceSpec> plugs;
  plugs.reserve(config_.usb_devices.size() + config_.disks.size());
  for (const UsbDeviceSettings& device : config_.usb_devices) {
    plugs.push_back(usb_hid(device, [machine = &machine_] { machine->pointer_changed(); }));
  }
  for (const DiskSettings& disk : config_.disks) {
    if (disk.bus == "usb") {
      const auto on_error = [machine = &machine_](const BlockErrorEvent& event) { machine->block_error(event); };
      plugs.push_back(TRY(usb_disk(config_, disk, on_error, kLockPatience)));
    }
  }
  if (config_.usb.model == UsbModel::piix3_uhci) {
    TRY_VOID(add_at(UhciSpec{.options = {}, .devices = std::move(plugs)}, {kPcChipsetSlot, kUhciFunction}, true));
  } else {
    XhciSpec spec;
    spec.options.ports = config_.usb.ports;
    spec.devices = std::move(plugs);
    TRY_VOID(add(std::move(spec), config_.usb.slot));
  }
  machine_.usb_ = dynamic_cast<UsbController*>(machine_.devices_.back().get());
  for (const UsbPlug& plug : machine_.usb_->devices()) {
    machine_.input_.add(*plug.device, InputRank::usb);
  }
  return {};
}

Result<void> MachineBuilder::add_watchdog() {
  if (!config_.watchdog.enabled) {
    return {};
  }
  const auto expired = [machine = &machine_] { machine->watchdog_expired(); };
  if (config_.watchdog.model == WatchdogModel::ib700) {
    return add(Ib700Spec{{.id = "watchdog0", .expired = expired}});
  }
  return add(I6300EsbSpec{{.id = "watchdog0", .expired = expired}}, config_.watchdog.slot);
}

Result<void> MachineBuilder::add_video() {
  const VideoSettings& video = config_.video;
  if (!video.enabled) {
    return {};
  }
  VgaAdapter::Options vga;
  vga.memory = static_cast<uint32_t>(video.memory_mib * kMiB);
  // A guest may move it to where other memory is, as often as it likes.
  const auto warnings = std::make_shared<GuestWarnings>();
  vga.map = [vm = machine_.vm_.get(), warnings](uint64_t base, uint64_t size, const std::byte* host) {
    const uint64_t mapped = host != nullptr ? size : 0;
    if (const auto outcome = vm->set_slot({kVideoMemorySlot, Gpa{base}, mapped, host, false}); !outcome) {
      guest_warning(*warnings, "video0", "video memory at {:#x} is not mapped: {}", base, outcome.error().message);
    }
  };
  vga.bring_writes = [machine = &machine_] {
    if (machine->coalesced_ && machine->coalesced_->pending()) {
      machine->coalesced_->flush();
    }
  };
  if (video.model == VideoModel::vga) {
    TRY_VOID(add(VgaSpec{std::move(vga)}, video.slot));
    machine_.screen_ = dynamic_cast<Screen*>(machine_.devices_.back().get());
    return {};
  }
  const VirtioGpu::Options gpu{.id = vga.id, .width = video.width, .height = video.height};
  const VirtioPci::Options transport =
      lodge::virtio_options(gpu.id, config_.machine, {.version = VirtioVersion::modern, .ring = video.ring});
  if (video.model == VideoModel::virtio) {
    TRY_VOID(add(VirtioGpuSpec{transport, gpu}, video.slot));
  } else {
    TRY_VOID(add(VirtioVgaSpec{transport, std::move(vga), gpu}, video.slot));
  }
  machine_.screen_ = machine_.find_virtio<VirtioGpu>(gpu.id);
  return {};
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

VirtioPci::Options MachineBuilder::virtio_options(std::string id) const {
  return lodge::virtio_options(std::move(id), config_.machine, {});
}

// One controller for all drives of its bus; without drives there is none.
Result<void> MachineBuilder::add_ide() {
  Machine* machine = &machine_;
  IdeSpec spec;
  spec.options.decoded = config_.firmware.kind != FirmwareKind::bios;  // a BIOS switches it on; UEFI takes it for on
  for (const DiskSettings& disk : config_.disks) {
    if (disk.bus != "ide") {
      continue;
    }
    const auto on_error = [machine](const BlockErrorEvent& event) { machine->block_error(event); };
    const auto on_tray = [machine, id = disk.id](bool open) { machine->tray_moved(id, open); };
    spec.options.drives.push_back(TRY(ide_drive(disk, on_error, on_tray, kLockPatience)));
  }
  if (spec.options.drives.empty()) {
    return {};
  }
  spec.options.expects_data = [machine] {
    if (machine->coalesced_) {
      machine->coalesced_->expect();
    }
  };
  TRY_VOID(add_at(std::move(spec), {kPcChipsetSlot, 1}, false));
  machine_.ide_ = dynamic_cast<Piix3Ide*>(machine_.devices_.back().get());
  return {};
}

// Data that a guest writes to IDE drives word by word, and to a VGA's window.
Result<void> MachineBuilder::coalesce_writes() {
  if (machine_.ide_ == nullptr && !is_vga(config_.video)) {
    return {};
  }
  machine_.coalesced_ = CoalescedWrites::create(*machine_.vm_, machine_.vcpus_.front()->vcpu(), machine_.pio_,
                                                machine_.mmio_, machine_.control_);
  if (!machine_.coalesced_) {
    return {};
  }
  // Doublewords, too, so three registers behind it: what they hold matters when the command register, beyond, is written.
  for (const uint16_t port : Piix3Ide::kDataPorts) {
    if (machine_.ide_ != nullptr) {
      TRY_VOID(machine_.coalesced_->add({port, 4, true}));
    }
  }
  if (is_vga(config_.video)) {
    TRY_VOID(machine_.coalesced_->add({VgaAdapter::kWindow, VgaAdapter::kWindowSize, false}));
  }
  machine_.coalesced_->set_expected(
      [machine = &machine_] { return machine->ide_ != nullptr && machine->guest_runs_ && machine->ide_->expects_data(); });
  for (const auto& vcpu : machine_.vcpus_) {
    vcpu->set_coalesced(machine_.coalesced_.get());
  }
  return {};
}

Result<void> MachineBuilder::add_floppies() {
  FloppySpec spec;
  for (const DiskSettings& disk : config_.disks) {
    if (disk.bus == "fdc") {
      const auto on_error = [machine = &machine_](const BlockErrorEvent& event) { machine->block_error(event); };
      spec.options.drives.push_back(TRY(floppy_drive(disk, on_error, kLockPatience)));
    }
  }
  if (spec.options.drives.empty()) {
    return {};
  }
  TRY_VOID(add(std::move(spec)));
  machine_.floppy_ = dynamic_cast<FloppyController*>(machine_.devices_.back().get());
  return {};
}

Result<void> MachineBuilder::add_disks() {
  for (const DiskSettings& disk : config_.disks) {
    if (disk.bus != "virtio") {
      continue;
    }
    const auto on_error = [machine = &machine_](const BlockErrorEvent& event) { machine->block_error(event); };
    TRY_VOID(add(TRY(disk_spec(config_, disk, on_error, kLockPatience)), disk.slot));
  }
  return {};
}

Result<void> MachineBuilder::add_nets() {
  for (const NetSettings& net : config_.nets) {
    TRY_VOID(add(TRY(net_spec(config_, net)), net.slot));
  }
  return {};
}

Result<void> MachineBuilder::add_small_virtio() {
  if (config_.rng.enabled) {
    RngSpec spec;
    spec.transport = virtio_options("rng0");
    spec.options.id = "rng0";
    spec.options.max_bytes = config_.rng.bytes;
    spec.options.period = std::chrono::milliseconds(config_.rng.period_ms);
    TRY_VOID(add(std::move(spec), config_.rng.slot));
  }
  if (config_.balloon.enabled) {
    BalloonSpec spec;
    spec.transport = virtio_options("balloon0");
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
  spec.transport = virtio_options("console0");
  spec.options.id = "console0";
  spec.options.ports.push_back({.name = "", .console = true, .backend = TRY(open_char(config_.console, "virtio console"))});
  spec.options.on_port_change = [machine = &machine_](std::string_view port, bool open) {
    machine->port_changed(port, open);
  };
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
  for (uint32_t i = 0; i < possible_cpus(config_.cpu); ++i) {
    acpi.cpus.push_back({x2apic_id(topology_, i), 0, is_present(config_.cpu, i)});
  }
  if (config_.cpu.max != 0) {
    acpi.cpu_hotplug =
        pc() ? AcpiRegister{AcpiSpace::io, kCpuHotplugPort} : AcpiRegister{AcpiSpace::memory, kCpuHotplugBase};
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
  pci.window32 = {kPciWindow32, firmware() ? kPciWindow32FirmwareSize : kPciWindow32Size};
  const uint64_t above = align_up(high_ram_end(ram_size()), kPciWindow64Size);
  pci.window64 = {above, kPciWindow64Size};
  if (uefi()) {
    const uint64_t low = std::max(low_ram_end(ram_size()), kUefiPciWindow32);
    pci.window32 = {low, kPciWindow32 + kPciWindow32FirmwareSize - low};
  }
  pci.gsi = [](uint32_t slot, uint32_t pin) { return kFirstPciGsi + (slot + pin) % 8; };
  pci.hotplug = AcpiHotplug{
      .registers = pc() ? AcpiRegister{AcpiSpace::io, kHotplugPort} : AcpiRegister{AcpiSpace::memory, kHotplugBase},
      .first_slot = first_free_slot(config_.machine)};
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
  acpi.fixed.i8042 = firmware();  // without it, only the controller's reset line is there
  if (uefi()) {
    acpi.fixed.pm1a_event = kUefiPmBase;
    acpi.fixed.pm1a_control = kUefiPmBase + (FixedPower::kPm1Control - FixedPower::kPm1Event);
    acpi.fixed.pm_timer = kUefiPmBase + (FixedPower::kTimer - FixedPower::kPm1Event);
  }
  acpi.fixed.vga = is_vga(config_.video);
  acpi.fixed.floppy = std::ranges::find(config_.disks, "fdc", &DiskSettings::bus) != config_.disks.end();  // made later
  describe_platform(acpi);
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
