#include "base/base64.h"

#include <catch2/catch.hpp>

namespace lodge {
namespace {
std::string encoded(std::string_view text) { return to_base64(std::as_bytes(std::span(text))); }
}  // namespace

TEST_CASE("base64 as RFC 4648 has it") {
  CHECK(encoded("") == "");
  CHECK(encoded("f") == "Zg==");
  CHECK(encoded("fo") == "Zm8=");
  CHECK(encoded("foo") == "Zm9v");
  CHECK(encoded("foobar") == "Zm9vYmFy");
  CHECK(encoded("\xff\xfe\xfb") == "//77");
  for (const char* text : {"", "f", "fo", "foo", "foobar", "\xff\xfe\xfb"}) {
    CHECK(from_base64(encoded(text)) == text);
  }
  CHECK(from_base64("Zm9v*Zm9v") == "foo");
}

}  // namespace lodge
