// JSON of monitors and guest agents, who may be in a guest's hands: reading it never throws and never recurses far. Pure
// functions; any thread.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace lodge {

using Json = nlohmann::json;

// Copying, printing and comparing go as deep as the text does.
inline constexpr int kMaxJsonDepth = 64;

// Discarded (no object, no array, is_discarded()) if it is malformed or nested deeper.
[[nodiscard]] Json parse_json(std::string_view text);

// The member of an object; null if there is none or `json` is no object.
[[nodiscard]] const Json& member_in(const Json& json, const char* key);
// A text member, or "".
[[nodiscard]] std::string text_in(const Json& json, const char* key);
// Whether a member is true, or the text "true", as monitors' events have it.
[[nodiscard]] bool flag_in(const Json& json, const char* key);
// The objects of a list; none if it is no list.
[[nodiscard]] std::vector<Json> objects_in(const Json& json);
[[nodiscard]] std::vector<Json> objects_in(const Json& json, const char* key);
// A number that fits, or 0.
template <std::integral T>
[[nodiscard]] T integer_in(const Json& json, const char* key) {
  const Json& member = member_in(json, key);
  if (member.is_number_unsigned()) {
    const auto value = member.get<uint64_t>();
    return std::in_range<T>(value) ? static_cast<T>(value) : T{0};
  }
  const int64_t value = member.is_number_integer() ? member.get<int64_t>() : 0;
  return std::in_range<T>(value) ? static_cast<T>(value) : T{0};
}

}  // namespace lodge
