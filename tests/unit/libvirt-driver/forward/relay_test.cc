// Calls, events and streams through the relay, with daemons that behave and daemons that do not.
#include "libvirt-driver/forward/relay.h"

#include <algorithm>
#include <thread>

#include "tests/unit/libvirt-driver/forward/fake_service.h"

namespace lodge::forward {
namespace {

struct Passed {
  MessageHeader header;
  Bytes payload;
};

class FakeClient final : public rpc::ForwardClient {
 public:
  void pass(const MessageHeader& header, std::span<const uint8_t> payload) override {
    passed.push_back({header, Bytes(payload.begin(), payload.end())});
  }
  [[nodiscard]] bool reads() const override { return reading; }
  void on_room() override { ++rooms; }
  [[nodiscard]] bool is_read_only() const override { return read_only; }

  std::vector<Passed> passed;
  bool reading = true;
  bool read_only = false;
  int rooms = 0;
};

// A client, its relay and libvirtd.
struct Bench {
  SocketFolder folder;
  FakeService service{folder, "libvirt-sock"};
  asio::io_context network;
  FakeClient client;
  Relay relay{network, client, {.folder = folder.path()}};

  ~Bench() { settle(); }

  bool until(const auto& holds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!holds() && std::chrono::steady_clock::now() < end) {
      network.restart();
      network.poll();
      service.step();
      std::this_thread::yield();
    }
    return holds();
  }
  // Whatever is on its way arrives.
  void settle() {
    for (int i = 0; i < 100; ++i) {
      network.restart();
      network.poll();
      service.step();
    }
  }
  std::optional<CallError> call(Proc procedure, uint32_t serial, const Bytes& payload = {},
                                std::string_view family = "storage") {
    rpc::Frame frame;
    frame.header = header_of(procedure, serial);
    frame.payload = payload;
    return relay.call(family, frame);
  }
  void stream(Proc procedure, uint32_t serial, MessageStatus status, const Bytes& payload = {}) {
    rpc::Frame frame;
    frame.header = header_of(procedure, serial, MessageType::stream, status);
    frame.payload = payload;
    relay.stream(frame);
  }
  // The call as it arrives at the service.
  rpc::Frame arrived(Proc procedure, uint32_t serial, const Bytes& payload = {}, std::string_view family = "storage") {
    REQUIRE(!call(procedure, serial, payload, family));
    const size_t before = service.frames.size();
    REQUIRE(until([&] { return service.frames.size() > before; }));
    rpc::Frame frame = std::move(service.frames.back());
    return frame;
  }
  rpc::Frame open_stream(Proc procedure, uint32_t serial) {
    rpc::Frame frame = arrived(procedure, serial);
    service.answer(frame, MessageStatus::ok);
    REQUIRE(until([&] { return client.passed.size() == 1; }));
    client.passed.clear();
    return frame;
  }
  // What the client is told when the connection is lost.
  std::string error_of(size_t index) {
    const Passed& message = client.passed.at(index);
    REQUIRE(message.header.status == MessageStatus::error);
    return *rpc::decode<rpc::RemoteError>(message.payload)->message;
  }
};

constexpr Proc kList = Proc::connect_list_all_storage_pools;
constexpr Proc kUpload = Proc::storage_vol_upload;
constexpr Proc kDownload = Proc::storage_vol_download;

}  // namespace

TEST_CASE("a call is passed on as it is, with the numbers of both sides", "[forward]") {
  Bench bench;
  const rpc::Frame first = bench.arrived(kList, 77, {1, 2, 3, 4});
  const rpc::Frame second = bench.arrived(kList, 77, {5, 6, 7, 8});  // a client that gives a number twice
  CHECK(first.payload == Bytes{1, 2, 3, 4});
  CHECK(first.header.serial != second.header.serial);
  bench.service.answer(second, MessageStatus::ok, Bytes{2, 2, 2, 2});
  bench.service.answer(first, MessageStatus::error, Bytes{1, 1, 1, 1});
  REQUIRE(bench.until([&] { return bench.client.passed.size() == 2; }));
  CHECK(bench.client.passed[0].header == header_of(kList, 77, MessageType::reply));
  CHECK(bench.client.passed[0].payload == Bytes{2, 2, 2, 2});
  CHECK(bench.client.passed[1].header == header_of(kList, 77, MessageType::reply, MessageStatus::error));
  CHECK(bench.client.passed[1].payload == Bytes{1, 1, 1, 1});
  CHECK(bench.service.connections == 1);
  CHECK(bench.service.opened->name == "storage:///system");
  CHECK(bench.service.opened->flags == 0);
}

