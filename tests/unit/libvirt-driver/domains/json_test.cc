// JSON of hostile monitors and agents.
#include "libvirt-driver/domains/json.h"

#include <catch2/catch.hpp>

namespace lodge {

TEST_CASE("members of another type than expected, or of no object, read as nothing") {
  const Json json =
      parse_json(R"({"text": 5, "number": "6", "big": 4294967296, "negative": -1, "object": {"desc": "why"}})");
  CHECK(text_in(json, "text").empty());
  CHECK(text_in(json, "none").empty());
  CHECK(text_in(parse_json("[1, 2]"), "text").empty());
  CHECK(text_in(parse_json("\"a\""), "text").empty());
  CHECK(text_in(parse_json("nonsense"), "text").empty());
  CHECK(text_in(member_in(json, "object"), "desc") == "why");
  CHECK(text_in(member_in(json, "text"), "desc").empty());
  CHECK(integer_in<int32_t>(json, "text") == 5);
  CHECK(integer_in<int32_t>(json, "number") == 0);
  CHECK(integer_in<uint32_t>(json, "big") == 0);
  CHECK(integer_in<uint64_t>(json, "big") == 4294967296);
  CHECK(integer_in<uint32_t>(json, "negative") == 0);
  CHECK(integer_in<int>(parse_json("[]"), "negative") == 0);
}

TEST_CASE("nesting is bounded before anything walks down it; brackets in strings do not count") {
  const std::string deep(size_t{1} << 20, '[');
  CHECK(parse_json(deep).is_discarded());
  CHECK(parse_json("{\"a\": " + std::string(64, '[') + std::string(64, ']') + "}").is_discarded());
  CHECK(parse_json(std::string(kMaxJsonDepth, '[') + std::string(kMaxJsonDepth, ']')).is_array());
  CHECK(parse_json("[\"" + std::string(1000, '[') + "\\\"" + std::string(1000, '{') + "\"]").is_array());
}

}  // namespace lodge
