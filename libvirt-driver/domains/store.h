// Store: the files in which domains are kept. Every write is a new file that takes the old one's place, so a crash at any
// instant leaves the one or the other.
//
//   CONFIG/NAME.xml             definitions
//   CONFIG/autostart/NAME.xml   a link, when it is started with the host
//   RUN/NAME.xml                a running guest: <domstatus state= reason= pid= ...> with its live definition
#pragma once

#include <string>
#include <vector>

#include "libvirt-driver/domains/domain.h"

namespace lodge {

struct DriverPaths {
  std::string config = "/etc/libvirt/lodge";
  std::string run = "/run/libvirt/lodge";
  std::string state = "/var/lib/libvirt/lodge";
  std::string log = "/var/log/libvirt/lodge";
  std::string monitor = "/usr/libexec/lodge-vmm";
};

// Creates the folders with their modes.
[[nodiscard]] Result<void> make_folders(const DriverPaths& paths);
// Creates one, with those above it.
[[nodiscard]] Result<void> make_folder(const std::string& path, unsigned mode);

// `durable`: on the disk when it returns.
[[nodiscard]] Result<void> write_atomically(const std::string& path, std::string_view text, bool durable);

// Definitions.
struct StoredDefinition {
  DomainConfig config;
  bool autostart = false;
};
// What cannot be read is logged and left where it is.
[[nodiscard]] std::vector<StoredDefinition> load_definitions(const DriverPaths& paths);
[[nodiscard]] Answer<void> save_definition(const DriverPaths& paths, const DomainConfig& config);
// Whether there was one.
[[nodiscard]] Answer<void> remove_definition(const DriverPaths& paths, const std::string& name);
[[nodiscard]] Answer<void> set_autostart_link(const DriverPaths& paths, const std::string& name, bool autostart);

// Running guests.
struct StoredStatus {
  DomainConfig live;
  bool starting = false;  // the daemon ended before the start was over
  int32_t id = -1;
  int32_t state = 0;
  int32_t reason = 0;
  pid_t pid = -1;
  uint64_t start_time = 0;
  pid_t display_pid = -1;  // of its display server
  uint64_t display_start_time = 0;
  std::string folder;
  std::string log_file;
  std::string cgroup;  // "": none
  int64_t since = 0;   // seconds since 1970
};
[[nodiscard]] std::vector<StoredStatus> load_statuses(const DriverPaths& paths);
[[nodiscard]] Result<void> save_status(const DriverPaths& paths, const StoredStatus& status);
// Folders of runs that are in no status file: of starts that were cut short.
void remove_stale_folders(const DriverPaths& paths, const std::vector<StoredStatus>& known);
void remove_status(const DriverPaths& paths, const std::string& name);

}  // namespace lodge
