// How a saved struct is described: once, beside the struct, with field ids that are never reused.
//
//   struct RngState { uint64_t acked = 0; };
//   template <> struct Schema<RngState> {
//     static constexpr std::string_view name = "virtio-rng";
//     static constexpr uint16_t version = 1;
//     static constexpr auto fields = std::tuple{field(1, "acked", &RngState::acked)};
//   };
//
// A field whose value equals its default is not written; an absent field has its default. Fields may be integers, bool,
// enums, strings, std::array and std::vector of them, other structs with a Schema, and vectors of those.
// Encoding: docs/state-format.md.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace lodge {

template <class Struct, class Member>
struct Field {
  uint16_t id;
  std::string_view name;
  Member Struct::* member;
};

template <class Struct, class Member>
constexpr Field<Struct, Member> field(uint16_t id, std::string_view name, Member Struct::* member) {
  return {id, name, member};
}

template <class T>
struct Schema;

template <class T>
concept Described = requires { Schema<T>::fields; };

// No list in a saved state is longer than this; checked before anything is allocated.
inline constexpr uint32_t kMaxStateItems = 1U << 20;

using StateBytes = std::vector<std::byte>;

namespace state_detail {

template <class T>
inline constexpr bool kIsVector = false;
template <class T>
inline constexpr bool kIsVector<std::vector<T>> = true;
template <class T>
inline constexpr bool kIsArray = false;
template <class T, size_t N>
inline constexpr bool kIsArray<std::array<T, N>> = true;

// Not inlined: GCC 12 takes the growth of an inlined vector for an overflow.
[[gnu::noinline]] inline void append_bytes(StateBytes& out, std::span<const std::byte> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

template <class T>
void append_pod(StateBytes& out, const T& value) {
  append_bytes(out, std::as_bytes(std::span(&value, 1)));
}

template <Described T>
void encode_struct(StateBytes& out, const T& value);
template <Described T>
[[nodiscard]] Result<void> decode_struct(std::span<const std::byte> in, T& value);

template <class T>
void encode_value(StateBytes& out, const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    append_pod(out, static_cast<uint8_t>(value ? 1 : 0));
  } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
    append_pod(out, value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    append_pod(out, static_cast<uint32_t>(value.size()));
    append_bytes(out, std::as_bytes(std::span(value)));
  } else if constexpr (kIsVector<T> || kIsArray<T>) {
    append_pod(out, static_cast<uint32_t>(value.size()));
    for (const auto& item : value) {
      encode_value(out, item);
    }
  } else {
    static_assert(Described<T>, "a saved field needs a Schema");
    StateBytes inner;
    encode_struct(inner, value);
    append_pod(out, static_cast<uint32_t>(inner.size()));
    append_bytes(out, inner);
  }
}

template <class T>
[[nodiscard]] Result<void> take_pod(std::span<const std::byte>& in, T& value) {
  if (in.size() < sizeof(T)) {
    return fail("saved value is cut short");
  }
  std::memcpy(&value, in.data(), sizeof(T));
  in = in.subspan(sizeof(T));
  return {};
}

template <class T>
[[nodiscard]] Result<void> decode_value(std::span<const std::byte>& in, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    uint8_t byte = 0;
    TRY_VOID(take_pod(in, byte));
    if (byte > 1) {
      return fail("saved flag has value {}", byte);
    }
    value = byte == 1;
  } else if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
    TRY_VOID(take_pod(in, value));
  } else if constexpr (std::is_same_v<T, std::string>) {
    uint32_t size = 0;
    TRY_VOID(take_pod(in, size));
    if (size > in.size()) {
      return fail("saved text of {} bytes is cut short", size);
    }
    value.assign(reinterpret_cast<const char*>(in.data()), size);  // SAFETY: bytes as char
    in = in.subspan(size);
  } else if constexpr (kIsVector<T> || kIsArray<T>) {
    uint32_t count = 0;
    TRY_VOID(take_pod(in, count));
    if constexpr (kIsArray<T>) {
      if (count != value.size()) {
        return fail("saved list has {} items, this build has {}", count, value.size());
      }
    } else {
      if (count > kMaxStateItems || count > in.size()) {  // every item takes at least one byte
        return fail("saved list of {} items is too long", count);
      }
      value.resize(count);
    }
    for (auto& item : value) {
      TRY_VOID(decode_value(in, item));
    }
  } else {
    uint32_t size = 0;
    TRY_VOID(take_pod(in, size));
    if (size > in.size()) {
      return fail("saved struct of {} bytes is cut short", size);
    }
    TRY_VOID(decode_struct(in.first(size), value));
    in = in.subspan(size);
  }
  return {};
}

template <Described T>
void encode_struct(StateBytes& out, const T& value) {
  const T fresh{};
  std::apply(
      [&](const auto&... fields) {
        (
            [&] {
              if (value.*fields.member == fresh.*fields.member) {
                return;
              }
              StateBytes inner;
              encode_value(inner, value.*fields.member);
              append_pod(out, fields.id);
              append_pod(out, static_cast<uint32_t>(inner.size()));
              append_bytes(out, inner);
            }(),
            ...);
      },
      Schema<T>::fields);
}

template <Described T>
Result<void> decode_struct(std::span<const std::byte> in, T& value) {
  while (!in.empty()) {
    uint16_t id = 0;
    uint32_t size = 0;
    TRY_VOID(take_pod(in, id));
    TRY_VOID(take_pod(in, size));
    if (size > in.size()) {
      return fail("field {} of saved {} is cut short", id, Schema<T>::name);
    }
    std::span<const std::byte> payload = in.first(size);
    in = in.subspan(size);
    bool known = false;
    Result<void> outcome;
    std::apply(
        [&](const auto&... fields) {
          (
              [&] {
                if (fields.id == id) {
                  known = true;
                  outcome = decode_value(payload, value.*fields.member);
                  if (outcome && !payload.empty()) {
                    outcome =
                        fail("field '{}' of saved {} has {} bytes too many", fields.name, Schema<T>::name, payload.size());
                  } else if (!outcome) {
                    outcome = context(outcome.error(), fields.name);
                  }
                }
              }(),
              ...);
        },
        Schema<T>::fields);
    if (!known) {
      return fail("saved {} has field {}, which this build does not know", Schema<T>::name, id);
    }
    TRY_VOID(outcome);
  }
  return {};
}

}  // namespace state_detail
}  // namespace lodge
