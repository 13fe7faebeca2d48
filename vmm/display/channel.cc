#include "vmm/display/channel.h"

#include <sys/socket.h>
#include <array>
#include <cstring>

namespace lodge::display {
namespace {

constexpr size_t kMaxDescriptors = 4;  // that are taken with a packet, to be closed

// Reads the packet as a T if its type says so and its size fits.
template <class T>
std::optional<T> as(std::span<const std::byte> packet, Type type) {
  if (type != T::kType || packet.size() != sizeof(T)) {
    return std::nullopt;
  }
  T value;
  std::memcpy(&value, packet.data(), sizeof value);
  return value;
}

Result<Type> type_of(std::span<const std::byte> packet) {
  Type type{};
  if (packet.size() < sizeof type) {
    return fail("a packet of {} bytes is too short", packet.size());
  }
  std::memcpy(&type, packet.data(), sizeof type);
  return type;
}

std::unexpected<Error> unknown(std::span<const std::byte> packet, Type type) {
  return fail("no packet of type {} has {} bytes", static_cast<uint32_t>(type), packet.size());
}

bool is_step(int32_t step) { return step >= -kMaxStep && step <= kMaxStep; }

Result<Frame> checked(const Frame& frame) {
  if (!is_size(frame.width, frame.height)) {
    return fail("a picture cannot have {} x {} pixels", frame.width, frame.height);
  }
  if (frame.first > frame.last || frame.last > frame.height || frame.resized > 1) {
    return fail("a picture of {} lines cannot have changed in lines {} to {}", frame.height, frame.first, frame.last);
  }
  return frame;
}

}  // namespace

bool is_size(uint32_t width, uint32_t height) {
  return width != 0 && height != 0 && width <= kMaxSide && height <= kMaxSide && uint64_t{width} * height <= kMaxPixels;
}

Result<FromMonitor> parse_from_monitor(std::span<const std::byte> packet) {
  const Type type = TRY(type_of(packet));
  if (const auto hello = as<Hello>(packet, type)) {
    if (hello->version != kVersion) {
      return fail("the display channel has version {}, this program knows {}", hello->version, kVersion);
    }
    return *hello;
  }
  if (const auto frame = as<Frame>(packet, type)) {
    return TRY(checked(*frame));
  }
  if (const auto pointer = as<Pointer>(packet, type)) {
    if (pointer->absolute > 1) {
      return fail("no kind of pointer has number {}", pointer->absolute);
    }
    return *pointer;
  }
  return unknown(packet, type);
}

Result<FromViewer> parse_from_viewer(std::span<const std::byte> packet) {
  const Type type = TRY(type_of(packet));
  if (const auto refresh = as<Refresh>(packet, type)) {
    return *refresh;
  }
  if (const auto key = as<Key>(packet, type)) {
    if (key->code == 0 || key->code > kMaxKey || key->down > 1) {
      return fail("there is no key {} ({})", key->code, key->down);
    }
    return *key;
  }
  if (const auto move = as<Move>(packet, type)) {
    if (!is_step(move->right) || !is_step(move->down) || !is_step(move->wheel) || move->buttons > kAllButtons) {
      return fail("no pointer moves {}, {} and {} with buttons {:#x}", move->right, move->down, move->wheel, move->buttons);
    }
    return *move;
  }
  if (const auto position = as<Position>(packet, type)) {
    if (position->x > kMaxPosition || position->y > kMaxPosition || !is_step(position->wheel) ||
        position->buttons > kAllButtons) {
      return fail("no pointer is at {}, {} with wheel {} and buttons {:#x}", position->x, position->y, position->wheel,
                  position->buttons);
    }
    return *position;
  }
  if (const auto size = as<Size>(packet, type)) {
    if (!is_size(size->width, size->height)) {
      return fail("no picture has {} x {} pixels", size->width, size->height);
    }
    return *size;
  }
  return unknown(packet, type);
}

Result<void> send_packet(int socket, std::span<const std::byte> packet, int descriptor) {
  // The kernel does not write to what is sent.
  iovec part{const_cast<std::byte*>(packet.data()), packet.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  if (descriptor >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  }
  ssize_t n = 0;
  do {
    n = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    return fail_errno(errno, "send");
  }
  return {};
}

Result<std::optional<Received>> receive_packet(int socket, std::span<std::byte> buffer) {
  iovec part{buffer.data(), buffer.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxDescriptors)> control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) {
      return std::nullopt;
    }
    if (errno == ECONNRESET) {  // closed, with packets of ours that nobody read
      return Received{};
    }
    return fail_errno(errno, "receive");
  }
  Received received{.size = static_cast<size_t>(n), .descriptor = Fd()};
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      Fd owned(fd);
      if (!received.descriptor.valid()) {
        received.descriptor = std::move(owned);
      }
    }
  }
  return received;
}

}  // namespace lodge::display
