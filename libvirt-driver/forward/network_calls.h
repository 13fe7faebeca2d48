// Shapes of the network daemon's procedures that the daemon itself calls, in wire order (libvirt's remote_protocol.x).
#pragma once

#include "libvirt-driver/rpc/error.h"
#include "libvirt-driver/rpc/xdr.h"

namespace lodge::forward {

using rpc::NetworkName;
using rpc::Uuid;

struct NetworkPortName {
  NetworkName network;
  Uuid uuid{};
  static constexpr auto xdr = std::tuple{&NetworkPortName::network, &NetworkPortName::uuid};
};

struct NetworkLookupByNameArgs {
  std::string name;
  static constexpr auto xdr = std::tuple{&NetworkLookupByNameArgs::name};
};
struct NetworkRet {
  NetworkName network;
  static constexpr auto xdr = std::tuple{&NetworkRet::network};
};

struct NetworkPortCreateXmlArgs {
  NetworkName network;
  std::string xml;
  uint32_t flags = 0;
  static constexpr auto xdr =
      std::tuple{&NetworkPortCreateXmlArgs::network, &NetworkPortCreateXmlArgs::xml, &NetworkPortCreateXmlArgs::flags};
};
struct NetworkPortLookupByUuidArgs {
  NetworkName network;
  Uuid uuid{};
  static constexpr auto xdr = std::tuple{&NetworkPortLookupByUuidArgs::network, &NetworkPortLookupByUuidArgs::uuid};
};
// NETWORK_PORT_GET_XML_DESC, NETWORK_PORT_DELETE
struct NetworkPortArgs {
  NetworkPortName port;
  uint32_t flags = 0;
  static constexpr auto xdr = std::tuple{&NetworkPortArgs::port, &NetworkPortArgs::flags};
};
struct XmlRet {
  std::string xml;
  static constexpr auto xdr = std::tuple{&XmlRet::xml};
};

struct NetworkEventRegisterArgs {
  int32_t event = 0;                   // VIR_NETWORK_EVENT_ID_*
  std::optional<NetworkName> network;  // none: all
  static constexpr auto xdr = std::tuple{&NetworkEventRegisterArgs::event, &NetworkEventRegisterArgs::network};
};
struct NetworkEventLifecycleMsg {
  int32_t callback = 0;
  NetworkName network;
  int32_t event = 0;  // VIR_NETWORK_EVENT_*
  int32_t detail = 0;
  static constexpr auto xdr = std::tuple{&NetworkEventLifecycleMsg::callback, &NetworkEventLifecycleMsg::network,
                                         &NetworkEventLifecycleMsg::event, &NetworkEventLifecycleMsg::detail};
};

}  // namespace lodge::forward
