// Addresses of guests as the host knows them, without asking the guest: by the MAC addresses of their interfaces.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace lodge {

inline constexpr const char* kLeaseFolder = "/var/lib/libvirt/dnsmasq";  // libvirt's network driver's

struct GuestAddress {
  std::string mac;  // small letters
  std::string ip;   // as inet_ntop writes it
  bool v6 = false;
  uint32_t prefix = 0;   // 0: not known
  std::string hostname;  // of leases; may be empty
};

// What libvirt's dnsmasq helper wrote of leases that run (FOLDER/BRIDGE.status). Files that are too large are left out with
// a warning, entries that are no addresses without one.
[[nodiscard]] std::vector<GuestAddress> leases(const std::string& folder);
// One such file's text. `now`: seconds since the epoch.
[[nodiscard]] std::vector<GuestAddress> parse_leases(const std::string& text, int64_t now);
// The kernel's neighbours.
[[nodiscard]] Result<std::vector<GuestAddress>> neighbours();

}  // namespace lodge
