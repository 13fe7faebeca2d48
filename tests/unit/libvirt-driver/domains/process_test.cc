// Processes of guests, as accounts of their own.
#include "libvirt-driver/domains/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>

namespace lodge {

TEST_CASE("a process runs as the account that it is given, with no group and no capability of ours") {
  if (::geteuid() != 0) {
    WARN("skipped: needs root");
    return;
  }
  constexpr uint32_t kNobody = 65534;
  const Fd null = *open_file("/dev/null", O_WRONLY);
  auto spawned = spawn({.command = {"/bin/sleep", "1000"},
                        .fds = {},
                        .output = null.get(),
                        .account = Account{.uid = kNobody, .gid = kNobody}});
  REQUIRE(spawned);
  REQUIRE(let_run(*spawned, "sleep"));
  const std::string status = *read_file(fmt::format("/proc/{}/status", spawned->process.pid), 65536);
  kill_process(spawned->process, SIGKILL);
  CHECK(wait_for_end(spawned->process, 10000));
  INFO(status);
  CHECK(status.find("Uid:\t65534\t65534\t65534\t65534\n") != std::string::npos);
  CHECK(status.find("Gid:\t65534\t65534\t65534\t65534\n") != std::string::npos);
  CHECK(status.find("Groups:\t \n") != std::string::npos);
  CHECK(status.find("CapPrm:\t0000000000000000\n") != std::string::npos);
  CHECK(status.find("CapEff:\t0000000000000000\n") != std::string::npos);
}

TEST_CASE("accounts that are not there are an error, or root when nobody asked for them") {
  const auto named = find_account({.user = "no-such-user", .group = "root", .must_exist = true});
  const auto usual = find_account({.user = "no-such-user", .group = "root"});
  REQUIRE(usual);
  CHECK_FALSE(*usual);
  if (::geteuid() == 0) {
    REQUIRE_FALSE(named);
    CHECK(named.error().message.find("monitor_user is 'no-such-user'") != std::string::npos);
    CHECK_FALSE(find_account({.user = "root", .group = "no-such-group", .must_exist = true}));
    CHECK((*find_account({.user = "nobody", .group = "no-such-group"}))->uid != 0);
  } else {
    CHECK(named);  // we start them as ourselves
  }
}

TEST_CASE("a helper's complaint is the error") {
  CHECK(run_script("/nonexistent/tc", "").error().message.find("/nonexistent/tc") != std::string::npos);
  const auto refused = run_script("/bin/cat", "");  // knows no -batch
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message.find("invalid option") != std::string::npos);
}

}  // namespace lodge
