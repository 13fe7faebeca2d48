// From a wished CPU to a table of features: host table, named model, requests.
#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "vmm/cpu/cpuid_parts.h"

namespace lodge::cpuid {
namespace {

kvm_cpuid_entry2 as_entry(const CpuBits& bits) {
  kvm_cpuid_entry2 entry{};
  entry.function = bits.leaf;
  entry.index = bits.subleaf;
  entry.eax = bits.eax;
  entry.ebx = bits.ebx;
  entry.ecx = bits.ecx;
  entry.edx = bits.edx;
  return entry;
}

uint64_t msr_value(const CpuBits& bits) { return uint64_t{bits.edx} << 32 | bits.eax; }

// The table and the feature MSRs together: a feature may have bits in both.
struct Features {
  Entries entries;
  std::vector<kvm_msr_entry> msrs;

  [[nodiscard]] bool has(const CpuFeature& feature) const {
    return !feature.bits.empty() && std::all_of(feature.bits.begin(), feature.bits.end(), [this](const CpuBits& bits) {
      if (bits.msr) {
        const uint64_t wanted = msr_value(bits);
        return std::any_of(msrs.begin(), msrs.end(),
                           [&](const kvm_msr_entry& m) { return m.index == bits.leaf && (m.data & wanted) == wanted; });
      }
      const kvm_cpuid_entry2* entry = find(entries, bits.leaf, bits.subleaf);
      return entry != nullptr && (entry->eax & bits.eax) == bits.eax && (entry->ebx & bits.ebx) == bits.ebx &&
             (entry->ecx & bits.ecx) == bits.ecx && (entry->edx & bits.edx) == bits.edx;
    });
  }

  void set(const CpuFeature& feature) {
    for (const CpuBits& bits : feature.bits) {
      if (bits.msr) {
        set_msr(bits.leaf, msr_value(bits));
        continue;
      }
      kvm_cpuid_entry2& entry = obtain(entries, bits.leaf, bits.subleaf);
      entry.eax |= bits.eax;
      entry.ebx |= bits.ebx;
      entry.ecx |= bits.ecx;
      entry.edx |= bits.edx;
    }
  }

  void clear(const CpuFeature& feature) {
    for (const CpuBits& bits : feature.bits) {
      if (bits.msr) {
        for (kvm_msr_entry& m : msrs) {
          m.data &= m.index == bits.leaf ? ~msr_value(bits) : ~uint64_t{0};
        }
      } else if (kvm_cpuid_entry2* entry = find(entries, bits.leaf, bits.subleaf)) {
        entry->eax &= ~bits.eax;
        entry->ebx &= ~bits.ebx;
        entry->ecx &= ~bits.ecx;
        entry->edx &= ~bits.edx;
      }
    }
  }

