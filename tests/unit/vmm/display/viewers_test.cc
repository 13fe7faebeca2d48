#include "vmm/display/viewers.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <catch2/catch.hpp>

#include "tests/support/fake_screen.h"

namespace lodge {
namespace {

struct Fixture {
  std::unique_ptr<EventLoop> loop = *EventLoop::create("test");
  test::FakeScreen screen;
  test::FakeInput input;
  std::atomic<int> threads{0};
  Result<void> confined;
  std::optional<Viewers> viewers;

  Fixture() {
    viewers.emplace(*loop, DisplaySinks{&screen, &input, &input}, [this] {
      ++threads;
      return confined;
    });
  }
  // The viewer's end.
  Fd attach() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    Fd ours(ends[0]);
    REQUIRE(viewers->attach(Fd(ends[1])));
    return ours;
  }
  void turn_until_count(size_t count) {
    while (viewers->count() != count) {
      loop->run_once(std::chrono::milliseconds(5));
    }
  }
};

// The next packet; waits for it. Size 0: the end.
struct Packet {
  std::array<std::byte, display::kMaxPacket> bytes{};
  display::Received received;
  [[nodiscard]] display::FromMonitor meaning() const {
    return *display::parse_from_monitor(std::span(bytes).first(received.size));
  }
};
Packet receive(const Fd& socket) {
  Packet packet;
  pollfd waiting{socket.get(), POLLIN, 0};
  REQUIRE(::poll(&waiting, 1, -1) == 1);
  auto received = display::receive_packet(socket.get(), packet.bytes);
  if (received && *received) {
    packet.received = std::move(**received);
  }
  return packet;
}

template <class T>
void send(const Fd& socket, const T& packet) {
  REQUIRE(display::send_packet(socket.get(), display::bytes_of(packet)));
}

TEST_CASE("A viewer gets a sealed picture, frames when it asks, and its thread goes with it") {
  Fixture f;
  Fd viewer = f.attach();
  Packet hello = receive(viewer);
  CHECK(std::get<display::Hello>(hello.meaning()).features == display::kTakesSizes);
  const Fd file = std::move(hello.received.descriptor);
  const int seals = ::fcntl(file.get(), F_GET_SEALS);
  CHECK((seals & (F_SEAL_GROW | F_SEAL_SHRINK)) == (F_SEAL_GROW | F_SEAL_SHRINK));
  CHECK(::mmap(nullptr, display::kPictureBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0) == MAP_FAILED);
  CHECK(std::get<display::Pointer>(receive(viewer).meaning()).absolute == 0);
  f.screen.paint(64, 48, {0, 48, true}, 0xABCDEF);
  send(viewer, display::Refresh{.serial = 3});
  const auto frame = std::get<display::Frame>(receive(viewer).meaning());
  CHECK((frame.serial == 3 && frame.width == 64 && frame.last == 48 && frame.resized == 1));
  uint32_t pixel = 0;
  REQUIRE(::pread(file.get(), &pixel, sizeof pixel, (64 * 48 - 1) * 4) == sizeof pixel);
  CHECK(pixel == 0xABCDEF);
  send(viewer, display::Key{.code = 30, .down = 1});
  send(viewer, display::Refresh{.serial = 4});
  (void)receive(viewer);
  CHECK(f.input.take() == "+30");
  viewer.reset();
  f.turn_until_count(0);
  CHECK(f.input.take() == "-30");
  CHECK(f.threads == 1);
}

TEST_CASE("There are eight viewers at most, and a screen for them to see") {
  Fixture f;
  std::vector<Fd> viewers;
  for (size_t i = 0; i < Viewers::kMax; ++i) {
    viewers.push_back(f.attach());
  }
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) == 0);
  Fd ours(ends[0]);
  const auto ninth = f.viewers->attach(Fd(ends[1]));
  REQUIRE(!ninth);
  CHECK(ninth.error().message.find("8 viewers") != std::string::npos);
  viewers.pop_back();
  f.turn_until_count(Viewers::kMax - 1);
  viewers.push_back(f.attach());
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  ours = Fd(ends[0]);
  viewers.pop_back();
  f.turn_until_count(Viewers::kMax - 1);
  CHECK(!f.viewers->attach(Fd(ends[1])));
  Viewers blind(*f.loop, {}, nullptr);
  CHECK(!blind.attach(Fd()));
}

TEST_CASE("Viewers that misbehave are dropped, each alone") {
  Fixture f;
  const Fd good = f.attach();
  (void)receive(good);
  (void)receive(good);
  SECTION("a packet that is none") {
    const Fd bad = f.attach();
    send(bad, uint64_t{99});
    f.turn_until_count(1);
  }
  SECTION("a packet that is too long") {
    const Fd bad = f.attach();
    send(bad, std::array<std::byte, 5000>{});
    f.turn_until_count(1);
  }
  SECTION("one that asks and never reads") {
    const Fd bad = f.attach();
    while (display::send_packet(bad.get(), display::bytes_of(display::Refresh{})) || errno == EAGAIN) {
      f.loop->run_once(std::chrono::nanoseconds(0));
    }
    f.turn_until_count(1);
  }
  send(good, display::Refresh{.serial = 5});
  CHECK(std::get<display::Frame>(receive(good).meaning()).serial == 5);
}

TEST_CASE("A viewer whose thread cannot be confined sees nothing") {
  Fixture f;
  f.confined = fail("no filter");
  const Fd viewer = f.attach();
  f.turn_until_count(0);
  CHECK(receive(viewer).received.size == 0);
}

TEST_CASE("Viewers are let go at the end, whatever they do") {
  Fixture f;
  const Fd silent = f.attach();
  const Fd other = f.attach();
  f.viewers.reset();
  Packet last = receive(silent);
  while (last.received.size != 0) {
    last = receive(silent);
  }
  f.loop->run_once(std::chrono::milliseconds(1));  // what was posted finds nobody
}

}  // namespace
}  // namespace lodge
