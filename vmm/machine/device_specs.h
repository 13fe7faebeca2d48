// From settings of disks and NICs to what devices/registry makes: for the builder and for hotplug. What the settings name is
// opened here; descriptors among them are owned by the result, or closed with an error. On the control thread.
#pragma once

#include "devices/registry.h"
#include "vmm/config/machine_config.h"

namespace lodge {

// The part of every virtio device.
[[nodiscard]] VirtioPci::Options virtio_options(std::string id, MachineKind machine, const VirtioSettings& settings);

// `lock_patience`: how long an image that is in use is waited for.
[[nodiscard]] Result<BlkSpec> disk_spec(const MachineConfig& config, const DiskSettings& disk, OnBlockError on_error,
                                        std::chrono::milliseconds lock_patience);
[[nodiscard]] Result<NetSpec> net_spec(const MachineConfig& config, const NetSettings& net);

}  // namespace lodge
