// Time zones of the host's zoneinfo files (RFC 8536), without touching the process's own zone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "libvirt-driver/core/call_error.h"

namespace lodge {

// Seconds east of UTC of the zone `name` ("Europe/Berlin") at the time `when`, by the files in `folder`.
// Errors: VIR_ERR_CONFIG_UNSUPPORTED, with the name.
[[nodiscard]] Answer<int64_t> seconds_east(std::string_view name, int64_t when,
                                           const std::filesystem::path& folder = "/usr/share/zoneinfo");
// The same of the daemon's own zone.
[[nodiscard]] int64_t local_seconds_east(int64_t when);

}  // namespace lodge
