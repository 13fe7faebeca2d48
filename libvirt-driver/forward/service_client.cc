#include "libvirt-driver/forward/service_client.h"

#include <algorithm>

#include "base/log.h"

namespace lodge::forward {
namespace {

constexpr std::chrono::seconds kPatience{60};  // a network's firewall rules may take long
constexpr std::chrono::seconds kFirstPause{1};
constexpr std::chrono::seconds kLongestPause{30};

CallError from_remote(std::span<const uint8_t> payload) {
  const auto remote = rpc::decode<rpc::RemoteError>(payload);
  if (!remote) {
    return {VIR_ERR_RPC, "the answer is an error that cannot be read: " + remote.error().message, VIR_FROM_RPC};
  }
  // Its text begins with what we put before it, too.
  std::string text = remote->message.value_or("an error without a text");
  const std::string prefix = fmt::format("{}: ", message_prefix(remote->code));
  if (text.starts_with(prefix)) {
    text.erase(0, prefix.size());
  }
  return {remote->code, std::move(text), remote->domain};
}

}  // namespace

ServiceClient::ServiceClient(asio::io_context& network, HostServices services, std::string family, Hooks hooks)
    : network_(network),
      services_(std::move(services)),
      family_(std::move(family)),
      hooks_(std::move(hooks)),
      retry_timer_(network),
      pause_(kFirstPause) {}

ServiceClient::~ServiceClient() {
  if (upstream_) {
    upstream_->close();
  }
}

Answer<ServiceClient::Bytes> ServiceClient::call_raw(rpc::Proc procedure, Bytes payload) {
  const auto promise = std::make_shared<std::promise<Answer<Bytes>>>();
  auto answer = promise->get_future();
  asio::post(network_, [this, procedure, promise, payload = std::move(payload)] { begin(procedure, payload, promise); });
  if (answer.wait_for(kPatience) != std::future_status::ready) {
    return call_error(VIR_ERR_OPERATION_TIMEOUT, "the host's {} service has not answered for {} s", family_,
                      kPatience.count());
  }
  return answer.get();
}

void ServiceClient::begin(rpc::Proc procedure, const Bytes& payload, const Promise& promise) {
  auto error = open();
  const uint32_t serial = next_++;
  if (!error) {
    error = upstream_->call(static_cast<int32_t>(procedure), serial, payload);
  }
  if (error) {
    promise->set_value(std::unexpected(std::move(*error)));
    return;
  }
  waiting_.emplace(serial, promise);
}

void ServiceClient::send(rpc::Proc procedure, std::span<const uint8_t> payload) {
  if (upstream_) {
    (void)upstream_->call(static_cast<int32_t>(procedure), next_++, payload);
  }
}

std::optional<CallError> ServiceClient::open() {
  if (upstream_) {
    return std::nullopt;
  }
  auto socket = connect_service(services_, family_, false);
  if (!socket) {
    socket.error().code = VIR_ERR_OPERATION_FAILED;  // no client has asked for the service itself
    return std::move(socket).error();
  }
  upstream_ = Upstream::create(
      network_, std::move(socket->fd),
      {.family = family_, .path = socket->path, .daemon = socket->daemon, .uri = service_uri(services_, family_)}, *this);
  if (hooks_.on_connected) {
    hooks_.on_connected();
  }
  return std::nullopt;
}

void ServiceClient::connect() {
  asio::post(network_, [this] {
    if (hooks_.wanted && hooks_.wanted() && open()) {
      retry();
    }
  });
}

void ServiceClient::retry() {
  retry_timer_.expires_after(pause_);
  pause_ = std::min(pause_ * 2, kLongestPause);
  retry_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error && hooks_.wanted && hooks_.wanted() && open()) {
      retry();
    }
  });
}

void ServiceClient::on_message(const rpc::MessageHeader& header, std::span<const uint8_t> payload) {
  if (header.type == rpc::MessageType::message) {
    if (hooks_.on_event) {
      hooks_.on_event(header.procedure, payload);
    }
    return;
  }
  const bool good = header.status == rpc::MessageStatus::ok;
  if (good) {
    pause_ = kFirstPause;
  }
  const auto found = waiting_.find(header.serial);
  if (found == waiting_.end()) {
    return;  // nobody waits
  }
  const Promise promise = std::move(found->second);
  waiting_.erase(found);
  if (good) {
    promise->set_value(Bytes(payload.begin(), payload.end()));
  } else {
    promise->set_value(std::unexpected(from_remote(payload)));
  }
}

void ServiceClient::on_lost() {
  upstream_.reset();
  retry();
}

}  // namespace lodge::forward
