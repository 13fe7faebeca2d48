// MachineConfig: all that a guest's monitor is told, as plain values. Filled from the command line or from JSON by the same
// description (fields.h), checked by validate(), then used once to build the machine; the truth afterwards is the machine.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/units.h"

namespace lodge {

enum class MachineKind : uint8_t { microvm, pc };
enum class FirmwareKind : uint8_t { none, bios, uefi };
enum class VideoModel : uint8_t { vga, virtio, virtio_vga };
enum class UsbModel : uint8_t { xhci, piix3_uhci };
enum class InputKind : uint8_t { tablet, mouse, keyboard };
enum class DiskDevice : uint8_t { disk, cdrom, floppy };
enum class MemoryKind : uint8_t { anonymous, memfd, hugetlb };
enum class DiskCache : uint8_t { none, writeback, writethrough, directsync, unsafe };
enum class DiskDiscard : uint8_t { ignore, unmap };
enum class DiskError : uint8_t { report, ignore, stop, enospc };
enum class LostTicks : uint8_t { delay, discard };
enum class WatchdogModel : uint8_t { i6300esb, ib700 };
enum class WatchdogAction : uint8_t { reset, shutdown, poweroff, pause, none, inject_nmi };
enum class NetKind : uint8_t { none, tap, user };
enum class NetModel : uint8_t { virtio, e1000, rtl8139 };
enum class CharKind : uint8_t { none, stdio, pty, file, socket, null };
enum class OnEvent : uint8_t { destroy, restart, preserve };
enum class RingLayout : uint8_t { split, packed };
enum class VirtioVersion : uint8_t { automatic, modern, transitional, legacy };

struct CpuSettings {
  uint32_t count = 1;
  uint32_t max = 0;               // vCPUs may come and go, up to this many; 0: they do not
  std::vector<uint32_t> present;  // which ones are there, in order; empty: the first `count`
  uint32_t sockets = 0;           // 0: chosen so that the product is the number of vCPUs that are possible
  uint32_t dies = 0;
  uint32_t cores = 0;
  uint32_t threads = 0;
  std::string model = "host-passthrough";  // host-passthrough, host-model, or a name of libvirt's cpu_map
  std::vector<std::string> features;       // "+name", "-name", "?name" (if the host has it)
  uint64_t tsc_khz = 0;                    // 0: the host's
};

// How many vCPUs there can be, and whether one is there.
[[nodiscard]] inline uint32_t possible_cpus(const CpuSettings& cpu) { return cpu.max != 0 ? cpu.max : cpu.count; }
[[nodiscard]] inline bool is_present(const CpuSettings& cpu, uint32_t index) {
  return cpu.present.empty() ? index < cpu.count : std::ranges::binary_search(cpu.present, index);
}

struct NumaCell {
  uint64_t memory_mib = 0;
  std::vector<uint32_t> cpus;
  std::vector<uint32_t> distances;  // to every cell, 10 = local; empty: 10 and 20
};

struct MemorySettings {
  uint64_t size_mib = 256;
  MemoryKind backing = MemoryKind::anonymous;
  uint64_t hugepage_kib = 2048;
  bool transparent_hugepages = true;
  bool prealloc = false;
  bool mergeable = false;
  std::vector<NumaCell> cells;
};

struct BootSettings {
  std::string kernel;
  std::string initrd;
  std::string command_line;
  std::vector<std::string> modules;  // "PATH ARGUMENTS", Multiboot and PVH
  int kernel_fd = -1;                // descriptors that the daemon passed, instead of opening the paths
  int initrd_fd = -1;
};

// What the first processor starts with, instead of a kernel.
struct FirmwareSettings {
  FirmwareKind kind = FirmwareKind::none;
  std::string path = "auto";  // a file, or Debian's for the kind (firmware_path)
  int fd = -1;
  std::string vars;                    // uefi: the file that keeps its variables, or
  int vars_fd = -1;                    // open for reading and writing; none: they are kept in memory, and begin as
  std::string vars_template = "auto";  // this file or Debian's
  int vars_template_fd = -1;
  bool serial = false;          // its messages, and text modes of boot loaders, on the first serial port
  bool menu = false;            // offer a choice of what to boot
  uint32_t menu_wait_ms = 0;    // 0: as long as the firmware likes
  uint32_t reboot_wait_ms = 0;  // when there was nothing to boot, try again after this long; 0: never
};

inline constexpr std::string_view kUefiVarsTemplate = "/usr/share/OVMF/OVMF_VARS_4M.fd";
// The images that are meant.
[[nodiscard]] inline std::string firmware_path(const FirmwareSettings& firmware) {
  if (firmware.path != "auto") {
    return firmware.path;
  }
  return firmware.kind == FirmwareKind::uefi ? "/usr/share/OVMF/OVMF_CODE_4M.fd" : "/usr/share/seabios/bios-256k.bin";
}
[[nodiscard]] inline std::string vars_template_path(const FirmwareSettings& firmware) {
  return firmware.vars_template != "auto" ? firmware.vars_template : std::string(kUefiVarsTemplate);
}

// How a virtio device shows itself.
struct VirtioSettings {
  VirtioVersion version = VirtioVersion::automatic;  // microvm: modern; pc: transitional
  RingLayout ring = RingLayout::split;
  bool event_index = true;
  bool indirect = true;
};

struct DiskSettings {
  std::string id;    // "disk0" when empty, by position
  std::string path;  // or a descriptor that the daemon passed:
  int fd = -1;
  std::string bus = "virtio";  // or "ide", "fdc", "usb"
  DiskDevice device = DiskDevice::disk;
  uint32_t channel = 0;  // ide: 1 or 2, and
  uint32_t unit = 0;     // 1 (master) or 2 (slave); 0: chosen. fdc: 1 or 2
  uint32_t port = 0;     // usb: from 1; 0: chosen
  uint32_t boot = 0;     // place in the firmware's boot order, from 1; 0: none
  std::string serial;
  bool read_only = false;
  DiskCache cache = DiskCache::writeback;
  DiskDiscard discard = DiskDiscard::ignore;
  uint32_t queues = 0;  // 0: one for each vCPU, at most 4
  uint32_t queue_size = 256;
  DiskError read_errors = DiskError::report;
  DiskError write_errors = DiskError::enospc;
  bool shareable = false;
  uint32_t slot = 0;  // on PCI bus 0; 0: chosen (complete.h), here and in the others
  VirtioSettings virtio;
};

struct NetSettings {
  std::string id;
  NetKind kind = NetKind::none;
  NetModel model = NetModel::virtio;
  std::string tap;       // kind tap: the interface, or
  std::vector<int> fds;  // descriptors that the daemon passed, one for each queue pair
  bool vhost = false;
  std::vector<int> vhost_fds;  // of /dev/vhost-net, one for each queue pair; none: opened here
  std::string mac;             // empty: made from the guest's name and the position
  uint32_t queues = 1;         // pairs
  uint32_t mtu = 0;
  bool link = true;
  uint32_t boot = 0;         // as DiskSettings::boot; the firmware then gets an option ROM for it:
  std::string rom = "auto";  // a file, or that of ipxe-qemu for the model
  int rom_fd = -1;
  uint32_t slot = 0;
  VirtioSettings virtio;
};

// A serial or parallel port or a console channel. Kind none: there is none; null: what the guest writes goes nowhere.
struct CharSettings {
  CharKind kind = CharKind::none;
  std::string path;     // file, socket, or
  int fd = -1;          // file: open for writing; socket: listening if `server`, else connected
  bool append = false;  // file
  bool server = true;   // socket: listen, else connect
  std::string name;     // channels: what the guest sees ("org.qemu.guest_agent.0")
  std::string log;      // a file that gets all the guest writes, whoever is on the other side, or
  int log_fd = -1;
  bool log_append = false;
};

// The device that carries the virtio console and the channels.
struct VirtioSerialSettings {
  uint32_t slot = 0;
};

struct RngSettings {
  bool enabled = false;
  uint64_t bytes = 0;  // limit: this many bytes in each period; 0: none
  uint32_t period_ms = 1000;
  uint32_t slot = 0;
};

struct BalloonSettings {
  bool enabled = false;
  bool deflate_on_oom = true;
  bool free_page_reporting = true;
  uint32_t slot = 0;
};

// A screen.
struct VideoSettings {
  bool enabled = false;
  VideoModel model = VideoModel::vga;
  uint32_t memory_mib = 16;
  std::string rom = "auto";  // the VGA BIOS, which firmware is given: a file or Debian's for the model (vga_bios_path)
  int rom_fd = -1;
  uint32_t width = 1280;  // virtio's: the size that the screen prefers
  uint32_t height = 800;
  RingLayout ring = RingLayout::split;  // virtio's
  uint32_t slot = 0;
};
// It has a VGA's registers.
[[nodiscard]] inline bool is_vga(const VideoSettings& video) { return video.enabled && video.model != VideoModel::virtio; }
[[nodiscard]] inline std::string vga_bios_path(const VideoSettings& video) {
  if (video.rom != "auto") {
    return video.rom;
  }
  return video.model == VideoModel::vga ? "/usr/share/seabios/vgabios-stdvga.bin" : "/usr/share/seabios/vgabios-virtio.bin";
}

// A USB controller; it comes along with the first thing that is plugged into it.
struct UsbSettings {
  bool enabled = false;
  UsbModel model = UsbModel::xhci;
  uint32_t ports = 4;
  uint32_t slot = 0;
};

struct UsbDeviceSettings {
  std::string id;  // "input0" when empty, by position
  InputKind kind = InputKind::tablet;
  uint32_t port = 0;  // from 1; 0: chosen
};

// A virtio keyboard, mouse or tablet.
struct InputSettings {
  std::string id;  // "virtio-input0" when empty, by position
  InputKind kind = InputKind::tablet;
  std::string serial;
  RingLayout ring = RingLayout::split;
  uint32_t slot = 0;
};

struct WatchdogSettings {
  bool enabled = false;
  WatchdogModel model = WatchdogModel::i6300esb;
  WatchdogAction action = WatchdogAction::reset;  // when the guest has not fed it in time
  uint32_t slot = 0;                              // i6300esb; 0: a free one
};

// Sockets between guest and host, served by the kernel (vhost-vsock).
struct VsockSettings {
  bool enabled = false;
  uint32_t cid = 0;   // the guest's address, from 3
  int vhost_fd = -1;  // of /dev/vhost-vsock; none: opened here
  uint32_t slot = 0;
  VirtioSettings virtio;
};

// A folder of the host in the guest, served by a vhost-user back-end such as virtiofsd. Needs memory that is shared.
struct FilesystemSettings {
  std::string id;       // "fs0" when empty, by position
  std::string tag;      // by which the guest mounts it
  std::string socket;   // on which the back-end listens, or
  int socket_fd = -1;   // a connection to it
  uint32_t queues = 1;  // for requests; virtiofsd serves one
  uint32_t queue_size = 128;
  uint32_t slot = 0;
};

struct SmbiosSettings {
  std::string uuid;
  std::string manufacturer;
  std::string product;
  std::string serial;
};

struct ClockSettings {
  int64_t offset_seconds = 0;               // the guest's clock minus UTC
  LostTicks lost_ticks = LostTicks::delay;  // of the 8254 timer, while the guest does not take its interrupts
  bool hpet = false;                        // the high precision event timer
};

// How large an inherited log may become, and where its text moves when it is full (base/rotating_file.h).
struct LogLimit {
  uint32_t log = 2;             // its descriptor: a log_fd, the fd of a file, or 2: the monitor's own log
  uint64_t max_size = 0;        // bytes; 0: no limit
  std::vector<int> backup_fds;  // the newest first; none: it starts over
};

struct MachineConfig {
  std::string name = "guest";
  MachineKind machine = MachineKind::microvm;
  CpuSettings cpu;
  MemorySettings memory;
  FirmwareSettings firmware;
  BootSettings boot;
  std::vector<DiskSettings> disks;
  std::vector<NetSettings> nets;
  std::vector<CharSettings> serials;    // COM1 and on
  std::vector<CharSettings> parallels;  // LPT1 and on
  CharSettings console;                 // virtio console port 0
  std::vector<CharSettings> channels;   // named virtio ports
  VirtioSerialSettings virtio_serial;
  RngSettings rng;
  BalloonSettings balloon;
  VideoSettings video;
  WatchdogSettings watchdog;
  UsbSettings usb;
  std::vector<UsbDeviceSettings> usb_devices;
  std::vector<InputSettings> inputs;
  VsockSettings vsock;
  std::vector<FilesystemSettings> filesystems;
  SmbiosSettings smbios;
  ClockSettings clock;
  bool debug_console = false;  // port 0x402, to standard error
  bool debug_exit = false;     // port 0xf4: exit status (value << 1) | 1
  bool panic = false;          // pvpanic: the guest reports its crash through port 0x505
  std::string vmgenid;         // generation ID, a UUID, or "auto": a new one at each start; empty: no such device
  bool vmcoreinfo = false;     // the guest may say where its kernel's notes for a dump are
  uint32_t io_threads = 0;     // 0: chosen by vCPUs and queues
  OnEvent on_poweroff = OnEvent::destroy;
  OnEvent on_reboot = OnEvent::restart;
  OnEvent on_crash = OnEvent::destroy;
  std::string control;  // path of the control socket, or
  int control_fd = -1;  // a listening socket that the daemon passed
  std::string restore;  // a saved guest to continue, or
  int restore_fd = -1;
  int kvm_fd = -1;       // /dev/kvm that the daemon passed
  std::string end_file;  // gets one line of JSON that says why the guest ended, or
  int end_fd = -1;
  bool start_paused = false;
  bool seccomp = true;
  std::vector<LogLimit> log_limits;
};

// The machine has the device that carries console and channels.
[[nodiscard]] inline bool has_virtio_serial(const MachineConfig& config) {
  return config.console.kind != CharKind::none || !config.channels.empty();
}

}  // namespace lodge
