// GuestFiles: all that a guest's monitor works with, opened by the daemon. The monitor gets descriptors and opens nothing by
// path, so it runs as an account that may read and write nothing, and images stay their owners'.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libvirt-driver/domains/account.h"
#include "libvirt-driver/domains/logs.h"
#include "libvirt-driver/domains/machine_json.h"
#include "libvirt-driver/domains/virtiofs.h"
#include "libvirt-driver/xml/domain_config.h"

namespace lodge {

// The image as the monitor wants it. Error: names the disk.
[[nodiscard]] Answer<Fd> open_image(const DomainDisk& disk);
// For an interface that the kernel serves; none if it does not.
[[nodiscard]] Answer<std::vector<Fd>> open_vhost(const DomainInterface& interface);
// A new socket that listens; one that nobody listens on any more makes room.
[[nodiscard]] Result<Fd> listen_at(const std::string& path);
// What is left of a run that has ended: sockets that its definition names, logs' backups that were not needed.
void remove_guest_files(const std::string& log_file, const DomainConfig& live);

// Those of one start.
class GuestFiles {
 public:
  struct Nvram {
    bool afresh = false;  // it begins anew
    std::optional<Account> account;
  };
  // Opens what the definition names, and fills in what it leaves open: sockets in `folder`, names of taps.
  [[nodiscard]] Answer<void> open(DomainConfig& live, const std::string& folder, const LogLimits& limits,
                                  const Nvram& nvram);
  // The monitor's own log, with its backups.
  [[nodiscard]] Answer<void> open_monitor_log(const std::string& path, const LogLimits& limits);
  // Takes one more; the number that it will have in the monitor.
  int inherit(Fd fd);

  [[nodiscard]] const MachineFds& numbers() const { return numbers_; }
  [[nodiscard]] const OpenLog& log() const { return log_; }
  // To be started before the monitor.
  [[nodiscard]] std::vector<FilesystemServer> take_filesystem_servers() { return std::move(filesystem_servers_); }
  // In the order of their numbers, the first is kFirstInherited.
  [[nodiscard]] std::span<const Fd> inherited() const { return inherited_; }
  // Once the monitor has them. The log stays open.
  void close() { inherited_.clear(); }

 private:
  [[nodiscard]] Answer<void> open_machine(const DomainConfig& live, const std::string& folder, const Nvram& nvram);
  [[nodiscard]] Answer<void> open_firmware(const DomainConfig& live, const Nvram& nvram);
  [[nodiscard]] Answer<void> open_uefi(const OsConfig& os, const Nvram& nvram);
  [[nodiscard]] Answer<void> open_interface(DomainInterface& interface);
  [[nodiscard]] Answer<void> open_char(CharFds& fds, const CharSource& source, const LogLimits& limits);
  [[nodiscard]] Answer<void> open_char_log(LogFds& fds, const std::string& path, bool append, const LogLimits& limits);

  MachineFds numbers_;
  std::vector<FilesystemServer> filesystem_servers_;
  std::vector<Fd> inherited_;
  OpenLog log_;
};

}  // namespace lodge
