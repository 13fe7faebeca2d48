// CPU models, features and vendors as libvirt names them, read from the cpu_map that libvirt installs; and what of them a
// processor is. Loaded once, then constant; any thread.
#pragma once

#include <bitset>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libvirt-driver/host/cpuid_source.h"

namespace lodge {

inline constexpr size_t kMaxCpuFeatures = 1024;
using CpuFeatureSet = std::bitset<kMaxCpuFeatures>;  // bit: a feature's place in CpuModels::features()

struct CpuFeatureBits {  // of a CPUID leaf, or of an MSR (eax is its low half, edx its high one)
  bool msr = false;
  uint32_t leaf = 0;  // or the MSR's index
  uint32_t subleaf = 0;
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
};

struct NamedFeature {
  std::string name;
  std::vector<CpuFeatureBits> bits;  // all must be there
  bool migratable = true;
};

struct CpuSignatureRange {
  uint32_t family = 0;
  uint32_t model = 0;
  uint32_t first_stepping = 0;
  uint32_t last_stepping = 15;
};

struct NamedModel {
  std::string name;
  std::string vendor;  // "Intel"; empty: any
  std::vector<CpuSignatureRange> signatures;
  CpuFeatureSet features;
  bool for_hosts = true;   // a host may be called by it
  bool for_guests = true;  // and a guest
};

struct ProcessorSignature {
  uint32_t family = 0;
  uint32_t model = 0;
  uint32_t stepping = 0;
};

// A processor in the map's terms.
struct CpuFacts {
  std::string vendor;  // "" when the map does not know it
  std::optional<ProcessorSignature> signature;
  CpuFeatureSet features;
};

class CpuModels {
 public:
  // Error: no map, or one that is not understood (file, line and why).
  [[nodiscard]] static Answer<CpuModels> load(const std::string& directory);

  [[nodiscard]] std::span<const NamedModel> models() const { return models_; }  // the map's order: newer ones later
  [[nodiscard]] std::span<const NamedFeature> features() const { return features_; }
  [[nodiscard]] const NamedModel* model(std::string_view name) const;        // null: unknown
  [[nodiscard]] std::optional<size_t> feature(std::string_view name) const;  // aliases are accepted
  [[nodiscard]] bool has_vendor(std::string_view name) const { return vendors_.contains(name); }
  [[nodiscard]] const CpuFeatureSet& migratable() const { return migratable_; }
  [[nodiscard]] std::vector<std::string> names(const CpuFeatureSet& set) const;  // in the map's order

  [[nodiscard]] CpuFacts facts(const CpuidData& data) const;

  struct Decoded {
    const NamedModel* model = nullptr;
    CpuFeatureSet added;    // over the model's
    CpuFeatureSet missing;  // of the model's; none for hosts
  };
  enum class Purpose : uint8_t { host, guest };
  // The model that describes the processor best: of its vendor, preferably of its family and model, with the fewest features
  // to add or take away. `preferred` wins if it can be used at all. Error: no model fits.
  [[nodiscard]] Answer<Decoded> decode(const CpuFacts& facts, Purpose purpose, std::string_view preferred = {}) const;

 private:
  friend class CpuModelReader;
  std::vector<NamedModel> models_;
  std::vector<NamedFeature> features_;
  std::map<std::string, size_t, std::less<>> model_index_;
  std::map<std::string, size_t, std::less<>> feature_index_;  // aliases too
  std::map<std::string, std::string, std::less<>> vendors_;   // name -> letters of leaf 0
  CpuFeatureSet migratable_;
};

// libvirt has a name for it, whether or not Lodge has guests of it.
[[nodiscard]] bool known_architecture(std::string_view name);

// Names for CONNECT_GET_CPU_MODEL_NAMES. VIR_ERR_INVALID_ARG for an architecture libvirt does not know; empty for one that
// Lodge has no guests of.
[[nodiscard]] Answer<std::vector<std::string>> cpu_model_names(const CpuModels& models, std::string_view arch);

}  // namespace lodge
