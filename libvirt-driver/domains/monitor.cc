#include "libvirt-driver/domains/monitor.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "base/log.h"
#include "libvirt-driver/rpc/asio.h"
#include "vmm/control/protocol.h"

namespace lodge {
namespace {

using UnixSocket = asio::local::stream_protocol::socket;

class ControlMonitor : public Monitor, public std::enable_shared_from_this<ControlMonitor> {
 public:
  ControlMonitor(asio::io_context& network, Fd socket, std::string guest, Hooks hooks)
      : network_(network), socket_(network), guest_(std::move(guest)), hooks_(std::move(hooks)) {
    boost::system::error_code ignored;
    socket_.assign(asio::local::stream_protocol(), socket.release(), ignored);
    socket_.native_non_blocking(true, ignored);
  }

  void start() {
    asio::post(network_,
               [self = shared_from_this()] { asio::co_spawn(self->network_, self->read_loop(self), asio::detached); });
  }

  bool wait_for_greeting(std::chrono::milliseconds patience) override {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [this] { return greeted_ || closed_; });
    return greeted_;
  }

  Answer<Json> execute(const std::string& verb, const Json& arguments, std::vector<Fd> fds,
                       std::chrono::milliseconds patience) override {
    auto [id, future] = send(verb, arguments, fds);
    if (future.wait_for(patience) == std::future_status::ready) {
      return future.get();
    }
    const std::scoped_lock lock(mutex_);
    pending_.erase(id);
    return call_error(VIR_ERR_OPERATION_TIMEOUT, "the monitor of domain '{}' has not answered '{}' for {} s", guest_, verb,
                      std::chrono::duration_cast<std::chrono::seconds>(patience).count());
  }

  std::future<Answer<Json>> begin(const std::string& verb, const Json& arguments, std::vector<Fd> fds) override {
    return std::move(send(verb, arguments, fds).second);
  }

  Answer<std::string> raw(const std::string& request) override {
    Json parsed = parse_json(request);
    if (!parsed.is_object()) {
      return call_error(VIR_ERR_INVALID_ARG, "the command is no JSON object like {{\"execute\": \"query-status\"}}");
    }
    const Json client_id = parsed.contains("id") ? parsed["id"] : Json();
    auto [id, future] = send_object(std::move(parsed), {}, true);
    if (future.wait_for(kPatience) != std::future_status::ready) {
      const std::scoped_lock lock(mutex_);
      pending_.erase(id);
      return call_error(VIR_ERR_OPERATION_TIMEOUT, "the monitor of domain '{}' has not answered", guest_);
    }
    auto answer = future.get();
    if (!answer) {
      return std::unexpected(answer.error());
    }
    answer->erase("id");
    if (!client_id.is_null()) {
      (*answer)["id"] = client_id;
    }
    return answer->dump(-1, ' ', false, Json::error_handler_t::replace);
  }

  void close() override {
    asio::post(network_, [self = shared_from_this()] { self->ended(); });
  }

 private:
  struct Pending {
    std::promise<Answer<Json>> promise;
    std::string verb;
    bool raw = false;
  };
  using Sent = std::pair<uint64_t, std::future<Answer<Json>>>;

  Sent send(const std::string& verb, const Json& arguments, const std::vector<Fd>& fds) {
    Json request{{"execute", verb}};
    if (!arguments.empty()) {
      request["arguments"] = arguments;
    }
    return send_object(std::move(request), fds, false);
  }

  Sent send_object(Json request, const std::vector<Fd>& fds, bool raw) {
    Pending pending;
    pending.raw = raw;
    pending.verb = text_in(request, "execute");
    auto future = pending.promise.get_future();
    const std::scoped_lock lock(mutex_);
    const uint64_t id = next_id_++;
    request["id"] = id;
    if (closed_) {
      pending.promise.set_value(gone());
      return {id, std::move(future)};
    }
    if (writing_ && !fds.empty()) {  // they go with the first byte of a message, and there is a queue
      pending.promise.set_value(
          call_error(VIR_ERR_OPERATION_FAILED, "domain '{}': its monitor does not read its socket", guest_));
      return {id, std::move(future)};
    }
    pending_.emplace(id, std::move(pending));
    std::string line = request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    if (!write(line, fds)) {
      out_ += line;
      if (!writing_) {
        writing_ = true;
        asio::post(network_,
                   [self = shared_from_this()] { asio::co_spawn(self->network_, self->write_loop(self), asio::detached); });
      }
    }
    return {id, std::move(future)};
  }

