#include "devices/core/vhost_user.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/bytes.h"

namespace lodge {
namespace {

// Requests of the front-end.
enum Request : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kSetMemTable = 5,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kGetVringBase = 11,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNum = 17,
  kSetVringEnable = 18,
};

std::string_view name_of(uint32_t request) {
  switch (request) {
    case kGetFeatures: return "GET_FEATURES";
    case kSetFeatures: return "SET_FEATURES";
    case kSetOwner: return "SET_OWNER";
    case kSetMemTable: return "SET_MEM_TABLE";
    case kSetVringNum: return "SET_VRING_NUM";
    case kSetVringAddr: return "SET_VRING_ADDR";
    case kSetVringBase: return "SET_VRING_BASE";
    case kGetVringBase: return "GET_VRING_BASE";
    case kSetVringKick: return "SET_VRING_KICK";
    case kSetVringCall: return "SET_VRING_CALL";
    case kGetProtocolFeatures: return "GET_PROTOCOL_FEATURES";
    case kSetProtocolFeatures: return "SET_PROTOCOL_FEATURES";
    case kGetQueueNum: return "GET_QUEUE_NUM";
    case kSetVringEnable: return "SET_VRING_ENABLE";
    default: return "a request";
  }
}

constexpr uint32_t kVersion = 1;  // bits 0 and 1 of the flags
constexpr uint32_t kVersionMask = 3;
constexpr uint32_t kReply = 1U << 2;
constexpr uint32_t kNeedReply = 1U << 3;

constexpr uint64_t kMultipleQueues = 1U << 0;  // protocol features
constexpr uint64_t kReplyAck = 1U << 3;
constexpr uint64_t kOurProtocol = kMultipleQueues | kReplyAck;

constexpr uint64_t kVersion1 = 1ULL << 32;   // VIRTIO_F_VERSION_1
constexpr uint64_t kNoDescriptor = 1U << 8;  // with SET_VRING_KICK and CALL
constexpr size_t kMaxRegions = 8;            // of a memory table

struct Header {
  uint32_t request;
  uint32_t flags;
  uint32_t size;  // of what follows
};
struct VringState {
  uint32_t index;
  uint32_t number;
};
struct VringAddress {
  uint32_t index;
  uint32_t flags;
  uint64_t descriptors;
  uint64_t used;
  uint64_t available;
  uint64_t log;
};
struct MemoryEntry {
  uint64_t guest;
  uint64_t size;
  uint64_t user;
  uint64_t offset;  // in the descriptor's file
};
struct MemoryHeader {
  uint32_t regions;
  uint32_t padding;
};

// Nothing, or what is wrong with an answer's header.
std::string_view check_reply(const Header& header, uint32_t request) {
  if (header.request != request) {
    return "is of another request";
  }
  if ((header.flags & kVersionMask) != kVersion || (header.flags & kReply) == 0) {
    return "has wrong flags";
  }
  return header.size == sizeof(uint64_t) ? "" : "has a wrong size";
}

}  // namespace

std::unexpected<Error> VhostUser::wrong(uint32_t request, std::string_view problem) const {
  return fail("{}: the vhost-user back-end's answer to {} {}", what_, name_of(request), problem);
}

Result<Fd> VhostUser::connect(const std::string& path, std::chrono::milliseconds patience) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail("socket '{}': the path is longer than {} bytes", path, sizeof address.sun_path - 1);
  }
  std::ranges::copy(path, address.sun_path);
  constexpr int64_t kMillion = 1'000'000;
  const std::chrono::microseconds limit(patience);
  const timeval time{limit.count() / kMillion, limit.count() % kMillion};
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  // Connecting waits as sending does, for a place in the queue of one who does not accept.
  if (!fd.valid() || ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time) != 0) {
    return fail_errno(errno, "make a socket for the vhost-user back-end at '{}'", path);
  }
  // SAFETY: the socket functions' own way of passing addresses.
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(errno, "connect to the vhost-user back-end at '{}'", path);
  }
  return fd;
}

