// From a domain's XML to what lodge-vmm is told (configs/machine.schema.json). Pure but for the descriptors that are
// counted.
#pragma once

#include <map>

#include "libvirt-driver/domains/monitor.h"
#include "libvirt-driver/xml/domain_config.h"

namespace lodge {

// In the folder of a run: the monitor writes there why it ended, for a daemon that was not there to hear it.
inline constexpr std::string_view kEndFile = "/end.json";
inline constexpr std::string_view kControlSocket = "/monitor.sock";

// What the daemon opened for the guest, by the number that it will have in the monitor.
struct MachineFds {
  int control = -1;
  std::map<std::string, std::vector<int>> taps;  // by the interface's alias
};

// CONFIG_UNSUPPORTED with the element's path for what the monitor cannot do.
[[nodiscard]] Answer<Json> machine_json(const DomainConfig& config, const std::string& folder, const MachineFds& fds);
// One device, for the live attach.
[[nodiscard]] Answer<Json> disk_json(const DomainDisk& disk);
[[nodiscard]] Answer<Json> interface_json(const DomainInterface& interface);

// Whether an interface is served by taps that the daemon makes.
[[nodiscard]] bool wants_tap(const DomainInterface& interface);

}  // namespace lodge
