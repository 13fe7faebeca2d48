// The language of the control socket: JSON objects, one a line, in the manner of QMP. Pure functions and values, any thread.
//
//   greeting  {"QMP": {"version": {...}, "capabilities": []}}
//   request   {"execute": NAME, "arguments": {...}, "id": ANYTHING}
//   answer    {"return": ..., "id": ...} or {"error": {"class": ..., "desc": ...}, "id": ...}
//   event     {"event": NAME, "data": {...}, "timestamp": {"seconds": ..., "microseconds": ...}}
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace lodge {

inline constexpr size_t kMaxControlMessage = size_t{1} << 20;  // bytes
inline constexpr unsigned kMaxControlDepth = 32;               // of objects and lists

// Cuts a stream of bytes into messages. A message ends with its last brace or with the line, so that rubbish costs one line.
class MessageSplitter {
 public:
  struct Item {
    std::string text;
    std::string problem;  // not empty: there is no text; the rest of that line is skipped
  };
  void feed(std::string_view bytes);
  [[nodiscard]] std::optional<Item> next();
  // No part of a message is held.
  [[nodiscard]] bool idle() const { return mode_ == Mode::between && scan_ == buffer_.size(); }

 private:
  enum class Mode : uint8_t { between, object, line, skip };
  [[nodiscard]] std::optional<Item> step(char c);
  [[nodiscard]] Item finish(size_t end);
  [[nodiscard]] Item give_up(std::string problem);

  std::string buffer_;
  size_t start_ = 0;  // of the message
  size_t scan_ = 0;   // looked at so far
  Mode mode_ = Mode::between;
  unsigned depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

// A value of an argument. Lists and objects stay JSON text.
struct JsonText {
  std::string text;
};
using ArgumentValue = std::variant<std::monostate, bool, int64_t, uint64_t, double, std::string, JsonText>;
using Arguments = std::map<std::string, ArgumentValue, std::less<>>;

// A JSON list of texts; nothing: the value is something else.
[[nodiscard]] std::optional<std::vector<std::string>> text_list(const ArgumentValue& value);

struct Request {
  std::string execute;
  Arguments arguments;
  std::string id;       // as JSON text; empty: none
  std::string problem;  // not empty: what is wrong with the message
};
[[nodiscard]] Request parse_request(std::string_view text);

// Complete lines, with their line ends.
[[nodiscard]] std::string greeting_line();
[[nodiscard]] std::string return_line(std::string_view json, std::string_view id);
[[nodiscard]] std::string error_line(std::string_view error_class, std::string_view description, std::string_view id);
// Values "true" and "false" become truth values. `microseconds`: since the epoch.
[[nodiscard]] std::string event_line(std::string_view name, std::span<const std::pair<std::string, std::string>> data,
                                     int64_t microseconds);
// {"lodge": {"major": ...}, "package": "lodge"}
[[nodiscard]] std::string version_json();

}  // namespace lodge
