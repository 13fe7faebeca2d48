// virtio-console over socket pairs: data both ways, flow control, the control protocol, save and restore.
#include "devices/virtio/console/device.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/support/device_driver.h"

namespace lodge::test {
namespace {

constexpr uint64_t kMulti = kVirtioVersion1 | 1U << 1;

struct Console {
  explicit Console(uint64_t features = kMulti) : features_(features) {
    device = make(nullptr);
    driver = std::make_unique<DeviceDriver>(*device, features, 32);
    buffers = driver->allocate(64 * 4096);
    driver->start();
  }
  ~Console() {
    if (driver->running()) {
      driver->reset();
    }
  }
  std::unique_ptr<VirtioConsole> make(const StateReader* saved) {
    VirtioConsole::Options options;
    options.id = "console0";
    for (size_t i = 0; i < 3; ++i) {
      int pair[2];
      REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
      peers[i] = Fd(pair[1]);
      options.ports.push_back({i == 0 ? "" : "channel." + std::to_string(i), i == 0, make_stream_char(Fd(pair[0]))});
    }
    options.on_port_change = [this](std::string_view name, bool open) {
      changes.push_back(std::string(name) + (open ? "+" : "-"));
    };
    return must(VirtioConsole::create(std::move(options), saved));
  }
  void control(uint32_t port, uint16_t event, uint16_t value) {
    struct {
      uint32_t port;
      uint16_t event;
      uint16_t value;
    } message{port, event, value};
    must(driver->memory().write(buffers, message));
    REQUIRE(driver->request(3, {{buffers, 8, false}}));
  }
  void post(size_t queue, size_t count, uint32_t size) {
    for (size_t i = 0; i < count; ++i) {
      driver->ring(queue).add({{Gpa{buffers.value + 4096 * (1 + queue * 10 + i)}, size, true}});
    }
    driver->kick(queue);
  }
  std::string input(size_t queue) {
    const auto used = driver->wait(queue, std::chrono::milliseconds(500));
    return used ? driver->get(Gpa{buffers.value + 4096 * (1 + queue * 10 + used->head)}, used->written) : "(none)";
  }
  std::string message() {
    const std::string text = input(2);
    if (text.size() < 8) {
      return text;
    }
    return std::to_string(text[0]) + ":" + std::to_string(text[4]) + "=" + std::to_string(text[6]) + text.substr(8);
  }
  std::string host(size_t port, size_t bytes) {
    std::string text(bytes, '\0');
    size_t done = 0;
    driver->run_until(
        [&] {
          const ssize_t n = ::read(peers[port].get(), text.data() + done, bytes - done);
          done += n > 0 ? static_cast<size_t>(n) : 0;
          return done == bytes;
        },
        std::chrono::seconds(5));
    text.resize(done);
    return text;
  }
  void hand_shake() {
    post(2, 16, 256);
    control(0, VirtioConsole::kDeviceReady, 1);
    for (int i = 0; i < 3; ++i) {
      CHECK(message() == std::to_string(i) + ":1=1");
    }
  }

