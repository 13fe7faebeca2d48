#include "libvirt-driver/xml/xml_values.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <ctime>

namespace lodge {

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlanks);
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

bool has_word(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    if (words.substr(0, end) == word) {
      return !word.empty();
    }
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

std::string list_words(std::span<const std::string_view> words) {
  return fmt::format("{}", fmt::join(words.front().empty() ? words.subspan(1) : words, ", "));
}

std::optional<IdSet> parse_id_set(std::string_view text) {
  std::vector<bool> chosen(kMaxId + 1);
  text = trimmed(text);
  if (text.empty()) {
    return std::nullopt;
  }
  while (!text.empty()) {
    const size_t end = std::min(text.find(','), text.size());
    std::string_view part = trimmed(text.substr(0, end));
    if (end + 1 == text.size()) {
      return std::nullopt;  // a comma and nothing behind it
    }
    text.remove_prefix(std::min(end + 1, text.size()));
    const bool without = part.starts_with('^');
    part.remove_prefix(without ? 1 : 0);
    const size_t dash = part.find('-');
    uint32_t first = 0;
    uint32_t last = 0;
    if (!parse_number(part.substr(0, dash), first) ||
        (dash != std::string_view::npos && (without || !parse_number(part.substr(dash + 1), last)))) {
      return std::nullopt;
    }
    last = dash == std::string_view::npos ? first : last;
    if (first > last || last > kMaxId) {
      return std::nullopt;
    }
    std::fill(chosen.begin() + first, chosen.begin() + last + 1, !without);
  }
  IdSet set;
  for (uint32_t id = 0; id <= kMaxId; ++id) {
    if (chosen[id]) {
      set.ids.push_back(id);
    }
  }
  return set.ids.empty() ? std::nullopt : std::optional(std::move(set));
}

std::string print_id_set(const IdSet& set) {
  std::string text;
  for (size_t i = 0; i < set.ids.size();) {
    size_t end = i + 1;
    while (end < set.ids.size() && set.ids[end] == set.ids[end - 1] + 1) {
      ++end;
    }
    text += text.empty() ? "" : ",";
    text += end - i == 1 ? fmt::format("{}", set.ids[i]) : fmt::format("{}-{}", set.ids[i], set.ids[end - 1]);
    i = end;
  }
  return text;
}

std::optional<int64_t> parse_utc(const std::string& text) {
  std::tm parts{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  constexpr size_t kLength = 19;
  if (text.size() != kLength || end != text.c_str() + kLength) {
    return std::nullopt;
  }
  return ::timegm(&parts);
}

}  // namespace lodge
