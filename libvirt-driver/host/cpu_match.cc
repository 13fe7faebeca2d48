#include "libvirt-driver/host/cpu_match.h"

#include <libvirt/libvirt.h>

#include <algorithm>

#include <fmt/format.h>

namespace lodge {
namespace {

// What a description wants, by policy; `require` has the model's features too.
struct Wishes {
  CpuFeatureSet force;
  CpuFeatureSet require;
  CpuFeatureSet optional;
  CpuFeatureSet disable;
  CpuFeatureSet forbid;
  const NamedModel* model = nullptr;

  // All that a processor of this description may have.
  [[nodiscard]] CpuFeatureSet all() const { return (require | force | optional) & ~(disable | forbid); }
};

Answer<Wishes> wishes_of(const CpuModels& models, const CpuDescription& cpu) {
  Wishes out;
  if (!cpu.model.empty()) {
    out.model = models.model(cpu.model);
    if (out.model == nullptr) {
      return call_error(VIR_ERR_INTERNAL_ERROR, "Unknown CPU model {}; virsh cpu-models x86_64 lists them", cpu.model);
    }
    out.require = out.model->features;
  }
  for (const CpuFeatureWish& wish : cpu.features) {
    const auto index = models.feature(wish.name);
    if (!index) {
      return call_error(VIR_ERR_INTERNAL_ERROR, "Unknown CPU feature {}", wish.name);
    }
    if (wish.policy != CpuWishPolicy::require) {
      out.require.reset(*index);
    }
    switch (wish.policy) {
      case CpuWishPolicy::force: out.force.set(*index); break;
      case CpuWishPolicy::require: out.require.set(*index); break;
      case CpuWishPolicy::optional: out.optional.set(*index); break;
      case CpuWishPolicy::disable: out.disable.set(*index); break;
      case CpuWishPolicy::forbid: out.forbid.set(*index); break;
    }
  }
  return out;
}

struct Verdict {
  int value = VIR_CPU_COMPARE_INCOMPATIBLE;
  std::string reason;  // of an incompatibility
};

Answer<Verdict> judge(const CpuModels& models, const CpuFacts& facts, const CpuDescription& cpu, std::string_view what) {
  if (!cpu.arch.empty() && cpu.arch != "x86_64" && cpu.arch != "i686") {
    return Verdict{VIR_CPU_COMPARE_INCOMPATIBLE, fmt::format("CPU arch {} does not match host arch", cpu.arch)};
  }
  if (!cpu.vendor.empty() && !models.has_vendor(cpu.vendor)) {
    return call_error(VIR_ERR_OPERATION_FAILED, "Unknown CPU vendor {}", cpu.vendor);
  }
  if (!cpu.vendor.empty() && cpu.vendor != facts.vendor) {
    return Verdict{VIR_CPU_COMPARE_INCOMPATIBLE,
                   fmt::format("{} vendor does not match required CPU vendor {}", what, cpu.vendor)};
  }
  const Wishes wishes = TRY(wishes_of(models, cpu));
  if (const auto present = wishes.forbid & facts.features; present.any()) {
    return Verdict{VIR_CPU_COMPARE_INCOMPATIBLE,
                   fmt::format("{} provides forbidden features: {}", what, fmt::join(models.names(present), ","))};
  }
  if (const auto missing = wishes.require & ~facts.features; missing.any()) {
    return Verdict{VIR_CPU_COMPARE_INCOMPATIBLE,
                   fmt::format("{} does not provide required features: {}", what, fmt::join(models.names(missing), ","))};
  }
  const CpuFeatureSet extra =
      facts.features & ~(wishes.force | wishes.require | wishes.optional | wishes.disable | wishes.forbid);
  if (extra.none()) {
    return Verdict{VIR_CPU_COMPARE_IDENTICAL, {}};
  }
  if (!cpu.host && cpu.match == "strict") {
    return Verdict{VIR_CPU_COMPARE_INCOMPATIBLE, fmt::format("{} does not match exactly: it provides extra features: {}",
                                                             what, fmt::join(models.names(extra), ","))};
  }
  return Verdict{VIR_CPU_COMPARE_SUPERSET, {}};
}

// Vendors of a baseline: all the same, or an error; shown only when each description names it.
class CommonVendor {
 public:
  Answer<void> add(const CpuModels& models, const CpuDescription& cpu, const NamedModel& model) {
    if (!cpu.vendor.empty() && !models.has_vendor(cpu.vendor)) {
      return call_error(VIR_ERR_OPERATION_FAILED, "Unknown CPU vendor {}", cpu.vendor);
    }
    if (!cpu.vendor.empty() && !model.vendor.empty() && cpu.vendor != model.vendor) {
      return call_error(VIR_ERR_OPERATION_FAILED, "CPU vendor {} of model {} differs from vendor {}", model.vendor,
                        model.name, cpu.vendor);
    }
    shown_ = shown_ && !cpu.vendor.empty();
    const std::string& vendor = cpu.vendor.empty() ? model.vendor : cpu.vendor;
    if (!name_.empty() && !vendor.empty() && name_ != vendor) {
      return call_error(VIR_ERR_OPERATION_FAILED, "CPU vendors do not match: {} and {}", name_, vendor);
    }
    name_ = name_.empty() ? vendor : name_;
    return {};
  }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool shown() const { return shown_; }

