// How values stand in XML: text to value and back. Pure functions, any thread.
//
// An enumeration gets its words by LODGE_XML_WORDS beside its definition. A first word of "" is the value of "not given".
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>

#include "libvirt-driver/xml/uuid.h"

namespace lodge {

struct XmlWords {
  std::span<const std::string_view> words;  // in the order of the enumeration's values
  std::string_view refused;                 // libvirt's further words, which Lodge does not offer: "nvme dir"
};

// xml_words(Enum) for an enumeration of this namespace.
#define LODGE_XML_WORDS(Enum, refused_words, ...)                                        \
  inline constexpr auto k##Enum##Words = std::to_array<std::string_view>({__VA_ARGS__}); \
  constexpr XmlWords xml_words(Enum) { return {k##Enum##Words, refused_words}; }         \
  static_assert(true)

template <class E>
concept XmlEnum = std::is_enum_v<E> && requires(E e) { xml_words(e); };

template <XmlEnum E>
[[nodiscard]] constexpr std::string_view xml_word(E value) {
  return xml_words(value).words[static_cast<size_t>(value)];
}

enum class YesNo : uint8_t { absent, yes, no };
LODGE_XML_WORDS(YesNo, "", "", "yes", "no");
enum class OnOff : uint8_t { absent, on, off };
LODGE_XML_WORDS(OnOff, "", "", "on", "off");

// A set of CPU, node or vCPU numbers: "0-3,^2,8". In ascending order, each once.
struct IdSet {
  std::vector<uint32_t> ids;
  friend bool operator==(const IdSet&, const IdSet&) = default;
};
constexpr uint32_t kMaxId = 16383;
[[nodiscard]] std::optional<IdSet> parse_id_set(std::string_view text);
[[nodiscard]] std::string print_id_set(const IdSet& set);

// What came of reading a value.
enum class ValueCheck : uint8_t { good, wrong, not_offered };

template <class T>
concept XmlNumber = std::integral<T> && !std::same_as<T, bool>;

template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;

[[nodiscard]] std::string_view trimmed(std::string_view text);
[[nodiscard]] bool has_word(std::string_view words, std::string_view word);

// Decimal, or hexadecimal after "0x". False if it is no number or does not fit.
template <XmlNumber T>
[[nodiscard]] bool parse_number(std::string_view text, T& value) {
  text = trimmed(text);
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    text.remove_prefix(2);
    base = 16;
  }
  T read{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), read, base);
  if (error != std::errc() || end != text.data() + text.size() || (base == 16 && text.starts_with('-'))) {
    return false;
  }
  value = read;
  return true;
}

// Other types bring from_xml(text, value), to_xml(value) and xml_kind(value) along.
template <class T>
concept XmlText = requires(std::string_view text, T& value) {
  { from_xml(text, value) } -> std::same_as<bool>;
  to_xml(value);
  xml_kind(value);
};

template <class T>
[[nodiscard]] ValueCheck parse_value(std::string_view text, T& value) {
  const auto good_if = [](bool good) { return good ? ValueCheck::good : ValueCheck::wrong; };
  if constexpr (kIsOptional<T>) {
    return parse_value(text, value.emplace());
  } else if constexpr (XmlEnum<T>) {
    const auto known = xml_words(T{});
    for (size_t i = 0; i < known.words.size(); ++i) {
      if (!known.words[i].empty() && known.words[i] == text) {
        value = static_cast<T>(i);
        return ValueCheck::good;
      }
    }
    return has_word(known.refused, text) ? ValueCheck::not_offered : ValueCheck::wrong;
  } else if constexpr (XmlNumber<T>) {
    return good_if(parse_number(text, value));
  } else if constexpr (std::same_as<T, IdSet>) {
    auto set = parse_id_set(text);
    value = set.value_or(IdSet{});
    return good_if(set.has_value());
  } else if constexpr (std::same_as<T, Uuid>) {
    const auto uuid = parse_uuid(text);
    value = uuid.value_or(Uuid{});
    return good_if(uuid.has_value() && *uuid != Uuid{});
  } else if constexpr (XmlText<T>) {
    return good_if(from_xml(text, value));
  } else {
    value = std::string(text);
    return ValueCheck::good;
  }
}

// "" : not given.
template <class T>
[[nodiscard]] std::string print_value(const T& value) {
  if constexpr (kIsOptional<T>) {
    return value ? print_value(*value) : std::string();
  } else if constexpr (XmlEnum<T>) {
    return std::string(xml_word(value));
  } else if constexpr (XmlNumber<T>) {
    return fmt::format("{}", value);
  } else if constexpr (std::same_as<T, IdSet>) {
    return print_id_set(value);
  } else if constexpr (std::same_as<T, Uuid>) {
    return value == Uuid{} ? std::string() : print_uuid(value);
  } else if constexpr (XmlText<T>) {
    return to_xml(value);
  } else {
    return value;
  }
}

// What may stand there, for errors: "one of file, block, volume".
[[nodiscard]] std::string list_words(std::span<const std::string_view> words);

template <class T>
[[nodiscard]] std::string value_kind() {
  if constexpr (kIsOptional<T>) {
    return value_kind<typename T::value_type>();
  } else if constexpr (XmlEnum<T>) {
    return fmt::format("one of {}", list_words(xml_words(T{}).words));
  } else if constexpr (XmlNumber<T>) {
    return fmt::format("a number from {} to {}", std::numeric_limits<T>::min(), std::numeric_limits<T>::max());
  } else if constexpr (std::same_as<T, IdSet>) {
    return fmt::format("a set of numbers up to {} such as 0-3,^2,8", kMaxId);
  } else if constexpr (std::same_as<T, Uuid>) {
    return "a UUID that is not all zero";
  } else if constexpr (XmlText<T>) {
    return std::string(xml_kind(T{}));
  } else {
    return "text";
  }
}

// "2010-04-09T15:51:00", in UTC, as seconds since 1970; none: it is no such time.
[[nodiscard]] std::optional<int64_t> parse_utc(const std::string& text);

}  // namespace lodge
