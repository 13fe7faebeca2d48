// A domain that starts with UEFI: which firmware, and the file that keeps its variables.
//
// complete_uefi() is pure; the rest reads and writes files: under the domain's job, any thread.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "base/fd.h"
#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/domains/account.h"
#include "libvirt-driver/domains/uefi_firmware.h"

namespace lodge {

[[nodiscard]] inline bool is_uefi(const OsConfig& os) { return os.firmware == Firmware::efi || os.loader_type == "pflash"; }

// Fills in what a definition leaves open, as libvirt's qemu driver does when it is defined: the code, where variables are
// kept (FOLDER/NAME_VARS.fd), what they begin with. Error: OPERATION_FAILED when no firmware that is installed is as wanted.
[[nodiscard]] Answer<void> complete_uefi(DomainConfig& config, std::span<const UefiFirmware> firmwares,
                                         const std::string& folder);

// Opens the variables for the monitor. When there is no such file, or `afresh`, it is made of the template, for `account`.
[[nodiscard]] Answer<Fd> open_nvram(const OsConfig& os, bool afresh, const std::optional<Account>& account);

// What becomes of the file of a domain that is no longer defined, by virDomainUndefineFlags. Error: OPERATION_INVALID when
// there is a file and the flags do not say.
[[nodiscard]] Answer<void> check_undefine_nvram(const OsConfig& os, uint32_t flags);
[[nodiscard]] Answer<void> remove_nvram(const OsConfig& os, uint32_t flags);

}  // namespace lodge
