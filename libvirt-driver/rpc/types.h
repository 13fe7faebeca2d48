// Structs that several procedures share, in wire order (libvirt's remote_protocol.x). Those of single procedures are
// generated from procedures.txt into protocol.h.
#pragma once

#include <variant>

#include "libvirt-driver/rpc/error.h"
#include "libvirt-driver/rpc/xdr.h"

namespace lodge::rpc {

struct SnapshotName {
  std::string name;
  DomainName dom;
  static constexpr auto xdr = std::tuple{&SnapshotName::name, &SnapshotName::dom};
  friend bool operator==(const SnapshotName&, const SnapshotName&) = default;
};

// A named value. The alternatives' order is that of VIR_TYPED_PARAM_*, which begins at 1.
struct TypedParam {
  // A bool of its own, since a boolean and an int have the same C type on the wire.
  struct Boolean {
    bool value = false;
    friend bool operator==(Boolean, Boolean) = default;
  };
  using Value = std::variant<int32_t, uint32_t, int64_t, uint64_t, double, Boolean, std::string>;
  std::string field;  // at most 80 bytes with libvirt's clients
  Value value;
  friend bool operator==(const TypedParam&, const TypedParam&) = default;
};

template <>
struct Xdr<TypedParam::Boolean> {
  static constexpr uint32_t kLeast = 4;
  static void put(XdrWriter& out, TypedParam::Boolean value) { out.put32(value.value ? 1 : 0); }
  static Result<TypedParam::Boolean> get(XdrReader& in) { return TypedParam::Boolean{TRY(in.get32()) != 0}; }
};

template <>
struct Xdr<TypedParam> {
  static constexpr uint32_t kLeast = 12;
  static void put(XdrWriter& out, const TypedParam& param);
  static Result<TypedParam> get(XdrReader& in);
};

struct VcpuInfo {
  uint32_t number{};
  int32_t state{};
  uint64_t cpu_time{};  // ns
  int32_t cpu = -1;
  static constexpr auto xdr = std::tuple{&VcpuInfo::number, &VcpuInfo::state, &VcpuInfo::cpu_time, &VcpuInfo::cpu};
  friend bool operator==(const VcpuInfo&, const VcpuInfo&) = default;
};

struct DomainMemoryStat {
  int32_t tag{};
  uint64_t val{};
  static constexpr auto xdr = std::tuple{&DomainMemoryStat::tag, &DomainMemoryStat::val};
  friend bool operator==(const DomainMemoryStat&, const DomainMemoryStat&) = default;
};

struct DomainStatsRecord {
  DomainName dom;
  List<TypedParam, 8192> params;
  static constexpr auto xdr = std::tuple{&DomainStatsRecord::dom, &DomainStatsRecord::params};
  friend bool operator==(const DomainStatsRecord&, const DomainStatsRecord&) = default;
};

struct NodeGetCpuStats {
  std::string field;
  uint64_t value{};
  static constexpr auto xdr = std::tuple{&NodeGetCpuStats::field, &NodeGetCpuStats::value};
  friend bool operator==(const NodeGetCpuStats&, const NodeGetCpuStats&) = default;
};
using NodeGetMemoryStats = NodeGetCpuStats;

struct DomainInterfaceAddress {
  int32_t type{};  // 0: IPv4, 1: IPv6
  std::string addr;
  uint32_t prefix{};
  static constexpr auto xdr =
      std::tuple{&DomainInterfaceAddress::type, &DomainInterfaceAddress::addr, &DomainInterfaceAddress::prefix};
  friend bool operator==(const DomainInterfaceAddress&, const DomainInterfaceAddress&) = default;
};

struct DomainInterface {
  std::string name;
  std::optional<std::string> hwaddr;
  List<DomainInterfaceAddress, 2048> addrs;
  static constexpr auto xdr = std::tuple{&DomainInterface::name, &DomainInterface::hwaddr, &DomainInterface::addrs};
  friend bool operator==(const DomainInterface&, const DomainInterface&) = default;
};

struct DomainFsinfo {
  std::string mountpoint;
  std::string name;
  std::string fstype;
  List<std::string, 256> dev_aliases;
  static constexpr auto xdr =
      std::tuple{&DomainFsinfo::mountpoint, &DomainFsinfo::name, &DomainFsinfo::fstype, &DomainFsinfo::dev_aliases};
  friend bool operator==(const DomainFsinfo&, const DomainFsinfo&) = default;
};

struct DomainIothreadInfo {
  uint32_t iothread_id{};
  Opaque<2048> cpumap;
  static constexpr auto xdr = std::tuple{&DomainIothreadInfo::iothread_id, &DomainIothreadInfo::cpumap};
  friend bool operator==(const DomainIothreadInfo&, const DomainIothreadInfo&) = default;
};

struct DomainDiskError {
  std::string disk;
  int32_t error{};
  static constexpr auto xdr = std::tuple{&DomainDiskError::disk, &DomainDiskError::error};
  friend bool operator==(const DomainDiskError&, const DomainDiskError&) = default;
};

struct DomainEventGraphicsAddress {
  int32_t family{};
  std::string node;
  std::string service;
  static constexpr auto xdr = std::tuple{&DomainEventGraphicsAddress::family, &DomainEventGraphicsAddress::node,
                                         &DomainEventGraphicsAddress::service};
  friend bool operator==(const DomainEventGraphicsAddress&, const DomainEventGraphicsAddress&) = default;
};

struct DomainEventGraphicsIdentity {
  std::string type;
  std::string name;
  static constexpr auto xdr = std::tuple{&DomainEventGraphicsIdentity::type, &DomainEventGraphicsIdentity::name};
  friend bool operator==(const DomainEventGraphicsIdentity&, const DomainEventGraphicsIdentity&) = default;
};

}  // namespace lodge::rpc
