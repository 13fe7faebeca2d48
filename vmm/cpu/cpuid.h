// CPUID: what processor the guest sees. Resolves the wished CPU against what the host's KVM supports, then gives the table
// for each vCPU. Called by the machine on the control thread; no ioctl here, all inputs are data.
// (Intel SDM volume 2 "CPUID"; AMD APM volume 3 appendix E; kernel Documentation/virt/kvm/x86/cpuid.rst.)
#pragma once

#include "vmm/kvm/kvm_abi.h"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "vmm/cpu/model_map.h"
#include "vmm/cpu/topology.h"

namespace lodge {

enum class CpuMode : uint8_t {
  host_passthrough,  // all that KVM supports
  host_model,        // the same, but of registers whose bits have names only the named ones that can migrate
  custom,            // a named model
};

enum class FeaturePolicy : uint8_t {
  force,     // shown whether or not the host has it
  require,   // shown; an error when the host lacks it
  optional,  // shown when the host has it
  disable,   // hidden
  forbid,    // an error when the host has it
};

struct FeatureRequest {
  std::string name;
  FeaturePolicy policy = FeaturePolicy::require;
};

struct CpuConfig {
  CpuMode mode = CpuMode::host_passthrough;
  std::string model;  // custom only
  std::vector<FeatureRequest> features;
  Topology topology;
  uint64_t tsc_khz = 0;          // the guest's TSC frequency; 0 when unknown
  bool kvm_pv = true;            // kvm-clock, steal time and the like
  bool hide_hypervisor = false;  // no KVM leaves and no hypervisor bit
  bool msi_ext_dest_id = false;  // MSIs reach APIC ids up to 32767 (the machine's interrupt routing must support it)
};

// What the host's KVM says.
struct HostCpu {
  std::vector<kvm_cpuid_entry2> supported;  // KVM_GET_SUPPORTED_CPUID
  std::vector<kvm_msr_entry> feature_msrs;  // KVM_GET_MSRS on /dev/kvm; empty: feature MSRs are left alone
  bool tsc_deadline = true;                 // KVM_CAP_TSC_DEADLINE_TIMER
  bool x2apic = true;                       // in-kernel or split irqchip
};

class CpuidTable {
 public:
  // `map` may be null when the mode is host-passthrough and no feature is named.
  [[nodiscard]] static Result<CpuidTable> create(const CpuConfig& config, const HostCpu& host, const CpuMap* map);

  // For KVM_SET_CPUID2.
  [[nodiscard]] std::vector<kvm_cpuid_entry2> for_vcpu(uint32_t vcpu_index) const;
  // Feature MSRs whose value differs from KVM's default, for KVM_SET_MSRS.
  [[nodiscard]] std::span<const kvm_msr_entry> feature_msrs() const { return msrs_; }

 private:
  CpuidTable() = default;
  std::vector<kvm_cpuid_entry2> entries_;
  std::vector<kvm_msr_entry> msrs_;
  Topology topology_;
};

// create() and for_vcpu() in one step, for a single use.
[[nodiscard]] Result<std::vector<kvm_cpuid_entry2>> build_cpuid(const CpuConfig& config, const HostCpu& host,
                                                                const CpuMap* map, uint32_t vcpu_index);

}  // namespace lodge
