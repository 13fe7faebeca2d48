// ServiceClient: what the daemon itself asks of a service of the host. Its calls wait, so they are for workers; the
// connection is the network thread's, is opened when it is needed, and again when it was lost while it is wanted.
#pragma once

#include <functional>
#include <future>
#include <unordered_map>

#include "libvirt-driver/forward/services.h"
#include "libvirt-driver/forward/upstream.h"
#include "libvirt-driver/rpc/protocol.h"

namespace lodge::forward {

class ServiceClient final : private UpstreamUser {
 public:
  // On the network thread; they do not wait.
  struct Hooks {
    std::function<void()> on_connected;  // send() registers for events then
    std::function<void(int32_t procedure, std::span<const uint8_t> payload)> on_event;
    std::function<bool()> wanted;  // whether to connect again when the connection is lost
  };
  ServiceClient(asio::io_context& network, HostServices services, std::string family, Hooks hooks);
  ~ServiceClient();
  ServiceClient(const ServiceClient&) = delete;
  ServiceClient& operator=(const ServiceClient&) = delete;

  // Waits for the answer. Errors: the service's own; OPERATION_FAILED when it cannot be reached, OPERATION_TIMEOUT.
  template <class Ret, class Args>
  [[nodiscard]] Answer<Ret> call(rpc::Proc procedure, const Args& args) {
    const auto payload = TRY(call_raw(procedure, rpc::encode(args)));
    return TRY(rpc::decode<Ret>(payload));
  }
  template <class Args>
  [[nodiscard]] Answer<void> call(rpc::Proc procedure, const Args& args) {
    TRY(call_raw(procedure, rpc::encode(args)));
    return {};
  }
  // Connects, if it is wanted. Any thread.
  void connect();
  // Whose answer nobody waits for; network thread, from on_connected.
  void send(rpc::Proc procedure, std::span<const uint8_t> payload);

 private:
  using Bytes = std::vector<uint8_t>;
  using Promise = std::shared_ptr<std::promise<Answer<Bytes>>>;

  [[nodiscard]] Answer<Bytes> call_raw(rpc::Proc procedure, Bytes payload);
  void begin(rpc::Proc procedure, const Bytes& payload, const Promise& promise);
  [[nodiscard]] std::optional<CallError> open();
  void retry();
  void on_message(const rpc::MessageHeader& header, std::span<const uint8_t> payload) override;
  void on_lost() override;

  asio::io_context& network_;
  const HostServices services_;
  const std::string family_;
  const Hooks hooks_;
  std::shared_ptr<Upstream> upstream_;  // null: not connected
  std::unordered_map<uint32_t, Promise> waiting_;
  uint32_t next_ = 0;
  asio::steady_timer retry_timer_;
  std::chrono::seconds pause_;  // before the next try
};

}  // namespace lodge::forward
