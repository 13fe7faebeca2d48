#include "vmm/vnc/options.h"

#include <catch2/catch.hpp>

#include "vmm/vnc/link.h"

namespace lodge::vnc {
namespace {

TEST_CASE("lodge-vnc's command line is read, and mistakes are named") {
  const auto line = parse_command_line({"--display-fd", "5", "--name", "web", "--listen-fd", "6", "--listen", "[::1]:5900",
                                        "--listen", "unix:/run/x", "--control-fd", "7", "--password-required", "--share",
                                        "force-shared", "--websocket", "no", "--log-level", "error"});
  REQUIRE(line);
  CHECK((line->display_fd == 5 && line->name == "web" && line->listen_fds == std::vector{6}));
  CHECK(line->listen == std::vector<std::string>{"[::1]:5900", "unix:/run/x"});
  CHECK((line->control_fd == 7 && line->password_required && line->share == Share::force_shared));
  CHECK((line->tls_folder.empty() && !line->tls_fds && !line->tls_verify_clients));
  CHECK(parse_command_line({"--help"})->help);
  const auto tls =
      parse_command_line({"--display-fd", "5", "--listen-fd", "6", "--tls-cert-fds", "7,8,9", "--tls-verify-clients"});
  REQUIRE(tls);
  CHECK((tls->tls_fds == std::array{7, 8, 9} && tls->tls_verify_clients));
  const std::pair<std::vector<std::string>, std::string> mistakes[] = {
      {{}, "whose screen"},
      {{"--display-fd", "5", "--monitor", "x", "--control-fd", "6"}, "whose screen"},
      {{"--display-fd", "5"}, "nobody could come"},
      {{"--display-fd", "-5"}, "no descriptor"},
      {{"--display-fd", "5x"}, "no descriptor"},
      {{"--display-fd"}, "lacks its value"},
      {{"--share", "some"}, "cannot be 'some'"},
      {{"--tls-cert-fds", "7,8"}, "three descriptors"},
      {{"--tls-cert-fds", "7,8,9,10"}, "no descriptor"},
      {{"--tls-cert-fds", "7,8,"}, "no descriptor"},
      {{"--display-fd", "5", "--control-fd", "6", "--tls-cert-dir", "/x", "--tls-cert-fds", "7,8,9"},
       "one of --tls-cert-dir"},
      {{"--display-fd", "5", "--control-fd", "6", "--tls-verify-clients"}, "needs --tls-cert-dir"},
      {{"--websocket", "yes"}, "cannot be 'yes'"},
      {{"--frob", "1"}, "no option '--frob'"}};
  for (const auto& [arguments, what] : mistakes) {
    const auto wrong = parse_command_line(arguments);
    REQUIRE(!wrong);
    CHECK(wrong.error().message.find(what) != std::string::npos);
  }
}

TEST_CASE("What a client's process says is checked") {
  const auto parse = [](const auto& packet) { return parse_from_client(display::bytes_of(packet)).has_value(); };
  CHECK(parse(Want{.seen = 3}));
  CHECK(parse(Entered{.shared = 1}));
  CHECK(parse(display::Key{.code = 30, .down = 1}));
  CHECK(parse(display::Move{}));
  CHECK(parse(display::Position{}));
  CHECK(parse(display::Size{.width = 800, .height = 600}));
  CHECK(!parse(display::Size{}));
  CHECK(parse(Leaving{.reason = Leaving::trouble}));
  CHECK(!parse(Leaving{.reason = 9}));
  CHECK(!parse(display::Refresh{}));
  CHECK(!parse(Want{.kind = 9}));
  CHECK(!parse(Changed{}));
  CHECK(!parse(display::Key{.code = 0xFFFF}));
  CHECK(!parse(uint8_t{1}));
  CHECK(parse_from_server(display::bytes_of(Changed{})));
  CHECK(parse_from_server(display::bytes_of(display::Pointer{.absolute = 1})));
  CHECK(!parse_from_server(display::bytes_of(Want{})));
}

}  // namespace
}  // namespace lodge::vnc
