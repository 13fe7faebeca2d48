// The other devices of a domain as its XML tells them, and Device: any of them. Plain values.
#pragma once

#include "libvirt-driver/xml/domain_disk.h"
#include "libvirt-driver/xml/domain_interface.h"

namespace lodge {

enum class ControllerType : uint8_t { ide, fdc, scsi, sata, virtio_serial, usb, pci };
LODGE_XML_WORDS(ControllerType, "ccid xenbus isa", "ide", "fdc", "scsi", "sata", "virtio-serial", "usb", "pci");

struct ControllerTarget {  // of PCI controllers
  std::optional<uint32_t> chassis_nr, chassis, port, bus_nr, index;
  OnOff hotplug = OnOff::absent;
  friend bool operator==(const ControllerTarget&, const ControllerTarget&) = default;
};
struct DomainController : DeviceInfo {
  ControllerType type = ControllerType::ide;
  std::optional<uint32_t> index;  // none: the next free one
  std::string model;              // "virtio-scsi", "pcie-root", "qemu-xhci", "none", ...
  std::optional<uint32_t> ports;
  std::optional<uint32_t> vectors;
  std::string model_name;  // <model name=>
  ControllerTarget target;
  std::optional<uint32_t> queues;
  std::optional<uint32_t> cmd_per_lun;
  std::optional<uint32_t> max_sectors;
  OnOff ioeventfd = OnOff::absent;
  std::optional<uint32_t> iothread;
  VirtioOptions virtio;
  std::optional<uint64_t> pcihole64_kib;
  friend bool operator==(const DomainController&, const DomainController&) = default;
};

enum class SerialTarget : uint8_t { absent, isa, usb, pci };
LODGE_XML_WORDS(SerialTarget, "spapr-vio-serial system-serial sclp-serial isa-debug", "", "isa-serial", "usb-serial",
                "pci-serial");
struct DomainSerial : DeviceInfo {
  CharSource source;
  SerialTarget target = SerialTarget::absent;
  std::optional<uint32_t> port;  // none: the next free one
  std::string model;             // "isa-serial"
  friend bool operator==(const DomainSerial&, const DomainSerial&) = default;
};

struct DomainParallel : DeviceInfo {
  CharSource source;
  std::optional<uint32_t> port;  // none: the next free one
  friend bool operator==(const DomainParallel&, const DomainParallel&) = default;
};

enum class ConsoleTarget : uint8_t { absent, serial, virtio };
LODGE_XML_WORDS(ConsoleTarget, "xen uml lxc openvz sclp sclplm", "", "serial", "virtio");
struct DomainConsole : DeviceInfo {
  CharSource source;
  ConsoleTarget target = ConsoleTarget::absent;
  std::optional<uint32_t> port;
  friend bool operator==(const DomainConsole&, const DomainConsole&) = default;
};

enum class ChannelTarget : uint8_t { virtio };
LODGE_XML_WORDS(ChannelTarget, "guestfwd xen", "virtio");
enum class ChannelState : uint8_t { absent, connected, disconnected };
LODGE_XML_WORDS(ChannelState, "", "", "connected", "disconnected");
struct DomainChannel : DeviceInfo {
  CharSource source;
  ChannelTarget target = ChannelTarget::virtio;
  std::string name;                           // "org.qemu.guest_agent.0"
  ChannelState state = ChannelState::absent;  // live: has the guest opened it?
  friend bool operator==(const DomainChannel&, const DomainChannel&) = default;
};

enum class InputType : uint8_t { mouse, tablet, keyboard };
LODGE_XML_WORDS(InputType, "passthrough evdev", "mouse", "tablet", "keyboard");
enum class InputBus : uint8_t { absent, ps2, usb, virtio };
LODGE_XML_WORDS(InputBus, "xen parallels none", "", "ps2", "usb", "virtio");
struct DomainInput : DeviceInfo {
  InputType type = InputType::mouse;
  InputBus bus = InputBus::absent;
  std::string model;
  VirtioOptions virtio;
  friend bool operator==(const DomainInput&, const DomainInput&) = default;
};

enum class GraphicsType : uint8_t { vnc, spice, egl_headless };
LODGE_XML_WORDS(GraphicsType, "sdl rdp desktop dbus", "vnc", "spice", "egl-headless");
enum class ListenType : uint8_t { none, address, network, socket };
LODGE_XML_WORDS(ListenType, "", "none", "address", "network", "socket");
enum class SharePolicy : uint8_t { absent, allow_exclusive, force_shared, ignore };
LODGE_XML_WORDS(SharePolicy, "", "", "allow-exclusive", "force-shared", "ignore");
enum class IfConnected : uint8_t { absent, fail, disconnect, keep };
LODGE_XML_WORDS(IfConnected, "", "", "fail", "disconnect", "keep");
struct GraphicsListen {
  ListenType type = ListenType::address;
  std::string address;  // network: live only
  std::string network;
  std::string socket;
  friend bool operator==(const GraphicsListen&, const GraphicsListen&) = default;
};
struct DomainGraphics : DeviceInfo {
  GraphicsType type = GraphicsType::vnc;
  std::optional<int32_t> port;  // -1: to be chosen
  std::optional<int32_t> tls_port;
  YesNo autoport = YesNo::absent;
  std::optional<int32_t> websocket;  // -1: to be chosen
  bool websocket_chosen = false;     // live: it was -1
  std::string keymap;
  YesNo power_control = YesNo::absent;
  SharePolicy share_policy = SharePolicy::absent;
  std::string password;           // printed only as a secret
  bool no_login = false;          // an empty password: nobody gets in
  std::string password_valid_to;  // "2010-04-09T15:51:00"
  IfConnected connected = IfConnected::absent;
  std::vector<GraphicsListen> listens;
  std::optional<uint32_t> audio;
  std::string image_compression;  // spice
  YesNo gl = YesNo::absent;
  std::string render_node;
  friend bool operator==(const DomainGraphics&, const DomainGraphics&) = default;
};

struct DomainAudio {  // type none
  uint32_t id = 1;
  friend bool operator==(const DomainAudio&, const DomainAudio&) = default;
};

enum class VideoModel : uint8_t { absent, vga, cirrus, vmvga, qxl, virtio, none, bochs, ramfb };
LODGE_XML_WORDS(VideoModel, "xen vbox parallels gop", "", "vga", "cirrus", "vmvga", "qxl", "virtio", "none", "bochs",
                "ramfb");
struct DomainVideo : DeviceInfo {
  VideoModel model = VideoModel::absent;
  std::optional<uint32_t> ram_kib, vram_kib, vram64_kib, vgamem_kib, heads;
  YesNo primary = YesNo::absent;
  OnOff blob = OnOff::absent;
  YesNo accel3d = YesNo::absent;
  YesNo accel2d = YesNo::absent;
  std::optional<uint32_t> resolution_x, resolution_y;
  VirtioOptions virtio;
  friend bool operator==(const DomainVideo&, const DomainVideo&) = default;
};

enum class WatchdogModel : uint8_t { i6300esb, ib700 };
LODGE_XML_WORDS(WatchdogModel, "diag288 itco", "i6300esb", "ib700");
enum class WatchdogAction : uint8_t { reset, shutdown, poweroff, pause, none, dump, inject_nmi };
LODGE_XML_WORDS(WatchdogAction, "", "reset", "shutdown", "poweroff", "pause", "none", "dump", "inject-nmi");
struct DomainWatchdog : DeviceInfo {
  WatchdogModel model = WatchdogModel::i6300esb;
  WatchdogAction action = WatchdogAction::reset;
  friend bool operator==(const DomainWatchdog&, const DomainWatchdog&) = default;
};

enum class BalloonModel : uint8_t { virtio, none, transitional, non_transitional };
LODGE_XML_WORDS(BalloonModel, "xen", "virtio", "none", "virtio-transitional", "virtio-non-transitional");
struct DomainBalloon : DeviceInfo {
  BalloonModel model = BalloonModel::virtio;
  OnOff autodeflate = OnOff::absent;
  OnOff free_page_reporting = OnOff::absent;
  std::optional<uint32_t> stats_period;  // seconds
  VirtioOptions virtio;
  friend bool operator==(const DomainBalloon&, const DomainBalloon&) = default;
};

enum class RngModel : uint8_t { virtio, transitional, non_transitional };
LODGE_XML_WORDS(RngModel, "", "virtio", "virtio-transitional", "virtio-non-transitional");
enum class RngBackend : uint8_t { random, egd, builtin };
LODGE_XML_WORDS(RngBackend, "", "random", "egd", "builtin");
struct DomainRng : DeviceInfo {
  RngModel model = RngModel::virtio;
  std::optional<uint32_t> rate_bytes;
  std::optional<uint32_t> rate_period_ms;
  RngBackend backend = RngBackend::random;
  std::string path;   // random: "/dev/urandom"
  CharSource source;  // egd
  VirtioOptions virtio;
  friend bool operator==(const DomainRng&, const DomainRng&) = default;
};

enum class PanicModel : uint8_t { absent, isa, pvpanic };
LODGE_XML_WORDS(PanicModel, "pseries hyperv s390", "", "isa", "pvpanic");
struct DomainPanic : DeviceInfo {
  PanicModel model = PanicModel::absent;
  friend bool operator==(const DomainPanic&, const DomainPanic&) = default;
};

enum class VsockModel : uint8_t { absent, virtio, transitional, non_transitional };
LODGE_XML_WORDS(VsockModel, "", "", "virtio", "virtio-transitional", "virtio-non-transitional");
struct DomainVsock : DeviceInfo {
  VsockModel model = VsockModel::absent;
  YesNo auto_cid = YesNo::absent;
  std::optional<uint32_t> cid;  // of the guest, from 3; auto: live only
  VirtioOptions virtio;
  friend bool operator==(const DomainVsock&, const DomainVsock&) = default;
};

// A folder of the host (virtio-fs).
enum class FilesystemType : uint8_t { absent, mount };
LODGE_XML_WORDS(FilesystemType, "template file block ram bind volume", "", "mount");
enum class FilesystemAccess : uint8_t { absent, passthrough };
LODGE_XML_WORDS(FilesystemAccess, "mapped squash", "", "passthrough");
enum class FilesystemDriver : uint8_t { absent, virtiofs };
LODGE_XML_WORDS(FilesystemDriver, "path handle loop nbd ploop mtp", "", "virtiofs");
enum class FilesystemCache : uint8_t { absent, none, always };
LODGE_XML_WORDS(FilesystemCache, "", "", "none", "always");
enum class FilesystemSandbox : uint8_t { absent, namespaces, chroot };
LODGE_XML_WORDS(FilesystemSandbox, "", "", "namespace", "chroot");
struct DomainFilesystem : DeviceInfo {
  FilesystemType type = FilesystemType::absent;
  FilesystemAccess access = FilesystemAccess::absent;
  FilesystemDriver driver = FilesystemDriver::absent;
  std::optional<uint32_t> queue_size;  // <driver queue=>
  VirtioOptions virtio;
  struct Binary {  // of the daemon that serves it
    std::string path;
    OnOff xattr = OnOff::absent;
    FilesystemCache cache = FilesystemCache::absent;
    FilesystemSandbox sandbox = FilesystemSandbox::absent;
    OnOff posix_lock = OnOff::absent;
    OnOff flock = OnOff::absent;
    std::optional<uint32_t> threads;
    std::optional<uint32_t> open_files;
    friend bool operator==(const Binary&, const Binary&) = default;
  };
  Binary binary;
  std::string folder;  // <source dir=>, or
  std::string socket;  // of a daemon that somebody else has started
  std::string tag;     // <target dir=>
  bool readonly = false;
  friend bool operator==(const DomainFilesystem&, const DomainFilesystem&) = default;
};

using Device = std::variant<DomainDisk, DomainController, DomainInterface, DomainSerial, DomainParallel, DomainConsole,
                            DomainChannel, DomainInput, DomainGraphics, DomainAudio, DomainVideo, DomainWatchdog,
                            DomainBalloon, DomainRng, DomainPanic, DomainVsock, DomainFilesystem>;

}  // namespace lodge
