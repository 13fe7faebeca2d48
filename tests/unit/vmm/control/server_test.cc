#include "vmm/control/server.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include "tests/support/fake_target.h"

namespace lodge {
namespace {

struct Fixture {
  std::unique_ptr<EventLoop> loop = *EventLoop::create("test");
  FakeTarget target;
  std::string path = fmt::format("/tmp/lodge-control-test-{}", ::getpid());
  std::unique_ptr<ControlServer> server = *ControlServer::create(*loop, runner(target), {path, {}});

  void turn(int times = 5) {
    for (int i = 0; i < times; ++i) {
      loop->run_once(std::chrono::milliseconds(1));
    }
  }
};

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

class Client {
 public:
  explicit Client(Fixture& fixture) : fixture_(fixture), socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)) {
    const sockaddr_un address = address_of(fixture.path);
    REQUIRE(::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  void send(std::string_view text) {
    REQUIRE(::send(socket_.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  }
  void send_with(std::string_view text, std::vector<int> fds) {
    std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
    iovec part{const_cast<char*>(text.data()), text.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
    REQUIRE(::sendmsg(socket_.get(), &message, 0) == static_cast<ssize_t>(text.size()));
  }
  // The next line; empty: none came, or the server hung up.
  std::string line() {
    for (int i = 0; i < 200 && buffer_.find('\n') == std::string::npos && !ended_; ++i) {
      fixture_.turn(1);
      pull();
    }
    const size_t end = buffer_.find('\n');
    if (end == std::string::npos) {
      return {};
    }
    std::string line = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    return line;
  }
  void pull() {
    char bytes[65536];
    const ssize_t n = ::recv(socket_.get(), bytes, sizeof bytes, 0);
    if (n > 0) {
      buffer_.append(bytes, static_cast<size_t>(n));
    }
    ended_ = n == 0 || (n < 0 && errno == ECONNRESET);
  }
  [[nodiscard]] bool ended() const { return ended_; }
  void close() { socket_.reset(); }

 private:
  Fixture& fixture_;
  Fd socket_;
  std::string buffer_;
  bool ended_ = false;
};

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("A client is greeted, asks and is answered") {
  Fixture f;
  Client client(f);
  CHECK(client.line() == greeting_line().substr(0, greeting_line().size() - 1));
  client.send("{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"query-status\",\"id\":\"a\"}\n");
  CHECK(client.line() == R"({"return":{}})");
  CHECK(client.line() == R"({"return":{"status":"running","running":true},"id":"a"})");
}

TEST_CASE("A malformed message gets an error and the connection lives") {
  Fixture f;
  Client client(f);
  (void)client.line();
  client.send("rubbish\n{\"execute\":\n{\"execute\":\"fly\",\"id\":1}\n{\"execute\":\"stop\",\"arguments\":{\"fast\":1}}\n");
  CHECK(has(client.line(), "not JSON"));
  CHECK(has(client.line(), "not JSON"));
  const std::string unknown = client.line();
  CHECK(has(unknown, "CommandNotFound"));
  CHECK(has(unknown, "'fly'"));
  CHECK(has(client.line(), "no argument 'fast'"));
  client.send("{\"execute\":\"balloon\"}\n{\"execute\":\"balloon\",\"arguments\":{\"value\":-1}}\n");
  CHECK(has(client.line(), "'value' is missing"));
  CHECK(has(client.line(), "'value' is not a whole number"));
  client.send("{\"execute\":\"query-name\"}");
  CHECK(client.line() == R"({"return":{"name":"fake"}})");
  CHECK(f.target.calls.empty());
}

TEST_CASE("Every command of the table does something sensible with good arguments") {
  Fixture f;
  Client client(f);
  (void)client.line();
  for (const Command& command : commands()) {
    std::string arguments;
    for (const CommandArgument& argument : command.arguments) {
      arguments += arguments.empty() ? "" : ",";
      arguments += fmt::format("\"{}\":{}", argument.name,
                               argument.kind == ArgumentKind::text     ? "\"t\""
                               : argument.kind == ArgumentKind::number ? "5"
                                                                       : "true");
    }
    client.send(fmt::format("{{\"execute\":\"{}\",\"arguments\":{{{}}}}}", command.name, arguments));
    const std::string line = client.line();
    const bool refused = command.name == "query-balloon" || command.name == "getfd" || command.name == "closefd" ||
                         command.name == "device_add" || command.name == "set-action" || command.name == "screendump" ||
                         command.name == "send-key" || command.name == "attach-display" ||
                         command.name == "change-medium";  // no descriptor was passed, or no keys
    INFO(line);
    CHECK(has(line, refused ? "\"error\"" : "\"return\""));
  }
  CHECK(f.target.calls == std::vector<std::string>{"announce t", "balloon 5", "balloon period 5", "resize t 5", "cont",
                                                   "cpu_add 5", "cpu_del 5", "remove t", "medium t  (false, true)", "nmi",
                                                   "quit", "save t true", "link t true", "stop", "power, reboot", "reset"});
}

TEST_CASE("Keys are numbers with commas between; they are held for a while") {
  Fixture f;
  Client client(f);
  (void)client.line();
  client.send(R"({"execute":"send-key","arguments":{"keys":"29,56,111","hold-ms":40}})");
  CHECK(has(client.line(), "\"return\""));
  CHECK(f.target.calls == std::vector<std::string>{"keys 29+56+111 for 40 ms"});
  for (const char* wrong : {"", "0", "29,", "29,,56", "a", "768", "-1", "29 56", "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"}) {
    client.send(fmt::format(R"({{"execute":"send-key","arguments":{{"keys":"{}"}}}})", wrong));
    INFO(wrong);
    CHECK(has(client.line(), "\"error\""));
  }
  client.send(R"({"execute":"send-key","arguments":{"keys":"29","hold-ms":100000}})");
  CHECK(has(client.line(), "60000 is the most"));
  CHECK(f.target.calls.size() == 1);
}

TEST_CASE("A screen is dumped into a file that was passed, and into nothing else") {
  Fixture f;
  Client client(f);
  (void)client.line();
  const Fd file(::memfd_create("screen", MFD_CLOEXEC));
  client.send_with(R"({"execute":"getfd","arguments":{"fdname":"screen"}})", {file.get()});
  CHECK(has(client.line(), "\"return\""));
  client.send(R"({"execute":"screendump","arguments":{"fdname":"screen"}})");
  CHECK(has(client.line(), "\"return\""));
  CHECK(::lseek(file.get(), 0, SEEK_END) == 2);
  client.send(R"({"execute":"screendump","arguments":{"fdname":"screen"}})");
  CHECK(has(client.line(), "there is no descriptor 'screen'"));
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const Fd out(ends[0]);
  const Fd in(ends[1]);
  client.send_with(R"({"execute":"getfd","arguments":{"fdname":"pipe"}})", {in.get()});
  CHECK(has(client.line(), "\"return\""));
  client.send(R"({"execute":"screendump","arguments":{"fdname":"pipe"}})");
  CHECK(has(client.line(), "'pipe' is no file"));
}

TEST_CASE("What happens at the guest's end is set by words") {
  Fixture f;
  Client client(f);
  (void)client.line();
  client.send(R"({"execute":"set-action","arguments":{"on_poweroff":"restart","on_crash":"preserve"}})");
  CHECK(has(client.line(), "\"return\""));
  client.send(R"({"execute":"set-action","arguments":{"on_reboot":"explode"}})");
  CHECK(has(client.line(), "use destroy, restart, preserve"));
  client.send(R"({"execute":"system_powerdown"})");
  CHECK(has(client.line(), "\"return\""));
  CHECK(f.target.calls == std::vector<std::string>{"actions 1 -1 2", "power"});
}

TEST_CASE("One query tells all that the single ones tell") {
  Fixture f;
  Client client(f);
  (void)client.line();
  const auto result = [&client](std::string_view command) {
    client.send(fmt::format("{{\"execute\":\"{}\"}}", command));
    std::string line = client.line();
    REQUIRE(line.starts_with("{\"return\":"));
    return line.substr(10, line.size() - 11);
  };
  const std::string all = result("query-all");
  for (const std::string part : {"status", "cpus", "iothreads", "block", "net", "chardev", "stats"}) {
    INFO(part);
    CHECK(has(all, fmt::format("\"{}\":{}", part, result("query-" + part))));
  }
  CHECK_FALSE(has(all, "\"balloon\""));  // this guest has none
  CHECK(
      result("query-net") ==
      R"([{"device":"net0","mac":"52:54:00:00:00:01","link":true,"kind":"tap","interface":"tap0","vhost":false,"queues":1,"slot":4}])");
  CHECK(result("query-iothreads") == R"([{"id":"io0","thread-id":77,"time-ns":88}])");
}

TEST_CASE("A device is added from settings and descriptors by name") {
  Fixture f;
  Client client(f);
  (void)client.line();
  const auto ask = [&client](std::string_view arguments) {
    client.send(fmt::format(R"({{"execute":"device_add","arguments":{{{}}}}})", arguments));
    return client.line();
  };
  const auto pass = [&client](std::string_view name) {
    const Fd null(::open("/dev/null", O_RDWR));
    client.send_with(fmt::format(R"({{"execute":"getfd","arguments":{{"fdname":"{}"}}}})", name), {null.get()});
    CHECK(has(client.line(), "return"));
  };
  pass("image");
  const std::string disk = R"("driver":"virtio-blk","id":"vdb","path":"/b","fd":"image","slot":7)";
  CHECK(has(ask(disk + R"(,"colour":"red")"), "colour: there is no such setting"));  // and the descriptor is still there
  CHECK(has(ask(disk), "\"return\":{}"));
  CHECK(has(ask(disk), "there is no descriptor 'image'"));
  for (const char* name : {"a", "b", "c"}) {
    pass(name);
  }
  const std::string net = R"("driver":"virtio-net","id":"lan","kind":"tap","mac":"52:54:00:01:02:03")";
  CHECK(has(ask(net + R"(,"fd":"a")"), "fds, a list"));
  CHECK(has(ask(net + R"(,"fds":[1])"), "'fds' is not the name of a descriptor"));
  CHECK(has(ask(net + R"(,"fds":["a","b"],"vhost_fds":"c")"), "\"return\":{}"));
  CHECK(has(ask(net + R"(,"slot":32)"), "slot: must be a number from 0 to 31"));
  CHECK(has(ask(net + R"(,"slot":1.5)"), "slot: must be a number"));
  CHECK(has(ask(net + R"(,"model":"e1000")"), "two different cards"));
  CHECK(has(ask(R"("driver":"ne2000","id":"lan")"),
            "there is no driver 'ne2000'; use virtio-blk, usb-storage, virtio-net, e1000, rtl8139, or keyboard, mouse "
            "or tablet with virtio- or usb- before it"));
  pass("d");
  CHECK(has(ask(R"("driver":"e1000","id":"old","kind":"tap","mac":"52:54:00:01:02:04","fds":["d"])"), "\"return\":{}"));
  CHECK(has(ask(R"("driver":"virtio-blk")"), "'id' is missing"));
  CHECK(has(ask(R"("driver":"virtio-tablet","id":"pen","slot":9)"), "\"return\":{}"));
  CHECK(has(ask(R"("driver":"virtio-mouse","id":"pen","kind":"tablet")"), "two different devices"));
  CHECK(has(ask(R"("driver":"virtio-mouse","id":"pen","fd":"d")"), "no descriptors"));
  CHECK(has(ask(R"("driver":"usb-keyboard","id":"kbd","port":2)"), "\"return\":{}"));
  CHECK(has(ask(R"("driver":"usb-keyboard","id":"kbd","slot":2)"), "slot: there is no such setting"));
  CHECK(has(ask(R"("driver":"usb-keyboard","id":"kbd","kind":"mouse")"), "two different devices"));
  pass("stick");
  CHECK(has(ask(R"("driver":"usb-storage","id":"sda","fd":"stick","bus":"virtio")"), "two different disks"));
  CHECK(has(ask(R"("driver":"usb-storage","id":"sda","fd":"stick","path":"/s","port":3)"), "\"return\":{}"));
  CHECK(f.target.calls == std::vector<std::string>{"disk vdb at 7 on /b (true)",
                                                   "net lan 52:54:00:01:02:03 (2 taps, 1 vhosts)",
                                                   "net old 52:54:00:01:02:04 (1 taps, 0 vhosts) e1000", "input 0 pen at 9",
                                                   "usb 2 kbd at 2", "usb disk sda at 3 on /s (true)"});
}

TEST_CASE("Guest memory is read in pieces of bounded size") {
  Fixture f;
  Client client(f);
  (void)client.line();
  const auto ask = [&client](uint64_t address, uint64_t size) {
    client.send(fmt::format(R"({{"execute":"pmemread","arguments":{{"address":{},"size":{}}}}})", address, size));
    return client.line();
  };
  CHECK(ask(5, 3) == R"({"return":{"address":5,"data":"q6ur"}})");
  CHECK(has(ask(5, 65536), "\"data\":\"q6ur"));
  CHECK(has(ask(5, 65537), "ask for 1 to 65536"));
  CHECK(has(ask(5, 0), "ask for 1 to 65536"));
  CHECK(has(ask(6, 1), "no RAM"));
}

TEST_CASE("A verb answers when it is done; queries, also of others, answer meanwhile") {
  Fixture f;
  f.target.hold = true;
  Client slow(f);
  Client other(f);
  (void)slow.line();
  (void)other.line();
  slow.send("{\"execute\":\"stop\",\"id\":1}{\"execute\":\"query-status\",\"id\":2}");
  CHECK(has(slow.line(), "\"id\":2"));
  other.send("{\"execute\":\"query-status\",\"id\":3}");
  CHECK(has(other.line(), "\"id\":3"));
  f.target.release();
  CHECK(slow.line() == R"({"return":{},"id":1})");
}

TEST_CASE("A client may leave before its answer") {
  Fixture f;
  f.target.hold = true;
  Client client(f);
  (void)client.line();
  client.send("{\"execute\":\"stop\"}");
  f.turn();
  client.close();
  f.turn();
  CHECK(f.server->clients() == 0);
  f.target.release();
  f.target.hold = true;
  Client next(f);
  (void)next.line();
  next.send("{\"execute\":\"stop\"}");
  f.turn();
  f.server.reset();
  f.target.release();  // after the server is gone
}

TEST_CASE("Events reach every client") {
  Fixture f;
  Client a(f);
  Client b(f);
  (void)a.line();
  (void)b.line();
  f.server->broadcast("STOP", {});
  CHECK(has(a.line(), R"({"event":"STOP","data":{},"timestamp":{"seconds":)"));
  CHECK(has(b.line(), "STOP"));
}

TEST_CASE("A client that never reads events is dropped and nobody waits for it") {
  Fixture f;
  Client slow(f);
  Client quick(f);
  (void)quick.line();
  const ControlServer::EventDetails details{{"text", std::string(10000, 'x')}};
  for (int i = 0; i < 2000 && f.server->clients() == 2; ++i) {
    f.server->broadcast("X", details);
    CHECK(has(quick.line(), "xxx"));
  }
  CHECK(f.server->clients() == 1);
  quick.send("{\"execute\":\"query-name\"}");
  CHECK(has(quick.line(), "fake"));
}

TEST_CASE("A client that asks without reading answers is not read from, and catches up later") {
  Fixture f;
  Client client(f);
  (void)client.line();
  std::string burst;
  for (int i = 0; i < 200; ++i) {
    burst += fmt::format("{{\"execute\":\"query-commands\",\"id\":{}}}\n", i);
  }
  client.send(burst);
  f.turn(50);
  CHECK(f.server->clients() == 1);
  for (int i = 0; i < 200; ++i) {
    CHECK(has(client.line(), fmt::format("\"id\":{}}}", i)));
  }
}

TEST_CASE("No client keeps more than some verbs waiting") {
  Fixture f;
  f.target.hold = true;
  Client client(f);
  (void)client.line();
  for (int i = 0; i < 200; ++i) {
    client.send("{\"execute\":\"stop\"}\n");
  }
  f.turn(50);
  CHECK(f.target.waiting.size() == ControlConnection::kMaxRunning);
  f.target.hold = false;
  f.target.release();
  for (int i = 0; i < 200; ++i) {
    CHECK(client.line() == R"({"return":{}})");
  }
}

TEST_CASE("Descriptors are kept by name and closed when nobody wants them") {
  Fixture f;
  Client client(f);
  (void)client.line();
  int pipe_fds[2];
  REQUIRE(::pipe2(pipe_fds, O_NONBLOCK) == 0);
  const Fd reader(pipe_fds[0]);
  Fd writer(pipe_fds[1]);
  client.send_with("{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"x\"}}", {writer.get()});
  CHECK(client.line() == R"({"return":{}})");
  writer.reset();
  char byte = 0;
  CHECK(::read(reader.get(), &byte, 1) == -1);  // the server holds the other end
  client.send("{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"x\"}}");
  CHECK(client.line() == R"({"return":{}})");
  CHECK(::read(reader.get(), &byte, 1) == 0);
  client.send("{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"x\"}}");
  CHECK(has(client.line(), "no descriptor 'x'"));
}

TEST_CASE("Descriptors that come with another message are closed") {
  Fixture f;
  Client client(f);
  (void)client.line();
  int pipe_fds[2];
  REQUIRE(::pipe2(pipe_fds, O_NONBLOCK) == 0);
  const Fd reader(pipe_fds[0]);
  Fd writer(pipe_fds[1]);
  client.send_with("{\"execute\":\"query-name\"}", std::vector<int>(20, writer.get()));
  (void)client.line();
  writer.reset();
  f.turn();
  char byte = 0;
  CHECK(::read(reader.get(), &byte, 1) == 0);
}

TEST_CASE("No more descriptors are kept than the table holds") {
  DescriptorTable table;
  for (size_t i = 0; i < DescriptorTable::kMax; ++i) {
    CHECK(table.put(fmt::format("{}", i), Fd(::dup(0))));
  }
  CHECK(!table.put("more", Fd(::dup(0))));
  CHECK(table.put("0", Fd(::dup(0))));
  CHECK(table.take("0"));
  CHECK(!table.take("0"));
}

TEST_CASE("The socket is for its owner only, replaces a stale one and is removed") {
  struct stat info{};
  std::string path;
  {
    Fixture f;
    path = f.path;
    REQUIRE(::lstat(path.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
    const auto second = ControlServer::create(*f.loop, runner(f.target), {path, {}});
    REQUIRE(!second);
    CHECK(has(second.error().message, "another process listens"));
  }
  CHECK(::lstat(path.c_str(), &info) != 0);
  {
    const Fd stale(::socket(AF_UNIX, SOCK_STREAM, 0));
    const sockaddr_un address = address_of(path);
    REQUIRE(::bind(stale.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  }
  const Fixture replaced;
  CHECK(replaced.server != nullptr);
}

TEST_CASE("A path that cannot be a control socket is refused by name") {
  Fixture f;
  const auto long_one = ControlServer::create(*f.loop, runner(f.target), {std::string(200, 'x'), {}});
  REQUIRE(!long_one);
  CHECK(has(long_one.error().message, "shorter"));
  const auto file = ControlServer::create(*f.loop, runner(f.target), {"/dev/null", {}});
  REQUIRE(!file);
  CHECK(has(file.error().message, "not a socket"));
  const auto nowhere = ControlServer::create(*f.loop, runner(f.target), {"/tmp/no/such/folder/socket", {}});
  REQUIRE(!nowhere);
  CHECK(has(nowhere.error().message, "No such file"));
}

}  // namespace lodge
