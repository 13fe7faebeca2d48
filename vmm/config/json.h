// MachineConfig from and to JSON text, and the schema of that text. Called by main on the control thread, before the
// machine.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "vmm/config/machine_config.h"

namespace lodge {

// Fields that are absent keep the value they have in `config`. Errors give the path: "disks[0].cache: 'fast' is not one of
// none, writeback, ...". Unknown members are errors.
[[nodiscard]] Result<void> apply_json(MachineConfig& config, std::string_view text);

// All fields, indented; apply_json() of it gives the same configuration.
// The settings of one device, as they stand in the configuration's lists.
[[nodiscard]] Result<DiskSettings> disk_from_json(std::string_view text);
[[nodiscard]] Result<NetSettings> net_from_json(std::string_view text);
[[nodiscard]] Result<InputSettings> input_from_json(std::string_view text);
[[nodiscard]] Result<UsbDeviceSettings> usb_device_from_json(std::string_view text);

[[nodiscard]] std::string to_json(const MachineConfig& config);

// JSON Schema (draft 2020-12) of the configuration: configs/machine.schema.json is this.
[[nodiscard]] std::string config_schema();

}  // namespace lodge
