#include "libvirt-driver/domains/taps.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

namespace lodge {
namespace {

constexpr int kOffloadHeader = 12;  // virtio_net_hdr with the count of merged buffers

void put_name(ifreq& request, const std::string& name) {
  const size_t size = std::min(name.size(), sizeof request.ifr_name - 1);
  std::memcpy(request.ifr_name, name.data(), size);
  request.ifr_name[size] = 0;
}

Result<Fd> open_queue(std::string& name, bool several) {
  Fd fd = TRY(open_file("/dev/net/tun", O_RDWR | O_NONBLOCK));
  ifreq request{};
  put_name(request, name.empty() ? "vnet%d" : name);
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (several ? IFF_MULTI_QUEUE : 0));
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    return fail_errno(errno, "open the tap '{}'", name);
  }
  name = request.ifr_name;
  const int size = kOffloadHeader;
  ::ioctl(fd.get(), TUNSETVNETHDRSZ, &size);
  return fd;
}

Answer<void> control(int socket, unsigned long verb, ifreq& request, const std::string& what) {
  if (::ioctl(socket, verb, &request) != 0) {
    return std::unexpected(CallError(fail_errno(errno, "{}", what).error()));
  }
  return {};
}

// What is on the bridge at the other end of isolated ports does not hear of each other.
Answer<void> isolate(const std::string& tap, const std::string& who) {
  const std::string path = fmt::format("/sys/class/net/{}/brport/isolated", tap);
  const auto file = open_file(path, O_WRONLY);
  const auto written = file ? write_all(file->get(), "1") : Result<void>(std::unexpected(file.error()));
  if (!written) {
    return std::unexpected(CallError(context(written.error(), who + ": isolate its port").error()));
  }
  return {};
}

// Frames that the bridge lets through fit the tap.
Answer<void> take_mtu(int socket, const std::string& tap, const std::string& bridge, const std::string& who) {
  ifreq mtu{};
  put_name(mtu, bridge);
  TRY_VOID(control(socket, SIOCGIFMTU, mtu, fmt::format("{}: ask for the MTU of the bridge '{}'", who, bridge)));
  put_name(mtu, tap);
  return control(socket, SIOCSIFMTU, mtu, fmt::format("{}: set the MTU of '{}'", who, tap));
}

Answer<void> join(int socket, const DomainInterface& interface, const std::string& tap, const std::string& who) {
  if (!interface.mtu) {
    TRY_VOID(take_mtu(socket, tap, interface.source.bridge, who));
  }
  ifreq bridge{};
  put_name(bridge, interface.source.bridge);
  bridge.ifr_ifindex = static_cast<int>(::if_nametoindex(tap.c_str()));
  TRY_VOID(control(socket, SIOCBRADDIF, bridge,
                   fmt::format("{}: add '{}' to the bridge '{}'", who, tap, interface.source.bridge)));
  return interface.isolated == YesNo::yes ? isolate(tap, who) : Answer<void>();
}

}  // namespace

Answer<void> join_bridge(const DomainInterface& interface) {
  std::error_code none;
  const auto master = std::filesystem::read_symlink(fmt::format("/sys/class/net/{}/master", interface.target), none);
  if (!none && master.filename() == interface.source.bridge) {
    return {};
  }
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return join(socket.get(), interface, interface.target, fmt::format("interface {}", to_xml(interface.mac)));
}

Answer<Tap> make_tap(const DomainInterface& interface) {
  const std::string who = fmt::format("interface {}", to_xml(interface.mac));
  Tap tap;
  const bool chosen = !interface.target.empty() && !interface.target.starts_with("vnet");
  tap.name = chosen ? interface.target : "";
  const uint32_t queues = interface.driver.queues.value_or(1);
  for (uint32_t i = 0; i < queues; ++i) {
    auto fd = open_queue(tap.name, queues > 1);
    if (!fd) {
      return std::unexpected(CallError(context(fd.error(), who).error()));
    }
    tap.fds.push_back(std::move(*fd));
  }
  if (interface.type == InterfaceType::ethernet && interface.target_managed == YesNo::no) {
    return tap;
  }
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  put_name(request, tap.name);
  if (interface.type == InterfaceType::bridge || interface.type == InterfaceType::network) {
    // A bridge takes its lowest port's address: ours is higher than any card's, so guests do not change it.
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    std::memcpy(request.ifr_hwaddr.sa_data, interface.mac.bytes.data(), interface.mac.bytes.size());
    request.ifr_hwaddr.sa_data[0] = static_cast<char>(0xFE);
    TRY_VOID(control(socket.get(), SIOCSIFHWADDR, request, fmt::format("{}: set the address of '{}'", who, tap.name)));
    TRY_VOID(join(socket.get(), interface, tap.name, who));
  }
  if (interface.mtu) {
    ifreq mtu{};
    put_name(mtu, tap.name);
    mtu.ifr_mtu = static_cast<int>(*interface.mtu);
    TRY_VOID(control(socket.get(), SIOCSIFMTU, mtu, fmt::format("{}: set the MTU of '{}'", who, tap.name)));
  }
  ifreq flags{};
  put_name(flags, tap.name);
  TRY_VOID(control(socket.get(), SIOCGIFFLAGS, flags, fmt::format("{}: look at '{}'", who, tap.name)));
  flags.ifr_flags = static_cast<short>(flags.ifr_flags | IFF_UP);
  TRY_VOID(control(socket.get(), SIOCSIFFLAGS, flags, fmt::format("{}: bring '{}' up", who, tap.name)));
  return tap;
}

}  // namespace lodge
