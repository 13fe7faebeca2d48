// Display servers: where they listen, how they are started (with a stand-in for lodge-vnc), how often again.
#include "libvirt-driver/domains/display.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <map>

#include "libvirt-driver/domains/monitor.h"
#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/domain_parse.h"
#include "libvirt-driver/xml/domain_print.h"

namespace lodge {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "display.XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

DomainConfig domain_with(std::string_view graphics) {
  auto config =
      parse_domain(fmt::format("<domain type='kvm'><name>web</name><memory>1024</memory><os><type>hvm</type></os>"
                               "<devices>{}</devices></domain>",
                               graphics));
  INFO((config ? "" : config.error().message()));
  REQUIRE(config);
  return *config;
}

DomainConfig vnc(std::string_view attributes, std::string_view listens = "<listen type='address' address='127.0.0.1'/>") {
  return domain_with(fmt::format("<graphics type='vnc' {}>{}</graphics>", attributes, listens));
}

int port_of(const Fd& fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  REQUIRE(::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin_port);
}

DisplayFiles opened(DomainConfig& config, const std::string& folder, const DisplayOptions& options = {}) {
  auto files = open_display(config, folder, options);
  INFO((files ? "" : files.error().message()));
  REQUIRE(files);
  return std::move(*files);
}

}  // namespace

TEST_CASE("a port is chosen that is free, and told") {
  const Folder one;
  const Folder two;
  DomainConfig first = vnc("autoport='yes'", "<listen type='address'/>");
  DomainConfig second = vnc("port='-1'");
  const DisplayFiles a = opened(first, one.path());
  const DisplayFiles b = opened(second, two.path());
  const DomainGraphics& told = first.devices.graphics.front();
  CHECK(told.listens.front().address == "127.0.0.1");
  CHECK(told.port >= 5900);
  CHECK(second.devices.graphics.front().port > told.port);
  REQUIRE(a.listeners.size() == 1);
  CHECK(port_of(a.listeners.front()) == told.port);
  CHECK(connect_unix(one.path() + "/vnc-control.sock").has_value());
  CHECK(print_domain(first, {.live = true}).find(fmt::format("port='{}' autoport='yes' listen='127.0.0.1'", *told.port)) !=
        std::string::npos);

  DomainConfig third = vnc(fmt::format("port='{}'", *told.port));
  const Folder three;
  const auto refused = open_display(third, three.path(), {});
  REQUIRE(!refused);
  CHECK(refused.error().message().find(std::to_string(*told.port)) != std::string::npos);
  CHECK(refused.error().message().find("in use") != std::string::npos);

  DomainConfig fourth = vnc("port='-1'");
  DisplayOptions narrow;
  narrow.port_min = narrow.port_max = *told.port;
  const auto none = open_display(fourth, three.path(), narrow);
  REQUIRE(!none);
  CHECK(none.error().message().find("Unable to find an unused port") != std::string::npos);
}

TEST_CASE("sockets and nothing to listen at") {
  const Folder folder;
  DomainConfig config = vnc("", "<listen type='socket'/>");
  const DisplayFiles files = opened(config, folder.path());
  CHECK(config.devices.graphics.front().listens.front().socket == folder.path() + "/vnc.sock");
  CHECK(connect_unix(folder.path() + "/vnc.sock").has_value());
  CHECK(files.listeners.size() == 1);
  const Folder other;
  DomainConfig quiet = vnc("", "<listen type='none'/>");
  CHECK(opened(quiet, other.path()).listeners.empty());
  DomainConfig without = domain_with("");
  const DisplayFiles nothing = opened(without, other.path());
  CHECK(nothing.listeners.empty());
  CHECK(!nothing.control.valid());
  DomainConfig wrong = vnc("", "<listen type='address' address='no such place'/>");
  const Folder third;
  CHECK(open_display(wrong, third.path(), {}).error().message().find("no such place") != std::string::npos);
}

