// The character backends: flow control, coming and going of the other side.
#include "devices/core/char_backend.h"

#include "base/rotating_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <thread>

#include "base/io/loop_thread.h"

namespace lodge {
namespace {

struct Client {
  explicit Client(CharBackend& to) : backend(to), loop(*EventLoop::create("test")) {
    backend.attach(
        *loop, {.receive =
                    [this](std::span<const std::byte> bytes) {
                      const size_t n = std::min(bytes.size(), room);
                      text.append(reinterpret_cast<const char*>(bytes.data()), n);
                      room -= n;
                      return n;
                    },
                .writable = [this] { ++writable; },
                .event = [this](CharBackend::Event event) { events += event == CharBackend::Event::opened ? '+' : '-'; }});
  }
  ~Client() { backend.detach(); }
  template <class Condition>
  bool until(Condition condition) {
    for (int i = 0; i < 3000 && !condition(); ++i) {
      loop->run_once(std::chrono::milliseconds(1));
    }
    return condition();
  }
  CharBackend& backend;
  std::unique_ptr<EventLoop> loop;
  std::string text;
  std::string events;
  size_t room = 1 << 20;
  int writable = 0;
};

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

Fd connect_to(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

}  // namespace

TEST_CASE("char_null_swallows") {
  const auto backend = make_null_char();
  Client client(*backend);
  CHECK(client.until([&] { return client.events == "+"; }));
  CHECK(backend->write(bytes("abc")) == 3);
}

TEST_CASE("char_pair_pauses_and_resumes_input") {
  int pipe_in[2];
  REQUIRE(::pipe(pipe_in) == 0);
  const Fd writer(pipe_in[1]);
  const auto backend = make_fd_char(Fd(pipe_in[0]), Fd());
  Client client(*backend);
  client.room = 3;
  REQUIRE(::write(writer.get(), "abcdef", 6) == 6);
  CHECK(client.until([&] { return client.text == "abc"; }));
  REQUIRE(::write(writer.get(), "gh", 2) == 2);
  client.loop->run_once(std::chrono::milliseconds(1));
  CHECK(client.text == "abc");
  client.room = 100;
  backend->resume_input();
  CHECK(client.until([&] { return client.text == "abcdefgh"; }));
}

TEST_CASE("char_full_output_says_when_there_is_room") {
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
  Fd peer(pair[1]);
  const auto backend = make_stream_char(Fd(pair[0]));
  Client client(*backend);
  const std::string block(65536, 'x');
  size_t sent = 0;
  for (size_t n = block.size(); n == block.size(); sent += n) {
    n = backend->write(bytes(block));
  }
  CHECK(backend->write(bytes("y")) == 0);
  client.loop->run_once(std::chrono::milliseconds(1));
  CHECK(client.writable == 0);
  std::string chunk(65536, '\0');
  size_t got = 0;
  for (ssize_t n = 0; (n = ::read(peer.get(), chunk.data(), chunk.size())) > 0;) {
    got += static_cast<size_t>(n);
  }
  CHECK(got == sent);
  CHECK(client.until([&] { return client.writable == 1; }));
  CHECK(backend->write(bytes("y")) == 1);
  peer.reset();
  CHECK(client.until([&] { return client.events == "+-"; }));
  CHECK_FALSE(backend->is_open());
  CHECK(backend->write(bytes(block)) == block.size());
}

TEST_CASE("char_drain_waits_for_a_slow_reader_but_not_for_ever") {
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
  const Fd peer(pair[1]);
  const auto backend = make_stream_char(Fd(pair[0]));
  Client client(*backend);
  const std::string block(1 << 20, 'x');
  const size_t sent = backend->write(bytes(block));
  REQUIRE(sent < block.size());
  backend->drain(bytes("lost"), std::chrono::milliseconds(1));
  std::string got;
  std::thread reader([&] {
    std::string chunk(65536, '\0');
    pollfd ready{.fd = peer.get(), .events = POLLIN, .revents = 0};
    while (got.size() < sent + 4 && ::poll(&ready, 1, 60'000) == 1) {
      got.append(chunk.data(), static_cast<size_t>(std::max<ssize_t>(::read(peer.get(), chunk.data(), chunk.size()), 0)));
    }
  });
  backend->drain(bytes("last"), std::chrono::minutes(1));
  reader.join();
  CHECK(got.substr(sent) == "last");
}

TEST_CASE("char_output_from_another_thread_arrives_in_order") {
  int pair[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  Fd peer(pair[1]);
  const auto backend = make_stream_char(Fd(pair[0]));
  const auto thread = LoopThread::start("chars", {});
  REQUIRE(thread);
  std::atomic<int> rooms{0};
  std::atomic<size_t> input{0};
  (*thread)->loop().run_sync([&] {
    backend->attach((*thread)->loop(), {.receive =
                                            [&](std::span<const std::byte> part) {
                                              input += part.size();
                                              return part.size();
                                            },
                                        .writable = [&] { ++rooms; },
                                        .event = [](CharBackend::Event) {}});
  });
  std::string text(1 << 20, '\0');
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<char>(i * 31 + i / 4096);
  }
  std::string got;
  std::thread reader([&] {
    std::string chunk(10000, '\0');
    while (got.size() < text.size()) {
      const ssize_t n = ::read(peer.get(), chunk.data(), chunk.size());
      REQUIRE(n > 0);
      got.append(chunk, 0, static_cast<size_t>(n));
    }
    REQUIRE(::write(peer.get(), "done", 4) == 4);
  });
  for (size_t at = 0; at < text.size();) {
    const int before = rooms.load();
    const size_t n = backend->write(bytes(text).subspan(at));
    at += n;
    while (at < text.size() && rooms.load() == before) {
      std::this_thread::yield();
    }
  }
  reader.join();
  CHECK(got == text);
  while (input.load() != 4) {
    std::this_thread::yield();
  }
  (*thread)->loop().run_sync([&] { backend->detach(); });
}

TEST_CASE("char_file_is_truncated_or_appended") {
  std::string path = "/tmp/lodge-char-XXXXXX";
  const Fd fd(::mkstemp(path.data()));
  for (const bool append : {false, true}) {
    auto backend = open_file_char(path, append);
    REQUIRE(backend);
    CHECK((*backend)->path() == path);
    CHECK((*backend)->write(bytes("line\n")) == 5);
  }
  CHECK(*read_file(path, 100) == "line\nline\n");
  ::unlink(path.c_str());
  CHECK_FALSE(open_file_char("/nonexistent/file", true));
}

TEST_CASE("char_log_has_what_the_guest_wrote_with_and_without_a_client") {
  std::string path = "/tmp/lodge-log-XXXXXX";
  const Fd fd(::mkstemp(path.data()));
  const std::string socket = path + ".socket";
  {
    auto log = open_char_log(path, false);
    REQUIRE(log);
    auto backend = make_logged_char(*open_socket_char({socket, Fd(), true, 0}), std::move(*log), path);
    CHECK(backend->path() == socket);
    Client client(*backend);
    CHECK(backend->write(bytes("nobody there\n")) == 13);
    CHECK(*read_file(path, 1000) == "nobody there\n");
    const Fd peer = connect_to(socket);
    REQUIRE(client.until([&] { return backend->is_open(); }));
    CHECK(backend->write(bytes("hello\n")) == 6);
    char got[64] = {};
    CHECK(::read(peer.get(), got, sizeof got) == 6);
    CHECK(::write(peer.get(), "typed", 5) == 5);
    CHECK(client.until([&] { return client.text == "typed"; }));  // input is not the guest's
    backend->drain(bytes("last"), std::chrono::milliseconds(100));
  }
  CHECK(*read_file(path, 1000) == "nobody there\nhello\nlast");
  auto again = open_char_log(path, true);
  CHECK(make_logged_char(make_null_char(), std::move(*again), path)->write(bytes("+")) == 1);
  CHECK(*read_file(path, 1000) == "nobody there\nhello\nlast+");
  CHECK(open_char_log(path, false));
  CHECK(*read_file(path, 1000) == "");
  ::unlink(path.c_str());
  CHECK(open_char_log("/nonexistent/log", false).error().message ==
        "cannot open the log '/nonexistent/log' of a serial or console port: No such file or directory; choose a path that "
        "may be written");
}

TEST_CASE("char_log_counts_only_what_the_other_side_took") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
  const Fd reader(ends[0]);
  REQUIRE(::fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 4096);
  std::string path = "/tmp/lodge-log-XXXXXX";
  Fd log(::mkstemp(path.data()));
  auto backend = make_logged_char(make_fd_char(Fd(), Fd(ends[1])), std::move(log), path);
  Client client(*backend);
  const std::string text(100000, 'x');
  const size_t taken = backend->write(bytes(text));
  CHECK(taken < text.size());
  CHECK(read_file(path, 200000)->size() == taken);  // the rest is written again later
  ::unlink(path.c_str());
}

TEST_CASE("char_log_that_is_full_does_not_stop_the_guest") {
  Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  REQUIRE(full.valid());
  auto backend = make_logged_char(make_null_char(), std::move(full), "/dev/full");
  CHECK(backend->write(bytes("text")) == 4);
  CHECK(backend->write(bytes("more")) == 4);
}

TEST_CASE("char_log_and_char_file_keep_to_the_room_that_is_known_of_them") {
  for (const bool is_log : {true, false}) {
    std::string path = "/tmp/lodge-log-XXXXXX";
    const Fd made(::mkstemp(path.data()));
    const std::string backup = path + ".0";
    LogRoom room{100, {}};
    room.backups.push_back(*open_file(backup, O_RDWR | O_CREAT));
    Fd file = *open_file(path, O_RDWR | O_APPEND);
    set_log_room(file.get(), std::move(room));
    auto backend = is_log ? make_logged_char(make_null_char(), std::move(file), path) : make_file_char(std::move(file));
    for (int i = 0; i < 30; ++i) {
      CHECK(backend->write(bytes("123456789\n")) == 10);
    }
    CHECK(read_file(path, 1000)->size() == 100);
    CHECK(read_file(backup, 1000)->size() == 100);
    ::unlink(path.c_str());
    ::unlink(backup.c_str());
  }
}

TEST_CASE("char_pty_opens_with_its_reader") {
  auto opened = open_pty_char();
  if (!opened) {
    WARN("skipped: " << opened.error().message);
    return;
  }
  CharBackend& backend = **opened;
  Client client(backend);
  CHECK(backend.write(bytes("dropped")) == 7);
  for (int round = 0; round < 2; ++round) {
    client.events.clear();
    Fd slave(::open(backend.path().c_str(), O_RDWR | O_NOCTTY));
    REQUIRE(slave.valid());
    REQUIRE(client.until([&] { return client.events == "+"; }));
    CHECK(backend.write(bytes("to user\r")) == 8);
    char buffer[64];
    CHECK(::read(slave.get(), buffer, sizeof buffer) == 8);
    REQUIRE(::write(slave.get(), "to guest", 8) == 8);
    CHECK(client.until([&] { return client.text == "to guest"; }));
    client.text.clear();
    slave.reset();
    CHECK(client.until([&] { return client.events == "+-"; }));
  }
}

TEST_CASE("char_socket_server_takes_one_client_after_another") {
  const std::string path = "/tmp/lodge-char-" + std::to_string(::getpid()) + ".sock";
  SocketCharOptions options;
  options.path = path;
  auto opened = open_socket_char(std::move(options));
  REQUIRE(opened);
  CharBackend& backend = **opened;
  SocketCharOptions second;
  second.path = path;
  const auto busy = open_socket_char(std::move(second));
  REQUIRE_FALSE(busy);
  CHECK(busy.error().message.find("in use") != std::string::npos);
  Client client(backend);
  for (int round = 0; round < 2; ++round) {
    client.events.clear();
    client.text.clear();
    Fd peer = connect_to(path);
    REQUIRE(::write(peer.get(), "hi", 2) == 2);
    CHECK(client.until([&] { return client.text == "hi"; }));
    CHECK(backend.write(bytes("ho")) == 2);
    char buffer[8];
    CHECK(::read(peer.get(), buffer, sizeof buffer) == 2);
    peer.reset();
    CHECK(client.until([&] { return client.events.ends_with('-'); }));
  }
}

TEST_CASE("char_socket_client_connects_again") {
  const std::string path = "/tmp/lodge-char-again-" + std::to_string(::getpid()) + ".sock";
  SocketCharOptions failing;
  failing.path = path;
  failing.server = false;
  CHECK_FALSE(open_socket_char(std::move(failing)));
  SocketCharOptions options;
  options.path = path;
  options.server = false;
  options.reconnect_ms = 5;
  auto opened = open_socket_char(std::move(options));
  REQUIRE(opened);
  Client client(**opened);
  SocketCharOptions listening;
  listening.path = path;
  auto server = open_socket_char(std::move(listening));
  REQUIRE(server);
  CHECK(client.until([&] { return client.events == "+"; }));
}

}  // namespace lodge