  uint64_t features_;
  Fd peers[3];
  std::vector<std::string> changes;
  std::unique_ptr<VirtioConsole> device;
  std::unique_ptr<DeviceDriver> driver;
  Gpa buffers;
};

}  // namespace

TEST_CASE("console_without_multiport_moves_bytes_on_port_0") {
  Console console(kVirtioVersion1);
  const Gpa text = console.driver->put("hello, host");
  REQUIRE(console.driver->request(1, {{text, 5, false}, {Gpa{text.value + 5}, 6, false}}));
  CHECK(console.host(0, 11) == "hello, host");
  console.post(0, 2, 8);
  REQUIRE(::write(console.peers[0].get(), "hello, guest", 12) == 12);
  CHECK(console.input(0) == "hello, g");
  CHECK(console.input(0) == "uest");
}

TEST_CASE("console_control_protocol_adds_names_and_opens_ports") {
  Console console;
  console.hand_shake();
  console.control(0, VirtioConsole::kPortReady, 1);
  CHECK(console.message() == "0:4=1");  // console
  CHECK(console.message() == "0:6=1");  // open
  console.control(1, VirtioConsole::kPortReady, 1);
  CHECK(console.message() == std::string("1:7=1channel.1") + '\0');
  CHECK(console.message() == "1:6=1");
  console.peers[1].reset();
  CHECK(console.message() == "1:6=0");
  console.control(1, VirtioConsole::kPortOpen, 1);
  console.control(1, VirtioConsole::kPortOpen, 0);
  CHECK(console.changes == std::vector<std::string>{"channel.1+", "channel.1-"});
  console.control(99, VirtioConsole::kPortReady, 1);
  console.control(1, 99, 1);
  REQUIRE(console.driver->request(3, {{console.buffers, 7, false}}));
  REQUIRE(console.driver->request(3, {{console.buffers, 8, true}}));
  CHECK(console.device->counters()[0].value == 4);
}

TEST_CASE("console_channel_input_waits_until_the_port_is_open_and_has_buffers") {
  Console console;
  console.hand_shake();
  console.control(2, VirtioConsole::kPortReady, 1);
  REQUIRE(::write(console.peers[2].get(), "early", 5) == 5);
  console.post(6, 1, 3);
  console.driver->turn(5);
  CHECK_FALSE(console.driver->ring(6).used());
  console.control(2, VirtioConsole::kPortOpen, 1);
  CHECK(console.input(6) == "ear");
  console.driver->ring(6).add({{console.buffers, 100, true}});
  console.driver->kick(6);
  const auto used = console.driver->wait(6);
  REQUIRE(used);
  CHECK(console.driver->get(console.buffers, used->written) == "ly");
}

TEST_CASE("console_output_waits_for_a_slow_reader_and_survives_save_and_restore") {
  Console console;
  console.hand_shake();
  console.control(1, VirtioConsole::kPortReady, 1);
  console.control(1, VirtioConsole::kPortOpen, 1);
  std::string text(200 * 1024, '\0');
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] = static_cast<char>('a' + i % 26);
  }
  const Gpa out = console.driver->put(text);
  for (int i = 0; i < 4; ++i) {
    console.driver->ring(5).add({{out, static_cast<uint32_t>(text.size()), false}});
  }
  console.driver->kick(5);
  console.driver->turn(20);
  size_t finished = 0;
  while (console.driver->ring(5).used()) {
    ++finished;
  }
  CHECK(finished < 4);
  std::string all;
  bool restored = false;
  SECTION("read slowly") {}
  SECTION("restored in the middle") {
    REQUIRE(console.driver->stop());
    StateWriter writer;
    console.device->save("console0", writer);
    const StateReader reader = must(StateReader::parse(writer.bytes()));
    // What is out already is with the old peer.
    std::string chunk(65536, '\0');
    for (ssize_t n = 0; (n = ::read(console.peers[1].get(), chunk.data(), chunk.size())) > 0;) {
      all.append(chunk, 0, static_cast<size_t>(n));
    }
    console.device = console.make(&reader);
    console.driver->replace(*console.device);
    console.driver->start();
    restored = true;
  }
  all += console.host(1, 4 * text.size() - all.size());
  REQUIRE(all.size() == 4 * text.size());
  CHECK(all == text + text + text + text);
  for (; finished < 4; ++finished) {
    REQUIRE(console.driver->wait(5));
  }
  if (restored) {
    StateWriter writer;
    console.driver->stop();
    console.device->save("console0", writer);
    CHECK(must(must(StateReader::parse(writer.bytes())).get<ConsoleState>("console0")).ports[1].sent == 0);
  }
}

TEST_CASE("console_driver_that_takes_no_messages_is_bounded") {
  Console console;
  for (int i = 0; i < 100; ++i) {
    console.control(0, VirtioConsole::kDeviceReady, 1);
  }
  CHECK(console.device->counters()[0].value > 0);
  console.driver->reset();
}

TEST_CASE("console_window_size_and_emergency_write") {
  Console console;
  console.hand_shake();
  console.control(0, VirtioConsole::kPortReady, 1);
  CHECK(console.message() == "0:4=1");
  CHECK(console.message() == "0:6=1");
  console.device->set_window(132, 43);
  CHECK(console.message() == std::string("0:5=0") + '\x2B' + '\0' + '\x84' + '\0');
  uint16_t columns = 0;
  console.device->read_config(0, writable_bytes_of(columns));
  CHECK(columns == 132);
  const uint32_t letter = 'E';
  console.device->write_config(8, bytes_of(letter));
  CHECK(console.host(0, 1) == "E");
}

TEST_CASE("console_options_are_checked") {
  VirtioConsole::Options none;
  CHECK_FALSE(VirtioConsole::create(std::move(none), nullptr));
  VirtioConsole::Options twice;
  twice.ports.push_back({"a", false, nullptr});
  twice.ports.push_back({"a", false, nullptr});
  CHECK_FALSE(VirtioConsole::create(std::move(twice), nullptr));
}

}  // namespace lodge::test