TEST_CASE("each family has its own connection and goes to its own daemon where there is one", "[forward]") {
  Bench bench;
  FakeService own(bench.folder, "virtnetworkd-sock");
  REQUIRE(!bench.call(Proc::connect_list_all_networks, 1, {}, "network"));
  REQUIRE(!bench.call(kList, 2));
  REQUIRE(bench.until([&] {
    own.step();
    return own.frames.size() == 1 && bench.service.frames.size() == 1;
  }));
  CHECK(own.opened->name == "network:///system");
  CHECK(bench.service.opened->name == "storage:///system");
}

TEST_CASE("a read-only client gets the read-only socket, and a read-only connection wherever it goes", "[forward]") {
  Bench bench;
  bench.client.read_only = true;
  SECTION("there is one") {
    FakeService quiet(bench.folder, "libvirt-sock-ro");
    REQUIRE(!bench.call(kList, 1));
    REQUIRE(bench.until([&] {
      quiet.step();
      return quiet.frames.size() == 1;
    }));
    CHECK(quiet.opened->flags == 1);
    CHECK(bench.service.connections == 0);
  }
  SECTION("there is none") {
    (void)bench.arrived(kList, 1);
    CHECK(bench.service.opened->flags == 1);
  }
}

TEST_CASE("no daemon: the call fails at once, and the next one tries again", "[forward]") {
  SocketFolder folder;
  asio::io_context network;
  FakeClient client;
  Relay relay(network, client, {.folder = folder.path()});
  rpc::Frame frame;
  frame.header = header_of(kList, 1);
  const auto error = relay.call("storage", frame);
  REQUIRE(error);
  CHECK(error->code == VIR_ERR_NO_SUPPORT);
  CHECK_THAT(error->message(), Catch::Contains(folder.path() + "/libvirt-sock'") && Catch::Contains("systemctl start"));
  FakeService service(folder, "libvirt-sock");
  CHECK(!relay.call("storage", frame));
}

TEST_CASE("a daemon that ends fails what it owes, and is connected again", "[forward]") {
  Bench bench;
  (void)bench.open_stream(kDownload, 1);
  (void)bench.arrived(kList, 2);
  bench.service.hang_up();
  REQUIRE(bench.until([&] { return bench.client.passed.size() == 2; }));
  for (size_t i = 0; i < 2; ++i) {
    const MessageHeader& header = bench.client.passed[i].header;
    CHECK(header.type == (header.serial == 1 ? MessageType::stream : MessageType::reply));
    CHECK_THAT(bench.error_of(i), Catch::Contains("libvirt-sock') is lost") && Catch::Contains("systemctl status libvirtd"));
  }
  (void)bench.arrived(kList, 3);
  CHECK(bench.service.connections == 2);
}

TEST_CASE("a daemon that does not let us in is told of in a sentence", "[forward]") {
  Bench bench;
  bench.service.opens = false;
  REQUIRE(!bench.call(kList, 5));
  REQUIRE(bench.until([&] { return bench.service.frames.size() == 1; }));
  SECTION("it wants a login") {
    bench.service.answer(bench.service.frames[0], MessageStatus::ok, rpc::encode(rpc::AuthListRet{.types = {1}}));
    REQUIRE(bench.until([&] { return bench.client.passed.size() == 1; }));
    CHECK_THAT(bench.error_of(0), Catch::Contains("it wants a login; set auth_unix_rw"));
  }
  SECTION("it has no such driver") {
    bench.service.answer(bench.service.frames[0], MessageStatus::ok, rpc::encode(rpc::AuthListRet{}));
    REQUIRE(bench.until([&] { return bench.service.frames.size() == 2; }));
    bench.service.answer(bench.service.frames[1], MessageStatus::error,
                         rpc::encode(rpc::RemoteError{.code = 5, .message = "no connection driver available"}));
    REQUIRE(bench.until([&] { return bench.client.passed.size() == 1; }));
    CHECK_THAT(bench.error_of(0), Catch::Contains("no connection driver available"));
  }
  SECTION("it answers something else") {
    bench.service.send(header_of(kList, 1, MessageType::reply));
    REQUIRE(bench.until([&] { return bench.client.passed.size() == 1; }));
    CHECK_THAT(bench.error_of(0), Catch::Contains("answered AUTH_LIST with procedure"));
  }
  CHECK(rpc::decode<rpc::RemoteError>(bench.client.passed[0].payload)->code == VIR_ERR_NO_SUPPORT);
}

