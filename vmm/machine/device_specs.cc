#include "vmm/machine/device_specs.h"

#include <fcntl.h>
#include <algorithm>

#include "base/hex.h"
#include "devices/block/raw.h"
#include "devices/net/none.h"
#include "devices/net/passt.h"
#include "devices/net/tap.h"

namespace lodge {
namespace {

constexpr uint32_t kMaxAutoDiskQueues = 4;

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

VirtioPci::Options virtio_options(std::string id, MachineKind machine, const VirtioSettings& settings) {
  VirtioPci::Options options;
  options.id = std::move(id);
  options.transitional = settings.version == VirtioVersion::transitional ||
                         (settings.version == VirtioVersion::automatic && machine == MachineKind::pc);
  options.legacy_only = settings.version == VirtioVersion::legacy;
  options.packed_ring = settings.ring == RingLayout::packed;
  options.event_index = settings.event_index;
  options.indirect = settings.indirect;
  return options;
}

Result<std::unique_ptr<BlockBackend>> open_image(const DiskSettings& disk, std::chrono::milliseconds lock_patience) {
  RawOptions raw;
  raw.id = disk.id;
  raw.path = disk.path;
  raw.fd = Fd(disk.fd);
  raw.read_only = disk.read_only || disk.device == DiskDevice::cdrom;
  raw.cache = cache_mode(disk.cache);
  raw.discard = disk.discard == DiskDiscard::unmap ? DiscardMode::unmap : DiscardMode::ignore;
  raw.lock = !disk.shareable;
  raw.lock_patience = lock_patience;
  return open_raw(std::move(raw));
}

Result<Piix3Ide::Drive> ide_drive(const DiskSettings& disk, OnBlockError on_error, std::function<void(bool open)> on_tray,
                                  std::chrono::milliseconds lock_patience) {
  Piix3Ide::Drive drive;
  drive.at = {static_cast<uint8_t>(disk.channel - 1), static_cast<uint8_t>(disk.unit - 1)};
  drive.options.id = disk.id;
  drive.options.cdrom = disk.device == DiskDevice::cdrom;
  if (!disk.path.empty() || disk.fd >= 0) {
    drive.options.backend = TRY(open_image(disk, lock_patience));
  }
  drive.options.serial = disk.serial;
  drive.options.errors = {error_action(disk.read_errors), error_action(disk.write_errors)};
  drive.options.on_io_error = std::move(on_error);
  drive.options.on_tray = std::move(on_tray);
  return drive;
}

Result<FloppyController::Drive> floppy_drive(const DiskSettings& disk, OnBlockError on_error,
                                             std::chrono::milliseconds lock_patience) {
  FloppyController::Drive drive;
  drive.id = disk.id;
  drive.unit = static_cast<uint8_t>(disk.unit - 1);
  if (!disk.path.empty() || disk.fd >= 0) {
    drive.backend = TRY(open_image(disk, lock_patience));
  }
  drive.errors = {error_action(disk.read_errors), error_action(disk.write_errors)};
  drive.on_io_error = std::move(on_error);
  return drive;
}

Result<UsbDeviceSpec> usb_disk(const MachineConfig& config, const DiskSettings& disk, OnBlockError on_error,
                               std::chrono::milliseconds lock_patience) {
  UsbStorageOptions options;
  options.id = disk.id;
  options.backend = TRY(open_image(disk, lock_patience));
  options.serial = disk.serial;
  options.full_speed = config.usb.model == UsbModel::piix3_uhci;
  options.errors = {error_action(disk.read_errors), error_action(disk.write_errors)};
  options.on_io_error = std::move(on_error);
  return UsbDeviceSpec{disk.port, std::move(options)};
}

UsbDeviceSpec usb_hid(const UsbDeviceSettings& device, std::function<void()> on_listening) {
  static constexpr std::array kKinds{UsbHidKind::tablet, UsbHidKind::mouse, UsbHidKind::keyboard};
  return {device.port, UsbHidOptions{device.id, kKinds.at(static_cast<size_t>(device.kind)), std::move(on_listening)}};
}

VirtioInputSpec input_spec(const MachineConfig& config, const InputSettings& input, std::function<void()> on_listening) {
  static constexpr std::array kKinds{VirtioInputKind::tablet, VirtioInputKind::mouse, VirtioInputKind::keyboard};
  VirtioInputSpec spec;
  spec.transport = virtio_options(input.id, config.machine, {.version = VirtioVersion::modern, .ring = input.ring});
  spec.options = {input.id, kKinds.at(static_cast<size_t>(input.kind)), input.serial, std::move(on_listening)};
  return spec;
}

Result<BlkSpec> disk_spec(const MachineConfig& config, const DiskSettings& disk, OnBlockError on_error,
                          std::chrono::milliseconds lock_patience) {
  const std::string& id = disk.id;
  if (disk.bus != "virtio") {
    const Fd unused(disk.fd);
    return fail("disk '{}': bus '{}' is not offered here; use bus=virtio", id, disk.bus);
  }
  BlkSpec spec;
  spec.transport = virtio_options(id, config.machine, disk.virtio);
  spec.options.id = id;
  spec.options.backend = TRY(open_image(disk, lock_patience));
  spec.options.serial = disk.serial;
  spec.options.queues = disk.queues != 0 ? static_cast<uint16_t>(disk.queues)
                                         : static_cast<uint16_t>(std::min(possible_cpus(config.cpu), kMaxAutoDiskQueues));
  spec.options.queue_size = static_cast<uint16_t>(disk.queue_size);
  spec.options.errors = {error_action(disk.read_errors), error_action(disk.write_errors)};
  spec.options.on_io_error = std::move(on_error);
  return spec;
}

namespace {

// What is behind a NIC.
Result<NetPort> open_port(const NetSettings& net, TapOptions tap) {
  tap.id = net.id;
  tap.name = net.tap;
  tap.queue_pairs = static_cast<uint16_t>(net.queues);
  switch (net.kind) {
    case NetKind::none: return open_none(static_cast<uint16_t>(net.queues));
    case NetKind::tap: return open_tap(std::move(tap));
    case NetKind::user: break;
  }
  PasstOptions passt;
  passt.id = net.id;
  return open_passt(std::move(passt));
}

}  // namespace

Result<DeviceSpec> net_spec(const MachineConfig& config, const NetSettings& net) {
  const std::string& id = net.id;
  TapOptions tap;
  std::vector<Fd> vhosts;
  tap.fds.reserve(net.fds.size());
  vhosts.reserve(net.vhost_fds.size());
  for (const int fd : net.fds) {
    tap.fds.emplace_back(fd);
  }
  for (const int fd : net.vhost_fds) {
    vhosts.emplace_back(fd);
  }
  const net::MacAddress mac = TRY_CONTEXT(parse_mac(net.mac), id);
  NetPort port = TRY(open_port(net, std::move(tap)));
  if (net.model == NetModel::e1000) {
    return E1000Spec{{.id = id, .port = std::move(port), .mac = mac, .link_up = net.link}};
  }
  if (net.model == NetModel::rtl8139) {
    return Rtl8139Spec{{.id = id, .port = std::move(port), .mac = mac, .link_up = net.link}};
  }
  NetSpec spec;
  spec.transport = virtio_options(id, config.machine, net.virtio);
  spec.options.id = id;
  spec.options.mac = mac;
  spec.options.port = std::move(port);
  spec.options.mtu = static_cast<uint16_t>(net.mtu);
  spec.options.link_up = net.link;
  if (net.vhost) {
    spec.transport.packed_ring = false;  // vhost knows split rings only
    for (size_t pair = 0; pair < spec.options.port.queues.size(); ++pair) {
      Fd fd = pair < vhosts.size() ? std::move(vhosts[pair]) : Fd(::open("/dev/vhost-net", O_RDWR | O_CLOEXEC));
      if (!fd.valid()) {
        return fail_errno(errno, "NIC '{}': cannot open /dev/vhost-net; load vhost_net, or leave vhost off", id);
      }
      spec.options.vhost.push_back(TRY(VhostNet::create(std::move(fd), id)));
    }
  }
  return spec;
}

}  // namespace lodge
