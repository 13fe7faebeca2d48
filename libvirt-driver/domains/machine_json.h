// From a domain's XML to what lodge-vmm is told (configs/machine.schema.json). Pure functions.
#pragma once

#include <map>

#include "libvirt-driver/domains/monitor.h"
#include "libvirt-driver/xml/domain_config.h"

namespace lodge {

// In the folder of a run: the monitor writes there why it ended, for a daemon that was not there to hear it.
inline constexpr std::string_view kEndFile = "/end.json";
inline constexpr std::string_view kControlSocket = "/monitor.sock";

// What the daemon opened for the guest, by the number that it will have in the monitor.
struct LogFds {
  int file = -1;
  std::vector<int> backups;
};
struct CharFds {
  LogFds file;      // type 'file'
  int socket = -1;  // type 'unix': listening or connected
  LogFds log;       // <log>
};
struct MachineFds {
  int control = -1;
  int end = -1;
  int kvm = -1;
  int kernel = -1;
  int initrd = -1;
  int firmware = -1;
  int nvram = -1;  // or what it begins with
  int video_rom = -1;
  int vsock = -1;                                // of /dev/vhost-vsock
  std::map<std::string, int> filesystems;        // by the alias: connections to those who serve them
  std::map<std::string, int> disks;              // by the alias
  std::map<std::string, std::vector<int>> taps;  // by the interface's alias
  std::map<std::string, std::vector<int>> vhosts;
  std::map<std::string, int> roms;       // option ROMs of interfaces that firmware boots from
  std::map<std::string, CharFds> chars;  // by the alias
  LogFds log;                            // the monitor's own; its file is standard error
  uint64_t max_log = 0;                  // bytes that each of them may have
};

// CONFIG_UNSUPPORTED with the element's path for what the monitor cannot do.
[[nodiscard]] Answer<Json> machine_json(const DomainConfig& config, const MachineFds& fds);
// What happens when the guest ends of itself: on_poweroff, on_reboot, on_crash. The monitor's set-action takes it too.
[[nodiscard]] Json ending_json(const DomainConfig& config);
}  // namespace lodge
