// How a failed call is told (struct virNetMessageError of libvirt's src/rpc/virnetprotocol.x).
#pragma once

#include "libvirt-driver/rpc/xdr.h"

namespace lodge::rpc {

struct DomainName {
  std::string name;
  Uuid uuid{};
  int32_t id = -1;  // -1: not running
  static constexpr auto xdr = std::tuple{&DomainName::name, &DomainName::uuid, &DomainName::id};
  friend bool operator==(const DomainName&, const DomainName&) = default;
};

struct NetworkName {
  std::string name;
  Uuid uuid{};
  static constexpr auto xdr = std::tuple{&NetworkName::name, &NetworkName::uuid};
  friend bool operator==(const NetworkName&, const NetworkName&) = default;
};

struct RemoteError {
  int32_t code = 0;    // VIR_ERR_*
  int32_t domain = 0;  // VIR_FROM_*
  std::optional<std::string> message;
  int32_t level = 2;  // VIR_ERR_ERROR
  std::optional<DomainName> dom;
  std::optional<std::string> str1;  // the message's format
  std::optional<std::string> str2;  // its detail
  std::optional<std::string> str3;
  int32_t int1 = -1;
  int32_t int2 = -1;
  std::optional<NetworkName> net;
  static constexpr auto xdr =
      std::tuple{&RemoteError::code, &RemoteError::domain, &RemoteError::message, &RemoteError::level,
                 &RemoteError::dom,  &RemoteError::str1,   &RemoteError::str2,    &RemoteError::str3,
                 &RemoteError::int1, &RemoteError::int2,   &RemoteError::net};
  friend bool operator==(const RemoteError&, const RemoteError&) = default;
};

}  // namespace lodge::rpc