TEST_CASE("passwords: the domain's, the host's, or nobody gets in") {
  const auto wanted = [](std::string_view attributes, std::string password) {
    return password_of(vnc(attributes).devices.graphics.front(), {.password = std::move(password)});
  };
  CHECK(!wanted("", "").required);
  CHECK(wanted("", "host").password == "host");
  CHECK(wanted("passwd='own' passwdValidTo='1970-01-01T00:01:00'", "host").password == "own");
  CHECK(wanted("passwd='own' passwdValidTo='1970-01-01T00:01:00'", "host").expires == 60);
  CHECK(wanted("passwd=''", "host").required);
  CHECK(!wanted("passwd=''", "host").password);
  const DomainConfig closed = vnc("passwd=''");
  CHECK(print_domain(closed, {.secure = true}).find("passwd=''") != std::string::npos);
  CHECK(print_domain(closed).find("passwd") == std::string::npos);
  CHECK(!parse_utc("1970-01-01T00:01:00Z"));
  CHECK(!parse_utc("1970-01-01 00:01:00"));
  CHECK(!parse_utc(""));
}

TEST_CASE("with TLS the certificates are looked at before the server is started") {
  const Folder folder;
  DisplayOptions options;
  options.tls = true;
  options.tls_folder = folder.path();
  DomainConfig config = vnc("");
  const auto refused = open_display(config, folder.path(), options);
  REQUIRE(!refused);
  const std::string message = refused.error().message();
  INFO(message);
  CHECK(message.find("vnc_tls") != std::string::npos);
  CHECK(message.find(folder.path() + "/ca-cert.pem: No such file") != std::string::npos);
  CHECK(message.find("virtlodged(8)") != std::string::npos);
  DomainConfig without = domain_with("");
  CHECK(open_display(without, folder.path(), options).has_value());
  const auto words = [&](bool verify) {
    options.tls_verify = verify;
    return fmt::format("{}", fmt::join(display_command("/x/lodge-vmm", config, options, 1), " "));
  };
  CHECK(words(false).ends_with("--listen-fd 4 --control-fd 5 --tls-cert-fds 6,7,8"));
  CHECK(words(true).ends_with("--tls-cert-fds 6,7,8 --tls-verify-clients"));
}

TEST_CASE("the server is started with its descriptors and ends with its guest") {
  const Folder folder;
  const std::string program = folder.path() + "/lodge-vnc";
  const std::string said = folder.path() + "/said";
  REQUIRE(write_all(open_file(program, O_WRONLY | O_CREAT)->get(),
                    fmt::format("#!/bin/sh\n(echo \"$@\"; for f in 3 4 5; do readlink /proc/$$/fd/$f; done) >{}.new\n"
                                "mv {}.new {}\nexec sleep 1000\n",
                                said, said, said)));
  REQUIRE(::chmod(program.c_str(), 0755) == 0);
  DomainConfig config = vnc("passwd='x' sharePolicy='force-shared'");
  const DisplayFiles files = opened(config, folder.path());
  SpawnRequest request{.command = display_command(folder.path() + "/lodge-vmm", config, {}, files.listeners.size()),
                       .fds = {},
                       .output = -1,
                       .account = {}};
  const Fd null = *open_file("/dev/null", O_RDWR);
  request.output = null.get();
  request.fds = {null.get(), files.listeners.front().get(), files.control.get()};
  auto spawned = spawn(request);
  REQUIRE(spawned);
  Display display;
  REQUIRE(display.set(std::move(spawned->process)));
  REQUIRE(let_run(*spawned, program));
  CHECK(display.identity().first > 0);
  Result<std::string> text = fail("nothing");
  while (!text) {
    text = read_file(said, 4096);
  }
  INFO(*text);
  CHECK(
      text->starts_with("--display-fd 3 --name web --listen-fd 4 --control-fd 5 --password-required --share force-shared\n"
                        "/dev/null\nsocket:["));
  const Fd end = *display.watch();
  display.close();
  CHECK(display.identity().first == -1);
  CHECK(!display.watch());

  // One that comes when the guest has ended is ended too.
  auto late = spawn({.command = {"/bin/sleep", "1000"}, .fds = {}, .output = null.get(), .account = {}});
  REQUIRE(late);
  const auto watched = late->process.pidfd.duplicate();
  CHECK(!display.set(std::move(late->process)));
  CHECK(!display.ended());
}

TEST_CASE("a server that ends at once is started again a few times") {
  Display display;
  const Fd null = *open_file("/dev/null", O_RDWR);
  int starts = 0;
  bool again = true;
  while (again && starts < 100) {
    auto spawned = spawn({.command = {"/bin/true"}, .fds = {}, .output = null.get(), .account = {}});
    REQUIRE(spawned);
    REQUIRE(display.set(std::move(spawned->process)));
    REQUIRE(let_run(*spawned, "true"));
    ++starts;
    again = display.ended();
  }
  CHECK(starts == 5);
  display.close();
}

}  // namespace lodge
