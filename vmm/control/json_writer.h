// JsonWriter: builds one JSON text, in order, without a tree. Used for all that the control socket says. Any thread.
//
//   JsonWriter w; w.begin_object().member("status", "running").member("running", true).end_object(); w.take();
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace lodge {

class JsonWriter {
 public:
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);
  // Bytes that are not UTF-8 become U+FFFD.
  JsonWriter& text(std::string_view value);
  JsonWriter& flag(bool value);
  JsonWriter& number(uint64_t value);
  JsonWriter& signed_number(int64_t value);
  // A complete JSON text as a value.
  JsonWriter& raw(std::string_view json);

  JsonWriter& member(std::string_view name, std::string_view value) { return key(name).text(value); }
  JsonWriter& member(std::string_view name, const char* value) { return key(name).text(value); }
  JsonWriter& member(std::string_view name, std::same_as<bool> auto value) { return key(name).flag(value); }
  JsonWriter& member(std::string_view name, std::unsigned_integral auto value)
    requires(!std::same_as<decltype(value), bool>)
  {
    return key(name).number(value);
  }
  JsonWriter& member(std::string_view name, std::signed_integral auto value) { return key(name).signed_number(value); }

  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  void separate();
  std::string out_;
};

}  // namespace lodge
