#include "libvirt-driver/domains/guest_files.h"

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "libvirt-driver/domains/bandwidth.h"
#include "libvirt-driver/domains/boot_json.h"
#include "libvirt-driver/domains/card_json.h"
#include "libvirt-driver/domains/device_json.h"
#include "libvirt-driver/domains/process.h"
#include "libvirt-driver/domains/taps.h"
#include "libvirt-driver/domains/vsock.h"
#include "libvirt-driver/host/offered.h"

namespace lodge {
namespace {

bool binds(const CharSource& source) { return source.type == CharType::unix_socket && source.mode != SocketMode::connect; }

// Whether somebody listens there. A socket that nobody listens on any more is removed.
bool in_use(const std::string& path) {
  const auto other = connect_unix(path);
  struct stat facts{};
  if (!other && other.error().code == ECONNREFUSED && ::lstat(path.c_str(), &facts) == 0 && S_ISSOCK(facts.st_mode)) {
    ::unlink(path.c_str());
  }
  return other || other.error().code == EAGAIN;
}

Answer<Fd> named(Result<Fd> fd, std::string_view what) {
  if (!fd) {
    return std::unexpected(CallError(context(fd.error(), what).error()));
  }
  return std::move(*fd);
}

}  // namespace

Answer<Fd> open_image(const DomainDisk& disk) {
  const bool direct = disk.driver.cache == DiskCacheMode::none || disk.driver.cache == DiskCacheMode::directsync;
  const bool sync = disk.driver.cache == DiskCacheMode::writethrough || disk.driver.cache == DiskCacheMode::directsync;
  const int flags =
      (disk.readonly ? O_RDONLY : O_RDWR) | O_NOCTTY | O_NONBLOCK | (direct ? O_DIRECT : 0) | (sync ? O_DSYNC : 0);
  auto fd = open_file(disk.source.path, flags);
  if (!fd && direct && fd.error().code == EINVAL && open_file(disk.source.path, flags & ~O_DIRECT)) {
    return call_error(VIR_ERR_OPERATION_FAILED,
                      "disk '{}': the file system of {} has no direct I/O; use cache='writeback' or 'writethrough'",
                      disk.target, disk.source.path);
  }
  return named(std::move(fd), fmt::format("disk '{}'", disk.target));
}

Answer<std::vector<Fd>> open_vhost(const DomainInterface& interface) {
  std::vector<Fd> fds;
  if (wants_tap(interface) && interface.driver.name == NetDriver::vhost) {
    for (uint32_t i = 0; i < interface.driver.queues.value_or(1); ++i) {
      fds.push_back(
          TRY(named(open_file("/dev/vhost-net", O_RDWR),
                    fmt::format("interface {}: load vhost_net, or use <driver name='qemu'/>", to_xml(interface.mac)))));
    }
  }
  return fds;
}

Result<Fd> listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail("the socket path '{}' is longer than {} bytes", path, sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  if (in_use(path)) {
    return fail("the socket '{}' is in use by another process; choose another path, or stop that process", path);
  }
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid() || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(fd.get(), 16) != 0) {
    return fail_errno(errno, "listen at '{}'", path);
  }
  return fd;
}

void remove_guest_files(const std::string& log_file, const DomainConfig& live) {
  remove_empty_backups(log_file, live);
  for_each_char(live, [](const std::string&, const CharSource& source) {
    if (binds(source)) {
      (void)in_use(source.path);  // another guest's stays
    }
  });
  for (const DomainGraphics& graphics : live.devices.graphics) {
    for (const GraphicsListen& listen : graphics.listens) {
      if (listen.type == ListenType::socket && !listen.socket.empty()) {
        (void)in_use(listen.socket);
      }
    }
  }
}

Answer<void> GuestFiles::open(DomainConfig& live, const std::string& folder, const LogLimits& limits, const Nvram& nvram) {
  for (DomainChannel& channel : live.devices.channels) {
    channel.state = channel.name.empty() ? ChannelState::absent : ChannelState::disconnected;
    if (channel.source.type == CharType::unix_socket && channel.source.path.empty()) {
      channel.source.path = fmt::format("{}/{}", folder, channel.name.empty() ? channel.alias : channel.name);
      channel.source.mode = SocketMode::bind;
    }
  }
  TRY_VOID(open_machine(live, folder, nvram));
  for (const DomainDisk& disk : live.devices.disks) {
    if (disk.has_medium() && disk.source.type != DiskType::volume) {
      numbers_.disks[disk.alias] = inherit(TRY(open_image(disk)));
    }
  }
  for (DomainInterface& interface : live.devices.interfaces) {
    TRY_VOID(open_interface(interface));
  }
  for (DomainVsock& vsock : live.devices.vsocks) {
    numbers_.vsock = inherit(TRY(open_vsock(vsock)));
  }
  for (const DomainFilesystem& filesystem : live.devices.filesystems) {
    FilesystemEnds ends = TRY(open_filesystem(filesystem, folder));
    numbers_.filesystems[filesystem.alias] = inherit(std::move(ends.monitor));
    if (ends.server) {
      filesystem_servers_.push_back(std::move(*ends.server));
    }
  }
  numbers_.max_log = limits.max_size;
  Answer<void> outcome;
  for_each_char(live, [&](const std::string& alias, const CharSource& source) {
    if (outcome) {
      outcome = open_char(numbers_.chars[alias], source, limits);
    }
  });
  return outcome;
}

