// "key=value,key=value" of the command line into settings, by the fields of fields.h. A comma in a value is doubled (",,"),
// as QEMU's users know it. Dashes and underscores in keys are the same.
#pragma once

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/ranges.h>

#include "base/result.h"
#include "vmm/config/fields.h"

namespace lodge {

using KeyValues = std::vector<std::pair<std::string, std::string>>;

// Splits; a part without '=' gives an empty key.
[[nodiscard]] KeyValues split_options(std::string_view text);

// One value from text; the error says what is expected.
[[nodiscard]] Result<bool> parse_bool(std::string_view text);
[[nodiscard]] Result<uint64_t> parse_number(std::string_view text, Bounds bounds);

namespace config_detail {

class OptionSetter {
 public:
  OptionSetter(std::string key, std::string value) : key_(std::move(key)), value_(std::move(value)) {
    std::ranges::replace(key_, '-', '_');
  }

  template <class T>
  void field(std::string_view name, std::string_view, T& member, Bounds bounds = {}) {
    known_.emplace_back(name);
    if (name == key_) {
      found_ = true;
      outcome_ = set(member, bounds);
    }
  }

  [[nodiscard]] Result<void> finish() const {
    if (!found_) {
      return fail("there is no option '{}'; known are {}", key_, fmt::join(known_, ", "));
    }
    if (!outcome_) {
      return fail("{}: {}", key_, outcome_.error().message);
    }
    return {};
  }

 private:
  template <class T>
  [[nodiscard]] Result<void> set(T& member, Bounds bounds) const {
    if constexpr (std::is_same_v<T, bool>) {
      member = TRY(parse_bool(value_));
    } else if constexpr (std::is_same_v<T, int>) {
      member = static_cast<int>(TRY(parse_number(value_, Bounds{0, 1'000'000})));
    } else if constexpr (std::is_same_v<T, int64_t>) {
      const bool negative = value_.starts_with('-');
      const uint64_t size = TRY(parse_number(std::string_view(value_).substr(negative ? 1 : 0), bounds));
      member = negative ? -static_cast<int64_t>(size) : static_cast<int64_t>(size);
    } else if constexpr (std::is_integral_v<T>) {
      member = static_cast<T>(TRY(parse_number(value_, bounds)));
    } else if constexpr (std::is_enum_v<T>) {
      const auto& words = EnumWords<T>::words;
      const auto it = std::ranges::find(words, value_);
      if (it == words.end()) {
        return fail("'{}' is not one of {}", value_, fmt::join(words, ", "));
      }
      member = static_cast<T>(it - words.begin());
    } else if constexpr (std::is_same_v<T, std::string>) {
      member = value_;
    } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      member.push_back(value_);
    } else if constexpr (std::is_same_v<T, std::vector<int>> || std::is_same_v<T, std::vector<uint32_t>>) {
      member.push_back(static_cast<typename T::value_type>(TRY(parse_number(value_, Bounds{0, 1'000'000}))));
    } else {
      return fail("cannot be given on the command line; use --config");
    }
    return {};
  }

  std::string key_;
  std::string value_;
  std::vector<std::string> known_;
  bool found_ = false;
  Result<void> outcome_;
};

}  // namespace config_detail

// Sets one field by name.
template <class Settings>
[[nodiscard]] Result<void> set_option(Settings& settings, const std::string& key, const std::string& value) {
  config_detail::OptionSetter setter(key, value);
  describe(setter, settings);
  return setter.finish();
}

// Sets all of "key=value,...".
template <class Settings>
[[nodiscard]] Result<void> set_options(Settings& settings, std::string_view text) {
  for (const auto& [key, value] : split_options(text)) {
    TRY_VOID(set_option(settings, key, value));
  }
  return {};
}

}  // namespace lodge
