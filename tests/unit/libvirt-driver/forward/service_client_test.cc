// What the daemon itself asks of the host's services: workers that wait, and a connection that comes back.
#include "libvirt-driver/forward/service_client.h"

#include <atomic>
#include <thread>

#include "libvirt-driver/forward/network_calls.h"
#include "tests/unit/libvirt-driver/forward/fake_service.h"

namespace lodge::forward {
namespace {

constexpr Proc kLookup = Proc::network_lookup_by_name;

struct Bench {
  SocketFolder folder;
  std::optional<FakeService> service{std::in_place, folder, "virtnetworkd-sock"};
  asio::io_context network;
  int connected = 0;
  bool wanted = false;
  Bytes event;
  ServiceClient client{
      network,
      {.folder = folder.path()},
      "network",
      {.on_connected =
           [this] {
             ++connected;
             client.send(Proc::connect_network_event_register_any, rpc::encode(NetworkEventRegisterArgs{}));
           },
       .on_event = [this](int32_t, std::span<const uint8_t> payload) { event.assign(payload.begin(), payload.end()); },
       .wanted = [this] { return wanted; }}};

  bool until(const auto& holds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!holds() && std::chrono::steady_clock::now() < end) {
      network.restart();
      network.poll();
      if (service) {
        service->step();
      }
      std::this_thread::yield();
    }
    return holds();
  }
  // Looks a network up on a worker while the service does `serve`.
  Answer<NetworkRet> look_up(const auto& serve) {
    std::atomic<bool> done = false;
    std::optional<Answer<NetworkRet>> answer;
    std::thread worker([&] {
      answer = client.call<NetworkRet>(kLookup, NetworkLookupByNameArgs{.name = "default"});
      done = true;
    });
    CHECK(until([&] {
      serve();
      return done.load();
    }));
    worker.join();
    return *answer;
  }
};

}  // namespace

TEST_CASE("a worker waits for a service's answer", "[forward]") {
  Bench bench;
  const NetworkRet found{{.name = "default", .uuid = {1, 2}}};
  const auto answer = bench.look_up([&] {
    for (const rpc::Frame& frame : std::exchange(bench.service->frames, {})) {
      if (frame.header.procedure == static_cast<int32_t>(kLookup)) {
        CHECK(rpc::decode<NetworkLookupByNameArgs>(frame.payload)->name == "default");
        bench.service->answer(frame, MessageStatus::ok, rpc::encode(found));
      }
    }
  });
  REQUIRE(answer);
  CHECK(answer->network == found.network);
  CHECK(bench.connected == 1);
  bench.service->send(header_of(Proc::network_event_lifecycle, 0, MessageType::message), Bytes{1, 2, 3, 4});
  CHECK(bench.until([&] { return bench.event == Bytes{1, 2, 3, 4}; }));
}

TEST_CASE("a service's error keeps its code and text", "[forward]") {
  Bench bench;
  const rpc::RemoteError error{.code = VIR_ERR_NO_NETWORK, .domain = 19, .message = "Network not found: no network 'x'"};
  const auto answer = bench.look_up([&] {
    for (const rpc::Frame& frame : std::exchange(bench.service->frames, {})) {
      if (frame.header.procedure == static_cast<int32_t>(kLookup)) {
        bench.service->answer(frame, MessageStatus::error, rpc::encode(error));
      }
    }
  });
  REQUIRE(!answer);
  CHECK(answer.error().code == VIR_ERR_NO_NETWORK);
  CHECK(answer.error().message() == "Network not found: no network 'x'");
}

TEST_CASE("a service that is not there, ends or talks nonsense fails the call", "[forward]") {
  Bench bench;
  SECTION("not there") {
    bench.service.reset();
    const auto answer = bench.look_up([] {});
    REQUIRE(!answer);
    CHECK(answer.error().code == VIR_ERR_OPERATION_FAILED);
    CHECK_THAT(answer.error().message(), Catch::Contains("systemctl start"));
  }
  SECTION("ends") {
    const auto answer = bench.look_up([&] {
      if (bench.service->frames.size() == 2) {
        bench.service->hang_up();
      }
    });
    REQUIRE(!answer);
    CHECK_THAT(answer.error().message(), Catch::Contains("is lost"));
  }
  SECTION("nonsense") {
    const auto answer = bench.look_up([&] {
      for (const rpc::Frame& frame : std::exchange(bench.service->frames, {})) {
        bench.service->answer(frame, MessageStatus::ok, Bytes{0xFF, 0xFF, 0xFF, 0xFF});
      }
    });
    CHECK(!answer);
  }
}

TEST_CASE("a connection that is wanted comes back, another does not", "[forward]") {
  Bench bench;
  bench.client.connect();
  bench.until([&] { return bench.network.stopped(); });
  CHECK(bench.connected == 0);
  bench.wanted = true;
  bench.client.connect();
  REQUIRE(bench.until([&] { return bench.service->frames.size() == 1; }));
  bench.service->hang_up();
  REQUIRE(bench.until([&] { return bench.connected == 2 && bench.service->frames.size() == 2; }));
  bench.service.reset();  // for longer
  REQUIRE(bench.until([&] { return bench.network.poll() == 0; }));
  bench.service.emplace(bench.folder, "virtnetworkd-sock");
  CHECK(bench.until([&] { return bench.connected == 3 && bench.service->frames.size() == 1; }));
}

}  // namespace lodge::forward