 private:
  std::string name_;
  bool shown_ = true;
};

CpuDescription describe(const CpuModels& models, const CpuModels::Decoded& decoded) {
  CpuDescription out;
  out.mode = "custom";
  out.match = "exact";
  out.model = decoded.model->name;
  for (std::string& name : models.names(decoded.added)) {
    out.features.push_back({std::move(name), CpuWishPolicy::require});
  }
  for (std::string& name : models.names(decoded.missing)) {
    out.features.push_back({std::move(name), CpuWishPolicy::disable});
  }
  return out;
}

}  // namespace

Answer<int> compare_cpu(const CpuModels& models, const CpuFacts& facts, std::string_view xml, uint32_t flags,
                        std::string_view what) {
  constexpr uint32_t kFlags = VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE | VIR_CONNECT_COMPARE_CPU_VALIDATE_XML;
  if ((flags & ~kFlags) != 0) {
    return call_error(VIR_ERR_INVALID_ARG, "unsupported flags (0x{:x}) in comparing CPUs", flags & ~kFlags);
  }
  Verdict verdict = TRY(judge(models, facts, TRY(parse_cpu(xml)), what));
  if (verdict.value == VIR_CPU_COMPARE_INCOMPATIBLE && (flags & VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE) != 0) {
    return std::unexpected(CallError(VIR_ERR_CPU_INCOMPATIBLE, std::move(verdict.reason), VIR_FROM_CPU));
  }
  return verdict.value;
}

Answer<std::string> baseline_cpu(const CpuModels& models, std::span<const std::string> xmls, uint32_t flags,
                                 const CpuFeatureSet* offered) {
  constexpr uint32_t kFlags = VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES | VIR_CONNECT_BASELINE_CPU_MIGRATABLE;
  if ((flags & ~kFlags) != 0) {
    return call_error(VIR_ERR_INVALID_ARG, "unsupported flags (0x{:x}) in computing a baseline CPU", flags & ~kFlags);
  }
  if (xmls.empty()) {
    return call_error(VIR_ERR_INVALID_ARG, "no CPUs to compute a baseline of");
  }
  CpuFacts common;
  CommonVendor vendor;
  std::string name;  // when all are of one model
  for (size_t i = 0; i < xmls.size(); ++i) {
    const CpuDescription cpu = TRY(parse_cpu(xmls[i]));
    if (cpu.model.empty()) {
      return call_error(VIR_ERR_INVALID_ARG, "no CPU model specified at index {}", i);
    }
    if (!cpu.arch.empty() && cpu.arch != "x86_64" && cpu.arch != "i686") {
      return call_error(VIR_ERR_INVALID_ARG, "the CPU at index {} is of arch {}; Lodge has x86_64 guests", i, cpu.arch);
    }
    const Wishes wishes = TRY(wishes_of(models, cpu));
    TRY_VOID(vendor.add(models, cpu, *wishes.model));
    common.features = i == 0 ? wishes.all() : common.features & wishes.all();
    name = i == 0 || name == cpu.model ? cpu.model : "";
  }
  if (offered != nullptr) {
    common.features &= *offered;
  }
  if ((flags & VIR_CONNECT_BASELINE_CPU_MIGRATABLE) != 0) {
    common.features &= models.migratable();
  }
  if (common.features.none()) {
    return call_error(VIR_ERR_OPERATION_FAILED, "CPUs are incompatible: they have no feature in common");
  }
  common.vendor = vendor.name();
  const CpuModels::Decoded decoded = TRY(models.decode(common, CpuModels::Purpose::guest, name));
  CpuDescription out = describe(models, decoded);
  out.fallback = out.model == name ? "forbid" : "allow";
  out.vendor = vendor.shown() ? common.vendor : "";
  if ((flags & VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES) != 0) {
    CpuDescription expanded = describe(models, {decoded.model, common.features, decoded.missing});
    out.features = std::move(expanded.features);
  }
  return print_cpu(out);
}

Answer<CpuDescription> host_model(const CpuModels& models, const CpuFacts& offered) {
  CpuFacts migratable = offered;
  migratable.features &= models.migratable();
  CpuDescription out = describe(models, TRY(models.decode(migratable, CpuModels::Purpose::guest)));
  out.vendor = offered.vendor;
  out.fallback = "forbid";
  return out;
}

std::vector<std::string> missing_features(const CpuModels& models, const NamedModel& model, const CpuFacts& offered) {
  return models.names(model.features & ~offered.features);
}

}  // namespace lodge
