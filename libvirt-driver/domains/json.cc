#include "libvirt-driver/domains/json.h"

#include <algorithm>
#include <iterator>

namespace lodge {
namespace {

// How deep brackets nest outside of strings.
bool too_deep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      }
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if ((c == '[' || c == '{') && ++depth > kMaxJsonDepth) {
      return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

}  // namespace

Json parse_json(std::string_view text) {
  return too_deep(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
}

const Json& member_in(const Json& json, const char* key) {
  static const Json none;
  const auto it = json.find(key);
  return it != json.end() ? *it : none;
}

std::string text_in(const Json& json, const char* key) {
  const Json& member = member_in(json, key);
  return member.is_string() ? member.get<std::string>() : "";
}

bool flag_in(const Json& json, const char* key) {
  const Json& member = member_in(json, key);
  return member == Json(true) || member == Json("true");
}

std::vector<Json> objects_in(const Json& json) {
  std::vector<Json> objects;
  if (json.is_array()) {
    std::ranges::copy_if(json, std::back_inserter(objects), [](const Json& one) { return one.is_object(); });
  }
  return objects;
}

std::vector<Json> objects_in(const Json& json, const char* key) { return objects_in(member_in(json, key)); }

}  // namespace lodge
