// virtio-net over a scripted backend, a socket pair and, where the machine allows it, a real tap.
#include "devices/virtio/net/device.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "devices/net/frame.h"
#include "devices/net/none.h"
#include "devices/net/tap.h"
#include "devices/virtio/net/header.h"
#include "tests/support/device_driver.h"

namespace lodge::test {
namespace {

constexpr uint64_t kModern = kVirtioVersion1 | net::kMac | net::kStatus | net::kCtrlVq | net::kCtrlRx | net::kCtrlMacAddr;
constexpr net::MacAddress kOurMac{0x52, 0x54, 0, 1, 2, 3};

// Frames are put in and looked at by the test.
class ScriptedBackend final : public NetBackend {
 public:
  int poll_fd() const override { return event.get(); }
  Io send(std::span<const iovec> frame) override {
    if (full) {
      return Io::would_block;
    }
    std::vector<std::byte> flat(iov_bytes(frame));
    gather(frame, 0, flat);
    sent.push_back(std::move(flat));
    return Io::done;
  }
  Io receive(std::span<const iovec> into, size_t& bytes) override {
    if (incoming.empty()) {
      static_cast<void>(event.drain());
      return Io::would_block;
    }
    const std::vector<std::byte> frame = std::move(incoming.front());
    incoming.pop_front();
    bytes = frame.size();
    scatter(into, 0, frame);
    return Io::done;
  }
  Result<void> set_offloads(uint32_t flags) override {
    offloads = flags;
    return {};
  }
  void set_enabled(bool on) override { enabled = on; }
  void arrive(std::vector<std::byte> frame) {
    incoming.push_back(std::move(frame));
    event.signal();
  }
  EventFd event = must(EventFd::create());
  std::deque<std::vector<std::byte>> incoming;
  std::vector<std::vector<std::byte>> sent;
  bool full = false;
  bool enabled = true;
  uint32_t offloads = 0;
};

// A frame with its 12-byte header, to our address.
std::vector<std::byte> frame_of(size_t size, net::MacAddress to = kOurMac) {
  std::vector<std::byte> frame(12 + size);
  for (size_t i = 0; i < size; ++i) {
    frame[12 + i] = static_cast<std::byte>(i * 13 + i / 256);
  }
  std::memcpy(frame.data() + 12, to.data(), 6);
  return frame;
}

struct Nic {
  explicit Nic(uint64_t features = kModern, size_t pairs = 1, NetCapabilities can = {}) {
    VirtioNet::Options options;
    options.id = "net0";
    options.mac = kOurMac;
    can.queue_pairs = static_cast<uint16_t>(pairs);
    options.port.capabilities = can;
    for (size_t i = 0; i < pairs; ++i) {
      auto one = std::make_unique<ScriptedBackend>();
      backends.push_back(one.get());
      options.port.queues.push_back(std::move(one));
    }
    device = must(VirtioNet::create(std::move(options), nullptr));
    driver = std::make_unique<DeviceDriver>(*device, features);
    buffer = driver->allocate(256 * 1024);
    driver->start();
  }
  ~Nic() {
    if (driver->running()) {
      driver->reset();
    }
  }
  ScriptedBackend& backend() { return *backends[0]; }
  void post(size_t count, uint32_t size, size_t queue = 0) {
    for (size_t i = 0; i < count; ++i) {
      driver->ring(queue).add({{Gpa{buffer.value + (next++ % 64) * 4096}, size, true}});
    }
    driver->kick(queue);
  }
  // Sends `frame` (with its header); true when it came out of the ring.
  bool send(std::span<const std::byte> frame, uint32_t header = 12) {
    const Gpa at{buffer.value + 128 * 1024};
    must(driver->memory().write_bytes(at, frame));
    return driver
        ->request(1, {{at, header, false}, {Gpa{at.value + header}, static_cast<uint32_t>(frame.size() - header), false}})
        .has_value();
  }
  int command(uint8_t type, uint8_t code, std::span<const std::byte> body, size_t queue = 2) {
    const Gpa at{buffer.value + 200 * 1024};
    const std::byte header[2] = {std::byte{type}, std::byte{code}};
    must(driver->memory().write_bytes(at, header));
    must(driver->memory().write_bytes(Gpa{at.value + 2}, body));
    const Gpa ack{buffer.value + 250 * 1024};
    must(driver->memory().write(ack, uint8_t{0xEE}));
    REQUIRE(driver->request(
        queue, {{at, 2, false}, {Gpa{at.value + 2}, static_cast<uint32_t>(body.size()), false}, {ack, 1, true}}));
    return must(driver->memory().read<uint8_t>(ack));
  }
  template <class T>
  int command_with(uint8_t type, uint8_t code, T value, size_t queue = 2) {
    return command(type, code, std::as_bytes(std::span(&value, 1)), queue);
  }
  uint64_t counter(std::string_view name) {
    for (const Counter& entry : device->counters()) {
      if (entry.name == name) {
        return entry.value;
      }
    }
    return ~uint64_t{0};
  }
  std::string at(size_t slot, size_t bytes) { return driver->get(Gpa{buffer.value + slot * 4096}, bytes); }