  // Under mutex_. True: all is written. False: `line` is what is left.
  bool write(std::string& line, const std::vector<Fd>& fds) {
    if (writing_) {
      return false;
    }
    iovec part{line.data(), line.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    constexpr size_t kMost = 16;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMost)> control{};
    if (!fds.empty() && fds.size() <= kMost) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
      cmsghdr* header = CMSG_FIRSTHDR(&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
      for (size_t i = 0; i < fds.size(); ++i) {
        const int number = fds[i].get();
        std::memcpy(CMSG_DATA(header) + i * sizeof(int), &number, sizeof number);
      }
    }
    const ssize_t sent = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      line.erase(0, static_cast<size_t>(sent));
    }
    return line.empty();
  }

  asio::awaitable<void> write_loop([[maybe_unused]] std::shared_ptr<ControlMonitor> self) {
    while (true) {
      std::string chunk;
      {
        const std::scoped_lock lock(mutex_);
        if (out_.empty() || closed_) {
          writing_ = false;
          co_return;
        }
        chunk.swap(out_);
      }
      const auto [error, size] = co_await asio::async_write(socket_, asio::buffer(chunk), kAwait);
      if (error) {
        ended();
        co_return;
      }
    }
  }

  asio::awaitable<void> read_loop([[maybe_unused]] std::shared_ptr<ControlMonitor> self) {
    std::array<char, 16384> buffer{};
    std::string text;
    while (true) {
      const auto [error, size] = co_await socket_.async_read_some(asio::buffer(buffer), kAwait);
      if (error) {
        ended();
        co_return;
      }
      text.append(buffer.data(), size);
      size_t begin = 0;
      for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
        handle(std::string_view(text).substr(begin, end - begin));
        begin = end + 1;
      }
      text.erase(0, begin);
      if (text.size() > 64 * kMaxControlMessage) {
        log_error("monitor", "domain '{}': its monitor sends a line without end; the connection is closed", guest_);
        ended();
        co_return;
      }
    }
  }

  void handle(std::string_view line) {
    Json message = parse_json(line);
    if (!message.is_object()) {
      return;
    }
    if (message.contains("QMP")) {
      const std::scoped_lock lock(mutex_);
      greeted_ = true;
      changed_.notify_all();
    } else if (message.contains("event") && message["event"].is_string()) {
      hooks_.on_event(message["event"].get<std::string>(), message.contains("data") ? message["data"] : Json::object());
    } else if (message.contains("id") && message["id"].is_number_unsigned()) {
      answer(message);
    }
  }

  void answer(Json& message) {
    std::unique_lock lock(mutex_);
    const auto it = pending_.find(message["id"].get<uint64_t>());
    if (it == pending_.end()) {
      return;  // whoever asked has given up
    }
    Pending pending = std::move(it->second);
    pending_.erase(it);
    lock.unlock();
    if (pending.raw) {
      pending.promise.set_value(std::move(message));
    } else if (message.contains("return")) {
      pending.promise.set_value(std::move(message["return"]));
    } else {
      std::string description = text_in(member_in(message, "error"), "desc");
      if (description.empty()) {
        description = "the monitor gives no reason";
      }
      pending.promise.set_value(
          call_error(VIR_ERR_OPERATION_FAILED, "domain '{}': {}: {}", guest_, pending.verb, description));
    }
  }

  std::unexpected<CallError> gone() const {
    return call_error(VIR_ERR_OPERATION_FAILED, "domain '{}': its monitor has ended", guest_);
  }

  // Network thread.
  void ended() {
    std::unordered_map<uint64_t, Pending> orphans;
    {
      const std::scoped_lock lock(mutex_);
      if (closed_) {
        return;
      }
      closed_ = true;
      orphans.swap(pending_);
      changed_.notify_all();
    }
    boost::system::error_code ignored;
    socket_.close(ignored);
    for (auto& [id, pending] : orphans) {
      pending.promise.set_value(gone());
    }
    const auto hooks = std::exchange(hooks_, {[](const std::string&, const Json&) {}, [] {}});
    hooks.on_closed();
  }

  asio::io_context& network_;
  UnixSocket socket_;
  const std::string guest_;
  Hooks hooks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool greeted_ = false;
  bool closed_ = false;
  bool writing_ = false;
  std::string out_;
  uint64_t next_id_ = 1;
  std::unordered_map<uint64_t, Pending> pending_;
};

}  // namespace

std::shared_ptr<Monitor> Monitor::create(boost::asio::io_context& network, Fd socket, std::string guest, Hooks hooks) {
  auto monitor = std::make_shared<ControlMonitor>(network, std::move(socket), std::move(guest), std::move(hooks));
  monitor->start();
  return monitor;
}

Result<Fd> connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail("the socket path '{}' is longer than {} bytes", path, sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  // Connecting does not wait for a listener with a full backlog.
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) {
    return fail_errno(errno, "create a socket");
  }
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(errno, "connect to '{}'", path);
  }
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
  return fd;
}

}  // namespace lodge
