// The connection to guests' agents, against agents that misbehave.
#include "libvirt-driver/domains/agent_link.h"

#include <libvirt/libvirt-qemu.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <functional>
#include <thread>

namespace lodge {
namespace {

// The guest's end of the channel: `talk` serves one connection after another, each until it returns.
class FakeAgent {
 public:
  class Line {
   public:
    explicit Line(int fd) : fd_(fd) {}
    // The next request; null when the other side has gone.
    Json read() {
      size_t end = 0;
      while ((end = text_.find('\n')) == std::string::npos) {
        char part[4096];
        const ssize_t n = ::recv(fd_, part, sizeof part, 0);
        if (n <= 0) {
          return nullptr;
        }
        text_.append(part, static_cast<size_t>(n));
      }
      std::string line = text_.substr(0, end);
      text_.erase(0, end + 1);
      return parse_json(line.substr(line.find_last_of('\xFF') + 1));
    }
    void write(std::string_view text) const {
      while (!text.empty()) {
        const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
        if (n <= 0) {
          return;
        }
        text.remove_prefix(static_cast<size_t>(n));
      }
    }
    void echo(const Json& sync) const {
      write(std::string("\xFF") + Json{{"return", sync["arguments"]["id"]}}.dump() + "\n");
    }
    // The command after its sync, which is answered as it should be.
    Json command() {
      Json request = read();
      while (request.is_object() && text_in(request, "execute") == "guest-sync-delimited") {
        echo(request);
        request = read();
      }
      return request;
    }

   private:
    int fd_;
    std::string text_;
  };

  explicit FakeAgent(std::function<void(Line&)> talk) : talk_(std::move(talk)) {
    REQUIRE(::mkdtemp(folder_.data()) != nullptr);
    path = folder_ + "/agent";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener_.get(), 1) == 0);
    thread_ = std::thread([this] {
      while (true) {
        const Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!client.valid()) {
          return;
        }
        ++connections;
        Line line(client.get());
        talk_(line);
      }
    });
  }
  ~FakeAgent() {
    link.reset();
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    std::filesystem::remove_all(folder_);
  }
  FakeAgent(const FakeAgent&) = delete;
  FakeAgent& operator=(const FakeAgent&) = delete;

  Answer<Json> ask(const char* command, int timeout = 20) const {
    return link->command(path, {{"execute", command}}, timeout);
  }
  [[nodiscard]] int error_of(const char* command, int timeout = 1) const {
    const auto answer = ask(command, timeout);
    INFO((answer ? answer->dump() : answer.error().detail));
    return answer ? 0 : answer.error().code;
  }

  std::string path;
  std::atomic<int> connections{0};
  std::unique_ptr<AgentLink> link = std::make_unique<AgentLink>();

 private:
  std::string folder_ = "/tmp/lodge-agent-XXXXXX";
  std::function<void(Line&)> talk_;
  Fd listener_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::thread thread_;
};

// Answers every command with its own name; `before` may do otherwise: false when it has answered.
std::function<void(FakeAgent::Line&)> honest(std::function<bool(FakeAgent::Line&, const std::string&)> before =
                                                 [](auto&, auto&) { return true; }) {
  return [before = std::move(before)](FakeAgent::Line& line) {
    for (Json request = line.command(); request.is_object(); request = line.command()) {
      const std::string name = text_in(request, "execute");
      if (before(line, name)) {
        line.write(Json{{"return", name}}.dump() + "\n");
      }
    }
  };
}

std::string line_of(size_t count, char what) {
  std::string line(count, what);
  line.push_back('\n');
  return line;
}

}  // namespace

TEST_CASE("one connection serves all commands of a run") {
  FakeAgent agent(honest());
  CHECK(*agent.ask("one") == "one");
  CHECK(*agent.ask("two") == "two");
  CHECK(*agent.ask("three", VIR_DOMAIN_QEMU_AGENT_COMMAND_BLOCK) == "three");
  CHECK(*agent.ask("four", VIR_DOMAIN_QEMU_AGENT_COMMAND_DEFAULT) == "four");
  CHECK(agent.connections == 1);
}

TEST_CASE("what an agent says before its echo does not matter") {
  const std::string rubbish = GENERATE(
      std::string("rubbish\n"), std::string("{\"return\": {}}\n{\"return\": \"late\"}\n"),
      std::string("{\"return\": {\"half"), std::string("\xFF{\"return\": 1}\n"), std::string("\xFF\xFF\n\n\xFF"),
      std::string(size_t{20} << 20, 'x'),
      std::string("{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\n"), line_of(100000, '['));
  FakeAgent agent([&](FakeAgent::Line& line) {
    line.write(rubbish);
    honest()(line);
  });
  CHECK(*agent.ask("command") == "command");
  CHECK(*agent.ask("again") == "again");
  CHECK(agent.connections == 1);
}

