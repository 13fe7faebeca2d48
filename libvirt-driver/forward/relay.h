// Relay: the forwarder of one client. For each family that the client uses it has a connection of its own to the host's
// daemon, opened at the family's first call, as read-only as the client. Network thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libvirt-driver/forward/services.h"
#include "libvirt-driver/forward/upstream.h"
#include "libvirt-driver/rpc/forwarder.h"

namespace lodge::forward {

class Relay : public rpc::Forwarder {
 public:
  Relay(asio::io_context& network, rpc::ForwardClient& client, HostServices services);
  ~Relay() override;
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  [[nodiscard]] std::optional<CallError> call(std::string_view family, const rpc::Frame& frame) override;
  void stream(const rpc::Frame& frame) override;
  [[nodiscard]] bool has_room() const override;
  void client_reads() override;

 private:
  class Line;
  Line& line(std::string_view family);

  asio::io_context& network_;
  rpc::ForwardClient& client_;
  HostServices services_;
  std::vector<std::unique_ptr<Line>> lines_;
};

}  // namespace lodge::forward
