#include "vmm/control/protocol.h"

#include <catch2/catch.hpp>

#include "vmm/control/json_writer.h"

namespace lodge {
namespace {

std::vector<std::string> texts(MessageSplitter& splitter) {
  std::vector<std::string> all;
  while (const auto item = splitter.next()) {
    all.push_back(item->problem.empty() ? item->text : "!" + item->problem);
  }
  return all;
}

std::vector<std::string> split(std::string_view bytes) {
  MessageSplitter splitter;
  splitter.feed(bytes);
  return texts(splitter);
}

}  // namespace

TEST_CASE("Messages are found one a line, several a line and without a line end") {
  CHECK(split("{\"a\":1}\n{\"b\":2}\r\n") == std::vector<std::string>{"{\"a\":1}", "{\"b\":2}"});
  CHECK(split(" {\"a\":[{}]}{\"b\":\"}\\\"{\"}") == std::vector<std::string>{"{\"a\":[{}]}", "{\"b\":\"}\\\"{\"}"});
  CHECK(split("\n\r\n \t\n").empty());
}

TEST_CASE("A message may come byte by byte") {
  MessageSplitter splitter;
  std::vector<std::string> all;
  for (const char c : std::string_view("{\"a\":\"x\\\\\"} rubbish\n{\"b\":{}}")) {
    splitter.feed(std::string_view(&c, 1));
    for (std::string& text : texts(splitter)) {
      all.push_back(std::move(text));
    }
  }
  CHECK(all == std::vector<std::string>{"{\"a\":\"x\\\\\"}", "rubbish", "{\"b\":{}}"});
  CHECK(splitter.idle());
}

TEST_CASE("An unfinished message ends with its line, and the next line is sound again") {
  CHECK(split("{\"a\":\"\n{\"b\":1}\n") == std::vector<std::string>{"{\"a\":\"", "{\"b\":1}"});
}

TEST_CASE("A message that is too long or too deep is refused once and the rest of its line skipped") {
  MessageSplitter splitter;
  splitter.feed("{\"a\":\"");
  size_t problems = 0;
  for (size_t i = 0; i < 3 * kMaxControlMessage / 1024; ++i) {
    splitter.feed(std::string(1024, 'x'));
    for (const std::string& text : texts(splitter)) {
      CHECK(text.find("longer than") != std::string::npos);
      ++problems;
    }
  }
  CHECK(problems == 1);
  splitter.feed("\"}\n{\"b\":1}");
  CHECK(texts(splitter) == std::vector<std::string>{"{\"b\":1}"});

  const auto deep = split("{\"a\":" + std::string(100000, '[') + "\n{}");
  REQUIRE(deep.size() == 2);
  CHECK(deep[0].find("levels") != std::string::npos);
  CHECK(deep[1] == "{}");
  CHECK(split("{\"a\":" + std::string(31, '[') + std::string(31, ']') + "}").size() == 1);
}

TEST_CASE("A request is read with its arguments and id") {
  const Request request = parse_request(
      R"({"execute":"x","arguments":{"t":"v","n":18446744073709551615,"m":-1,"f":true,"z":null,"l":[1, 2]},"id":{"k":[1]}})");
  CHECK(request.problem.empty());
  CHECK(request.execute == "x");
  CHECK(request.id == R"({"k":[1]})");
  CHECK(std::get<std::string>(request.arguments.at("t")) == "v");
  CHECK(std::get<uint64_t>(request.arguments.at("n")) == UINT64_MAX);
  CHECK(std::get<int64_t>(request.arguments.at("m")) == -1);
  CHECK(std::get<bool>(request.arguments.at("f")));
  CHECK(std::holds_alternative<std::monostate>(request.arguments.at("z")));
  CHECK(std::get<JsonText>(request.arguments.at("l")).text == "[1,2]");
}

TEST_CASE("What is wrong with a request is said, with its id when that can be read") {
  const auto problem = [](std::string_view text) { return parse_request(text).problem; };
  CHECK(problem("rubbish").find("not JSON") != std::string::npos);
  CHECK(problem("{\"execute\":\"\xFF\"}").find("not JSON") != std::string::npos);
  CHECK(problem("[1]").find("not an object") != std::string::npos);
  CHECK(problem("{}").find("no 'execute'") != std::string::npos);
  CHECK(problem("{\"execute\":1}").find("not a text") != std::string::npos);
  CHECK(problem("{\"execute\":\"x\",\"arguments\":[]}").find("not an object") != std::string::npos);
  CHECK(problem("{\"execute\":\"x\",\"args\":{}}").find("'args'") != std::string::npos);
  CHECK(parse_request("{\"id\":7}").id == "7");
}

TEST_CASE("What is sent is JSON of one line, whatever the texts hold") {
  CHECK(greeting_line() ==
        "{\"QMP\":{\"version\":{\"lodge\":{\"major\":0,\"minor\":1,\"micro\":0},\"package\":\"lodge\"},\"capabilities\":[]}}"
        "\n");
  CHECK(return_line("{}", "7") == "{\"return\":{},\"id\":7}\n");
  CHECK(return_line("[1]", "") == "{\"return\":[1]}\n");
  CHECK(error_line("GenericError", "a \"b\"\n\x01\xFFü", "\"q\"") ==
        "{\"error\":{\"class\":\"GenericError\",\"desc\":\"a \\\"b\\\"\\n\\u0001\xEF\xBF\xBDü\"},\"id\":\"q\"}\n");
  const std::pair<std::string, std::string> data[] = {{"guest", "true"}, {"reason", "x"}};
  CHECK(event_line("SHUTDOWN", data, 3'000'005) ==
        "{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"x\"},\"timestamp\":{\"seconds\":3,\"microseconds\":5}"
        "}\n");
}

TEST_CASE("Texts that are not UTF-8 are made so") {
  const auto made = [](std::string_view text) { return JsonWriter().text(text).take(); };
  CHECK(made("\xF0\x9F\x98\x80") == "\"\xF0\x9F\x98\x80\"");
  CHECK(made("\xC0\x80") == "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");      // overlong
  CHECK(made("\xED\xA0\x80").find('\xED') == std::string::npos);  // surrogate
  CHECK(made("\xE2\x82") == "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");      // cut short
}

}  // namespace lodge
