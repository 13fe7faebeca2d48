// A <cpu> element as clients send and read it. Values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libvirt-driver/core/call_error.h"

namespace lodge {

enum class CpuWishPolicy : uint8_t { force, require, optional, disable, forbid };

struct CpuFeatureWish {
  std::string name;
  CpuWishPolicy policy = CpuWishPolicy::require;
};

struct CpuDescription {
  bool host = false;     // a host's (from capabilities): features have no policy
  std::string arch;      // "" when not told
  std::string mode;      // "custom", "host-model", ...; "" when not told
  std::string match;     // "minimum", "exact", "strict"; "" when not told
  std::string fallback;  // "allow", "forbid"; "" when not told
  std::string model;     // "" when not told
  std::string vendor;
  std::vector<CpuFeatureWish> features;
};

// What else a <cpu> may hold (topology, numa, cache, pages, ...) says nothing about models and is passed over. `what` begins
// errors. VIR_ERR_XML_DETAIL for what is no XML, VIR_ERR_XML_ERROR for values that are not.
[[nodiscard]] Answer<CpuDescription> parse_cpu(std::string_view xml, std::string_view what = "(CPU_definition)");

// A guest's element, lines with '\n' at their ends: <cpu mode= match=>, model, vendor, features with policies.
[[nodiscard]] std::string print_cpu(const CpuDescription& cpu);

[[nodiscard]] std::string_view policy_name(CpuWishPolicy policy);

}  // namespace lodge
