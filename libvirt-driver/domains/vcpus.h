// vCPUs that come and go: which of a definition's are there, which may change, and the changes. The functions over a running
// guest wait, so they are for workers that hold the domain's job.
#pragma once

#include "libvirt-driver/domains/driver.h"

namespace lodge {

[[nodiscard]] inline uint32_t current_vcpus(const Vcpus& vcpus) { return vcpus.current.value_or(vcpus.count); }
// Whether a guest with this definition is started so that its vCPUs can change.
[[nodiscard]] bool vcpus_come_and_go(const Vcpus& vcpus);
// <vcpus> in full: one entry for each that is possible. An entry of them says it all.
[[nodiscard]] std::vector<VcpuEntry> all_vcpus(const Vcpus& vcpus);
// Writes entries (in full) and their number down; `ordered`: each that is there has its turn of coming.
void set_vcpu_entries(Vcpus& vcpus, std::vector<VcpuEntry> entries, bool ordered);
// What the monitor is told of them.
void add_vcpus(Json& cpu, const Vcpus& vcpus);
// The definition of a guest that starts.
void enter_vcpus(DomainConfig& live);
// The guest let go of "vcpuN". False: it is something else's name.
bool forget_vcpu(DomainConfig& live, std::string_view alias);

// As many, or these ones there or not, in a definition.
[[nodiscard]] Answer<void> set_vcpus_config(DomainConfig& config, uint32_t count, bool hotpluggable);
[[nodiscard]] Answer<void> set_max_vcpus_config(DomainConfig& config, uint32_t count);
[[nodiscard]] Answer<void> set_vcpu_state_config(DomainConfig& config, const IdSet& which, bool enabled);
// The same in a running guest: vCPUs are asked for one after another. Errors: CONFIG_UNSUPPORTED, INVALID_ARG; when the
// guest does not let go, OPERATION_TIMEOUT or OPERATION_FAILED, and those that went before are gone.
[[nodiscard]] Answer<void> set_vcpus_live(Driver& driver, const DomainPtr& domain, uint32_t count);
[[nodiscard]] Answer<void> set_vcpu_state_live(Driver& driver, const DomainPtr& domain, const IdSet& which, bool enabled);

}  // namespace lodge
