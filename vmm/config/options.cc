#include "vmm/config/options.h"

namespace lodge {

KeyValues split_options(std::string_view text) {
  KeyValues parts;
  std::string part;
  const auto take = [&] {
    const size_t equals = part.find('=');
    if (equals == std::string::npos) {
      parts.emplace_back("", part);
    } else {
      parts.emplace_back(part.substr(0, equals), part.substr(equals + 1));
    }
    part.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != ',') {
      part.push_back(text[i]);
    } else if (i + 1 < text.size() && text[i + 1] == ',') {
      part.push_back(',');
      ++i;
    } else {
      take();
    }
  }
  if (!part.empty()) {
    take();
  }
  return parts;
}

Result<bool> parse_bool(std::string_view text) {
  if (text == "on" || text == "true" || text == "yes" || text == "1") {
    return true;
  }
  if (text == "off" || text == "false" || text == "no" || text == "0") {
    return false;
  }
  return fail("'{}' is neither on nor off", text);
}

Result<uint64_t> parse_number(std::string_view text, Bounds bounds) {
  uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || end != text.data() + text.size() || value < bounds.least || value > bounds.most) {
    return fail("'{}' is not a number from {} to {}", text, bounds.least, bounds.most);
  }
  return value;
}

}  // namespace lodge
