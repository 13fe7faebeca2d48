// What a hostile monitor says on its control socket: no answer is lost, none throws, and the end is told once.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/log.h"
#include "libvirt-driver/domains/monitor.h"
#include "libvirt-driver/rpc/asio.h"

namespace {

void require(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

// Not run_one_for(): Asio's io_uring backend leaves the address of a local variable behind when such a wait ends early.
void run_until(boost::asio::io_context& network, const bool& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!done && std::chrono::steady_clock::now() < end) {
    network.restart();
    if (network.poll() == 0) {
      std::this_thread::yield();
    }
  }
  require(done);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  lodge::log_init("fuzz", lodge::LogLevel::off);
  return 0;
}

// Input: pieces of what it says, each after its length in one byte.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  static boost::asio::io_context network;
  int pair[2];
  require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  const Fd far(pair[1]);
  bool closed = false;
  size_t told = 0;
  const auto monitor = Monitor::create(
      network, Fd(pair[0]), "fuzz",
      {.on_event = [&](const std::string&,
                       const Json& event) { told += event.dump(-1, ' ', false, Json::error_handler_t::replace).size(); },
       .on_closed =
           [&] {
             require(!closed);
             closed = true;
           }});
  std::vector<std::future<Answer<Json>>> asked;
  for (int i = 0; i < 4; ++i) {
    asked.push_back(monitor->begin("query-status", Json::object(), {}));
  }
  std::span<const uint8_t> bytes(data, size);
  while (!bytes.empty()) {
    const size_t piece = std::min<size_t>(bytes[0], bytes.size() - 1);
    require(::send(far.get(), &bytes[0] + 1, piece, MSG_NOSIGNAL | MSG_DONTWAIT) >= -1);
    bytes = bytes.subspan(piece + 1);
    network.restart();
    network.poll();
  }
  ::shutdown(far.get(), SHUT_RDWR);
  run_until(network, closed);
  for (auto& future : asked) {
    require(future.wait_for(std::chrono::seconds(0)) == std::future_status::ready);
    if (const auto answer = future.get()) {
      told += answer->dump(-1, ' ', false, Json::error_handler_t::replace).size();
    }
  }
  (void)text_in(parse_json({reinterpret_cast<const char*>(data), size}), "desc");
  (void)integer_in<int32_t>(parse_json({reinterpret_cast<const char*>(data), size}), "id");
  return 0;
}
