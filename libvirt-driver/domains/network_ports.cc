#include "libvirt-driver/domains/network_ports.h"

#include <libvirt/libvirt.h>
#include <sys/random.h>

#include "base/log.h"
#include "libvirt-driver/domains/driver.h"
#include "libvirt-driver/domains/network_port_xml.h"
#include "libvirt-driver/domains/taps.h"
#include "libvirt-driver/xml/uuid.h"

namespace lodge {
namespace {

using rpc::Proc;

constexpr size_t kMostOwed = 4096;  // ports that wait for the network daemon

bool has_port(const DomainInterface& interface) {
  return interface.type == InterfaceType::network && interface.source.portid != Uuid{};
}

bool is_of_connection(const CallError& error) {
  return error.code == VIR_ERR_OPERATION_FAILED || error.code == VIR_ERR_OPERATION_TIMEOUT;
}

Answer<Uuid> new_uuid() {
  Uuid bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return std::unexpected(CallError(fail_errno(errno, "random bytes for a network port").error()));
  }
  return random_uuid(bytes);
}

forward::NetworkPortArgs port_of(const forward::NetworkName& network, const DomainInterface& interface) {
  return {.port = {.network = network, .uuid = interface.source.portid}};
}

}  // namespace

NetworkPorts::NetworkPorts(asio::io_context& network, forward::HostServices services, Driver& driver)
    : driver_(driver),
      service_(network, std::move(services), "network",
               {.on_connected = [this] { on_connected(); },
                .on_event = [this](int32_t procedure, std::span<const uint8_t> payload) { on_event(procedure, payload); },
                .wanted = [this] { return in_use(); }}) {}

bool NetworkPorts::in_use() {
  {
    const std::scoped_lock lock(owed_mutex_);
    if (!owed_.empty()) {
      return true;
    }
  }
  return std::ranges::any_of(driver_.domains().all(), [](const DomainPtr& domain) {
    const DomainView view = domain->view();
    return view.active() && std::ranges::any_of(view.live->devices.interfaces, has_port);
  });
}

// The network daemon may have started anew, and then knows nothing of ports that it did not write down.
void NetworkPorts::on_connected() {
  service_.send(Proc::connect_network_event_register_any,
                rpc::encode(forward::NetworkEventRegisterArgs{.event = VIR_NETWORK_EVENT_ID_LIFECYCLE}));
  if (in_use()) {
    reclaim_later();
  }
}

// A network that starts again has a new bridge, and none of its former ports.
void NetworkPorts::on_event(int32_t procedure, std::span<const uint8_t> payload) {
  const auto event = rpc::decode<forward::NetworkEventLifecycleMsg>(payload);
  if (procedure == static_cast<int32_t>(Proc::network_event_lifecycle) && event &&
      event->event == VIR_NETWORK_EVENT_STARTED && in_use()) {
    reclaim_later();
  }
}

void NetworkPorts::reclaim_later() {
  if (!reclaim_waits_.exchange(true)) {
    driver_.post([this] { reclaim_all(); });
  }
}

void NetworkPorts::reclaim_all() {
  const std::scoped_lock lock(reclaim_mutex_);
  reclaim_waits_ = false;
  std::vector<DomainInterface> owed;
  {
    const std::scoped_lock owed_lock(owed_mutex_);
    owed.swap(owed_);
  }
  unplug(owed);
  for (const DomainPtr& domain : driver_.domains().all()) {
    const DomainView view = domain->view();
    if (!view.active()) {
      continue;
    }
    for (const DomainInterface& interface : view.live->devices.interfaces) {
      if (!has_port(interface)) {
        continue;
      }
      if (const auto outcome = reclaim(domain, view, interface); !outcome) {
        log_warning("domain", "'{}': its interface {} is not on network '{}' now: {}", view.name, to_xml(interface.mac),
                    interface.source.network, outcome.error().message());
        if (is_of_connection(outcome.error())) {
          return;  // once it is there again, this is done again
        }
      }
    }
  }
}

