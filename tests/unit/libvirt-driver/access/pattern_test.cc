#include "libvirt-driver/access/pattern.h"

#include <catch2/catch.hpp>

namespace lodge::access {

TEST_CASE("pattern_is_the_whole_text_or_not") {
  CHECK(matches("CN=admin", "CN=admin"));
  CHECK_FALSE(matches("CN=admin", "CN=admin2"));
  CHECK_FALSE(matches("CN=admin", "xCN=admin"));
  CHECK(matches("", ""));
  CHECK_FALSE(matches("", "a"));
  CHECK_FALSE(matches("a", ""));
}

TEST_CASE("star_stands_for_any_letters_and_question_mark_for_one") {
  CHECK(matches("*", ""));
  CHECK(matches("*", "O=Example,CN=web"));
  CHECK(matches("O=Example,CN=*", "O=Example,CN=web"));
  CHECK_FALSE(matches("O=Example,CN=*", "O=Other,CN=web"));
  CHECK(matches("*,CN=web", "O=Example,CN=web"));
  CHECK(matches("O=*,CN=w?b", "O=Example,CN=web"));
  CHECK_FALSE(matches("CN=w?b", "CN=wb"));
  CHECK(matches("*a*b*c*", "xxaxxbxxcxx"));
  CHECK(matches("a**b", "ab"));
  CHECK_FALSE(matches("*a*b", "abx"));
  CHECK(matches("*ab", "aab"));  // the star gives back what it took
}

TEST_CASE("hostile_patterns_and_texts_take_no_time") {
  std::string pattern;
  for (int i = 0; i < 100; ++i) {
    pattern += "a*";
  }
  CHECK_FALSE(matches(pattern + "b", std::string(5000, 'a')));
}

TEST_CASE("absent_list_lets_in_everyone_and_an_empty_one_nobody") {
  CHECK(matches_any(std::nullopt, "CN=x"));
  CHECK_FALSE(matches_any(std::vector<std::string>{}, "CN=x"));
  CHECK(matches_any(std::vector<std::string>{"CN=a", "CN=x"}, "CN=x"));
  CHECK_FALSE(matches_any(std::vector<std::string>{"CN=a", "CN=b"}, "CN=x"));
}

}  // namespace lodge::access
