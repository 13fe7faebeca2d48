#include "libvirt-driver/host/files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/fd.h"

namespace lodge::host {
namespace {

constexpr uint64_t kMaxFile = uint64_t{8} << 20;  // /proc/cpuinfo of a thousand processors has 2 MiB
constexpr std::string_view kSpace = " \t\r\n";

}  // namespace

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::optional<uint64_t> number(std::string_view text) {
  text = trimmed(text);
  uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || code != std::errc{} || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

Result<std::string> read_text(const std::string& path) { return std::string(trimmed(TRY(read_file(path, kMaxFile)))); }

std::optional<std::string> read_text_if_there(const std::string& path) {
  auto text = read_text(path);
  return text ? std::optional(std::move(*text)) : std::nullopt;
}

Result<uint64_t> read_number(const std::string& path) {
  const std::string text = TRY(read_text(path));
  const auto value = number(text);
  if (!value) {
    return fail("{}: '{}' is not a number", path, text.substr(0, 40));
  }
  return *value;
}

std::optional<uint64_t> read_number_if_there(const std::string& path) {
  const auto value = read_number(path);
  return value ? std::optional(*value) : std::nullopt;
}

Result<void> write_text(const std::string& path, std::string_view text) {
  const Fd fd = TRY(open_file(path, O_WRONLY | O_TRUNC));
  TRY_VOID_CONTEXT(write_all(fd.get(), text), path);
  return {};
}

Result<std::vector<uint32_t>> parse_list(std::string_view text, std::string_view what) {
  std::vector<uint32_t> out;
  text = trimmed(text);
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    const size_t dash = item.find('-');
    const auto first = number(item.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : number(item.substr(dash + 1));
    if (!first || !last || *first > *last || *last > kMaxIndex) {
      return fail("{}: '{}' is not a list of numbers up to {}", what, item.substr(0, 40), kMaxIndex);
    }
    for (uint64_t i = *first; i <= *last; ++i) {
      out.push_back(static_cast<uint32_t>(i));
    }
    if (out.size() > size_t{kMaxIndex} + 1) {
      return fail("{}: the list names numbers more than once", what);
    }
    text = comma == std::string_view::npos ? std::string_view{} : text.substr(comma + 1);
  }
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Result<std::vector<uint32_t>> read_list(const std::string& path) { return parse_list(TRY(read_text(path)), path); }

std::string list_text(const std::vector<uint32_t>& numbers) {
  std::string out;
  for (size_t i = 0; i < numbers.size();) {
    size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) {
      ++last;
    }
    out += out.empty() ? "" : ",";
    out += last == i ? fmt::format("{}", numbers[i]) : fmt::format("{}-{}", numbers[i], numbers[last]);
    i = last + 1;
  }
  return out;
}

std::optional<uint64_t> meminfo_value(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const std::string_view line = text.substr(0, newline);
    text = newline == std::string_view::npos ? std::string_view{} : text.substr(newline + 1);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) {
      continue;
    }
    const std::string_view name = line.substr(0, colon);
    const bool of_node = name.starts_with("Node ") && name.substr(name.rfind(' ') + 1) == key;
    if (name != key && !of_node) {
      continue;
    }
    std::string_view value = trimmed(line.substr(colon + 1));
    return number(value.substr(0, value.find(' ')));
  }
  return std::nullopt;
}

}  // namespace lodge::host
