// Comparing processors and finding what several have in common: virsh cpu-compare, cpu-baseline and the hypervisor- ones.
// The same functions serve both: the facts are those of the processor, or those of what KVM offers. Pure; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libvirt-driver/host/cpu_models.h"
#include "libvirt-driver/host/cpu_xml.h"

namespace lodge {

// VIR_CPU_COMPARE_*: may a guest with this <cpu> run? `what` tells whose the facts are ("host CPU", "CPU provided by the
// hypervisor"). Flags: FAIL_INCOMPATIBLE gives VIR_ERR_CPU_INCOMPATIBLE with the reason instead of the value; VALIDATE_XML
// is the caller's business (it knows the schemas) and is only accepted here. Errors: VIR_ERR_XML_*, VIR_ERR_INTERNAL_ERROR
// for a model or feature that nobody knows, VIR_ERR_INVALID_ARG for flags.
[[nodiscard]] Answer<int> compare_cpu(const CpuModels& models, const CpuFacts& facts, std::string_view xml, uint32_t flags,
                                      std::string_view what = "host CPU");

// The <cpu mode='custom' match='exact'> that guests can have on all of `xmls`. `offered`, when given, limits it to those
// features. Flags: VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES, VIR_CONNECT_BASELINE_CPU_MIGRATABLE.
// Errors: VIR_ERR_INVALID_ARG, VIR_ERR_XML_*, VIR_ERR_OPERATION_FAILED when they have nothing in common.
[[nodiscard]] Answer<std::string> baseline_cpu(const CpuModels& models, std::span<const std::string> xmls, uint32_t flags,
                                               const CpuFeatureSet* offered = nullptr);

// The host-model of what KVM offers: model, vendor and features by name; only those that can migrate.
[[nodiscard]] Answer<CpuDescription> host_model(const CpuModels& models, const CpuFacts& offered);

// Names of the model's features that are not offered; empty: the model is usable.
[[nodiscard]] std::vector<std::string> missing_features(const CpuModels& models, const NamedModel& model,
                                                        const CpuFacts& offered);

}  // namespace lodge