  std::vector<ScriptedBackend*> backends;
  std::unique_ptr<VirtioNet> device;
  std::unique_ptr<DeviceDriver> driver;
  Gpa buffer;
  size_t next = 0;
};

std::string text_of(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

}  // namespace

TEST_CASE("net_sends_frames_with_a_clean_header") {
  Nic nic;
  auto frame = frame_of(100);
  frame[0] = std::byte{0xFF};  // flags without the feature mean nothing
  REQUIRE(nic.send(frame));
  REQUIRE(nic.backend().sent.size() == 1);
  CHECK(nic.backend().sent[0].size() == 112);
  CHECK(nic.backend().sent[0][0] == std::byte{0});
  CHECK(text_of(nic.backend().sent[0]).substr(12) == text_of(frame).substr(12));
  CHECK(nic.counter("tx-packets") == 1);
  CHECK(nic.counter("tx-bytes") == 100);
}

TEST_CASE("net_legacy_header_has_ten_bytes") {
  Nic nic(net::kMac);
  const auto frame = frame_of(60);
  std::vector<std::byte> legacy(frame.begin() + 2, frame.end());
  REQUIRE(nic.send(legacy, 10));
  CHECK(nic.backend().sent.at(0).size() == 72);
  nic.post(1, 2000);
  nic.backend().arrive(frame);
  const auto used = nic.driver->wait(0);
  REQUIRE(used);
  CHECK(used->written == 70);
  CHECK(nic.at(0, 70).substr(10) == text_of(frame).substr(12));
}

TEST_CASE("net_drops_garbage_frames_and_goes_on") {
  Nic nic(kModern | net::kCsum | net::kHostTso4, 1, {.vnet_header = true, .checksum = true, .tso = true});
  const auto try_header = [&](net::Header header, size_t size) {
    auto frame = frame_of(size);
    std::memcpy(frame.data(), &header, sizeof header);
    const size_t before = nic.backend().sent.size();
    REQUIRE(nic.send(frame));
    return nic.backend().sent.size() == before + 1;
  };
  CHECK(try_header({}, 60));
  CHECK(try_header({.flags = 1, .csum_start = 34, .csum_offset = 16}, 60));
  CHECK_FALSE(try_header({.flags = 1, .csum_start = 60, .csum_offset = 0}, 60));
  CHECK_FALSE(try_header({.flags = 1, .csum_start = 0xFFFF, .csum_offset = 0xFFFF}, 60));
  CHECK(try_header({.flags = 1, .gso_type = 1, .header_length = 54, .gso_size = 1460, .csum_start = 34, .csum_offset = 16},
                   3000));
  CHECK_FALSE(try_header({.flags = 0, .gso_type = 1, .header_length = 54, .gso_size = 1460}, 3000));
  CHECK_FALSE(try_header({.flags = 1, .gso_type = 1, .header_length = 54, .gso_size = 0, .csum_start = 34}, 3000));
  CHECK_FALSE(try_header({.flags = 1, .gso_type = 1, .header_length = 5000, .gso_size = 1460, .csum_start = 34}, 3000));
  CHECK_FALSE(try_header({.flags = 1, .gso_type = 4, .header_length = 54, .gso_size = 1460, .csum_start = 34}, 3000));
  CHECK_FALSE(try_header({.flags = 1, .gso_type = 77, .header_length = 54, .gso_size = 1460, .csum_start = 34}, 3000));
  CHECK_FALSE(try_header({}, 13));
  CHECK_FALSE(try_header({}, 70000));
  CHECK(nic.counter("tx-errors") == 9);
  REQUIRE(nic.driver->request(1, {{nic.buffer, 5, false}}));
  REQUIRE(nic.driver->request(1, {{nic.buffer, 2000, true}}));
  CHECK(try_header({}, 60));
}

TEST_CASE("net_full_backend_holds_frames_until_there_is_room") {
  Nic nic;
  nic.backend().full = true;
  const auto frame = frame_of(80);
  const Gpa at{nic.buffer.value + 4096};
  must(nic.driver->memory().write_bytes(at, frame));
  for (int i = 0; i < 3; ++i) {
    nic.driver->ring(1).add({{at, static_cast<uint32_t>(frame.size()), false}});
  }
  nic.driver->kick(1);
  nic.driver->turn(3);
  CHECK_FALSE(nic.driver->ring(1).used());
  SECTION("room comes") {
    nic.backend().full = false;
    for (int i = 0; i < 3; ++i) {
      REQUIRE(nic.driver->wait(1));
    }
  }
  SECTION("stopped and started") {
    REQUIRE(nic.driver->stop());
    CHECK_FALSE(nic.driver->ring(1).used());
    nic.backend().full = false;
    nic.driver->start();
    for (int i = 0; i < 3; ++i) {
      REQUIRE(nic.driver->wait(1));
    }
  }
  CHECK(nic.backend().sent.size() == 3);
}

TEST_CASE("net_many_frames_do_not_starve_and_all_go_out") {
  Nic nic;
  const auto frame = frame_of(80);
  must(nic.driver->memory().write_bytes(nic.buffer, frame));
  size_t done = 0;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 60; ++i) {
      nic.driver->ring(1).add({{nic.buffer, static_cast<uint32_t>(frame.size()), false}});
    }
    nic.driver->kick(1);
    REQUIRE(nic.driver->run_until([&] {
      while (nic.driver->ring(1).used()) {
        ++done;
      }
      return done == (round + 1) * 60U;
    }));
  }
  CHECK(nic.backend().sent.size() == 1200);
}