TEST_CASE("what a daemon may not send ends the connection to it, and no more", "[forward]") {
  Bench bench;
  const rpc::Frame download = bench.open_stream(kDownload, 1);
  const rpc::Frame call = bench.arrived(kList, 2);
  const uint32_t serial = call.header.serial;
  const uint32_t stream = download.header.serial;
  const auto make = [](const MessageHeader& header) { return *rpc::make_message(header, {}); };
  MessageHeader other = header_of(kList, serial, MessageType::reply);
  other.program = static_cast<uint32_t>(rpc::Program::qemu);
  const Bytes bad =
      GENERATE_COPY(make(header_of(kList, serial + 1000, MessageType::reply)),                   // a call that was not made
                    make(header_of(Proc::storage_pool_get_info, serial, MessageType::reply)),    // another procedure
                    make(header_of(kList, serial, MessageType::reply, MessageStatus::more)),     //
                    make(header_of(kList, serial, MessageType::stream, MessageStatus::more)),    // not a stream
                    make(header_of(kDownload, stream, MessageType::stream, MessageStatus::ok)),  // nobody has finished it
                    make(header_of(kDownload, stream, MessageType::stream_hole, MessageStatus::error)),
                    make(header_of(kUpload, stream, MessageType::stream, MessageStatus::more)),  //
                    make(header_of(kDownload, stream, MessageType::reply)),                      // it has one
                    make(header_of(kList, serial, MessageType::call)), make(other),              //
                    Bytes{0, 0, 0, 27, 0, 0, 0, 0}, Bytes{0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}, Bytes(64, 0));
  bench.service.send(bad);
  REQUIRE(bench.until([&] { return bench.client.passed.size() == 2; }));
  CHECK_THAT(bench.error_of(0), Catch::Contains("is lost"));
  CHECK_THAT(bench.error_of(1), Catch::Contains("is lost"));
  REQUIRE(bench.until([&] { return bench.service.gone; }));
  (void)bench.arrived(kList, 3);
}

TEST_CASE("events of the family are passed on, others are not", "[forward]") {
  Bench bench;
  (void)bench.arrived(Proc::connect_storage_pool_event_register_any, 1);
  bench.service.send(header_of(Proc::storage_pool_event_lifecycle, 9, MessageType::message), Bytes{1, 2, 3, 4});
  bench.service.send(header_of(Proc::network_event_lifecycle, 0, MessageType::message), Bytes{5, 5, 5, 5});
  bench.service.send(header_of(Proc::domain_event_lifecycle, 0, MessageType::message), Bytes{6, 6, 6, 6});
  bench.service.send(header_of(Proc::storage_pool_event_refresh, 0, MessageType::message), Bytes{7, 7, 7, 7});
  REQUIRE(bench.until([&] { return bench.client.passed.size() == 2; }));
  CHECK(bench.client.passed[0].header == header_of(Proc::storage_pool_event_lifecycle, 0, MessageType::message));
  CHECK(bench.client.passed[0].payload == Bytes{1, 2, 3, 4});
  CHECK(bench.client.passed[1].payload == Bytes{7, 7, 7, 7});
}

TEST_CASE("a flood of events waits for the client to read", "[forward]") {
  Bench bench;
  (void)bench.arrived(Proc::connect_storage_pool_event_register_any, 1);
  bench.client.reading = false;
  const Bytes event =
      *rpc::make_message(header_of(Proc::storage_pool_event_lifecycle, 0, MessageType::message), Bytes(60000, 7));
  size_t sent = 0;
  bench.settle();
  bench.client.passed.clear();
  while (bench.service.send(event)) {  // until the kernel takes no more
    ++sent;
    bench.settle();
    REQUIRE(sent < 1000);
  }
  CHECK(bench.client.passed.size() < 4);  // what was read before the client stopped
  bench.client.reading = true;
  bench.relay.client_reads();
  CHECK(bench.until([&] { return bench.client.passed.size() >= sent; }));
}

