// What an image without <driver type=> is: looked at once, when the domain is defined, and written into the definition.
// Never at start: a guest could write another format's header into its raw disk.
#pragma once

#include <string>

namespace lodge {

// "qcow2" only for a readable qcow2 image that names no other file (no backing, no data file), else "raw".
[[nodiscard]] std::string probe_format(const std::string& path);

}  // namespace lodge
