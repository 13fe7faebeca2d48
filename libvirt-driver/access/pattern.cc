#include "libvirt-driver/access/pattern.h"

#include <algorithm>

namespace lodge::access {

// No recursion: what is matched comes from certificates.
bool matches(std::string_view pattern, std::string_view text) {
  size_t at = 0;
  size_t in_text = 0;
  size_t star = std::string_view::npos;  // the last '*', which may still take more
  size_t star_end = 0;                   // what it has taken ends here
  while (in_text < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = at++;
      star_end = in_text;
    } else if (at < pattern.size() && (pattern[at] == '?' || pattern[at] == text[in_text])) {
      ++at;
      ++in_text;
    } else if (star != std::string_view::npos) {
      at = star + 1;
      in_text = ++star_end;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

bool matches_any(const Patterns& patterns, std::string_view text) {
  return !patterns || std::ranges::any_of(*patterns, [text](const std::string& pattern) { return matches(pattern, text); });
}

}  // namespace lodge::access