TEST_CASE("a download, with holes, to its end", "[forward]") {
  Bench bench;
  const rpc::Frame frame = bench.open_stream(kDownload, 41);
  const uint32_t serial = frame.header.serial;
  bench.service.send(header_of(kDownload, serial, MessageType::stream, MessageStatus::more), Bytes(5, 1));
  bench.service.send(header_of(kDownload, serial, MessageType::stream_hole, MessageStatus::more), Bytes(12, 0));
  bench.service.send(header_of(kDownload, serial, MessageType::stream, MessageStatus::more));
  REQUIRE(bench.until([&] { return bench.client.passed.size() == 3; }));
  CHECK(bench.client.passed[0].header == header_of(kDownload, 41, MessageType::stream, MessageStatus::more));
  CHECK(bench.client.passed[0].payload == Bytes(5, 1));
  CHECK(bench.client.passed[1].header.type == MessageType::stream_hole);
  bench.stream(kDownload, 41, MessageStatus::ok);
  bench.stream(kDownload, 41, MessageStatus::error);  // too late: it is finished
  REQUIRE(bench.until([&] { return bench.service.frames.size() == 2; }));
  bench.settle();
  REQUIRE(bench.service.frames.size() == 2);
  CHECK(bench.service.frames[1].header == header_of(kDownload, serial, MessageType::stream));
  bench.service.send(header_of(kDownload, serial, MessageType::stream));
  bench.service.send(header_of(kDownload, serial, MessageType::stream, MessageStatus::more), Bytes(5, 1));  // late
  REQUIRE(bench.until([&] { return bench.client.passed.size() == 4; }));
  bench.settle();
  CHECK(bench.client.passed.size() == 4);
  CHECK(bench.client.passed[3].header == header_of(kDownload, 41, MessageType::stream));
  (void)bench.arrived(kDownload, 41);  // the number is free again
}

TEST_CASE("a stream of a number that is open is refused", "[forward]") {
  Bench bench;
  (void)bench.open_stream(kDownload, 8);
  const auto error = bench.call(kUpload, 8);
  REQUIRE(error);
  CHECK_THAT(error->message(), Catch::Contains("is open already"));
}

TEST_CASE("streams are aborted from both sides", "[forward]") {
  Bench bench;
  const rpc::Frame frame = bench.open_stream(kUpload, 3);
  SECTION("by the client") {
    bench.stream(kUpload, 3, MessageStatus::error);
    REQUIRE(bench.until([&] { return bench.service.frames.size() == 2; }));
    CHECK(bench.service.frames[1].header.status == MessageStatus::error);
    bench.service.send(header_of(kUpload, frame.header.serial, MessageType::stream));
    REQUIRE(bench.until([&] { return bench.client.passed.size() == 1; }));
    CHECK(bench.client.passed[0].header == header_of(kUpload, 3, MessageType::stream));
  }
  SECTION("by the daemon") {
    bench.service.send(header_of(kUpload, frame.header.serial, MessageType::stream, MessageStatus::error),
                       Bytes{1, 1, 1, 1});
    REQUIRE(bench.until([&] { return bench.client.passed.size() == 1; }));
    CHECK(bench.client.passed[0].payload == Bytes{1, 1, 1, 1});
    bench.stream(kUpload, 3, MessageStatus::more, Bytes(10, 1));
    bench.settle();
    CHECK(bench.service.frames.size() == 1);
  }
}

TEST_CASE("an upload that the daemon does not take leaves no room, and has it again", "[forward]") {
  Bench bench;
  (void)bench.open_stream(kUpload, 3);
  bench.service.reads = false;
  int sent = 0;
  for (; bench.relay.has_room(); ++sent) {
    bench.stream(kUpload, 3, MessageStatus::more, Bytes(200'000, 9));
    bench.settle();
    REQUIRE(sent < 1000);
  }
  CHECK(bench.client.rooms == 0);
  bench.service.reads = true;
  REQUIRE(bench.until([&] { return bench.client.rooms == 1; }));
  CHECK(bench.relay.has_room());
  REQUIRE(bench.until([&] { return bench.service.frames.size() == static_cast<size_t>(sent) + 1; }));
}

TEST_CASE("a daemon that hangs is noticed", "[forward]") {
  SocketFolder folder;
  FakeService service(folder, "libvirt-sock");
  asio::io_context network;
  struct User final : UpstreamUser {
    void on_message(const MessageHeader& header, std::span<const uint8_t> payload) override {
      CHECK(header.serial == 12);
      error = *rpc::decode<rpc::RemoteError>(payload)->message;
    }
    void on_lost() override { lost = true; }
    std::string error;
    bool lost = false;
  } user;
  auto socket = connect_service({.folder = folder.path()}, "network", false);
  REQUIRE(socket);
  const auto upstream = Upstream::create(network, std::move(socket->fd),
                                         {.family = "network",
                                          .path = socket->path,
                                          .daemon = socket->daemon,
                                          .uri = "network:///system",
                                          .keepalive_interval = std::chrono::milliseconds(5),
                                          .keepalive_count = 3},
                                         user);
  REQUIRE(!upstream->call(static_cast<int32_t>(Proc::connect_list_all_networks), 12, {}));
  while (user.error.empty()) {
    network.restart();
    network.poll();
    service.step();
  }
  CHECK(user.lost);
  CHECK(service.pings == 3);
  CHECK_THAT(user.error, Catch::Contains("it has not answered"));
}

}  // namespace lodge::forward