TEST_CASE("net_receives_into_one_buffer") {
  Nic nic;
  nic.post(4, 2048);
  const auto frame = frame_of(500);
  nic.backend().arrive(frame);
  nic.backend().arrive(frame_of(14));
  const auto used = nic.driver->wait(0);
  REQUIRE(used);
  CHECK(used->written == 512);
  CHECK(nic.at(0, 512).substr(12) == text_of(frame).substr(12));
  CHECK(nic.at(0, 12)[10] == 1);  // num_buffers
  REQUIRE(nic.driver->wait(0)->written == 26);
  // Too large for a buffer without merging: dropped.
  nic.backend().arrive(frame_of(3000));
  nic.backend().arrive(frame_of(40));
  CHECK(nic.driver->wait(0)->written == 52);
  CHECK(nic.counter("rx-dropped") == 1);
}

TEST_CASE("net_merges_receive_buffers") {
  Nic nic(kModern | net::kMergeable);
  nic.post(40, 1536);
  const auto frame = frame_of(4000);
  nic.backend().arrive(frame);
  nic.backend().arrive(frame_of(60));
  std::string whole;
  for (const uint32_t expected : {1536U, 1536U, 940U}) {
    const auto used = nic.driver->wait(0);
    REQUIRE(used);
    CHECK(used->written == expected);
    whole += nic.at(used->head, expected);
  }
  CHECK(whole[10] == 3);
  CHECK(whole.substr(12) == text_of(frame).substr(12));
  CHECK(nic.driver->wait(0)->written == 72);
}

TEST_CASE("net_tiny_merged_buffers_work") {
  Nic nic(kModern | net::kMergeable);
  nic.post(30, 13);
  const auto frame = frame_of(100);
  nic.backend().arrive(frame);
  std::string whole;
  while (whole.size() < 112) {
    const auto used = nic.driver->wait(0);
    REQUIRE(used);
    whole += nic.at(used->head, used->written);
  }
  CHECK(whole[10] == 9);
  CHECK(whole.substr(12) == text_of(frame).substr(12));
}

