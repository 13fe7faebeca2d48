// Where the facts about the host are read. Tests give trees of their own; the daemon uses the defaults. A value.
#pragma once

#include <string>

namespace lodge {

struct HostPaths {
  std::string proc = "/proc";
  std::string sys = "/sys";
  std::string etc = "/etc";                            // machine-id
  std::string cpu_map = "/usr/share/libvirt/cpu_map";  // named CPU models, libvirt's
  std::string kvm = "/dev/kvm";
  std::string state = "/var/lib/libvirt/lodge";  // what is to be remembered for ever: a made-up host UUID
};

}  // namespace lodge
