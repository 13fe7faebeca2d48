// The one description of MachineConfig's parts: names, help, bounds. The command line ("key=value,..."), JSON, the printed
// schema (configs/machine.schema.json) and the checks all come from here.
//
//   describe(visitor, settings) calls visitor.field("name", "help", member[, Bounds]) for every field, in order.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vmm/config/machine_config.h"

namespace lodge {

struct Bounds {
  uint64_t least = 0;
  uint64_t most = std::numeric_limits<uint32_t>::max();
};

// The words of each enumeration, in the order of its values.
template <class Enum>
struct EnumWords;
#define LODGE_WORDS(Enum, ...)                                                    \
  template <>                                                                     \
  struct EnumWords<Enum> {                                                        \
    static constexpr auto words = std::to_array<std::string_view>({__VA_ARGS__}); \
  }
LODGE_WORDS(MachineKind, "microvm", "pc");
LODGE_WORDS(FirmwareKind, "none", "bios", "uefi");
LODGE_WORDS(VideoModel, "vga", "virtio", "virtio-vga");
LODGE_WORDS(UsbModel, "xhci", "piix3-uhci");
LODGE_WORDS(InputKind, "tablet", "mouse", "keyboard");
LODGE_WORDS(DiskDevice, "disk", "cdrom", "floppy");
LODGE_WORDS(MemoryKind, "anonymous", "memfd", "hugetlb");
LODGE_WORDS(DiskCache, "none", "writeback", "writethrough", "directsync", "unsafe");
LODGE_WORDS(DiskDiscard, "ignore", "unmap");
LODGE_WORDS(WatchdogModel, "i6300esb", "ib700");
LODGE_WORDS(WatchdogAction, "reset", "shutdown", "poweroff", "pause", "none", "inject-nmi");
LODGE_WORDS(LostTicks, "delay", "discard");
LODGE_WORDS(DiskError, "report", "ignore", "stop", "enospc");
LODGE_WORDS(NetKind, "none", "tap", "user");
LODGE_WORDS(NetModel, "virtio", "e1000", "rtl8139");
LODGE_WORDS(CharKind, "none", "stdio", "pty", "file", "socket", "null");
LODGE_WORDS(OnEvent, "destroy", "restart", "preserve");
LODGE_WORDS(RingLayout, "split", "packed");
LODGE_WORDS(VirtioVersion, "auto", "modern", "transitional", "legacy");
#undef LODGE_WORDS

inline constexpr std::string_view kSlotHelp = "PCI slot, 1 to 31 (0: a free one)";
inline constexpr Bounds kSlotBounds{0, 31};
inline constexpr std::string_view kUsbPortHelp = "port of the USB controller, from 1 (0: a free one)";
inline constexpr Bounds kUsbPortBounds{0, 15};
inline constexpr std::string_view kBootHelp = "place in the firmware's boot order, from 1 (0: not booted from)";
inline constexpr Bounds kBootBounds{0, 1000};

template <class Visitor>
void describe(Visitor& v, CpuSettings& s) {
  v.field("count", "number of vCPUs", s.count, Bounds{1, 4096});
  v.field("max", "vCPUs may be added and removed while the guest runs, up to this many (0: they may not)", s.max,
          Bounds{0, 4096});
  v.field("present", "numbers of the vCPUs that are there (the first ones)", s.present);
  v.field("sockets", "CPU sockets (0: as many as needed)", s.sockets, Bounds{0, 4096});
  v.field("dies", "dies in a socket (0: 1)", s.dies, Bounds{0, 4096});
  v.field("cores", "cores in a die (0: 1)", s.cores, Bounds{0, 4096});
  v.field("threads", "threads in a core (0: 1)", s.threads, Bounds{0, 4096});
  v.field("model", "host-passthrough, host-model, or a model of libvirt's cpu_map", s.model);
  v.field("features", "CPU features: +name, -name, ?name (if the host has it), !name (force)", s.features);
  v.field("tsc_khz", "frequency of the time stamp counter (0: the host's)", s.tsc_khz, Bounds{0, 100'000'000});
}

template <class Visitor>
void describe(Visitor& v, NumaCell& s) {
  v.field("memory_mib", "memory of the cell in MiB", s.memory_mib, Bounds{1, 1ULL << 32});
  v.field("cpus", "vCPU numbers in the cell", s.cpus);
  v.field("distances", "distance to each cell; 10 is local", s.distances);
}

template <class Visitor>
void describe(Visitor& v, MemorySettings& s) {
  v.field("size_mib", "guest memory in MiB", s.size_mib, Bounds{0, 1ULL << 32});
  v.field("backing", "what holds it", s.backing);
  v.field("hugepage_kib", "page size of hugetlb memory in KiB", s.hugepage_kib, Bounds{4, 1ULL << 30});
  v.field("transparent_hugepages", "ask for transparent huge pages", s.transparent_hugepages);
  v.field("prealloc", "allocate all of it before the guest starts", s.prealloc);
  v.field("mergeable", "let the kernel merge equal pages (KSM)", s.mergeable);
  v.field("cells", "NUMA cells", s.cells);
}

template <class Visitor>
void describe(Visitor& v, BootSettings& s) {
  v.field("kernel", "bzImage, PVH ELF or Multiboot kernel", s.kernel);
  v.field("initrd", "initial RAM disk", s.initrd);
  v.field("command_line", "kernel command line", s.command_line);
  v.field("modules", "Multiboot and PVH modules: \"PATH ARGUMENTS\"", s.modules);
  v.field("kernel_fd", "inherited descriptor of the kernel; the path is then for errors only", s.kernel_fd);
  v.field("initrd_fd", "inherited descriptor of the initial RAM disk", s.initrd_fd);
}

template <class Visitor>
void describe(Visitor& v, FirmwareSettings& s) {
  v.field("kind", "what the machine starts with instead of a kernel (pc)", s.kind);
  v.field("path", "the firmware's image (auto: that of package seabios or ovmf)", s.path);
  v.field("fd", "inherited descriptor of the image; the path is then for errors only", s.fd);
  v.field("vars", "uefi: the file that keeps its variables (none: they last as long as the guest runs)", s.vars);
  v.field("vars_fd", "inherited descriptor of that file, open for reading and writing", s.vars_fd);
  v.field("vars_template", "uefi without vars: what the variables begin with (auto: that of package ovmf)", s.vars_template);
  v.field("vars_template_fd", "inherited descriptor of that file", s.vars_template_fd);
  v.field("serial", "bios: its console is the first serial port (uefi: it always is)", s.serial);
  v.field("menu", "offer a boot menu", s.menu);
  v.field("menu_wait_ms", "how long the menu's key is waited for (0: the firmware's choice)", s.menu_wait_ms,
          Bounds{0, 65535});
  v.field("reboot_wait_ms", "when nothing could be booted, start again after this long (0: never)", s.reboot_wait_ms,
          Bounds{0, 65535});
}

// Flattened into the device that has it.
template <class Visitor>
void describe(Visitor& v, VirtioSettings& s) {
  v.field("version", "virtio register layouts offered (auto: modern on microvm, transitional on pc)", s.version);
  v.field("ring", "ring layout offered", s.ring);
  v.field("event_index", "offer event indices", s.event_index);
  v.field("indirect", "offer indirect descriptors", s.indirect);
}

template <class Visitor>
void describe(Visitor& v, DiskSettings& s) {
  v.field("id", "name in logs, events and saved states (disk0, disk1, ...)", s.id);
  v.field("path", "raw image file or block device", s.path);
  v.field("fd", "inherited descriptor of the image instead of a path", s.fd);
  v.field("bus", "how the guest sees it: virtio, usb, ide or fdc (pc)", s.bus);
  v.field("device", "disk, or a CD drive (ide) or floppy drive (fdc), which may be empty", s.device);
  v.field("channel", "ide: 1 or 2 (0: a free place)", s.channel, Bounds{0, 2});
  v.field("unit", "ide: 1 (master) or 2 (slave); fdc: 1 or 2 (0: a free place)", s.unit, Bounds{0, 2});
  v.field("port", "usb: port of the controller, from 1 (0: a free one)", s.port, kUsbPortBounds);
  v.field("boot", kBootHelp, s.boot, kBootBounds);
  v.field("serial", "serial number, at most 20 bytes", s.serial);
  v.field("read_only", "refuse writes", s.read_only);
  v.field("cache", "host caching, as libvirt defines the words", s.cache);
  v.field("discard", "what the guest's discards do", s.discard);
  v.field("queues", "virtqueues (0: one for each vCPU there can be, at most 4)", s.queues, Bounds{0, 256});
  v.field("queue_size", "entries in a virtqueue", s.queue_size, Bounds{4, 1024});
  v.field("read_errors", "what a failed read does", s.read_errors);
  v.field("write_errors", "what a failed write does", s.write_errors);
  v.field("shareable", "no image lock", s.shareable);
  v.field("slot", kSlotHelp, s.slot, kSlotBounds);
  describe(v, s.virtio);
}

template <class Visitor>
void describe(Visitor& v, NetSettings& s) {
  v.field("id", "name in logs, events and saved states (net0, net1, ...)", s.id);
  v.field("kind", "where the frames go", s.kind);
  v.field("model", "the card that the guest sees", s.model);
  v.field("tap", "tap interface", s.tap);
  v.field("fds", "inherited tap descriptors, one for each queue pair", s.fds);
  v.field("vhost", "serve the queues in the kernel (vhost-net)", s.vhost);
  v.field("vhost_fds", "inherited descriptors of /dev/vhost-net, one for each queue pair", s.vhost_fds);
  v.field("mac", "MAC address (made from name and position)", s.mac);
  v.field("queues", "queue pairs", s.queues, Bounds{1, 128});
  v.field("mtu", "MTU told to the guest (0: not told)", s.mtu, Bounds{0, 65535});
  v.field("link", "the cable is plugged in", s.link);
  v.field("boot", kBootHelp, s.boot, kBootBounds);
  v.field("rom", "option ROM with which firmware boots from it (auto: that of ipxe-qemu for the model)", s.rom);
  v.field("rom_fd", "inherited descriptor of the option ROM; the path is then for errors only", s.rom_fd);
  v.field("slot", kSlotHelp, s.slot, kSlotBounds);
  describe(v, s.virtio);
}

template <class Visitor>
void describe(Visitor& v, CharSettings& s) {
  v.field("kind", "what is on the other side", s.kind);
  v.field("path", "file or socket", s.path);
  v.field("fd", "inherited descriptor of the file or the socket instead of a path", s.fd);
  v.field("append", "keep what the file has", s.append);
  v.field("server", "listen on the socket, else connect to it", s.server);
  v.field("name", "channel name that the guest sees", s.name);
  v.field("log", "file that gets all that the guest writes", s.log);
  v.field("log_fd", "inherited descriptor of the log instead of a path", s.log_fd);
  v.field("log_append", "keep what the log has", s.log_append);
}

template <class Visitor>
void describe(Visitor& v, RngSettings& s) {
  v.field("enabled", "have a random number device", s.enabled);
  v.field("bytes", "at most this many bytes in each period (0: no limit)", s.bytes, Bounds{0, 1ULL << 40});
  v.field("period_ms", "length of the period", s.period_ms, Bounds{1, 3'600'000});
  v.field("slot", kSlotHelp, s.slot, kSlotBounds);
}

template <class Visitor>
void describe(Visitor& v, VirtioSerialSettings& s) {
  v.field("slot", kSlotHelp, s.slot, kSlotBounds);
}

template <class Visitor>
void describe(Visitor& v, BalloonSettings& s) {
  v.field("enabled", "have a memory balloon", s.enabled);
  v.field("deflate_on_oom", "the guest may take memory back when it runs out", s.deflate_on_oom);
  v.field("free_page_reporting", "the guest reports free memory, which goes back to the host", s.free_page_reporting);
  v.field("slot", kSlotHelp, s.slot, kSlotBounds);
}

template <class Visitor>
void describe(Visitor& v, VideoSettings& s) {
  v.field("enabled", "have a screen", s.enabled);
  v.field("model", "what the guest sees: vga (pc), virtio, or a VGA until the guest knows virtio: virtio-vga (pc)", s.model);
  v.field("memory_mib", "vga, virtio-vga: video memory in MiB, a power of two", s.memory_mib, Bounds{1, 256});
  v.field("rom", "the VGA BIOS that firmware is given (auto: that of package seabios for the model)", s.rom);
  v.field("rom_fd", "inherited descriptor of the VGA BIOS; the path is then for errors only", s.rom_fd);
  v.field("width", "virtio, virtio-vga: pixels across that the screen prefers", s.width, Bounds{64, 3840});
  v.field("height", "virtio, virtio-vga: pixels down", s.height, Bounds{64, 2400});
  v.field("ring", "virtio, virtio-vga: ring layout offered", s.ring);
  v.field("slot", kSlotHelp, s.slot, kSlotBounds);
}

template <class Visitor>
void describe(Visitor& v, WatchdogSettings& s) {
  v.field("enabled", "the device exists", s.enabled);
  v.field("model", "i6300esb (PCI) or ib700 (ports; pc)", s.model);
  v.field("action", "what happens when the guest has not fed it in time", s.action);
  v.field("slot", kSlotHelp, s.slot, kSlotBounds);
}

template <class Visitor>
void describe(Visitor& v, UsbSettings& s) {
  v.field("enabled", "have a USB controller (it comes along with devices)", s.enabled);
  v.field("model", "what the guest sees", s.model);
  v.field("ports", "ports, each for USB 2.0 and 3.0; piix3-uhci has 2, for USB 1.1", s.ports, Bounds{1, 15});
  v.field("slot", kSlotHelp, s.slot, kSlotBounds);
}

template <class Visitor>
void describe(Visitor& v, UsbDeviceSettings& s) {
  v.field("id", "name in logs and saved states (input0, input1, ...)", s.id);
  v.field("kind", "what is plugged in", s.kind);
  v.field("port", kUsbPortHelp, s.port, kUsbPortBounds);
}

template <class Visitor>
void describe(Visitor& v, VsockSettings& s) {
  v.field("enabled", "have sockets between guest and host", s.enabled);
  v.field("cid", "the guest's address, from 3, which no other guest of the host has", s.cid, Bounds{0, 0xFFFF'FFFE});
  v.field("vhost_fd", "inherited descriptor of /dev/vhost-vsock", s.vhost_fd);
  v.field("slot", kSlotHelp, s.slot, kSlotBounds);
  describe(v, s.virtio);
}

template <class Visitor>
void describe(Visitor& v, FilesystemSettings& s) {
  v.field("id", "name in logs (fs0, fs1, ...)", s.id);
  v.field("tag", "by which the guest mounts it, at most 36 bytes", s.tag);
  v.field("socket", "on which virtiofsd or another vhost-user back-end listens", s.socket);
  v.field("socket_fd", "inherited connection to the back-end instead of a path", s.socket_fd);
  v.field("queues", "virtqueues for requests; virtiofsd serves one", s.queues, Bounds{1, 64});
  v.field("queue_size", "entries in a virtqueue, a power of two", s.queue_size, Bounds{4, 1024});
  v.field("slot", kSlotHelp, s.slot, kSlotBounds);
}

template <class Visitor>
void describe(Visitor& v, InputSettings& s) {
  v.field("id", "name in logs and saved states (virtio-input0, virtio-input1, ...)", s.id);
  v.field("kind", "what it is", s.kind);
  v.field("serial", "serial number that the guest sees, at most 128 bytes", s.serial);
  v.field("ring", "ring layout offered", s.ring);
  v.field("slot", kSlotHelp, s.slot, kSlotBounds);
}

template <class Visitor>
void describe(Visitor& v, SmbiosSettings& s) {
  v.field("uuid", "system UUID", s.uuid);
  v.field("manufacturer", "system manufacturer", s.manufacturer);
  v.field("product", "system product name", s.product);
  v.field("serial", "system serial number", s.serial);
}

template <class Visitor>
void describe(Visitor& v, ClockSettings& s) {
  v.field("offset_seconds", "the guest's clock minus UTC", s.offset_seconds, Bounds{0, 100'000'000'000});
  v.field("lost_ticks",
          "ticks of the 8254 timer that the guest could not take yet: they come later (delay), or not (discard)",
          s.lost_ticks);
  v.field("hpet", "have a high precision event timer", s.hpet);
}

template <class Visitor>
void describe(Visitor& v, LogLimit& s) {
  v.field("log", "inherited descriptor of a log or a character device's file (2: the monitor's own log)", s.log);
  v.field("max_size", "bytes that it may have (0: no limit)", s.max_size, Bounds{0, 1ULL << 40});
  v.field("backup_fds", "inherited descriptors of files that take a full one's text, the newest first", s.backup_fds);
}

template <class Visitor>
void describe(Visitor& v, MachineConfig& s) {
  v.field("name", "name of the guest", s.name);
  v.field("machine", "kind of machine", s.machine);
  v.field("cpu", "processors", s.cpu);
  v.field("memory", "memory", s.memory);
  v.field("firmware", "what the first processor starts with instead of a kernel", s.firmware);
  v.field("boot", "what is started", s.boot);
  v.field("disks", "disks", s.disks);
  v.field("nets", "network interfaces", s.nets);
  v.field("serials", "serial ports, COM1 first", s.serials);
  v.field("parallels", "parallel ports, LPT1 first (pc)", s.parallels);
  v.field("console", "virtio console", s.console);
  v.field("channels", "named virtio channels", s.channels);
  v.field("virtio_serial", "the device that carries console and channels", s.virtio_serial);
  v.field("rng", "random numbers", s.rng);
  v.field("balloon", "memory balloon", s.balloon);
  v.field("video", "screen", s.video);
  v.field("watchdog", "watchdog device", s.watchdog);
  v.field("usb", "USB controller", s.usb);
  v.field("usb_devices", "USB tablets, mice and keyboards", s.usb_devices);
  v.field("inputs", "virtio tablets, mice and keyboards", s.inputs);
  v.field("vsock", "sockets between guest and host (vhost-vsock)", s.vsock);
  v.field("filesystems", "folders of the host, served by vhost-user back-ends (virtio-fs)", s.filesystems);
  v.field("smbios", "what SMBIOS says of the system", s.smbios);
  v.field("clock", "the clocks of a pc", s.clock);
  v.field("debug_console", "bytes written to port 0x402 go to standard error", s.debug_console);
  v.field("debug_exit", "a write to port 0xf4 ends the monitor with status (value << 1) | 1", s.debug_exit);
  v.field("panic", "pvpanic device: the guest tells of its crash through port 0x505", s.panic);
  v.field("vmgenid", "virtual machine generation ID, a UUID (auto: a new one at each start; empty: none)", s.vmgenid);
  v.field("vmcoreinfo", "the guest may say where its kernel's notes for a dump are (fw_cfg)", s.vmcoreinfo);
  v.field("io_threads", "I/O threads (0: chosen)", s.io_threads, Bounds{0, 64});
  v.field("on_poweroff", "when the guest switches itself off", s.on_poweroff);
  v.field("on_reboot", "when the guest resets itself", s.on_reboot);
  v.field("on_crash", "when the guest crashes", s.on_crash);
  v.field("control", "path of the control socket", s.control);
  v.field("control_fd", "inherited listening control socket", s.control_fd);
  v.field("restore", "saved guest to continue", s.restore);
  v.field("restore_fd", "inherited descriptor of the saved guest", s.restore_fd);
  v.field("kvm_fd", "inherited descriptor of /dev/kvm", s.kvm_fd);
  v.field("end_file", "file that gets one line of JSON when the guest ends: reason and exit status", s.end_file);
  v.field("end_fd", "inherited descriptor of the end file instead of a path", s.end_fd);
  v.field("start_paused", "wait for 'cont'", s.start_paused);
  v.field("seccomp", "confine the threads with seccomp", s.seccomp);
  v.field("log_limits", "how large logs may become", s.log_limits);
}

}  // namespace lodge
