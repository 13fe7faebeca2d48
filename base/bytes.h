// Little-endian loads and stores on byte buffers. The host is x86-64, so these are plain copies; the names say the intent.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace lodge {

// Types that may cross the boundary to guest memory, files and sockets: no padding that could leak, any bit pattern valid.
template <class T>
concept GuestPod = std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>;

template <GuestPod T>
[[nodiscard]] T load_le(std::span<const std::byte> from, size_t offset = 0) {
  assert(offset + sizeof(T) <= from.size());
  T value;
  std::memcpy(&value, from.data() + offset, sizeof(T));
  return value;
}

template <GuestPod T>
void store_le(std::span<std::byte> to, size_t offset, const T& value) {
  assert(offset + sizeof(T) <= to.size());
  std::memcpy(to.data() + offset, &value, sizeof(T));
}

template <GuestPod T>
[[nodiscard]] std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

template <GuestPod T>
[[nodiscard]] std::span<std::byte> writable_bytes_of(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

[[nodiscard]] inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// The low `size` bytes (1, 2, 4 or 8) of a register value.
[[nodiscard]] constexpr uint64_t truncate_to(uint64_t value, size_t size) {
  return size >= 8 ? value : value & ((uint64_t{1} << (size * 8)) - 1);
}

}  // namespace lodge