TEST_CASE("a bad answer is an error, and the next command gets its own") {
  const std::string bad =
      GENERATE(std::string("nonsense\n"), std::string("[]\n"), std::string("{}\n"), std::string("5\n"),
               std::string("{\"error\": 5}\n"), std::string(size_t{20} << 20, 'x'), line_of(100000, '{'));
  FakeAgent agent(honest([&](FakeAgent::Line& line, const std::string& name) {
    if (name == "bad") {
      line.write(bad);
    }
    return name != "bad";
  }));
  CHECK(agent.error_of("bad", 20) == VIR_ERR_INTERNAL_ERROR);
  CHECK(*agent.ask("good") == "good");
  CHECK(agent.connections == 1);
}

TEST_CASE("an answer that comes too late is not the next command's") {
  FakeAgent late([&](FakeAgent::Line& line) {
    (void)line.command();
    const Json sync = line.read();  // of the next one: only now comes the answer to the first
    line.write("{\"return\": \"slow\"}\n");
    line.echo(sync);
    honest()(line);
  });
  CHECK(late.error_of("slow") == VIR_ERR_AGENT_UNRESPONSIVE);
  CHECK(*late.ask("next") == "next");
}

TEST_CASE("an agent that never answers, or never stops, is unresponsive") {
  FakeAgent mute([](FakeAgent::Line& line) {
    while (line.read().is_object()) {
    }
  });
  CHECK(mute.error_of("ping") == VIR_ERR_AGENT_UNRESPONSIVE);
  CHECK(mute.error_of("ping") == VIR_ERR_AGENT_UNRESPONSIVE);
  CHECK(mute.connections == 1);
  FakeAgent endless([](FakeAgent::Line& line) {
    for (int i = 0; i < 1000 && line.read().is_object(); ++i) {
      for (int part = 0; part < 200; ++part) {
        line.write(std::string(100000, 'x') + "\n");
      }
    }
  });
  CHECK(endless.error_of("ping") == VIR_ERR_AGENT_UNRESPONSIVE);
}

TEST_CASE("a guest that leaves ends the wait, and a new connection is made once the old one has ended") {
  FakeAgent* self = nullptr;
  FakeAgent agent(honest([&](FakeAgent::Line&, const std::string& name) {
    if (name == "leave") {
      self->link->guest_left();
    }
    return name != "leave";
  }));
  self = &agent;
  CHECK(*agent.ask("here") == "here");
  CHECK(agent.error_of("leave", VIR_DOMAIN_QEMU_AGENT_COMMAND_BLOCK) == VIR_ERR_AGENT_UNRESPONSIVE);
  CHECK(*agent.ask("again") == "again");
  CHECK(agent.connections == 1);

  FakeAgent twice([](FakeAgent::Line& line) {
    (void)line.command();  // and hangs up
  });
  CHECK(twice.error_of("one", 20) == VIR_ERR_AGENT_UNRESPONSIVE);
  CHECK(twice.error_of("two", 20) == VIR_ERR_AGENT_UNRESPONSIVE);
  CHECK(twice.connections == 2);
}

TEST_CASE("an agent too old for guest-sync-delimited is asked with guest-sync") {
  FakeAgent agent([](FakeAgent::Line& line) {
    for (Json request = line.read(); request.is_object(); request = line.read()) {
      const std::string name = text_in(request, "execute");
      if (name == "guest-sync-delimited") {
        line.write("{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no\"}}\n");
      } else if (name == "guest-sync") {
        line.write("{\"return\": 7}\n" + Json{{"return", request["arguments"]["id"]}}.dump() + "\n");
      } else {
        line.write(Json{{"return", name}}.dump() + "\n");
      }
    }
  });
  CHECK(*agent.ask("old") == "old");
  CHECK(*agent.ask("older") == "older");
}

TEST_CASE("few commands wait for a hanging one, the others are refused at once") {
  FakeAgent agent(honest([](FakeAgent::Line&, const std::string& name) { return name != "hang"; }));
  CHECK(*agent.ask("ping") == "ping");
  constexpr int kCommands = 12;
  std::atomic<int> refused{0};
  std::atomic<int> unresponsive{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kCommands; ++i) {
    threads.emplace_back([&] {
      const auto answer = agent.ask("hang", 1);
      ++(answer.error().code == VIR_ERR_AGENT_UNRESPONSIVE ? unresponsive : refused);
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(refused + unresponsive == kCommands);
  CHECK(refused > 0);
  CHECK(*agent.ask("ping") == "ping");
}

TEST_CASE("no agent's socket is an unresponsive agent") {
  AgentLink link;
  CHECK(link.command("/nonexistent/agent", {{"execute", "ping"}}, 1).error().code == VIR_ERR_AGENT_UNRESPONSIVE);
}

}  // namespace lodge