TEST_CASE("net_frame_larger_than_the_posted_buffers_waits_for_more") {
  Nic nic(kModern | net::kMergeable);
  nic.post(2, 1536);
  const auto frame = frame_of(6000);
  nic.backend().arrive(frame);
  nic.driver->turn(5);
  CHECK_FALSE(nic.driver->ring(0).used());
  nic.post(4, 1536);
  std::string whole;
  for (int i = 0; i < 4; ++i) {
    const auto used = nic.driver->wait(0);
    REQUIRE(used);
    whole += nic.at(used->head, used->written);
  }
  CHECK(whole[10] == 4);
  CHECK(whole.substr(12) == text_of(frame).substr(12));
}

TEST_CASE("net_without_buffers_the_frame_stays_with_the_backend") {
  Nic nic;
  nic.backend().arrive(frame_of(60));
  nic.driver->turn(5);
  CHECK(nic.backend().incoming.size() == 1);
  nic.post(1, 2000);
  CHECK(nic.driver->wait(0));
}

TEST_CASE("net_receive_buffer_too_small_for_the_header_is_returned") {
  Nic nic;
  nic.post(1, 5);
  const auto used = nic.driver->wait(0);
  REQUIRE(used);
  CHECK(used->written == 0);
  CHECK(nic.counter("guest-mistakes") == 1);
}

TEST_CASE("net_filters_by_the_modes_and_tables_of_the_driver") {
  Nic nic;
  nic.post(16, 2048);
  const net::MacAddress other{2, 0, 0, 0, 0, 9};
  const net::MacAddress group{1, 0, 0x5E, 0, 0, 1};
  const net::MacAddress all{255, 255, 255, 255, 255, 255};
  const auto passes = [&](net::MacAddress to) {
    const uint64_t before = nic.counter("rx-packets");
    const uint64_t dropped = nic.counter("rx-dropped");
    nic.backend().arrive(frame_of(60, to));
    nic.driver->run_until([&] { return nic.counter("rx-packets") + nic.counter("rx-dropped") == before + dropped + 1; });
    return nic.counter("rx-packets") == before + 1;
  };
  CHECK(passes(other));  // promiscuous until told otherwise
  CHECK(nic.command_with<uint8_t>(net::kClassRx, net::kPromisc, 0) == net::kAckOk);
  CHECK_FALSE(passes(other));
  CHECK(passes(kOurMac));
  CHECK(passes(all));
  CHECK_FALSE(passes(group));
  CHECK(nic.command_with<uint8_t>(net::kClassRx, net::kAllMulti, 1) == net::kAckOk);
  CHECK(passes(group));
  CHECK(nic.command_with<uint8_t>(net::kClassRx, net::kAllUni, 1) == net::kAckError);  // not negotiated
  struct [[gnu::packed]] {
    uint32_t one = 1;
    net::MacAddress unicast{2, 0, 0, 0, 0, 9};
    uint32_t none = 0;
  } table;
  CHECK(nic.command(net::kClassMac, net::kMacTable, std::as_bytes(std::span(&table, 1))) == net::kAckOk);
  CHECK(passes(other));
  CHECK(nic.command(net::kClassMac, net::kMacTable, std::as_bytes(std::span(&table, 1)).first(9)) == net::kAckError);
  CHECK(nic.command_with<uint32_t>(net::kClassMac, net::kMacTable, 0xFFFFFFFF) == net::kAckError);
  CHECK(nic.command_with(net::kClassMac, net::kMacAddress, net::MacAddress{2, 0, 0, 0, 0, 77}) == net::kAckOk);
  CHECK_FALSE(passes(kOurMac));
  CHECK(nic.device->mac() == net::MacAddress{2, 0, 0, 0, 0, 77});
  CHECK(nic.command_with<uint8_t>(99, 0, 0) == net::kAckError);
  CHECK(nic.command(net::kClassRx, 0, {}) == net::kAckError);
  StateWriter writer;
  nic.device->save("net0", writer);
  const StateReader reader = must(StateReader::parse(writer.bytes()));
  VirtioNet::Options options;
  options.id = "net0";
  options.mac = kOurMac;
  options.port = must(open_none());
  const auto again = must(VirtioNet::create(std::move(options), &reader));
  CHECK(again->mac() == net::MacAddress{2, 0, 0, 0, 0, 77});
  CHECK(again->filter()->mode == nic.device->filter()->mode);
}