Answer<void> NetworkPorts::reclaim(const DomainPtr& domain, const DomainView& view, const DomainInterface& interface) {
  const auto network = TRY(find_network(interface.source.network));
  const auto known =
      service_.call(Proc::network_port_lookup_by_uuid,
                    forward::NetworkPortLookupByUuidArgs{.network = network, .uuid = interface.source.portid});
  if (!known && known.error().code != VIR_ERR_NO_NETWORK_PORT) {
    return known;
  }
  DomainInterface placed = interface;
  if (known) {
    const auto xml = TRY(service_.call<forward::XmlRet>(Proc::network_port_get_xml_desc, port_of(network, interface)));
    TRY_VOID(take_network_port(xml.xml, placed));
  } else {
    TRY_VOID(create(network, view.name, view.uuid, placed));
    log_info("domain", "'{}': interface {} has its port on network '{}' again", view.name, to_xml(interface.mac),
             interface.source.network);
  }
  const auto joined = join_bridge(placed);
  bool stays = false;
  domain->change([&](DomainView& now) {
    if (now.run != view.run || !now.live) {
      return;
    }
    auto live = std::make_shared<DomainConfig>(*now.live);
    for (DomainInterface& there : live->devices.interfaces) {
      if (there.alias == interface.alias && there.source.portid == interface.source.portid) {
        there.source.bridge = placed.source.bridge;
        stays = true;
      }
    }
    now.live = std::move(live);
  });
  if (!stays) {
    return known ? Answer<void>() : remove(placed);  // it went meanwhile
  }
  if (placed.source.bridge != interface.source.bridge) {
    driver_.write_status(domain);
  }
  return joined;
}

Answer<forward::NetworkName> NetworkPorts::find_network(const std::string& name) {
  const auto found =
      TRY(service_.call<forward::NetworkRet>(Proc::network_lookup_by_name, forward::NetworkLookupByNameArgs{.name = name}));
  return found.network;
}

Answer<void> NetworkPorts::create(const forward::NetworkName& network, const std::string& guest, const Uuid& guest_uuid,
                                  DomainInterface& interface) {
  TRY_VOID(service_.call(
      Proc::network_port_create_xml,
      forward::NetworkPortCreateXmlArgs{.network = network, .xml = network_port_xml(guest, guest_uuid, interface)}));
  Answer<void> outcome;
  if (const auto xml = service_.call<forward::XmlRet>(Proc::network_port_get_xml_desc, port_of(network, interface)); xml) {
    outcome = take_network_port(xml->xml, interface);
  } else {
    outcome = std::unexpected(xml.error());
  }
  if (!outcome) {
    (void)service_.call(Proc::network_port_delete, port_of(network, interface));
  }
  return outcome;
}

Answer<void> NetworkPorts::plug(const DomainConfig& guest, DomainInterface& interface) {
  if (interface.type != InterfaceType::network) {
    return {};
  }
  if (!interface.vlan.tags.empty() || !interface.virtual_port.type.empty()) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED,
                      "interface {}: this version of Lodge has no <vlan> and no <virtualport> on networks",
                      to_xml(interface.mac));
  }
  const auto network = TRY(find_network(interface.source.network));
  DomainInterface placed = interface;
  placed.source.portid = TRY(new_uuid());
  TRY_VOID(create(network, guest.name, guest.uuid, placed));
  interface = std::move(placed);
  return {};
}

Answer<void> NetworkPorts::remove(const DomainInterface& interface) {
  const auto network = TRY(find_network(interface.source.network));
  return service_.call(Proc::network_port_delete, port_of(network, interface));
}

void NetworkPorts::unplug(const std::vector<DomainInterface>& interfaces) {
  for (const DomainInterface& interface : interfaces) {
    if (!has_port(interface)) {
      continue;
    }
    const auto removed = remove(interface);
    // A network that was stopped has no ports any more.
    if (removed || removed.error().code == VIR_ERR_NO_NETWORK || removed.error().code == VIR_ERR_NO_NETWORK_PORT) {
      continue;
    }
    log_warning("domain", "the port {} on network '{}' is still there: {}", print_uuid(interface.source.portid),
                interface.source.network, removed.error().message());
    const std::scoped_lock lock(owed_mutex_);
    if (is_of_connection(removed.error()) && owed_.size() < kMostOwed) {
      owed_.push_back(interface);
    }
  }
}

void NetworkPorts::unplug_within(std::chrono::milliseconds patience, std::vector<DomainInterface> interfaces) {
  if (std::ranges::none_of(interfaces, has_port)) {
    return;
  }
  const auto done = std::make_shared<std::promise<void>>();
  driver_.post([this, done, interfaces = std::move(interfaces)] {
    unplug(interfaces);
    done->set_value();
  });
  (void)done->get_future().wait_for(patience);
}

}  // namespace lodge
