#include "vmm/vnc/link.h"

#include <cstring>

namespace lodge::vnc {
namespace {

template <class T>
std::optional<T> as(std::span<const std::byte> packet) {
  T value;
  const auto type = value.type;
  if (packet.size() != sizeof value) {
    return std::nullopt;
  }
  std::memcpy(&value, packet.data(), sizeof value);
  return value.type == type ? std::optional(value) : std::nullopt;
}

}  // namespace

Result<FromClient> parse_from_client(std::span<const std::byte> packet) {
  if (const auto want = as<Want>(packet)) {
    if (want->kind > Want::nothing) {
      return fail("a client cannot want {}", want->kind);
    }
    return *want;
  }
  if (const auto entered = as<Entered>(packet)) {
    return *entered;
  }
  if (const auto leaving = as<Leaving>(packet)) {
    if (leaving->reason > Leaving::trouble) {
      return fail("no client leaves for reason {}", leaving->reason);
    }
    return *leaving;
  }
  const display::FromViewer input = TRY(display::parse_from_viewer(packet));
  if (const auto* key = std::get_if<display::Key>(&input)) {
    return *key;
  }
  if (const auto* move = std::get_if<display::Move>(&input)) {
    return *move;
  }
  if (const auto* position = std::get_if<display::Position>(&input)) {
    return *position;
  }
  if (const auto* size = std::get_if<display::Size>(&input)) {
    return *size;
  }
  return fail("a client's process does not ask the monitor");
}

Result<FromServer> parse_from_server(std::span<const std::byte> packet) {
  if (const auto changed = as<Changed>(packet)) {
    return *changed;
  }
  if (const auto pointer = as<display::Pointer>(packet)) {
    return *pointer;
  }
  return fail("a packet of {} bytes is none of the server's", packet.size());
}

}  // namespace lodge::vnc
