// KVM's structs as bytes of a saved state, in the kernel's layout.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"

namespace lodge {

template <class T>
[[nodiscard]] std::vector<uint8_t> to_blob(const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto* bytes = reinterpret_cast<const uint8_t*>(&value);  // SAFETY: bytes of a trivially copyable struct
  return {bytes, bytes + sizeof(T)};
}

// `what` names the struct in the message when the sizes differ.
template <class T>
[[nodiscard]] Result<T> from_blob(const std::vector<uint8_t>& blob, std::string_view what) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (blob.size() != sizeof(T)) {
    return fail("saved {} has {} bytes, KVM's struct has {}", what, blob.size(), sizeof(T));
  }
  T value;
  std::memcpy(&value, blob.data(), sizeof(T));
  return value;
}

}  // namespace lodge
