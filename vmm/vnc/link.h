// What the server's process and its client processes say to each other, over a SOCK_SEQPACKET pair as the display channel's
// (vmm/display/channel.h), of which Key, Move, Position and Size (from the client) and Pointer (from the server) are part.
// The server checks what it gets: a client process reads what strangers send.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "vmm/display/channel.h"

namespace lodge::vnc {

enum class LinkType : uint32_t { want = 32, entered = 33, changed = 34, leaving = 35 };

// From the client: tell me, once, when the picture is newer.
struct Want {
  enum Kind : uint32_t { newer, fresh, nothing };
  LinkType type = LinkType::want;
  uint32_t seen = 0;      // the serial
  uint32_t kind = newer;  // fresh: when the guest has been asked, newer or not; nothing: never mind
};
// From the client: it has come through the handshake.
struct Entered {
  LinkType type = LinkType::entered;
  uint32_t shared = 0;
};
// From the client: its last words.
struct Leaving {
  enum Reason : uint32_t { closed, no_rfb, input_flood, message_flood, no_tls, tls_failed, certificate, password, trouble };
  LinkType type = LinkType::leaving;
  uint32_t reason = closed;
};
// From the server: SharedPicture has changed.
struct Changed {
  LinkType type = LinkType::changed;
};
static_assert(sizeof(Want) == 12 && sizeof(Entered) == 8 && sizeof(Leaving) == 8 && sizeof(Changed) == 4);

using FromClient = std::variant<Want, Entered, Leaving, display::Key, display::Move, display::Position, display::Size>;
// Error: what is wrong.
[[nodiscard]] Result<FromClient> parse_from_client(std::span<const std::byte> packet);
using FromServer = std::variant<Changed, display::Pointer>;
[[nodiscard]] Result<FromServer> parse_from_server(std::span<const std::byte> packet);

// A client may send as many keys and steps in a second; all clients together then stay below what the monitor allows.
inline constexpr size_t kMaxClients = 64;
inline constexpr uint32_t kInputsPerSecond = 300;
static_assert(kInputsPerSecond * kMaxClients < display::kInputsPerSecond);

}  // namespace lodge::vnc
