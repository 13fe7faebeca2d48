// A hostile client's streams: data, ends, aborts and holes in any order and any number, against a descriptor whose other end
// reads, writes or goes away when it likes. When the client leaves, every stream has closed its descriptor and said so once.
//
// Input: operations, each a byte and a length in the next.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "libvirt-driver/access/access_rule.h"
#include "libvirt-driver/rpc/connection.h"

namespace {

using namespace lodge;

void require(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

struct Ends {
  int closed = 0;
  std::mutex mutex;     // the handler is on a worker
  std::vector<Fd> far;  // the guest's sides, one for each stream
  size_t made() {
    const std::scoped_lock lock(mutex);
    return far.size();
  }
};
Ends* ends = nullptr;

std::array<Fd, 2> socket_pair() {
  int pair[2];
  require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
  return {Fd(pair[0]), Fd(pair[1])};
}

Answer<void> open_stream(rpc::Call& call, const rpc::DomainOpenConsoleArgs& /*args*/) {
  auto [near, far] = socket_pair();
  const std::scoped_lock lock(ends->mutex);
  ends->far.push_back(std::move(far));
  call.stream = rpc::StreamRequest{
      .fd = std::move(near), .what = "the fuzzer's stream", .on_open = {}, .on_closed = [] { ++ends->closed; }};
  return {};
}

// The daemon's side of the network, with workers that are the same thread.
struct Daemon {
  asio::io_context network;
  asio::thread_pool workers{1};
  rpc::ProcedureTable procedures{std::array{rpc::bind<rpc::Proc::domain_open_console, open_stream>()}};
  alignas(std::max_align_t) std::array<char, 64> no_driver{};  // nobody looks at it
  // SAFETY: only its address is passed on.
  rpc::ConnectionEnv env{.network = network,
                         .workers = workers,
                         .high_workers = workers,
                         .agent_workers = workers,
                         .login_workers = workers,
                         .procedures = procedures,
                         .make_forwarder = {},
                         .driver = reinterpret_cast<Driver*>(no_driver.data()),
                         .complaints = {}};

  // Not run_one_for(): Asio's io_uring backend leaves the address of a local variable behind when such a wait ends early.
  bool run_until(const auto& done, std::chrono::milliseconds patience) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!done() && std::chrono::steady_clock::now() < end) {
      network.restart();
      if (network.poll() == 0) {
        std::this_thread::yield();
      }
    }
    return done();
  }
  void poll() {
    network.restart();
    network.poll();
  }
};

class Client {
 public:
  explicit Client(Fd fd) : fd_(std::move(fd)) {}

  void send(rpc::MessageType type, rpc::MessageStatus status, uint32_t serial, std::span<const uint8_t> payload) {
    rpc::MessageHeader header{.procedure = static_cast<int32_t>(rpc::Proc::domain_open_console), .serial = serial};
    header.type = type;
    header.status = status;
    send(*rpc::make_message(header, payload));
  }
  void send(std::span<const uint8_t> bytes) {
    (void)::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  void read() {
    std::array<uint8_t, 4096> buffer;
    while (::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) {
    }
  }
  void leave() { fd_ = Fd(); }

 private:
  Fd fd_;
};

void act(uint8_t what, std::span<const uint8_t> payload, Daemon& daemon, Client& client) {
  using rpc::MessageStatus;
  using rpc::MessageType;
  const uint32_t serial = what >> 6;
  const size_t streams = ends->made();
  int guest = -1;
  if (streams != 0) {
    const std::scoped_lock lock(ends->mutex);
    guest = ends->far[serial % streams].get();
  }
  switch (what & 15U) {
    case 0: {
      client.send(MessageType::call, MessageStatus::ok, serial, rpc::encode(rpc::DomainOpenConsoleArgs{}));
      (void)daemon.run_until([streams] { return ends->made() != streams; }, std::chrono::milliseconds(20));
      break;
    }
    case 1:
    case 2: client.send(MessageType::stream, MessageStatus::more, serial, payload); break;
    case 3: {
      const std::vector<uint8_t> much(size_t{256} * (payload.size() + 1), 'x');
      client.send(MessageType::stream, MessageStatus::more, serial, much);
      break;
    }
    case 4: client.send(MessageType::stream, MessageStatus::ok, serial, payload); break;
    case 5: client.send(MessageType::stream, MessageStatus::error, serial, payload); break;
    case 6: client.send(MessageType::stream_hole, MessageStatus::more, serial, payload); break;
    case 7: (void)::send(guest, payload.data(), payload.size(), MSG_NOSIGNAL | MSG_DONTWAIT); break;
    case 8: {
      std::array<uint8_t, 65536> buffer;
      (void)::recv(guest, buffer.data(), buffer.size(), MSG_DONTWAIT);
      break;
    }
    case 9: (void)::shutdown(guest, SHUT_RDWR); break;
    case 10: client.read(); break;
    case 11: client.send(payload); break;  // no message
    default: daemon.poll();
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  lodge::log_init("fuzz", lodge::LogLevel::off);
  (void)std::signal(SIGPIPE, SIG_IGN);  // as the daemon does
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Daemon daemon;
  Ends here;
  ends = &here;
  auto [near, far] = socket_pair();
  Client client(std::move(far));
  bool gone = false;
  asio::local::stream_protocol::socket socket(daemon.network);
  socket.assign(asio::local::stream_protocol(), near.release());
  auto connection = std::make_shared<rpc::Connection>(daemon.env, 1, rpc::make_unix_transport(std::move(socket)),
                                                      std::make_shared<access::AccessRule>(), [&gone] { gone = true; });
  require(connection->authenticated());
  require(connection->open(false));
  const std::weak_ptr<rpc::Connection> watched = connection;
  connection->run();
  connection.reset();
  std::span<const uint8_t> rest(data, size);
  while (rest.size() >= 2) {
    const size_t length = std::min<size_t>(rest[1], rest.size() - 2);
    act(rest[0], rest.subspan(2, length), daemon, client);
    rest = rest.subspan(2 + length);
  }
  client.leave();
  // The connection goes, all that runs for it with it, and no stream is left.
  require(daemon.run_until([&] { return gone && watched.expired() && here.made() == static_cast<size_t>(here.closed); },
                           std::chrono::seconds(10)));
  return 0;
}
