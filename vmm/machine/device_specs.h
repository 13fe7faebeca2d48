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
// A drive of the IDE bus; without an image when the settings name none. `on_tray`: the guest opened or closed it.
[[nodiscard]] Result<Piix3Ide::Drive> ide_drive(const DiskSettings& disk, OnBlockError on_error,
                                                std::function<void(bool open)> on_tray,
                                                std::chrono::milliseconds lock_patience);
[[nodiscard]] Result<FloppyController::Drive> floppy_drive(const DiskSettings& disk, OnBlockError on_error,
                                                           std::chrono::milliseconds lock_patience);
[[nodiscard]] Result<UsbDeviceSpec> usb_disk(const MachineConfig& config, const DiskSettings& disk, OnBlockError on_error,
                                             std::chrono::milliseconds lock_patience);
// `on_listening`: the guest begins to listen, or ceases; with a lock held.
[[nodiscard]] UsbDeviceSpec usb_hid(const UsbDeviceSettings& device, std::function<void()> on_listening);
// `on_listening`: the same.
[[nodiscard]] VirtioInputSpec input_spec(const MachineConfig& config, const InputSettings& input,
                                         std::function<void()> on_listening);
// The image of a disk, CD or floppy disk.
[[nodiscard]] Result<std::unique_ptr<BlockBackend>> open_image(const DiskSettings& disk,
                                                               std::chrono::milliseconds lock_patience);
[[nodiscard]] Result<DeviceSpec> net_spec(const MachineConfig& config, const NetSettings& net);

}  // namespace lodge