 private:
  void set_msr(uint32_t index, uint64_t value) {
    for (kvm_msr_entry& m : msrs) {
      if (m.index == index) {
        m.data |= value;
        return;
      }
    }
    msrs.push_back({index, 0, value});
  }
};

// What KVM supports, plus what it emulates without reporting it or what we provide ourselves.
Features host_features(const CpuConfig& config, const HostCpu& host) {
  Features features{host.supported, host.feature_msrs};
  kvm_cpuid_entry2& first = obtain(features.entries, 1);
  first.ecx |= (host.tsc_deadline ? kLeaf1EcxTscDeadline : 0) | (host.x2apic ? kLeaf1EcxX2Apic : 0);
  first.ecx |= config.hide_hypervisor ? 0 : kLeaf1EcxHypervisor;
  first.edx |= kLeaf1EdxApic | kLeaf1EdxHtt;
  if (is_amd(features.entries)) {
    obtain(features.entries, 0x80000001).ecx |= kExtended1EcxCmpLegacy;
  }
  return features;
}

// Union of the bits that named, migratable features have in each register; a register without names is not in it.
Entries named_bits(const CpuMap& map, bool migratable_only) {
  Entries masks;
  for (const auto& [name, feature] : map.features()) {
    for (const CpuBits& bits : feature.bits) {
      if (bits.msr) {
        continue;
      }
      kvm_cpuid_entry2& mask = obtain(masks, bits.leaf, bits.subleaf);
      if (feature.migratable || !migratable_only) {
        const kvm_cpuid_entry2 entry = as_entry(bits);
        mask.eax |= entry.eax;
        mask.ebx |= entry.ebx;
        mask.ecx |= entry.ecx;
        mask.edx |= entry.edx;
      }
    }
  }
  return masks;
}

void keep_named(Entries& entries, const CpuMap& map) {
  const Entries all = named_bits(map, false);
  const Entries kept = named_bits(map, true);
  for (kvm_cpuid_entry2& entry : entries) {
    const kvm_cpuid_entry2* named = find(all, entry.function, entry.index);
    const kvm_cpuid_entry2* keep = find(kept, entry.function, entry.index);
    if (named == nullptr || keep == nullptr) {
      continue;
    }
    entry.eax &= named->eax != 0 ? keep->eax : ~0U;
    entry.ebx &= named->ebx != 0 ? keep->ebx : ~0U;
    entry.ecx &= named->ecx != 0 ? keep->ecx : ~0U;
    entry.edx &= named->edx != 0 ? keep->edx : ~0U;
  }
}

uint32_t signature(const CpuModel& model) {
  constexpr CpuSignature kGeneric{6, 6, 3};  // for models of no processor in particular
  const CpuSignature s = model.signatures.empty() ? kGeneric : model.signatures.front();
  const uint32_t family = std::min(s.family, 15U);
  const uint32_t extended_family = s.family > 15 ? s.family - 15 : 0;
  return (s.stepping & 0xf) | (s.model & 0xf) << 4 | family << 8 | (s.model >> 4 & 0xf) << 16 |
         (extended_family & 0xff) << 20;
}

void set_text(Entries& entries, uint32_t first_leaf, std::string_view text) {
  std::array<char, 48> padded{};
  text.copy(padded.data(), padded.size() - 1);
  for (uint32_t i = 0; i < 3; ++i) {
    std::array<uint32_t, 4> words{};
    std::memcpy(words.data(), padded.data() + size_t{i} * 16, sizeof(words));
    kvm_cpuid_entry2& entry = obtain(entries, first_leaf + i);
    entry.eax = words[0];
    entry.ebx = words[1];
    entry.ecx = words[2];
    entry.edx = words[3];
  }
}

// A named model without its features: identity from the map; sizes, caches and the maker from the host. The maker is true
// even when the model is another's: by it guests choose between instructions that only one of the makers has (VMCALL and
// VMMCALL, SYSENTER and SYSCALL), and a Linux guest dies of KVM's attempt to mend a wrong hypercall in its read-only text.
Features bare_model(const CpuModel& model, const CpuMap& map, const Features& host) {
  Features features;
  // Leaves that describe sizes and the like, and no more than that.
  for (const uint32_t leaf :
       {0U, 2U, 4U, 0xdU, 0x1dU, 0x1eU, 0x80000000U, 0x80000005U, 0x80000006U, 0x80000008U, 0x8000001dU}) {
    std::copy_if(host.entries.begin(), host.entries.end(), std::back_inserter(features.entries),
                 [leaf](const kvm_cpuid_entry2& entry) { return entry.function == leaf; });
  }
  // Caches are told in leaves 2 and 4 by one maker and in 0x8000001d by the other.
  for (const uint32_t leaf : is_amd(features.entries) ? std::vector<uint32_t>{2, 4} : std::vector<uint32_t>{0x8000001d}) {
    remove(features.entries, leaf);
  }
  const uint32_t id = signature(model);
  kvm_cpuid_entry2& first = obtain(features.entries, 1);
  constexpr uint32_t kCacheLine = 8 << 8;  // 64 bytes for CLFLUSH
  first.eax = id;
  first.ebx = kCacheLine;
  first.ecx = 0;
  first.edx = 0;
  obtain(features.entries, 0x80000001).eax = is_amd(features.entries) ? id : 0;
  set_text(features.entries, 0x80000002, "Lodge virtual CPU (" + model.name + ")");
  kvm_cpuid_entry2& sizes = obtain(features.entries, 0x80000008);
  sizes.ebx = 0;
  sizes.edx = 0;
  if (const kvm_cpuid_entry2* state = find(features.entries, 0xd, 1); state != nullptr) {
    obtain(features.entries, 0xd, 1).eax = 0;  // features; the rest is sizes
  }
  features.msrs = host.msrs;
  for (kvm_msr_entry& m : features.msrs) {
    for (const auto& [name, feature] : map.features()) {
      for (const CpuBits& bits : feature.bits) {
        m.data &= bits.msr && bits.leaf == m.index ? ~msr_value(bits) : ~uint64_t{0};
      }
    }
  }
  return features;
}

// Secure virtual machine leaf: revision and number of address spaces come with the feature.
void finish_svm(Features& features, const Features& host) {
  const kvm_cpuid_entry2* extended = find(features.entries, 0x80000001);
  if (extended == nullptr || (extended->ecx & kExtended1EcxSvm) == 0) {
    remove(features.entries, 0x8000000a);
  } else if (const kvm_cpuid_entry2* svm = find(host.entries, 0x8000000a)) {
    const uint32_t revision = svm->eax;
    const uint32_t spaces = svm->ebx;
    kvm_cpuid_entry2& entry = obtain(features.entries, 0x8000000a);
    entry.eax = revision;
    entry.ebx = spaces;
  }
}

std::string joined(const std::set<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    out += out.empty() ? name : ", " + name;
  }
  return out;
}

Result<void> apply_requests(const CpuConfig& config, const CpuMap& map, const Features& host, Features& features,
                            std::set<std::string>& missing) {
  std::set<std::string> seen;
  for (const FeatureRequest& request : config.features) {
    const CpuFeature* feature = TRY(map.feature(request.name));
    if (!seen.insert(feature->name).second) {
      return fail("CPU feature '{}' is configured twice", request.name);
    }
    const bool available = host.has(*feature);
    switch (request.policy) {
      case FeaturePolicy::force: features.set(*feature); break;
      case FeaturePolicy::require:
      case FeaturePolicy::optional:
        if (available) {
          features.set(*feature);
        } else if (request.policy == FeaturePolicy::require) {
          missing.insert(feature->name);
        } else {
          features.clear(*feature);
        }
        break;
      case FeaturePolicy::disable: features.clear(*feature); break;
      case FeaturePolicy::forbid:
        if (available) {
          return fail("CPU feature '{}' is forbidden by the configuration and this host has it", request.name);
        }
        features.clear(*feature);
        break;
    }
  }
  return {};
}

Result<void> report(const CpuConfig& config, const std::set<std::string>& missing, bool of_model) {
  if (missing.empty()) {
    return {};
  }
  if (of_model) {
    return fail(
        "CPU model '{}' cannot run on this host, which does not support: {}; disable these features or choose another model",
        config.model, joined(missing));
  }
  return fail("CPU feature{} {} {} not supported by this host; remove {} from the configuration",
              missing.size() > 1 ? "s" : "", joined(missing), missing.size() > 1 ? "are" : "is",
              missing.size() > 1 ? "them" : "it");
}

}  // namespace

