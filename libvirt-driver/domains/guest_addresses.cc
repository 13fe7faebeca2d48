#include "libvirt-driver/domains/guest_addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <ctime>
#include <filesystem>

#include <fmt/ranges.h>

#include "base/fd.h"
#include "base/log.h"
#include "libvirt-driver/domains/json.h"

namespace lodge {
namespace {

constexpr size_t kMaxFile = size_t{1} << 20;
constexpr size_t kMaxHostname = 255;
constexpr size_t kMaxLeases = 8192;

std::string small_letters(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

// The prefix that an address has among those of the bridge. 0: it is in none of its networks.
uint32_t prefix_on(const std::string& bridge, const GuestAddress& address) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) {
    return 0;
  }
  uint32_t prefix = 0;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (bridge != one->ifa_name || one->ifa_addr == nullptr || one->ifa_netmask == nullptr ||
        one->ifa_addr->sa_family != AF_INET || address.v6) {
      continue;
    }
    sockaddr_in ours{};
    sockaddr_in mask{};
    std::memcpy(&ours, one->ifa_addr, sizeof ours);
    std::memcpy(&mask, one->ifa_netmask, sizeof mask);
    in_addr theirs{};
    ::inet_pton(AF_INET, address.ip.c_str(), &theirs);
    if (((ours.sin_addr.s_addr ^ theirs.s_addr) & mask.sin_addr.s_addr) == 0) {
      prefix = static_cast<uint32_t>(std::popcount(mask.sin_addr.s_addr));
    }
  }
  ::freeifaddrs(list);
  return prefix;
}

// Attributes of one neighbour, checked against the message's end.
void take_neighbour(const nlmsghdr* header, std::vector<GuestAddress>& out) {
  if (header->nlmsg_len < NLMSG_LENGTH(sizeof(ndmsg))) {
    return;
  }
  ndmsg message{};
  std::memcpy(&message, NLMSG_DATA(header), sizeof message);
  if ((message.ndm_family != AF_INET && message.ndm_family != AF_INET6) ||
      (message.ndm_state & (NUD_NOARP | NUD_FAILED | NUD_INCOMPLETE)) != 0) {
    return;
  }
  GuestAddress address;
  address.v6 = message.ndm_family == AF_INET6;
  const size_t ip_size = address.v6 ? sizeof(in6_addr) : sizeof(in_addr);
  const char* at = static_cast<const char*>(NLMSG_DATA(header)) + NLMSG_ALIGN(sizeof(ndmsg));
  const char* end = reinterpret_cast<const char*>(header) + header->nlmsg_len;
  while (at + sizeof(rtattr) <= end) {
    rtattr attribute{};
    std::memcpy(&attribute, at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || attribute.rta_len > end - at) {
      return;
    }
    const char* data = at + RTA_LENGTH(0);
    const size_t size = attribute.rta_len - RTA_LENGTH(0);
    if (attribute.rta_type == NDA_DST && size == ip_size) {
      char text[INET6_ADDRSTRLEN];
      address.ip = ::inet_ntop(message.ndm_family, data, text, sizeof text) != nullptr ? text : "";
    } else if (attribute.rta_type == NDA_LLADDR && size == 6) {
      std::array<uint8_t, 6> mac{};
      std::memcpy(mac.data(), data, mac.size());
      address.mac = fmt::format("{:02x}", fmt::join(mac, ":"));
    }
    at += RTA_ALIGN(attribute.rta_len);
  }
  if (!address.ip.empty() && !address.mac.empty()) {
    out.push_back(std::move(address));
  }
}

}  // namespace

std::vector<GuestAddress> parse_leases(const std::string& text, int64_t now) {
  std::vector<GuestAddress> found;
  const Json list = parse_json(text);
  if (!list.is_array()) {
    return found;
  }
  for (const Json& entry : list) {
    if (!entry.is_object() || found.size() >= kMaxLeases) {
      continue;
    }
    GuestAddress lease{.mac = small_letters(text_in(entry, "mac-address")),
                       .ip = text_in(entry, "ip-address"),
                       .v6 = false,
                       .prefix = 0,
                       .hostname = text_in(entry, "hostname")};
    const auto expiry = entry.find("expiry-time");
    const bool over =
        expiry != entry.end() && expiry->is_number_integer() && expiry->get<int64_t>() > 0 && expiry->get<int64_t>() < now;
    std::array<uint8_t, sizeof(in6_addr)> ignored{};
    lease.v6 = ::inet_pton(AF_INET6, lease.ip.c_str(), ignored.data()) == 1;
    if (over || (!lease.v6 && ::inet_pton(AF_INET, lease.ip.c_str(), ignored.data()) != 1) ||
        lease.hostname.size() > kMaxHostname) {
      continue;
    }
    found.push_back(std::move(lease));
  }
  return found;
}

std::vector<GuestAddress> leases(const std::string& folder) {
  std::vector<GuestAddress> all;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (entry.path().extension() != ".status") {
      continue;
    }
    const auto text = read_file(entry.path().string(), kMaxFile);
    if (!text) {
      log_warning("addresses", "leases are left out: {}", text.error().message);
      continue;
    }
    for (GuestAddress& lease : parse_leases(*text, std::time(nullptr))) {
      lease.prefix = prefix_on(entry.path().stem().string(), lease);
      all.push_back(std::move(lease));
    }
  }
  return all;
}

Result<std::vector<GuestAddress>> neighbours() {
  const Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  struct {
    nlmsghdr header{};
    ndmsg body{};
  } request;
  request.header.nlmsg_len = NLMSG_LENGTH(sizeof(ndmsg));
  request.header.nlmsg_type = RTM_GETNEIGH;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.ndm_family = AF_UNSPEC;
  if (!fd.valid() || ::send(fd.get(), &request, request.header.nlmsg_len, 0) < 0) {
    return fail_errno(errno, "ask the kernel for its neighbours");
  }
  std::vector<GuestAddress> all;
  alignas(nlmsghdr) std::array<char, 65536> buffer{};
  while (true) {
    const ssize_t got = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) {
      return fail_errno(errno, "read the kernel's neighbours");
    }
    auto left = static_cast<unsigned>(got);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR) {
        return all;
      }
      if (header->nlmsg_type == RTM_NEWNEIGH) {
        take_neighbour(header, all);
      }
    }
  }
}

}  // namespace lodge
