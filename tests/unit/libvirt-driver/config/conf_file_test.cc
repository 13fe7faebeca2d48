#include "libvirt-driver/config/conf_file.h"

#include <catch2/catch.hpp>

namespace lodge {
namespace {

std::string error_of(std::string_view text) {
  const auto entries = parse_conf(text, "x.conf");
  REQUIRE(!entries);
  return entries.error().message;
}

bool begins(const std::string& text, std::string_view start) {
  INFO(text);
  return text.starts_with(start);
}

}  // namespace

TEST_CASE("conf_has_numbers_strings_lists_and_comments") {
  const auto entries = parse_conf(
      "# first\n"
      "a = 1\n"
      "\n"
      "  b=-5 # behind\n"
      "c = \"with # no comment\"\r\n"
      "d = 'it \"is\"'\n"
      "e = [ \"x\",\n  # inside\n  'y' ,\n]\n"
      "f = []",
      "x.conf");
  REQUIRE(entries);
  REQUIRE(entries->size() == 6);
  CHECK((*entries)[0].key == "a");
  CHECK(std::get<int64_t>((*entries)[0].value) == 1);
  CHECK((*entries)[0].line == 2);
  CHECK(std::get<int64_t>((*entries)[1].value) == -5);
  CHECK((*entries)[1].line == 4);
  CHECK(std::get<std::string>((*entries)[2].value) == "with # no comment");
  CHECK(std::get<std::string>((*entries)[3].value) == "it \"is\"");
  CHECK(std::get<std::vector<std::string>>((*entries)[4].value) == std::vector<std::string>{"x", "y"});
  CHECK(std::get<std::vector<std::string>>((*entries)[5].value).empty());
  CHECK((*entries)[5].line == 11);
  CHECK(parse_conf("", "x.conf")->empty());
  CHECK(parse_conf("#", "x.conf")->empty());
}

TEST_CASE("conf_errors_name_file_and_line") {
  CHECK(begins(error_of("\n\n= 5\n"), "x.conf:3: '= 5' is no key"));
  CHECK(begins(error_of("a 5"), "x.conf:1: '=' is missing"));
  CHECK(begins(error_of("a =\nb = 1"), "x.conf:1: '' is no value"));
  CHECK(begins(error_of("a = 5 b = 6"), "x.conf:1: 'b = 6' does not belong"));
  CHECK(begins(error_of("a = 5x"), "x.conf:1: '5x' is no value"));
  CHECK(begins(error_of("a = 99999999999999999999"), "x.conf:1:"));
  CHECK(begins(error_of("a = yes"), "x.conf:1: 'yes' is no value"));
  CHECK(begins(error_of("a = \"open\nb = \"x\""), "x.conf:1: the string"));
  CHECK(begins(error_of("a = \"open"), "x.conf:1: the string"));
  CHECK(begins(error_of("a = [ \"x\"\n\n"), "x.conf:3:"));
  CHECK(begins(error_of("\na = [\n"), "x.conf:3: the list that begins in line 2 has no ']'"));
  CHECK(begins(error_of("a = [ 5 ]"), "x.conf:1: '5 ]' is no string"));
  CHECK(begins(error_of("a = [ \"x\" \"y\" ]"), "x.conf:1: ',' or ']' is missing"));
  CHECK(begins(error_of("a = 1\nb = 2\na = 3"), "x.conf:3: 'a' is there already, in line 1"));
  CHECK(begins(error_of(std::string_view("a = \"x\0y\"", 9)), "x.conf:1: a string has a zero byte"));
  CHECK(begins(error_of(std::string(2 << 20, '#')), "x.conf: it has"));
}

}  // namespace lodge