Result<Resolved> resolve_features(const CpuConfig& config, const HostCpu& host, const CpuMap* map) {
  const Features supported = host_features(config, host);
  const bool custom = config.mode == CpuMode::custom;
  if (map == nullptr && (config.mode != CpuMode::host_passthrough || !config.features.empty())) {
    return fail("CPU models and features need the CPU map, which is not loaded");
  }
  std::set<std::string> missing;
  bool of_model = false;
  Features features = supported;
  if (config.mode == CpuMode::host_model) {
    keep_named(features.entries, *map);
  } else if (custom) {
    const CpuModel* model = TRY(map->model(config.model));
    features = bare_model(*model, *map, supported);
    std::set<std::string> overridden;
    for (const FeatureRequest& request : config.features) {
      overridden.insert(TRY(map->feature(request.name))->name);
    }
    for (const std::string& name : model->features) {
      const CpuFeature& feature = map->features().find(name)->second;
      if (supported.has(feature)) {
        features.set(feature);
      } else if (!overridden.contains(name)) {
        missing.insert(name);
        of_model = true;
      }
    }
    // The interrupt controller offers these to every guest, whatever the model's age; "disable" still hides them.
    kvm_cpuid_entry2& first = obtain(features.entries, 1);
    first.ecx |= find(supported.entries, 1)->ecx & (kLeaf1EcxX2Apic | kLeaf1EcxTscDeadline | kLeaf1EcxHypervisor);
    first.edx |= kLeaf1EdxApic;
  }
  if (map != nullptr) {
    TRY_VOID(apply_requests(config, *map, supported, features, missing));
  }
  TRY_VOID(report(config, missing, of_model));
  if (custom) {
    finish_svm(features, supported);
  }
  Resolved resolved{std::move(features.entries), {}};
  for (const kvm_msr_entry& m : features.msrs) {
    const auto same = [&m](const kvm_msr_entry& other) { return other.index == m.index && other.data == m.data; };
    if (std::none_of(host.feature_msrs.begin(), host.feature_msrs.end(), same)) {
      resolved.msrs.push_back(m);
    }
  }
  return resolved;
}

}  // namespace lodge::cpuid
