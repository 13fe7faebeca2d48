// Who the host is: its name, its UUID, what its firmware says of it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/host/paths.h"

namespace lodge {

// The canonical name for a host name, nothing when the resolver knows none. May take seconds where a name server is silent.
using NameResolver = std::function<std::optional<std::string>(const std::string& name)>;
[[nodiscard]] std::optional<std::string> canonical_name(const std::string& name);  // getaddrinfo

// A name that other hosts may reach us by: the kernel's when it has a domain, else the resolver's, else the kernel's alone.
// "localhost" only when nothing else is known. Any thread.
[[nodiscard]] Answer<std::string> host_name(const HostPaths& paths, const NameResolver& resolve = canonical_name);

using HostUuid = std::array<uint8_t, 16>;  // as rpc::Uuid
// "xxxxxxxx-xxxx-..." or the 32 digits alone; nothing when it is no UUID or one of those that firmware leaves unset (all
// digits the same and the like).
[[nodiscard]] std::optional<HostUuid> parse_host_uuid(std::string_view text);
[[nodiscard]] std::string uuid_text(const HostUuid& uuid);

enum class HostUuidSource : uint8_t { smbios, machine_id };  // host_uuid_source of virtlodged.conf
// The same at every start. Looked for in this order: the source asked for, /etc/machine-id, a file in the state directory
// that is written at the first need. Error: none of them, and the file cannot be written.
[[nodiscard]] Answer<HostUuid> host_uuid(const HostPaths& paths, HostUuidSource source = HostUuidSource::smbios);

// <sysinfo type='smbios'> from /sys/class/dmi/id. VIR_ERR_CONFIG_UNSUPPORTED when the host has no SMBIOS.
[[nodiscard]] Answer<std::string> sysinfo_xml(const HostPaths& paths);

}  // namespace lodge
