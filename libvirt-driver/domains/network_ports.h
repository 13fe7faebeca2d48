// NetworkPorts: guests' places on libvirt's networks. The network daemon says which bridge a network is and counts who uses
// it; the tap is ours. A port is made before the tap and removed after it; its number is in the guest's live definition,
// which outlives the daemon. Workers, unless said otherwise: they wait for the network daemon.
#pragma once

#include <atomic>
#include <mutex>

#include "libvirt-driver/domains/domain.h"
#include "libvirt-driver/forward/network_calls.h"
#include "libvirt-driver/forward/service_client.h"

namespace lodge {

class Driver;

class NetworkPorts {
 public:
  NetworkPorts(asio::io_context& network, forward::HostServices services, Driver& driver);

  // For an interface of type 'network' makes a port and fills in what it gives; for others does nothing.
  // Errors: the network daemon's own; CONFIG_UNSUPPORTED when the network is no bridge.
  [[nodiscard]] Answer<void> plug(const DomainConfig& guest, DomainInterface& interface);
  // Removes their ports. What fails is logged, since the guest has ended whatever happens, and done when the network daemon
  // is there again.
  void unplug(const std::vector<DomainInterface>& interfaces);
  // The same on a worker; waits for that no longer than `patience`. Any thread.
  void unplug_within(std::chrono::milliseconds patience, std::vector<DomainInterface> interfaces);
  // Once the running guests have been found again: their ports and taps are looked after. Any thread.
  void resume() { service_.connect(); }

 private:
  [[nodiscard]] bool in_use();  // network thread
  void on_connected();          // the same
  void on_event(int32_t procedure, std::span<const uint8_t> payload);
  void reclaim_later();
  void reclaim_all();
  [[nodiscard]] Answer<void> reclaim(const DomainPtr& domain, const DomainView& view, const DomainInterface& interface);
  [[nodiscard]] Answer<forward::NetworkName> find_network(const std::string& name);
  [[nodiscard]] Answer<void> create(const forward::NetworkName& network, const std::string& guest, const Uuid& guest_uuid,
                                    DomainInterface& interface);
  [[nodiscard]] Answer<void> remove(const DomainInterface& interface);

  Driver& driver_;
  std::atomic<bool> reclaim_waits_ = false;
  std::mutex reclaim_mutex_;  // one at a time
  std::mutex owed_mutex_;
  std::vector<DomainInterface> owed_;  // whose ports are to be removed
  forward::ServiceClient service_;
};

}  // namespace lodge