TEST_CASE("net_vlan_filter") {
  Nic nic(kModern | net::kCtrlVlan);
  nic.post(4, 2048);
  auto frame = frame_of(60);
  frame[12 + 12] = std::byte{0x81};
  frame[12 + 13] = std::byte{0x00};
  frame[12 + 14] = std::byte{0x00};
  frame[12 + 15] = std::byte{42};
  nic.backend().arrive(frame);
  REQUIRE(nic.driver->run_until([&] { return nic.counter("rx-dropped") == 1; }));
  CHECK(nic.command_with<uint16_t>(net::kClassVlan, net::kVlanAdd, 42) == net::kAckOk);
  CHECK(nic.command_with<uint16_t>(net::kClassVlan, net::kVlanAdd, 4096) == net::kAckError);
  nic.backend().arrive(frame);
  CHECK(nic.driver->wait(0));
}

TEST_CASE("net_offloads_follow_negotiation_and_command") {
  const NetCapabilities can{.vnet_header = true, .checksum = true, .tso = true, .uso = true};
  Nic nic(kModern | net::kGuestCsum | net::kGuestTso4 | net::kCtrlGuestOffloads, 1, can);
  CHECK((nic.device->offered_features() & net::kHostUso) != 0);
  CHECK(nic.backend().offloads == (TUN_F_CSUM | TUN_F_TSO4));
  CHECK(nic.command_with<uint64_t>(net::kClassOffloads, 0, net::kGuestCsum) == net::kAckOk);
  CHECK(nic.backend().offloads == TUN_F_CSUM);
  CHECK(nic.command_with<uint64_t>(net::kClassOffloads, 0, net::kGuestTso6) == net::kAckError);
  nic.driver->reset();
  CHECK(nic.backend().offloads == 0);
}

TEST_CASE("net_multiqueue_pairs_are_switched_by_command") {
  Nic nic(kModern | net::kMq, 3);
  CHECK(nic.device->queue_sizes().size() == 7);
  CHECK(nic.backends[0]->enabled);
  CHECK_FALSE(nic.backends[1]->enabled);
  CHECK(nic.command_with<uint16_t>(net::kClassMq, 0, 2, 6) == net::kAckOk);
  CHECK(nic.backends[1]->enabled);
  CHECK_FALSE(nic.backends[2]->enabled);
  CHECK(nic.command_with<uint16_t>(net::kClassMq, 0, 0, 6) == net::kAckError);
  CHECK(nic.command_with<uint16_t>(net::kClassMq, 0, 4, 6) == net::kAckError);
  nic.post(1, 2000, 2);
  nic.backends[1]->arrive(frame_of(60));
  CHECK(nic.driver->wait(2));
  nic.driver->reset();
  CHECK_FALSE(nic.backends[1]->enabled);
}

TEST_CASE("net_control_queue_is_third_without_multiqueue") {
  Nic nic(kModern, 3);
  CHECK(nic.command_with<uint8_t>(net::kClassRx, net::kPromisc, 1, 2) == net::kAckOk);
}

TEST_CASE("net_link_state_and_announcement") {
  Nic nic(kModern | net::kGuestAnnounce);
  const auto status = [&] {
    uint16_t value = 0;
    nic.device->read_config(6, writable_bytes_of(value));
    return value;
  };
  CHECK(status() == net::kLinkUp);
  nic.device->set_link(false);
  CHECK(status() == 0);
  CHECK(nic.driver->transport().config_changes == 1);
  REQUIRE(nic.send(frame_of(60)));
  CHECK(nic.backend().sent.empty());
  nic.device->set_link(true);
  nic.device->announce();
  CHECK(status() == (net::kLinkUp | net::kAnnounce));
  CHECK(nic.command(net::kClassAnnounce, 0, {}) == net::kAckOk);
  CHECK(status() == net::kLinkUp);
}

TEST_CASE("net_options_are_checked") {
  const auto error = [](net::MacAddress mac, uint16_t size) {
    VirtioNet::Options options;
    options.id = "net0";
    options.mac = mac;
    options.queue_size = size;
    options.port = must(open_none());
    const auto device = VirtioNet::create(std::move(options), nullptr);
    return device ? std::string() : device.error().message;
  };
  CHECK(error(kOurMac, 256).empty());
  CHECK(error({1, 0, 0, 0, 0, 1}, 256).find("MAC") != std::string::npos);
  CHECK(error({}, 256).find("MAC") != std::string::npos);
  CHECK(error(kOurMac, 100).find("power of two") != std::string::npos);
}

