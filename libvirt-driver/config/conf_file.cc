#include "libvirt-driver/config/conf_file.h"

#include <algorithm>
#include <charconv>

namespace lodge {
namespace {

constexpr size_t kMaxText = size_t{1} << 20;

bool is_key(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

class Reader {
 public:
  Reader(std::string_view text, std::string_view file) : rest_(text), file_(file) {}

  Result<std::vector<ConfEntry>> read() {
    std::vector<ConfEntry> out;
    for (skip(true); !rest_.empty(); skip(true)) {
      ConfEntry entry;
      entry.line = line_;
      entry.key = TRY(key());
      skip(false);
      if (!take('=')) {
        return bad("'=' is missing behind '{}'", entry.key);
      }
      skip(false);
      entry.value = TRY(value());
      skip(false);
      if (!rest_.empty() && rest_.front() != '\n') {
        return bad("'{}' does not belong behind the value of '{}'; a new key begins on a line of its own", shown(),
                   entry.key);
      }
      const auto same = std::find_if(out.begin(), out.end(), [&entry](const ConfEntry& e) { return e.key == entry.key; });
      if (same != out.end()) {
        return bad("'{}' is there already, in line {}", entry.key, same->line);
      }
      out.push_back(std::move(entry));
    }
    return out;
  }

 private:
  template <class... Args>
  [[nodiscard]] std::unexpected<Error> bad(fmt::format_string<Args...> format, Args&&... args) {
    return fail("{}:{}: {}", file_, line_, fmt::format(format, std::forward<Args>(args)...));
  }

  // The rest of the line, shortened, for messages.
  [[nodiscard]] std::string shown() const { return std::string(rest_.substr(0, std::min<size_t>(rest_.find('\n'), 40))); }

  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) {
      return false;
    }
    rest_.remove_prefix(1);
    return true;
  }

  // White space and comments, over line ends or up to one.
  void skip(bool lines) {
    while (!rest_.empty()) {
      const char c = rest_.front();
      if (c == '#') {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      } else if (c == ' ' || c == '\t' || c == '\r' || (lines && c == '\n')) {
        line_ += c == '\n' ? 1 : 0;
        rest_.remove_prefix(1);
      } else {
        return;
      }
    }
  }

  Result<std::string> key() {
    const size_t size = static_cast<size_t>(std::find_if_not(rest_.begin(), rest_.end(), is_key) - rest_.begin());
    if (size == 0) {
      return bad("'{}' is no key", shown());
    }
    std::string out(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return out;
  }

  Result<std::string> string() {
    const char quote = rest_.front();
    rest_.remove_prefix(1);
    const size_t end = rest_.find_first_of(std::string{quote, '\n'});
    if (end == std::string_view::npos || rest_[end] == '\n') {
      return bad("the string that begins with {}{} does not end on its line", quote, shown());
    }
    std::string out(rest_.substr(0, end));
    if (out.find('\0') != std::string::npos) {
      return bad("a string has a zero byte");
    }
    rest_.remove_prefix(end + 1);
    return out;
  }

  [[nodiscard]] bool at_string() const { return !rest_.empty() && (rest_.front() == '"' || rest_.front() == '\''); }

  Result<std::vector<std::string>> list() {
    std::vector<std::string> out;
    const uint32_t begin = line_;
    for (skip(true); !take(']'); skip(true)) {
      if (rest_.empty()) {
        return bad("the list that begins in line {} has no ']'", begin);
      }
      if (!at_string()) {
        return bad("'{}' is no string; a list has strings", shown());
      }
      out.push_back(TRY(string()));
      skip(true);
      if (!take(',') && !rest_.starts_with(']')) {
        return bad("',' or ']' is missing before '{}'", shown());
      }
    }
    return out;
  }

  Result<ConfValue> value() {
    if (at_string()) {
      return ConfValue(TRY(string()));
    }
    if (take('[')) {
      return ConfValue(TRY(list()));
    }
    int64_t number = 0;
    const auto [end, code] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), number);
    const auto size = static_cast<size_t>(end - rest_.data());
    if (code != std::errc{} || (size < rest_.size() && is_key(rest_[size]))) {
      return bad("'{}' is no value: a number, \"text\" or [ \"list\" ]", shown());
    }
    rest_.remove_prefix(size);
    return ConfValue(number);
  }

  std::string_view rest_;
  std::string_view file_;
  uint32_t line_ = 1;
};

}  // namespace

Result<std::vector<ConfEntry>> parse_conf(std::string_view text, std::string_view file) {
  if (text.size() > kMaxText) {
    return fail("{}: it has {} bytes; {} are possible", file, text.size(), kMaxText);
  }
  return Reader(text, file).read();
}

}  // namespace lodge
