// A hostile daemon of the host at the other end of what is forwarded to it: any messages in any order, and any bytes. Every
// call has one answer, every stream that was opened one end, and nothing is told of a connection that was closed. What it
// says of a network's port is the name of a bridge, or is refused.
//
// Input: operations, each a byte and a length in the next.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <map>
#include <thread>

#include "base/log.h"
#include "libvirt-driver/domains/network_port_xml.h"
#include "libvirt-driver/forward/upstream.h"
#include "libvirt-driver/rpc/protocol.h"

namespace {

using namespace lodge;
using rpc::MessageHeader;
using rpc::MessageStatus;
using rpc::MessageType;
using rpc::Proc;

constexpr std::array kCalls{Proc::connect_list_all_storage_pools, Proc::storage_vol_download, Proc::storage_vol_upload};

void require(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

// The client: what it has been promised, and has got.
class User final : public forward::UpstreamUser {
 public:
  void on_message(const MessageHeader& header, std::span<const uint8_t> payload) override {
    require(!closed);
    require(header.status == MessageStatus::ok || header.status == MessageStatus::error ||
            header.type != MessageType::reply);
    received += payload.size();
    if (header.type == MessageType::message) {
      return;
    }
    const bool is_reply = header.type == MessageType::reply;
    auto& due = is_reply ? calls : streams;
    const auto found = due.find(header.serial);
    require(found != due.end() && found->second == header.procedure);
    if (is_reply) {
      if (header.status == MessageStatus::ok && header.procedure != static_cast<int32_t>(kCalls[0])) {
        require(streams.emplace(header.serial, header.procedure).second);
      }
      due.erase(found);
    } else if (header.status != MessageStatus::more) {
      due.erase(found);
    }
  }
  [[nodiscard]] bool takes_more() const override { return reads; }
  void on_lost() override {
    require(!lost);
    lost = true;
  }

  std::map<uint32_t, int32_t> calls;
  std::map<uint32_t, int32_t> streams;
  size_t received = 0;
  bool reads = true;
  bool lost = false;
  bool closed = false;
};

class Bench {
 public:
  explicit Bench(asio::io_context& network) : network_(network) {
    int pair[2];
    require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    far_ = Fd(pair[1]);
    upstream_ = forward::Upstream::create(network, Fd(pair[0]),
                                          {.family = "storage",
                                           .path = "socket",
                                           .daemon = "libvirtd",
                                           .uri = "storage:///system",
                                           .read_only = false,
                                           .keepalive_interval = std::chrono::hours(1),
                                           .keepalive_count = 5},
                                          user);
    send(Proc::auth_list, 1, MessageType::reply, MessageStatus::ok, rpc::encode(rpc::AuthListRet{}));
    send(Proc::connect_open, 2, MessageType::reply, MessageStatus::ok, {});
  }

  void act(uint8_t what, std::span<const uint8_t> payload) {
    const Proc procedure = kCalls[(what >> 4U) % kCalls.size()];
    const uint32_t number = payload.empty() ? 0 : payload[0] % 16U;
    switch (what & 15U) {
      case 0:
      case 1: call(procedure, payload); break;
      case 2: send(procedure, number, MessageType::reply, MessageStatus::ok, payload); break;
      case 3: send(procedure, number, MessageType::reply, MessageStatus::error, payload); break;
      case 4: send(procedure, number, MessageType::stream, MessageStatus::more, payload); break;
      case 5: send(procedure, number, MessageType::stream, MessageStatus::ok, payload); break;
      case 6: send(procedure, number, MessageType::stream, MessageStatus::error, payload); break;
      case 7: send(procedure, number, MessageType::stream_hole, MessageStatus::more, payload); break;
      case 8: send(Proc::storage_pool_event_lifecycle, number, MessageType::message, MessageStatus::ok, payload); break;
      case 9: client_stream(procedure, number, static_cast<MessageStatus>((what >> 4U) % 3U), payload); break;
      case 10:
        user.reads = !user.reads;
        upstream_->resume();
        break;
      case 11: (void)::send(far_.get(), payload.data(), payload.size(), MSG_NOSIGNAL | MSG_DONTWAIT); break;
      case 12: read(); break;
      case 13: (void)::shutdown(far_.get(), SHUT_RDWR); break;
      case 14: many(procedure, number); break;
      default: take_port(payload);
    }
    poll();
  }

  // The daemon ends; all debts are paid.
  void finish(bool leaves_first) {
    if (leaves_first) {
      user.closed = true;
      upstream_->close();
      far_ = Fd();
    } else {
      user.reads = true;
      upstream_->resume();
      far_ = Fd();
      until([this] { return user.lost; });
      require(user.calls.empty() && user.streams.empty());
    }
    const std::weak_ptr<forward::Upstream> watched = upstream_;
    upstream_.reset();
    until([&] { return watched.expired(); });
  }

 private:
  void call(Proc procedure, std::span<const uint8_t> payload) {
    const uint32_t serial = next_++;
    if (!upstream_->call(static_cast<int32_t>(procedure), serial, payload)) {
      user.calls.emplace(serial, static_cast<int32_t>(procedure));
    } else {
      require(user.lost || user.calls.size() + user.streams.size() >= 1024);
    }
  }
  void client_stream(Proc procedure, uint32_t serial, MessageStatus status, std::span<const uint8_t> payload) {
    MessageHeader header{.procedure = static_cast<int32_t>(procedure), .serial = serial};
    header.type = MessageType::stream;
    header.status = status;
    (void)upstream_->stream(header, payload);
  }
  static void take_port(std::span<const uint8_t> text) {
    DomainInterface interface;
    // SAFETY: bytes as characters.
    if (take_network_port({reinterpret_cast<const char*>(text.data()), text.size()}, interface)) {
      const std::string& bridge = interface.source.bridge;
      require(!bridge.empty() && bridge.size() < 16 && bridge.find('/') == std::string::npos);
    }
  }
  void many(Proc procedure, uint32_t number) {
    for (uint32_t i = 0; i < number * 8; ++i) {
      call(procedure, {});
    }
  }
  void send(Proc procedure, uint32_t serial, MessageType type, MessageStatus status, std::span<const uint8_t> payload) {
    MessageHeader header{.procedure = static_cast<int32_t>(procedure), .serial = serial};
    header.type = type;
    header.status = status;
    const auto message = *rpc::make_message(header, payload);
    (void)::send(far_.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  void read() {
    std::array<uint8_t, 4096> buffer;
    while (::recv(far_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) {
    }
  }
  void poll() {
    network_.restart();
    network_.poll();
  }
  void until(const auto& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done() && std::chrono::steady_clock::now() < end) {
      poll();
      std::this_thread::yield();
    }
    require(done());
  }

  asio::io_context& network_;
  User user;
  Fd far_;
  uint32_t next_ = 0;
  std::shared_ptr<forward::Upstream> upstream_;
};

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  lodge::log_init("fuzz", lodge::LogLevel::off);
  (void)std::signal(SIGPIPE, SIG_IGN);  // as the daemon does
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static asio::io_context network;
  if (size == 0) {
    return 0;
  }
  Bench bench(network);
  std::span<const uint8_t> rest(data + 1, size - 1);
  while (rest.size() >= 2) {
    const size_t length = std::min<size_t>(rest[1], rest.size() - 2);
    bench.act(rest[0], rest.subspan(2, length));
    rest = rest.subspan(2 + length);
  }
  bench.finish((data[0] & 1U) != 0);
  return 0;
}