TEST_CASE("net_passes_frames_through_a_real_tap") {
  // In a network namespace of its own; on a thread, so that the rest of the program stays where it is.
  std::string skipped;
  std::thread worker([&] {
    if (::unshare(CLONE_NEWNET) != 0) {
      skipped = "no network namespace";
      return;
    }
    TapOptions missing;
    missing.id = "net0";
    missing.name = "lodge-none";
    const auto none = open_tap(std::move(missing));
    REQUIRE_FALSE(none);
    CHECK(none.error().message.find("there is no such interface") != std::string::npos);
    TapOptions options;
    options.id = "net0";
    options.name = "lodge0";
    options.create = true;
    auto port = open_tap(std::move(options));
    if (!port) {
      skipped = port.error().message;
      return;
    }
    CHECK(port->capabilities.vnet_header);
    CHECK(port->capabilities.checksum);
    TapOptions second;
    second.name = "lodge0";
    const auto busy = open_tap(std::move(second));
    REQUIRE_FALSE(busy);
    CHECK(busy.error().message.find("in use") != std::string::npos);
    // Up, with an address, so that the kernel answers ARP.
    const Fd control(::socket(AF_INET, SOCK_DGRAM, 0));
    ifreq request{};
    std::strcpy(request.ifr_name, "lodge0");
    auto* address = reinterpret_cast<sockaddr_in*>(&request.ifr_addr);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = __builtin_bswap32(0x0A000001);
    REQUIRE(::ioctl(control.get(), SIOCSIFADDR, &request) == 0);
    request.ifr_flags = IFF_UP;
    REQUIRE(::ioctl(control.get(), SIOCSIFFLAGS, &request) == 0);

    VirtioNet::Options nic;
    nic.id = "net0";
    nic.mac = kOurMac;
    nic.port = std::move(*port);
    const auto device = must(VirtioNet::create(std::move(nic), nullptr));
    DeviceDriver driver(*device, kModern | net::kMergeable | (device->offered_features() & net::kGuestOffloads));
    driver.start();
    const Gpa space = driver.allocate(64 * 4096);
    for (uint64_t i = 0; i < 60; ++i) {
      driver.ring(0).add({{Gpa{space.value + i * 4096}, 2048, true}});
    }
    driver.kick(0);
    std::vector<std::byte> arp(12 + 42);
    const uint8_t body[] = {255, 255,  255,  255, 255, 255, 0x52, 0x54, 0, 1, 2, 3, 8, 6, 0, 1, 8, 0,  6, 4, 0,
                            1,   0x52, 0x54, 0,   1,   2,   3,    10,   0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1};
    std::memcpy(arp.data() + 12, body, sizeof body);
    const Gpa out = driver.put(arp);
    REQUIRE(driver.request(1, {{out, 54, false}}));
    // Other frames (neighbour discovery) may come first.
    bool answered = false;
    driver.run_until([&] {
      while (const auto used = driver.ring(0).used()) {
        const std::string frame = driver.get(Gpa{space.value + used->head * 4096ULL}, used->written);
        answered |= frame.size() >= 54 && frame[24] == 8 && frame[25] == 6 && frame[33] == 2;
      }
      return answered;
    });
    CHECK(answered);
    driver.stop();
  });
  worker.join();
  if (!skipped.empty()) {
    WARN("skipped: " << skipped);
  }
}

TEST_CASE("net_multiqueue_tap_switches_queues") {
  std::string skipped;
  std::thread worker([&] {
    if (::unshare(CLONE_NEWNET) != 0) {
      skipped = "no network namespace";
      return;
    }
    TapOptions options;
    options.name = "lodge1";
    options.queue_pairs = 2;
    options.create = true;
    auto port = open_tap(std::move(options));
    if (!port) {
      skipped = port.error().message;
      return;
    }
    VirtioNet::Options nic;
    nic.id = "net0";
    nic.mac = kOurMac;
    nic.port = std::move(*port);
    const auto device = must(VirtioNet::create(std::move(nic), nullptr));
    DeviceDriver driver(*device, kModern | net::kMq | net::kGuestCsum);
    driver.start();
    CHECK_FALSE(driver.transport().needs_reset);
    CHECK(device->set_pairs(2));
    CHECK(device->set_pairs(1));
    driver.reset();
    CHECK_FALSE(driver.transport().needs_reset);
  });
  worker.join();
  if (!skipped.empty()) {
    WARN("skipped: " << skipped);
  }
}

}  // namespace lodge::test
