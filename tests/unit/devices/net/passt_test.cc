// The stream backend's framing over a socket pair, and a real passt where it is installed.
#include "devices/net/passt.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>

#include "devices/net/frame.h"
#include "devices/net/vhost_net.h"

namespace lodge {
namespace {

struct Pair {
  Pair() {
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    PasstOptions options;
    options.fd = Fd(fds[0]);
    peer = Fd(fds[1]);
    auto opened = open_passt(std::move(options));
    REQUIRE(opened);
    port = std::move(*opened);
  }
  NetBackend& backend() { return *port.queues[0]; }
  Fd peer;
  NetPort port;
};

std::string framed(const std::string& body) {
  const uint32_t length = htonl(static_cast<uint32_t>(body.size()));
  return std::string(reinterpret_cast<const char*>(&length), 4) + body;
}

}  // namespace

TEST_CASE("passt_frames_carry_their_length") {
  Pair pair;
  std::string frame = std::string(12, 'h') + std::string(60, 'x');
  const iovec parts[] = {{frame.data(), 12}, {frame.data() + 12, 20}, {frame.data() + 32, 40}};
  CHECK(pair.backend().send(parts) == NetBackend::Io::done);
  char buffer[200];
  CHECK(::read(pair.peer.get(), buffer, sizeof buffer) == 64);
  CHECK(std::string(buffer, 64) == framed(std::string(60, 'x')));
}

TEST_CASE("passt_partial_frames_are_put_together") {
  Pair pair;
  const std::string wire = framed(std::string(100, 'a')) + framed(std::string(50, 'b'));
  std::string out(200, '\0');
  const iovec into{out.data(), out.size()};
  size_t bytes = 0;
  size_t frames = 0;
  for (const char& byte : wire) {
    REQUIRE(::write(pair.peer.get(), &byte, 1) == 1);
    const auto io = pair.backend().receive({&into, 1}, bytes);
    if (io == NetBackend::Io::done) {
      ++frames;
      CHECK(bytes == (frames == 1 ? 112 : 62));
      CHECK(out.substr(12, bytes - 12) == std::string(bytes - 12, frames == 1 ? 'a' : 'b'));
      CHECK(out[10] == 1);
    } else {
      CHECK(io == NetBackend::Io::would_block);
    }
  }
  CHECK(frames == 2);
}

TEST_CASE("passt_full_socket_keeps_frames_whole") {
  Pair pair;
  std::string frame(12 + 30000, 'y');
  const iovec part{frame.data(), frame.size()};
  size_t sent = 0;
  while (pair.backend().send({&part, 1}) == NetBackend::Io::done) {
    ++sent;
    REQUIRE(sent < 10000);
  }
  std::string wire;
  std::string chunk(65536, '\0');
  ::fcntl(pair.peer.get(), F_SETFL, O_NONBLOCK);
  while (wire.size() < sent * 30004) {
    const ssize_t n = ::read(pair.peer.get(), chunk.data(), chunk.size());
    if (n < 0) {  // what is left of a cut frame goes out with the next one
      REQUIRE(pair.backend().send({&part, 1}) == NetBackend::Io::done);
      ++sent;
      continue;
    }
    wire.append(chunk, 0, static_cast<size_t>(n));
  }
  for (size_t i = 0; i < sent; ++i) {
    CHECK(wire.compare(i * 30004, 5, framed(std::string(30000, 'y')), 0, 5) == 0);
  }
}

TEST_CASE("passt_garbage_and_end_of_stream_end_the_network") {
  Pair pair;
  std::string out(200, '\0');
  const iovec into{out.data(), out.size()};
  size_t bytes = 0;
  SECTION("a length that cannot be") { REQUIRE(::write(pair.peer.get(), "\xFF\xFF\xFF\xFF", 4) == 4); }
  SECTION("the other side ends") { pair.peer.reset(); }
  CHECK(pair.backend().receive({&into, 1}, bytes) == NetBackend::Io::gone);
}

TEST_CASE("passt_program_that_is_missing_is_named") {
  PasstOptions options;
  options.id = "net0";
  options.program = "lodge-no-such-program";
  const auto port = open_passt(std::move(options));
  REQUIRE_FALSE(port);
  CHECK(port.error().message.find("cannot start lodge-no-such-program") != std::string::npos);
}

TEST_CASE("passt_child_answers_arp_for_its_gateway") {
  PasstOptions options;
  options.id = "net0";
  options.arguments = {"-a", "10.0.2.15", "-n", "24", "-g", "10.0.2.2"};
  auto port = open_passt(std::move(options));
  if (!port) {
    WARN("skipped: " << port.error().message);
    return;
  }
  NetBackend& backend = *port->queues[0];
  const uint8_t arp[] = {0,    0,    0, 0, 0,  0, 0, 0,  0, 0, 0, 0, 255, 255, 255, 255, 255,  255,
                         0x52, 0x54, 0, 1, 2,  3, 8, 6,  0, 1, 8, 0, 6,   4,   0,   1,   0x52, 0x54,
                         0,    1,    2, 3, 10, 0, 2, 15, 0, 0, 0, 0, 0,   0,   10,  0,   2,    2};
  std::string frame(reinterpret_cast<const char*>(arp), sizeof arp);
  const iovec part{frame.data(), frame.size()};
  REQUIRE(backend.send({&part, 1}) == NetBackend::Io::done);
  std::string out(70000, '\0');
  const iovec into{out.data(), out.size()};
  bool answered = false;
  bool gone = false;
  for (int i = 0; i < 50 && !answered && !gone; ++i) {
    pollfd ready{backend.poll_fd(), POLLIN, 0};
    ::poll(&ready, 1, 100);
    size_t bytes = 0;
    for (;;) {
      const auto io = backend.receive({&into, 1}, bytes);
      gone = io == NetBackend::Io::gone;
      if (io != NetBackend::Io::done) {
        break;
      }
      answered |= bytes >= 54 && out[24] == 8 && out[25] == 6 && out[33] == 2;
    }
  }
  if (gone) {
    WARN("skipped: passt ended at once (no network or namespaces here)");
  } else {
    CHECK(answered);
  }
}

TEST_CASE("vhost_net_that_is_missing_is_explained") {
  const auto vhost = VhostNet::create(Fd(), "net0");
  if (!vhost) {
    CHECK(vhost.error().message.find("NIC 'net0'") != std::string::npos);
  }
}

}  // namespace lodge
