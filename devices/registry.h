// THE list of device kinds, in start order. A machine's devices are made through this table and nowhere else; the shared
// device suite (tests/unit/devices/suite_test.cc) runs for every row.
//
// A device is created fresh or from a saved state by the same function. Adding one: docs/adding-a-device.md.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "devices/chipset/host_bridge/device.h"
#include "devices/chipset/hpet/device.h"
#include "devices/chipset/isa_bridge/device.h"
#include "devices/chipset/power/device.h"
#include "devices/core/char_backend.h"
#include "devices/core/device.h"
#include "devices/display/vga/device.h"
#include "devices/e1000/device.h"
#include "devices/flash/device.h"
#include "devices/floppy/controller.h"
#include "devices/ide/device.h"
#include "devices/input/ps2/controller.h"
#include "devices/legacy/cpu_hotplug/device.h"
#include "devices/legacy/fw_cfg/device.h"
#include "devices/legacy/parallel/device.h"
#include "devices/legacy/power/device.h"
#include "devices/legacy/uart16550/device.h"
#include "devices/legacy/vmcoreinfo/device.h"
#include "devices/legacy/vmgenid/device.h"
#include "devices/pci/function.h"
#include "devices/pci/hotplug.h"
#include "devices/rtl8139/device.h"
#include "devices/usb/hid/device.h"
#include "devices/usb/storage/device.h"
#include "devices/usb/uhci/device.h"
#include "devices/usb/xhci/device.h"
#include "devices/virtio/balloon/device.h"
#include "devices/virtio/blk/device.h"
#include "devices/virtio/console/device.h"
#include "devices/virtio/fs/device.h"
#include "devices/virtio/gpu/device.h"
#include "devices/virtio/input/device.h"
#include "devices/virtio/net/device.h"
#include "devices/virtio/rng/device.h"
#include "devices/virtio/transport_pci.h"
#include "devices/virtio/vsock/device.h"
#include "devices/watchdog/i6300esb/device.h"
#include "devices/watchdog/ib700/device.h"

namespace lodge {

// What to build, one type for each kind. Resources (backends, descriptors) are handed over.
struct ReducedPowerSpec {
  uint64_t base = 0;
  uint32_t gsi = 0;
};
struct FixedPowerSpec {
  uint32_t gsi = 9;
  FixedPower::Placed placed = FixedPower::Placed::from_start;
  IrqLine* sci = nullptr;  // instead of the input
};
struct HostBridgeSpec {
  HostBridge::Options options;
};
struct IsaBridgeSpec {
  PirqRouter* router = nullptr;
};
struct FwCfgSpec {};
struct VmGenIdSpec {
  VmGenId::Options options;
};
struct VmCoreInfoSpec {};
struct HpetSpec {
  Hpet::Options options;
};
struct NorFlashSpec {
  NorFlash::Options options;
};
struct PciHotplugSpec {
  bool ports = false;  // the registers are I/O ports, else memory
  uint64_t base = 0;
  PciHotplug::Hooks hooks;
};
struct CpuHotplugSpec {
  bool ports = false;
  uint64_t base = 0;
  std::vector<bool> present;  // by index, of all that are possible
  CpuHotplug::Hooks hooks;
};
struct CmosRtcSpec {
  uint64_t low_ram = 0;
  uint64_t high_ram = 0;
  uint32_t cpus = 1;
  std::array<uint8_t, FloppyController::kDrives> floppies{};  // kinds (FloppyDriveKind)
  int64_t offset_seconds = 0;
  std::function<void(int64_t)> time_set = {};
};
struct I8042Spec {};
struct DebugConsoleSpec {};
struct DebugExitSpec {};
struct PvPanicSpec {};
struct Ib700Spec {
  Ib700::Options options;
};
struct I6300EsbSpec {
  I6300Esb::Options options;
};
struct SerialSpec {
  Uart16550::Options options;
  uint32_t gsi = 4;
};
struct ParallelSpec {
  ParallelPort::Options options;
  uint32_t gsi = 7;
};
struct VgaSpec {
  VgaDisplay::Options options;
};
struct IdeSpec {
  Piix3Ide::Options options;
};
struct FloppySpec {
  FloppyController::Options options;
};
struct E1000Spec {
  E1000::Options options;
};
struct Rtl8139Spec {
  Rtl8139::Options options;
};
struct UsbDeviceSpec {
  uint32_t port = 0;  // from 1
  std::variant<UsbHidOptions, UsbStorageOptions> options;
};
template <class Controller>
struct UsbSpec {
  typename Controller::Options options;
  std::vector<UsbDeviceSpec> devices;
};
using UhciSpec = UsbSpec<Uhci>;
using XhciSpec = UsbSpec<Xhci>;
template <class Options>
struct VirtioSpec {
  VirtioPci::Options transport;
  Options options;
};
using RngSpec = VirtioSpec<VirtioRng::Options>;
using BalloonSpec = VirtioSpec<VirtioBalloon::Options>;
using ConsoleSpec = VirtioSpec<VirtioConsole::Options>;
using VsockSpec = VirtioSpec<VirtioVsock::Options>;
using FsSpec = VirtioSpec<VirtioFs::Options>;
using VirtioGpuSpec = VirtioSpec<VirtioGpu::Options>;
// A VGA until the guest has a driver for the virtio display at the same PCI function.
struct VirtioVgaSpec {
  VirtioPci::Options transport;
  VgaAdapter::Options vga;
  VirtioGpu::Options gpu;
};
using VirtioInputSpec = VirtioSpec<VirtioInput::Options>;
using NetSpec = VirtioSpec<VirtioNet::Options>;
using BlkSpec = VirtioSpec<VirtioBlk::Options>;

// The alternatives stand in the table's order: a spec's index is its row.
using DeviceSpec =
    std::variant<ReducedPowerSpec, FixedPowerSpec, HostBridgeSpec, IsaBridgeSpec, FwCfgSpec, VmGenIdSpec, VmCoreInfoSpec,
                 HpetSpec, NorFlashSpec, PciHotplugSpec, CpuHotplugSpec, CmosRtcSpec, I8042Spec, DebugConsoleSpec,
                 DebugExitSpec, PvPanicSpec, Ib700Spec, I6300EsbSpec, SerialSpec, ParallelSpec, VgaSpec, IdeSpec, FloppySpec,
                 E1000Spec, Rtl8139Spec, UhciSpec, XhciSpec, RngSpec, BalloonSpec, ConsoleSpec, VsockSpec, FsSpec,
                 VirtioGpuSpec, VirtioVgaSpec, VirtioInputSpec, NetSpec, BlkSpec>;

struct CreatedDevice {
  std::shared_ptr<Device> device;
  std::shared_ptr<PciFunction> function;  // to be plugged into the root; null: not a PCI device
};

struct DeviceKind {
  std::string_view name;
  Result<CreatedDevice> (*create)(DeviceSpec& spec, const DeviceEnv& env, const StateReader* saved);
};

[[nodiscard]] const std::array<DeviceKind, std::variant_size_v<DeviceSpec>>& device_kinds();

// Creates what is plugged into a USB controller.
[[nodiscard]] Result<UsbPlug> create_usb_device(UsbDeviceSpec spec, const StateReader* saved);

// Creates the device of a spec by its row.
[[nodiscard]] Result<CreatedDevice> create_device(DeviceSpec spec, const DeviceEnv& env, const StateReader* saved);

}  // namespace lodge
