#include "libvirt-driver/host/cpu_models.h"

#include <algorithm>
#include <array>

namespace lodge {
namespace {

bool has(const CpuidData& data, const CpuFeatureBits& bits) {
  if (bits.msr) {
    const uint64_t wanted = uint64_t{bits.edx} << 32 | bits.eax;
    return std::any_of(data.msrs.begin(), data.msrs.end(), [&bits, wanted](const CpuMsr& msr) {
      return msr.index == bits.leaf && (msr.value & wanted) == wanted;
    });
  }
  const CpuidLeaf* leaf = data.find(bits.leaf, bits.subleaf);
  return leaf != nullptr && (leaf->eax & bits.eax) == bits.eax && (leaf->ebx & bits.ebx) == bits.ebx &&
         (leaf->ecx & bits.ecx) == bits.ecx && (leaf->edx & bits.edx) == bits.edx;
}

std::string vendor_letters(const CpuidLeaf& leaf) {
  std::string out;
  for (const uint32_t word : {leaf.ebx, leaf.edx, leaf.ecx}) {
    for (int shift = 0; shift < 32; shift += 8) {
      out += static_cast<char>(word >> shift);
    }
  }
  return out;
}

// Of Haswell and the first Broadwell servers microcode takes TSX away again, whatever CPUID says.
bool broken_tsx(const CpuFacts& facts) {
  if (facts.vendor != "Intel" || !facts.signature || facts.signature->family != 6) {
    return false;
  }
  const ProcessorSignature& s = *facts.signature;
  return s.model == 60 || s.model == 69 || s.model == 70 || (s.model == 63 && s.stepping < 4);
}

bool of_signature(const NamedModel& model, const std::optional<ProcessorSignature>& signature) {
  return signature && std::any_of(model.signatures.begin(), model.signatures.end(), [&](const CpuSignatureRange& range) {
           return range.family == signature->family && range.model == signature->model &&
                  range.first_stepping <= signature->stepping && signature->stepping <= range.last_stepping;
         });
}

// Of a description: all features it names; of two that are as long, fewer taken away are better.
std::pair<size_t, size_t> length(const CpuModels::Decoded& decoded) {
  return {decoded.added.count() + decoded.missing.count(), decoded.missing.count()};
}

}  // namespace

const NamedModel* CpuModels::model(std::string_view name) const {
  const auto found = model_index_.find(name);
  return found == model_index_.end() ? nullptr : &models_[found->second];
}

std::optional<size_t> CpuModels::feature(std::string_view name) const {
  const auto found = feature_index_.find(name);
  return found == feature_index_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<std::string> CpuModels::names(const CpuFeatureSet& set) const {
  std::vector<std::string> out;
  for (size_t i = 0; i < features_.size(); ++i) {
    if (set[i]) {
      out.push_back(features_[i].name);
    }
  }
  return out;
}

CpuFacts CpuModels::facts(const CpuidData& data) const {
  CpuFacts out;
  if (const CpuidLeaf* leaf = data.find(0)) {
    const std::string letters = vendor_letters(*leaf);
    for (const auto& [name, string] : vendors_) {
      if (string == letters) {
        out.vendor = name;
      }
    }
  }
  if (const CpuidLeaf* leaf = data.find(1)) {
    const uint32_t family = leaf->eax >> 8 & 0xf;
    out.signature = ProcessorSignature{family == 0xf ? family + (leaf->eax >> 20 & 0xff) : family,
                                       (leaf->eax >> 4 & 0xf) | (leaf->eax >> 12 & 0xf0), leaf->eax & 0xf};
  }
  for (size_t i = 0; i < features_.size(); ++i) {
    const auto& bits = features_[i].bits;
    out.features.set(i, std::all_of(bits.begin(), bits.end(), [&data](const auto& part) { return has(data, part); }));
  }
  if (broken_tsx(out)) {
    for (const char* name : {"hle", "rtm"}) {
      if (const auto index = feature(name)) {
        out.features.reset(*index);
      }
    }
  }
  return out;
}

Answer<CpuModels::Decoded> CpuModels::decode(const CpuFacts& facts, Purpose purpose, std::string_view preferred) const {
  Decoded best;
  bool best_fits = false;                      // its signature
  for (size_t i = models_.size(); i-- > 0;) {  // newest first
    const NamedModel& model = models_[i];
    if (!(purpose == Purpose::host ? model.for_hosts : model.for_guests) ||
        (!facts.vendor.empty() && !model.vendor.empty() && model.vendor != facts.vendor)) {
      continue;
    }
    const Decoded candidate{&model, facts.features & ~model.features, model.features & ~facts.features};
    if (purpose == Purpose::host && candidate.missing.any()) {
      continue;
    }
    if (!preferred.empty() && model.name == preferred) {
      return candidate;
    }
    const bool fits = of_signature(model, facts.signature);
    if (best.model == nullptr || (fits && !best_fits) || (fits == best_fits && length(candidate) < length(best))) {
      best = candidate;
      best_fits = fits;
    }
  }
  if (best.model == nullptr) {
    return call_error(VIR_ERR_INTERNAL_ERROR, "Cannot find suitable CPU model for given data");
  }
  return best;
}

bool known_architecture(std::string_view name) {
  constexpr std::array kNames{
      "i686",   "x86_64",      "alpha", "armv6l",     "armv7l",       "armv7b", "aarch64", "cris",    "ia64",     "itanium",
      "lm32",   "loongarch64", "m68k",  "microblaze", "microblazeel", "mips",   "mipsel",  "mips64",  "mips64el", "or32",
      "parisc", "parisc64",    "ppc",   "ppc64",      "ppc64le",      "ppcemb", "riscv32", "riscv64", "s390",     "s390x",
      "sh4",    "sh4eb",       "sparc", "sparc64",    "unicore32",    "xtensa", "xtensaeb"};
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

Answer<std::vector<std::string>> cpu_model_names(const CpuModels& models, std::string_view arch) {
  if (!known_architecture(arch)) {
    return call_error(VIR_ERR_INVALID_ARG, "cannot find architecture {}", arch);
  }
  std::vector<std::string> out;
  if (arch == "x86_64" || arch == "i686") {
    for (const NamedModel& model : models.models()) {
      out.push_back(model.name);
    }
  }
  return out;
}

}  // namespace lodge
