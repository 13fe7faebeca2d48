// Named CPU models and features, read from the cpu_map that libvirt installs, so that a model means for Lodge what it means
// for every other libvirt driver. Loaded once by whoever needs a name; read-only afterwards, any thread.
// The files are checked like any input: sizes, nesting, duplicate and unknown names give an error that names file and line.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace lodge {

inline constexpr std::string_view kCpuMapDirectory = "/usr/share/libvirt/cpu_map";

// Bits of one CPUID leaf, or of one MSR (eax low half, edx high half).
struct CpuBits {
  bool msr = false;
  uint32_t leaf = 0;  // or the MSR's index
  uint32_t subleaf = 0;
  uint32_t eax = 0;
  uint32_t ebx = 0;
  uint32_t ecx = 0;
  uint32_t edx = 0;
};

struct CpuFeature {
  std::string name;
  std::vector<CpuBits> bits;
  bool migratable = true;
};

struct CpuSignature {
  uint32_t family = 0;
  uint32_t model = 0;
  uint32_t stepping = 0;  // the lowest that the map names
};

struct CpuModel {
  std::string name;
  std::string vendor;  // vendor's name ("Intel"), empty: any
  std::vector<CpuSignature> signatures;
  std::vector<std::string> features;  // sorted; ancestors' included, removed ones left out
  bool host_usable = true;            // <decode host='on'>
};

class CpuMap {
 public:
  [[nodiscard]] static Result<CpuMap> load(const std::string& directory = std::string(kCpuMapDirectory));

  // Errors list the names there are.
  [[nodiscard]] Result<const CpuModel*> model(std::string_view name) const;
  [[nodiscard]] Result<const CpuFeature*> feature(std::string_view name) const;  // aliases are accepted
  // The twelve letters CPUID leaf 0 shows ("GenuineIntel"), or empty.
  [[nodiscard]] std::string vendor_id(std::string_view vendor_name) const;

  [[nodiscard]] const std::map<std::string, CpuModel, std::less<>>& models() const { return models_; }
  [[nodiscard]] const std::map<std::string, CpuFeature, std::less<>>& features() const { return features_; }

 private:
  friend class CpuMapReader;
  std::map<std::string, CpuModel, std::less<>> models_;
  std::map<std::string, CpuFeature, std::less<>> features_;
  std::map<std::string, std::string, std::less<>> aliases_;
  std::map<std::string, std::string, std::less<>> vendors_;
};

}  // namespace lodge
