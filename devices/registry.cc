#include "devices/registry.h"

#include <ctime>

#include "devices/legacy/cmos_rtc/device.h"
#include "devices/legacy/debug_ports/device.h"
#include "devices/legacy/power/device.h"
#include "devices/legacy/pvpanic/device.h"

namespace lodge {
namespace {

constexpr uint32_t kRtcGsi = 8;

int64_t host_time() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

template <class T>
Result<CreatedDevice> plain(Result<std::unique_ptr<T>> device) {
  if (!device) {
    return std::unexpected(std::move(device).error());
  }
  return CreatedDevice{std::shared_ptr<Device>(std::move(*device)), nullptr};
}

// A device that is a PCI function itself.
template <class T>
Result<CreatedDevice> function(Result<std::shared_ptr<T>> device) {
  if (!device) {
    return std::unexpected(std::move(device).error());
  }
  return CreatedDevice{*device, *device};
}

Result<CreatedDevice> create_reduced_power(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  const auto& wanted = std::get<ReducedPowerSpec>(spec);
  return plain(ReducedPower::create(env, wanted.base, env.line(wanted.gsi), env.power, saved));
}

Result<CreatedDevice> create_fixed_power(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  const auto& wanted = std::get<FixedPowerSpec>(spec);
  IrqLine& sci = wanted.sci != nullptr ? *wanted.sci : env.line(wanted.gsi);
  return function(FixedPower::create(env, sci, env.power, wanted.placed, saved));
}

Result<CreatedDevice> create_host_bridge(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  return function(HostBridge::create(std::move(std::get<HostBridgeSpec>(spec).options), env, saved));
}

Result<CreatedDevice> create_isa_bridge(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  return function(IsaBridge::create(*std::get<IsaBridgeSpec>(spec).router, env, saved));
}

Result<CreatedDevice> create_fw_cfg(DeviceSpec&, const DeviceEnv& env, const StateReader* saved) {
  return plain(FwCfg::create(env, saved));
}

Result<CreatedDevice> create_vmgenid(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  return plain(VmGenId::create(std::move(std::get<VmGenIdSpec>(spec).options), env, saved));
}

Result<CreatedDevice> create_vmcoreinfo(DeviceSpec&, const DeviceEnv& env, const StateReader* saved) {
  return plain(VmCoreInfo::create(env, saved));
}

Result<CreatedDevice> create_hpet(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  return plain(Hpet::create(std::move(std::get<HpetSpec>(spec).options), env, saved));
}

Result<CreatedDevice> create_nor_flash(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  return plain(NorFlash::create(std::move(std::get<NorFlashSpec>(spec).options), env, saved));
}

Result<CreatedDevice> create_pci_hotplug(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  auto& wanted = std::get<PciHotplugSpec>(spec);
  return plain(PciHotplug::create(wanted.ports ? env.pio : env.mmio, wanted.base, std::move(wanted.hooks), saved));
}

Result<CreatedDevice> create_cpu_hotplug(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  auto& wanted = std::get<CpuHotplugSpec>(spec);
  return plain(CpuHotplug::create(wanted.ports ? env.pio : env.mmio, wanted.base, std::move(wanted.present),
                                  std::move(wanted.hooks), saved));
}

Result<CreatedDevice> create_cmos_rtc(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  auto& wanted = std::get<CmosRtcSpec>(spec);
  CmosRtc::Options options{.board = {wanted.low_ram, wanted.high_ram, wanted.cpus, wanted.floppies},
                           .offset_seconds = wanted.offset_seconds,
                           .now = host_time,
                           .time_set = std::move(wanted.time_set)};
  return plain(CmosRtc::create(std::move(options), env, env.line(kRtcGsi), saved));
}

Result<CreatedDevice> create_i8042(DeviceSpec&, const DeviceEnv& env, const StateReader* saved) {
  return plain(I8042::create(env, saved));
}

Result<CreatedDevice> create_debug_console(DeviceSpec&, const DeviceEnv& env, const StateReader*) {
  return plain(DebugConsole::create(env));
}

Result<CreatedDevice> create_debug_exit(DeviceSpec&, const DeviceEnv& env, const StateReader*) {
  return plain(DebugExit::create(env, env.power));
}

Result<CreatedDevice> create_pvpanic(DeviceSpec&, const DeviceEnv& env, const StateReader*) {
  return plain(PvPanic::create(env, env.power));
}

Result<CreatedDevice> create_ib700(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  return plain(Ib700::create(std::move(std::get<Ib700Spec>(spec).options), env, saved));
}

Result<CreatedDevice> create_i6300esb(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  return function(I6300Esb::create(std::move(std::get<I6300EsbSpec>(spec).options), env, saved));
}

Result<CreatedDevice> create_serial(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  auto& wanted = std::get<SerialSpec>(spec);
  IrqLine& irq = env.line(wanted.gsi);
  return plain(Uart16550::create(std::move(wanted.options), env, irq, saved));
}

Result<CreatedDevice> create_parallel(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  auto& wanted = std::get<ParallelSpec>(spec);
  IrqLine& irq = env.line(wanted.gsi);
  return plain(ParallelPort::create(std::move(wanted.options), env, irq, saved));
}

Result<CreatedDevice> create_vga(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  return function(VgaDisplay::create(std::move(std::get<VgaSpec>(spec).options), env, saved));
}

Result<CreatedDevice> create_ide(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  return function(Piix3Ide::create(std::move(std::get<IdeSpec>(spec).options), env, saved));
}

Result<CreatedDevice> create_floppy(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  return plain(FloppyController::create(std::move(std::get<FloppySpec>(spec).options), env, saved));
}

Result<CreatedDevice> create_e1000(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  return function(E1000::create(std::move(std::get<E1000Spec>(spec).options), env, saved));
}

Result<CreatedDevice> create_rtl8139(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  return function(Rtl8139::create(std::move(std::get<Rtl8139Spec>(spec).options), env, saved));
}

Result<std::shared_ptr<UsbDevice>> create_by(UsbHidOptions options, const StateReader* saved) {
  return create_usb_hid(std::move(options), saved);
}

Result<std::shared_ptr<UsbDevice>> create_by(UsbStorageOptions options, const StateReader* saved) {
  return UsbStorage::create(std::move(options), saved);
}

// A controller, with what is plugged in.
template <class Controller>
Result<CreatedDevice> create_usb(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  auto& wanted = std::get<UsbSpec<Controller>>(spec);
  for (UsbDeviceSpec& plug : wanted.devices) {
    wanted.options.devices.push_back(TRY(create_usb_device(std::move(plug), saved)));
  }
  return function(Controller::create(std::move(wanted.options), env, saved));
}

template <class Spec, class Device>
Result<CreatedDevice> create_virtio(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  auto& wanted = std::get<Spec>(spec);
  auto device = TRY(Device::create(std::move(wanted.options), saved));
  auto carried = TRY(VirtioPci::create(wanted.transport, std::move(device), env, saved));
  return CreatedDevice{carried, carried};
}

Result<CreatedDevice> create_virtio_vga(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved) {
  auto& wanted = std::get<VirtioVgaSpec>(spec);
  const std::shared_ptr<VgaAdapter> vga = TRY(VgaAdapter::create(std::move(wanted.vga), env, saved));
  wanted.gpu.before = vga;
  wanted.transport.companion = vga;
  auto gpu = TRY(VirtioGpu::create(std::move(wanted.gpu), saved));
  return function(VirtioPci::create(wanted.transport, std::move(gpu), env, saved));
}

constexpr std::array<DeviceKind, std::variant_size_v<DeviceSpec>> kKinds{{
    {"reduced-power", create_reduced_power},
    {"fixed-power", create_fixed_power},
    {"host-bridge", create_host_bridge},
    {"isa-bridge", create_isa_bridge},
    {"fw-cfg", create_fw_cfg},
    {"vmgenid", create_vmgenid},
    {"vmcoreinfo", create_vmcoreinfo},
    {"hpet", create_hpet},
    {"nor-flash", create_nor_flash},
    {"pci-hotplug", create_pci_hotplug},
    {"cpu-hotplug", create_cpu_hotplug},
    {"cmos-rtc", create_cmos_rtc},
    {"i8042", create_i8042},
    {"debug-console", create_debug_console},
    {"debug-exit", create_debug_exit},
    {"pvpanic", create_pvpanic},
    {"ib700", create_ib700},
    {"i6300esb", create_i6300esb},
    {"uart16550", create_serial},
    {"parallel", create_parallel},
    {"vga", create_vga},
    {"ide", create_ide},
    {"floppy", create_floppy},
    {"e1000", create_e1000},
    {"rtl8139", create_rtl8139},
    {"uhci", create_usb<Uhci>},
    {"xhci", create_usb<Xhci>},
    {"virtio-rng", create_virtio<RngSpec, VirtioRng>},
    {"virtio-balloon", create_virtio<BalloonSpec, VirtioBalloon>},
    {"virtio-console", create_virtio<ConsoleSpec, VirtioConsole>},
    {"virtio-vsock", create_virtio<VsockSpec, VirtioVsock>},
    {"virtio-fs", create_virtio<FsSpec, VirtioFs>},
    {"virtio-gpu", create_virtio<VirtioGpuSpec, VirtioGpu>},
    {"virtio-vga", create_virtio_vga},
    {"virtio-input", create_virtio<VirtioInputSpec, VirtioInput>},
    {"virtio-net", create_virtio<NetSpec, VirtioNet>},
    {"virtio-blk", create_virtio<BlkSpec, VirtioBlk>},
}};

}  // namespace

const std::array<DeviceKind, std::variant_size_v<DeviceSpec>>& device_kinds() { return kKinds; }

Result<UsbPlug> create_usb_device(UsbDeviceSpec spec, const StateReader* saved) {
  auto device = TRY(std::visit([saved](auto& options) { return create_by(std::move(options), saved); }, spec.options));
  return UsbPlug{spec.port, std::move(device)};
}

Result<CreatedDevice> create_device(DeviceSpec spec, const DeviceEnv& env, const StateReader* saved) {
  return kKinds[spec.index()].create(spec, env, saved);
}

}  // namespace lodge
