// The two documents by which clients learn what host and hypervisor can do. What is offered comes from offered.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libvirt-driver/host/cpu_models.h"
#include "libvirt-driver/host/identity.h"
#include "libvirt-driver/host/node.h"
#include "libvirt-driver/host/topology.h"

namespace lodge {

struct HostCache {
  uint32_t id = 0;
  uint32_t level = 0;
  std::string type;  // "both", "code", "data"
  uint64_t size_kib = 0;
  std::vector<uint32_t> cpus;
};

// Everything that the documents say of the host. A value; read once at the start, or anew when memory or processors may have
// come or gone.
struct HostFacts {
  std::string emulator = "/usr/libexec/lodge-vmm";
  HostUuid uuid{};
  NodeInfo node;
  HostTopology topology;
  std::vector<HostCache> caches;  // of the last level
  std::vector<uint32_t> page_sizes_kib;
  bool iommu = false;
  std::string cpu_model;  // "" when no model of the map fits
  std::string cpu_vendor;
  std::optional<ProcessorSignature> cpu_signature;
  std::vector<std::string> cpu_features;  // over the model's
  uint32_t microcode = 0;                 // 0: not known
  uint32_t physical_bits = 0;             // of an address
  uint64_t tsc_hz = 0;                    // 0: not known, or not constant
  bool tsc_scaling = false;
  std::optional<CpuFacts> offered;  // what KVM offers guests; nothing when there is no KVM
  std::vector<std::string> uefi;    // images of UEFI firmware that is installed
};

// `processor` and `kvm` are asked once each. No KVM is no error: a host without it says so in its documents.
[[nodiscard]] Answer<HostFacts> host_facts(const HostPaths& paths, const HostUuid& uuid, const CpuModels& models,
                                           const CpuidSource& processor, const CpuidSource& kvm);

// CONNECT_GET_CAPABILITIES.
[[nodiscard]] std::string capabilities_xml(const HostFacts& facts);

// CONNECT_GET_DOMAIN_CAPABILITIES; what is not given is the default.
struct DomainCapabilitiesRequest {
  std::optional<std::string> emulator;
  std::optional<std::string> arch;
  std::optional<std::string> machine;
  std::optional<std::string> virttype;
};
// VIR_ERR_INVALID_ARG for what is unknown or not offered.
[[nodiscard]] Answer<std::string> domain_capabilities_xml(const DomainCapabilitiesRequest& request, const HostFacts& facts,
                                                          const CpuModels& models);
// Only the check: for calls that take the same four arguments (hypervisor CPU compare and baseline).
[[nodiscard]] Answer<void> check_offered(const DomainCapabilitiesRequest& request, const HostFacts& facts);

}  // namespace lodge