Result<std::unique_ptr<VhostUser>> VhostUser::open(Fd socket, std::string what, const GuestMemory& memory, unsigned rings,
                                                   std::chrono::milliseconds patience) {
  std::unique_ptr<VhostUser> self(new VhostUser(std::move(socket), std::move(what), patience));
  TRY_VOID(self->agree(rings));
  TRY_VOID(self->share(memory));
  return self;
}

Result<void> VhostUser::agree(unsigned rings) {
  features_ = TRY(ask(kGetFeatures));
  if ((features_ & kVersion1) == 0) {
    return fail("{}: the vhost-user back-end does not know virtio 1.0; use a newer one", what_);
  }
  if ((features_ & kProtocolFeatures) != 0) {
    const uint64_t protocol = TRY(ask(kGetProtocolFeatures)) & kOurProtocol;
    TRY_VOID(send(kSetProtocolFeatures, bytes_of(protocol)));
    acknowledges_ = (protocol & kReplyAck) != 0;
    if ((protocol & kMultipleQueues) != 0) {
      const uint64_t most = TRY(ask(kGetQueueNum));
      if (most < rings) {
        return fail("{}: the vhost-user back-end serves {} queues at most, {} are wanted; ask for fewer", what_, most,
                    rings);
      }
    }
  }
  return send(kSetOwner, {});
}

Result<void> VhostUser::share(const GuestMemory& memory) const {
  const auto regions = memory.regions();
  if (regions.size() > kMaxRegions) {
    return fail("{}: guest RAM has {} parts, a vhost-user back-end takes {}", what_, regions.size(), kMaxRegions);
  }
  const MemoryHeader header{static_cast<uint32_t>(regions.size()), 0};
  std::vector<std::byte> body(sizeof header + regions.size() * sizeof(MemoryEntry));
  store_le(body, 0, header);
  std::vector<int> fds;
  for (size_t i = 0; i < regions.size(); ++i) {
    if (regions[i].fd < 0) {
      return fail(
          "{}: guest RAM is not shared with other processes; use memory backing=memfd (--memory SIZE,backing=memfd; in XML "
          "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>)",
          what_);
    }
    const auto user = reinterpret_cast<uint64_t>(regions[i].host);  // SAFETY: names the place; nobody follows it
    store_le(body, sizeof header + i * sizeof(MemoryEntry),
             MemoryEntry{regions[i].base.value, regions[i].size, user, regions[i].fd_offset});
    fds.push_back(regions[i].fd);
  }
  if (!acknowledges_) {
    return send(kSetMemTable, body, fds);
  }
  if (TRY(ask(kSetMemTable, body, fds, kNeedReply)) != 0) {
    return wrong(kSetMemTable, "is that it failed");
  }
  return {};
}

Result<void> VhostUser::send(uint32_t request, std::span<const std::byte> body, std::span<const int> fds,
                             uint32_t flags) const {
  Header header{request, kVersion | flags, static_cast<uint32_t>(body.size())};
  iovec parts[2] = {{&header, sizeof header}, {const_cast<std::byte*>(body.data()), body.size()}};  // is only read
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxRegions * sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = body.empty() ? 1 : 2;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const attached = CMSG_FIRSTHDR(&message);
    attached->cmsg_level = SOL_SOCKET;
    attached->cmsg_type = SCM_RIGHTS;
    attached->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(attached), fds.data(), fds.size_bytes());
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) {
    return errno == EAGAIN ? fail("{}: the vhost-user back-end takes no requests", what_)
                           : fail_errno(errno, "{}: send {} to the vhost-user back-end", what_, name_of(request));
  }
  if (static_cast<size_t>(sent) != sizeof header + body.size()) {
    return fail("{}: the vhost-user back-end takes only a part of {}", what_, name_of(request));
  }
  return {};
}

// The answer has one number. It is waited for as long as patience lasts, however it comes in pieces.
Result<uint64_t> VhostUser::ask(uint32_t request, std::span<const std::byte> body, std::span<const int> fds,
                                uint32_t flags) const {
  TRY_VOID(send(request, body, fds, flags));
  std::array<std::byte, kReplySize> reply{};
  TRY_VOID(receive(reply, request));
  if (const std::string_view problem = check_reply(load_le<Header>(reply), request); !problem.empty()) {
    return wrong(request, problem);
  }
  return load_le<uint64_t>(reply, sizeof(Header));
}

