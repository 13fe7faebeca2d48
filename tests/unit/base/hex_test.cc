#include "base/hex.h"

#include <catch2/catch.hpp>

namespace lodge {
namespace {

TEST_CASE("hex_digit_of_digits_and_letters_in_both_cases_is_their_value") {
  CHECK(hex_digit('0') == 0);
  CHECK(hex_digit('9') == 9);
  CHECK(hex_digit('a') == 10);
  CHECK(hex_digit('F') == 15);
}

TEST_CASE("hex_digit_of_anything_else_is_negative") {
  for (const char c : {'/', ':', '@', 'G', '`', 'g', '\0', '\xff'}) {
    CHECK(hex_digit(c) == -1);
  }
}

}  // namespace
}  // namespace lodge
