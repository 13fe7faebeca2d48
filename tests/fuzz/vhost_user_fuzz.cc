// A hostile vhost-user back-end: everything that it sends comes from the input, at once or in pieces.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "devices/core/vhost_user.h"

namespace {

using namespace lodge;

constexpr GuestMemory::Range kRange{Gpa{0}, 64 * kKiB};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::unique_ptr<GuestMemory> memory =
      std::move(*GuestMemory::create({&kRange, 1}, {.backing = MemoryBacking::memfd}));
  static const EventFd kick = std::move(*EventFd::create());
  int ends[2];
  if (size == 0 || size > 4096 || ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return 0;
  }
  Fd front(ends[0]);
  Fd back(ends[1]);
  const bool closes = (data[0] & 1) != 0;
  const size_t late = std::min<size_t>(size - 1, data[0] >> 1);  // comes after the first agreement
  if (::send(back.get(), data + 1, size - 1 - late, MSG_NOSIGNAL) < 0) {
    return 0;
  }
  if (closes && ::shutdown(back.get(), SHUT_WR) != 0) {
    return 0;
  }
  const auto opened = VhostUser::open(std::move(front), "fuzz", *memory, 2, std::chrono::milliseconds(0));
  if (!opened) {
    return 0;
  }
  VhostUser& backend = **opened;
  (void)!::send(back.get(), data + size - late, late, MSG_NOSIGNAL);
  bool good = backend.set_features(~uint64_t{0}).has_value();
  for (unsigned ring = 0; good && ring < 2; ++ring) {
    good = backend.start_ring(ring, {8, 0, 0x1000, 0x2000, 0x3000}, *memory, kick.get(), ring == 0 ? kick.get() : -1)
               .has_value() &&
           backend.stop_ring(ring).has_value();
    for (int tries = 0; good && tries < 3; ++tries) {
      const auto position = backend.take_position(ring);
      good = position.has_value();
      if (good && *position) {
        break;
      }
    }
  }
  (void)backend.unexpected_input();
  return 0;
}
