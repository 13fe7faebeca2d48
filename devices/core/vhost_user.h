// VhostUser: our end of a vhost-user connection (the protocol of QEMU's docs/interop/vhost-user): a process beside us, the
// back-end, serves split rings in guest RAM that it shares. Ours is the front-end.
//
// The back-end is hostile: each answer is checked, nothing is waited for without limit, descriptors that it sends are
// closed. After an error the connection is of no use any more; the owner closes it by destroying this.
//
// connect() and open() on control, where they may wait; the rest never waits, on one loop.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "devices/core/vhost.h"

namespace lodge {

class VhostUser {
 public:
  static constexpr std::chrono::milliseconds kPatience{10'000};  // for one answer
  static constexpr uint64_t kProtocolFeatures = 1ULL << 30;      // feature bit VHOST_USER_F_PROTOCOL_FEATURES

  // A connection to a listening socket. Error: nobody listens there, or takes it within `patience`.
  [[nodiscard]] static Result<Fd> connect(const std::string& path, std::chrono::milliseconds patience = kPatience);
  // Agrees with the back-end on the protocol and hands over guest RAM. `what` begins errors: "filesystem 'fs0'". Errors: RAM
  // is not shared; the back-end has less than `rings` rings or no virtio 1.0; it does not answer, or wrongly.
  [[nodiscard]] static Result<std::unique_ptr<VhostUser>> open(Fd socket, std::string what, const GuestMemory& memory,
                                                               unsigned rings,
                                                               std::chrono::milliseconds patience = kPatience);

  [[nodiscard]] int fd() const { return fd_.get(); }
  // Feature bits, the transport's too, that it can serve.
  [[nodiscard]] uint64_t features() const { return features_ & ~kProtocolFeatures; }

  // Before the first ring starts: what was negotiated.
  [[nodiscard]] Result<void> set_features(uint64_t features) const;
  // The ring runs from now on. `kick_fd`: of which it reads; `call_fd`: which it signals, or -1.
  [[nodiscard]] Result<void> start_ring(unsigned ring, const VhostRing& place, const GuestMemory& memory, int kick_fd,
                                        int call_fd) const;
  // Asks it to finish what is in flight and stop; the answer comes through take_position(), in the order of requests.
  [[nodiscard]] Result<void> stop_ring(unsigned ring) const;
  // The next available index of `ring`, whose stop was asked for first; nothing: not yet. Error: the back-end has gone, or
  // answers what was not asked.
  [[nodiscard]] Result<std::optional<uint16_t>> take_position(unsigned ring);
  // When nothing is expected and the socket is readable: why.
  [[nodiscard]] Error unexpected_input() const;

 private:
  VhostUser(Fd fd, std::string what, std::chrono::milliseconds patience)
      : fd_(std::move(fd)), what_(std::move(what)), patience_(patience) {}
  [[nodiscard]] Result<void> agree(unsigned rings);
  [[nodiscard]] Result<void> share(const GuestMemory& memory) const;
  [[nodiscard]] Result<void> send(uint32_t request, std::span<const std::byte> body, std::span<const int> fds = {},
                                  uint32_t flags = 0) const;
  [[nodiscard]] Result<uint64_t> ask(uint32_t request, std::span<const std::byte> body = {}, std::span<const int> fds = {},
                                     uint32_t flags = 0) const;
  [[nodiscard]] Result<void> receive(std::span<std::byte> to, uint32_t request) const;
  [[nodiscard]] std::unexpected<Error> wrong(uint32_t request, std::string_view problem) const;

  static constexpr size_t kReplySize = 20;  // of all that we ask for: a header and eight bytes
  Fd fd_;
  std::string what_;
  std::chrono::milliseconds patience_;
  uint64_t features_ = 0;
  bool acknowledges_ = false;
  std::array<std::byte, kReplySize> reply_{};  // to a stop, as far as it has come
  size_t received_ = 0;
};

}  // namespace lodge