Answer<void> GuestFiles::open_machine(const DomainConfig& live, const std::string& folder, const Nvram& nvram) {
  numbers_.control = inherit(TRY(listen_at(folder + std::string(kControlSocket))));
  numbers_.end = inherit(TRY(open_file(folder + std::string(kEndFile), O_WRONLY | O_CREAT | O_TRUNC)));
  numbers_.kvm = inherit(TRY(named(open_file("/dev/kvm", O_RDWR), "KVM")));
  const auto open_boot = [&](int& number, const std::string& path, std::string_view what) -> Answer<void> {
    if (!path.empty()) {
      number = inherit(TRY(named(open_file(path, O_RDONLY | O_NOCTTY | O_NONBLOCK), what)));
    }
    return {};
  };
  if (has_firmware(live)) {
    TRY_VOID(open_firmware(live, nvram));
  }
  TRY_VOID(open_boot(numbers_.kernel, live.os.kernel, "kernel"));
  return open_boot(numbers_.initrd, live.os.initrd, "initrd");
}

Answer<void> GuestFiles::open_uefi(const OsConfig& os, const Nvram& nvram) {
  numbers_.firmware =
      inherit(TRY(named(open_file(os.loader, O_RDONLY | O_NOCTTY | O_NONBLOCK), "/domain/os/loader (package ovmf)")));
  numbers_.nvram = inherit(
      !os.nvram.empty() ? TRY(open_nvram(os, nvram.afresh, nvram.account))
                        : TRY(named(open_file(os.nvram_template, O_RDONLY | O_NOCTTY | O_NONBLOCK), "nvram template")));
  return {};
}

Answer<void> GuestFiles::open_firmware(const DomainConfig& live, const Nvram& nvram) {
  if (is_uefi(live.os)) {
    return open_uefi(live.os, nvram);
  }
  const auto open_part = [&](const std::string& path, std::string_view what) -> Answer<int> {
    return inherit(TRY(named(open_file(path, O_RDONLY | O_NOCTTY | O_NONBLOCK), what)));
  };
  numbers_.firmware = TRY(open_part(firmware_image(live.os), "BIOS (package seabios)"));
  if (!live.devices.videos.empty() && live.devices.videos.front().model != VideoModel::none) {
    const bool virtio = live.devices.videos.front().model == VideoModel::virtio;
    const std::string_view bios = virtio ? offered::kVirtioVideoBios : offered::kVideoBios;
    numbers_.video_rom = TRY(open_part(std::string(bios), "VGA BIOS (package seabios)"));
  }
  const auto places = boot_places(live);
  for (const DomainInterface& interface : live.devices.interfaces) {
    const std::string rom = option_rom(interface);
    if (places.contains(interface.alias) && !rom.empty()) {
      numbers_.roms[interface.alias] =
          TRY(open_part(rom, fmt::format("interface {}: option ROM (package ipxe-qemu)", to_xml(interface.mac))));
    }
  }
  return {};
}

Answer<void> GuestFiles::open_interface(DomainInterface& interface) {
  if (!wants_tap(interface)) {
    return apply_bandwidth(interface);  // which it cannot have
  }
  Tap tap = TRY(make_tap(interface));
  interface.target = tap.name;
  TRY_VOID(apply_bandwidth(interface));
  for (Fd& fd : tap.fds) {
    numbers_.taps[interface.alias].push_back(inherit(std::move(fd)));
  }
  for (Fd& fd : TRY(open_vhost(interface))) {
    numbers_.vhosts[interface.alias].push_back(inherit(std::move(fd)));
  }
  return {};
}

Answer<void> GuestFiles::open_char(CharFds& fds, const CharSource& source, const LogLimits& limits) {
  if (source.type == CharType::file) {
    TRY_VOID(open_char_log(fds.file, source.path, source.append == OnOff::on, limits));
  } else if (source.type == CharType::unix_socket) {
    fds.socket = inherit(binds(source) ? TRY(listen_at(source.path)) : TRY(connect_unix(source.path)));
  }
  if (!source.log_file.empty()) {
    TRY_VOID(open_char_log(fds.log, source.log_file, source.log_append != OnOff::off, limits));
  }
  return {};
}

Answer<void> GuestFiles::open_char_log(LogFds& fds, const std::string& path, bool append, const LogLimits& limits) {
  OpenLog log = TRY(open_log(path, append, limits));
  fds.file = inherit(std::move(log.file));
  for (Fd& backup : log.backups) {
    fds.backups.push_back(inherit(std::move(backup)));
  }
  return {};
}

Answer<void> GuestFiles::open_monitor_log(const std::string& path, const LogLimits& limits) {
  log_ = TRY(open_log(path, true, limits));
  numbers_.log.file = STDERR_FILENO;
  for (const Fd& backup : log_.backups) {
    numbers_.log.backups.push_back(inherit(TRY(backup.duplicate())));
  }
  return {};
}

int GuestFiles::inherit(Fd fd) {
  inherited_.push_back(std::move(fd));
  return kFirstInherited + static_cast<int>(inherited_.size()) - 1;
}

}  // namespace lodge
