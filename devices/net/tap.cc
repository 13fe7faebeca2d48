#include "devices/net/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "base/log.h"
#include "devices/net/frame.h"

namespace lodge {
namespace {

class TapBackend final : public NetBackend {
 public:
  TapBackend(Fd fd, std::string what, bool multi_queue) : fd_(std::move(fd)), what_(std::move(what)), multi_(multi_queue) {}
  [[nodiscard]] int poll_fd() const override { return fd_.get(); }
  [[nodiscard]] int kernel_fd() const override { return fd_.get(); }

  Io send(std::span<const iovec> frame) override {
    ssize_t n = 0;
    do {
      n = ::writev(fd_.get(), frame.data(), static_cast<int>(frame.size()));
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
      return Io::done;
    }
    switch (errno) {
      case EAGAIN: return Io::would_block;
      case EBADFD: return Io::gone;
      default: return Io::done;  // this frame is bad, or the interface is down: it is lost, as on a wire
    }
  }

  Io receive(std::span<const iovec> into, size_t& bytes) override {
    ssize_t n = 0;
    do {
      n = ::readv(fd_.get(), into.data(), static_cast<int>(into.size()));
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
      bytes = static_cast<size_t>(n);
      return Io::done;
    }
    return errno == EAGAIN ? Io::would_block : Io::gone;
  }

  [[nodiscard]] Result<void> set_offloads(uint32_t tun_flags) override {
    if (::ioctl(fd_.get(), TUNSETOFFLOAD, static_cast<unsigned long>(tun_flags)) != 0 && errno != EBADFD) {
      // (A queue that is switched off cannot be asked; the flags are the whole tap's, so another one sets them.)
      return fail_errno(errno, "set offloads {:#x} of {}", tun_flags, what_);
    }
    return {};
  }

  void set_enabled(bool enabled) override {
    if (!multi_) {
      return;
    }
    ifreq request{};
    request.ifr_flags = static_cast<short>(enabled ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE);
    // EINVAL: it is in that state already.
    if (::ioctl(fd_.get(), TUNSETQUEUE, &request) != 0 && errno != EINVAL) {
      log_warning("net", "{}: cannot {} a queue: {}", what_, enabled ? "attach" : "detach",
                  std::generic_category().message(errno));
    }
  }

 private:
  Fd fd_;
  std::string what_;
  bool multi_;
};

std::unexpected<Error> attach_error(const std::string& what, int code) {
  switch (code) {
    case EPERM:
      return fail(
          "cannot open {}: no permission; create it for this user (ip tuntap add NAME mode tap user USER), run as root, "
          "or use user-mode networking",
          what);
    case EBUSY: return fail("cannot open {}: it is in use by another process; stop that or choose another tap", what);
    case EINVAL:
      return fail(
          "cannot open {}: it exists but is no tap, or was created with other options (multi_queue, vnet_hdr); create it "
          "again",
          what);
    default: return fail_errno(code, "cannot open {}", what);
  }
}

Result<Fd> attach(const TapOptions& options, const std::string& what) {
  Fd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    return fail("cannot open {}: /dev/net/tun: {}; load the module tun or use user-mode networking", what,
                std::generic_category().message(errno));
  }
  ifreq request{};
  std::memcpy(request.ifr_name, options.name.data(), options.name.size());
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (options.queue_pairs > 1) {
    request.ifr_flags |= IFF_MULTI_QUEUE;
  }
  if (::ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    return attach_error(what, errno);
  }
  return fd;
}

Result<void> prepare(const Fd& fd, const std::string& what) {
  ifreq request{};
  if (::ioctl(fd.get(), TUNGETIFF, &request) != 0) {
    return fail("{}: the descriptor given is not an attached tap", what);
  }
  if ((request.ifr_flags & IFF_TAP) == 0 || (request.ifr_flags & IFF_VNET_HDR) == 0) {
    return fail("{}: the interface must be a tap with the vnet header (vnet_hdr), but it is not", what);
  }
  const int header = kVnetHeader;
  const int little_endian = 1;
  if (::ioctl(fd.get(), TUNSETVNETHDRSZ, &header) != 0 || ::ioctl(fd.get(), TUNSETVNETLE, &little_endian) != 0) {
    return fail_errno(errno, "set the vnet header of {}", what);
  }
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return fail_errno(errno, "set {} to non-blocking", what);
  }
  return {};
}

// Tries the richest set of offloads first; what the kernel refuses is not offered to the guest.
void find_offloads(const Fd& fd, NetCapabilities& capabilities) {
  constexpr unsigned long kTso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  capabilities.vnet_header = true;
  capabilities.uso = ::ioctl(fd.get(), TUNSETOFFLOAD, kTso | kTunUso4 | kTunUso6) == 0;
  capabilities.tso = capabilities.uso || ::ioctl(fd.get(), TUNSETOFFLOAD, kTso) == 0;
  capabilities.checksum = capabilities.tso || ::ioctl(fd.get(), TUNSETOFFLOAD, static_cast<unsigned long>(TUN_F_CSUM)) == 0;
  ::ioctl(fd.get(), TUNSETOFFLOAD, 0UL);
}

std::string name_of(const Fd& tap) {
  ifreq request{};
  return ::ioctl(tap.get(), TUNGETIFF, &request) == 0 ? std::string(request.ifr_name, ::strnlen(request.ifr_name, IFNAMSIZ))
                                                      : std::string();
}

uint16_t read_mtu(const Fd& tap) {
  ifreq request{};
  if (::ioctl(tap.get(), TUNGETIFF, &request) != 0) {
    return 0;
  }
  const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));  // any kind will do; this one seccomp allows
  if (!socket.valid() || ::ioctl(socket.get(), SIOCGIFMTU, &request) != 0 || request.ifr_mtu < 68 ||
      request.ifr_mtu > 65535) {
    return 0;
  }
  return static_cast<uint16_t>(request.ifr_mtu);
}

}  // namespace

Result<NetPort> open_tap(TapOptions options) {
  const std::string what = fmt::format("tap '{}' of NIC '{}'", options.name.empty() ? "(given)" : options.name, options.id);
  if (options.fds.empty()) {
    if (options.name.empty() || options.name.size() >= IFNAMSIZ) {
      return fail("NIC '{}': the tap's name '{}' is empty or longer than {} characters", options.id, options.name,
                  IFNAMSIZ - 1);
    }
    if (options.queue_pairs == 0 || options.queue_pairs > 256) {
      return fail("NIC '{}': {} queue pairs asked for; choose 1 to 256", options.id, options.queue_pairs);
    }
    if (!options.create && ::if_nametoindex(options.name.c_str()) == 0) {
      return fail("cannot open {}: there is no such interface; create it (ip tuntap add {} mode tap)", what, options.name);
    }
    for (uint16_t i = 0; i < options.queue_pairs; ++i) {
      options.fds.push_back(TRY(attach(options, what)));
    }
  }
  NetPort port;
  port.capabilities.queue_pairs = static_cast<uint16_t>(options.fds.size());
  for (const Fd& fd : options.fds) {
    TRY_VOID(prepare(fd, what));
  }
  find_offloads(options.fds.front(), port.capabilities);
  const uint16_t mtu = read_mtu(options.fds.front());
  port.capabilities.mtu = mtu == 1500 ? 0 : mtu;  // the usual one needs no telling
  port.interface = name_of(options.fds.front());
  const bool multi = options.fds.size() > 1;
  for (Fd& fd : options.fds) {
    port.queues.push_back(std::make_unique<TapBackend>(std::move(fd), what, multi));
  }
  return port;
}

}  // namespace lodge
