// The devices of a domain as lodge-vmm is told of them, one by one: parts of machine_json.h and of the live attach. Pure.
// Errors: CONFIG_UNSUPPORTED with the element's path for what the monitor cannot do.
#pragma once

#include <string>
#include <vector>

#include "libvirt-driver/domains/machine_json.h"

namespace lodge {

[[nodiscard]] Answer<Json> disk_json(const DomainDisk& disk);
[[nodiscard]] Answer<Json> interface_json(const DomainInterface& interface);
[[nodiscard]] Answer<void> add_video(Json& machine, const DomainConfig& config, const MachineFds& fds);

void add_watchdog(Json& machine, const DomainConfig& config);

// Refuses devices that there are not, and places that they cannot have.
[[nodiscard]] Answer<void> refuse_devices(const DomainConfig& config);
// Takes out of a domain that starts what it may ask for and does not get: PS/2 devices where a kernel is started. Gives
// their names.
[[nodiscard]] std::vector<std::string> leave_out(DomainConfig& live);

// Whether an interface is served by taps that the daemon makes.
[[nodiscard]] bool wants_tap(const DomainInterface& interface);

// The PCI slot that a device has.
void add_slot(Json& json, const DeviceInfo& device);

[[nodiscard]] inline std::unexpected<CallError> unsupported(std::string_view path, std::string_view why) {
  return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "{}: {}", path, why);
}

}  // namespace lodge
