// UEFI firmware that is installed: the descriptors that its packages leave (QEMU's docs/interop/firmware.json), and the
// choice among them. Reading any thread; the choice is pure.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "libvirt-driver/xml/domain_config.h"

namespace lodge {

// Of one that a pc of ours can start with: on a flash of two parts, raw images.
struct UefiFirmware {
  std::string descriptor;  // its file, for logs
  std::string code;
  std::string vars_template;
  std::vector<std::string> features;
};

// The folders, the most important last. A file takes the place of one of its name in a folder before; an empty one hides it.
[[nodiscard]] std::vector<std::string> firmware_folders();
// In the order of the files' names. What cannot be read or is not for us is left out; mistakes are logged.
[[nodiscard]] std::vector<UefiFirmware> installed_uefi(std::span<const std::string> folders);
// One descriptor. None: it is not for us. Error: what is wrong with it.
[[nodiscard]] Result<std::optional<UefiFirmware>> parse_firmware(std::string_view text, const std::string& file);

// The first that has each feature that is wanted and none that is not, and `code`, unless that is empty.
[[nodiscard]] const UefiFirmware* choose_uefi(std::span<const UefiFirmware> firmwares,
                                              std::span<const FirmwareFeature> features, std::string_view code);

}  // namespace lodge
