// <networkport> of libvirt's network driver: what an interface asks of a network, and what the network gives it. Pure
// functions.
#pragma once

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/rpc/error.h"
#include "libvirt-driver/xml/domain_interface.h"

namespace lodge {

// `interface.source.portid` is the port's name.
[[nodiscard]] std::string network_port_xml(const std::string& guest, const Uuid& guest_uuid,
                                           const DomainInterface& interface);

// Takes over what the network gives: the bridge, limits of its own or its port group, isolation.
// CONFIG_UNSUPPORTED when it is not a tap on a Linux bridge.
[[nodiscard]] Answer<void> take_network_port(std::string_view xml, DomainInterface& interface);

}  // namespace lodge