Result<void> VhostUser::receive(std::span<std::byte> to, uint32_t request) const {
  const auto end = std::chrono::steady_clock::now() + patience_;
  while (!to.empty()) {
    // Without a buffer for them the kernel closes descriptors that come along.
    const ssize_t got = ::recv(fd_.get(), to.data(), to.size(), MSG_DONTWAIT);
    if (got > 0) {
      to = to.subspan(static_cast<size_t>(got));
      continue;
    }
    if (got == 0) {
      return wrong(request, "does not come: it has closed the connection");
    }
    if (errno != EINTR && errno != EAGAIN) {
      return wrong(request, fmt::format("does not come: {}", std::generic_category().message(errno)));
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd wait{fd_.get(), POLLIN, 0};
    if (left.count() <= 0 || ::poll(&wait, 1, static_cast<int>(left.count())) == 0) {
      return wrong(request, fmt::format("has not come in {} ms", patience_.count()));
    }
  }
  return {};
}

Result<void> VhostUser::set_features(uint64_t features) const {
  const uint64_t all = (features & features_) | (features_ & kProtocolFeatures);
  return send(kSetFeatures, bytes_of(all));
}

Result<void> VhostUser::start_ring(unsigned ring, const VhostRing& place, const GuestMemory& memory, int kick_fd,
                                   int call_fd) const {
  const VhostRingAddresses found = TRY_CONTEXT(host_addresses(place, memory), fmt::format("{}: ring {}", what_, ring));
  TRY_VOID(send(kSetVringNum, bytes_of(VringState{ring, place.size})));
  TRY_VOID(send(kSetVringBase, bytes_of(VringState{ring, place.next})));
  TRY_VOID(send(kSetVringAddr, bytes_of(VringAddress{ring, 0, found.descriptors, found.device, found.driver, 0})));
  const uint64_t call = ring | (call_fd < 0 ? kNoDescriptor : 0);
  TRY_VOID(send(kSetVringCall, bytes_of(call), call_fd < 0 ? std::span<const int>() : std::span<const int>(&call_fd, 1)));
  const uint64_t kick = ring;
  TRY_VOID(send(kSetVringKick, bytes_of(kick), std::span<const int>(&kick_fd, 1)));
  if ((features_ & kProtocolFeatures) == 0) {
    return {};  // such rings run as soon as they have a kick
  }
  return send(kSetVringEnable, bytes_of(VringState{ring, 1}));
}

Result<void> VhostUser::stop_ring(unsigned ring) const { return send(kGetVringBase, bytes_of(VringState{ring, 0})); }

Result<std::optional<uint16_t>> VhostUser::take_position(unsigned ring) {
  const std::span<std::byte> rest = std::span(reply_).subspan(received_);
  const ssize_t got = ::recv(fd_.get(), rest.data(), rest.size(), MSG_DONTWAIT);
  if (got == 0) {
    return wrong(kGetVringBase, "does not come: it has closed the connection");
  }
  if (got < 0) {
    if (errno == EINTR || errno == EAGAIN) {
      return std::nullopt;
    }
    return wrong(kGetVringBase, fmt::format("does not come: {}", std::generic_category().message(errno)));
  }
  received_ += static_cast<size_t>(got);
  if (received_ < reply_.size()) {
    return std::nullopt;
  }
  received_ = 0;
  if (const std::string_view problem = check_reply(load_le<Header>(reply_), kGetVringBase); !problem.empty()) {
    return wrong(kGetVringBase, problem);
  }
  const auto state = load_le<VringState>(reply_, sizeof(Header));
  if (state.index != ring || state.number > UINT16_MAX) {
    return wrong(kGetVringBase, fmt::format("is {} for ring {}, asked was ring {}", state.number, state.index, ring));
  }
  return static_cast<uint16_t>(state.number);
}

Error VhostUser::unexpected_input() const {
  std::byte one{};
  const ssize_t got = ::recv(fd_.get(), &one, sizeof one, MSG_DONTWAIT | MSG_PEEK);
  return Error{fmt::format("{}: the vhost-user back-end {}", what_,
                           got > 0 ? "says what nobody asked for" : "has closed the connection"),
               0};
}

}  // namespace lodge
