// A small cpu_map: vendors One and Two, features a to f and an MSR's, models old < base < grown, and one of vendor Two.
#pragma once

#include <string>

#include "libvirt-driver/host/cpu_models.h"
#include "tests/unit/libvirt-driver/host/host_tree.h"

namespace lodge {

inline void write_small_map(const HostTree& tree) {
  tree.write("cpu_map/index.xml",
             "<cpus><arch name='x86'><include filename='f.xml'/><include filename='m.xml'/></arch>"
             "<arch name='arm'><include filename='missing.xml'/></arch></cpus>");
  std::string features = "<cpus><vendor name='One' string='OneOneOneOne'/><vendor name='Two' string='TwoTwoTwoTwo'/>";
  const std::string names = "abcdef";
  for (size_t i = 0; i < names.size(); ++i) {
    features += "<feature name='" + std::string(1, names[i]) + "'" + (names[i] == 'f' ? " migratable='no'" : "") +
                "><cpuid eax_in='0x01' edx='" + std::to_string(1U << i) + "'/></feature>";
  }
  features +=
      "<feature name='m'><alias name='emm'/><msr index='0x10a' eax='0x2' edx='0x1'/></feature>"
      "<feature name='two-bits'><cpuid eax_in='7' ecx_in='1' ebx='0x3'/></feature></cpus>";
  tree.write("cpu_map/f.xml", features);
  tree.write("cpu_map/m.xml",
             "<cpus><model name='old'><decode host='on' guest='on'/><feature name='a'/></model>"
             "<model name='base'><decode host='on' guest='on'/><signature family='6' model='85' stepping='5-7'/>"
             "<vendor name='One'/><feature name='a'/><feature name='b'/></model>"
             "<model name='grown'><model name='base'/><feature name='c'/><feature name='d'/></model>"
             "<model name='hidden'><decode host='on' guest='off'/><model name='grown'/><feature name='e'/></model>"
             "<model name='other'><vendor name='Two'/><feature name='a'/><feature name='b'/><feature name='c'/></model>"
             "<model name='shrunk'><model name='grown'/><feature name='c' removed='yes'/><feature name='e' added='yes'/>"
             "</model></cpus>");
}

inline CpuModels small_map(const HostTree& tree) {
  write_small_map(tree);
  auto models = CpuModels::load(tree.paths().cpu_map);
  INFO((models ? "" : models.error().message()));
  REQUIRE(models);
  return std::move(*models);
}

// A processor of vendor One, family 6, model 85, stepping 6 with these features of leaf 1.
inline CpuidData processor(uint32_t edx, const char* letters = "OneOneOneOne") {
  const auto word = [letters](size_t at) {
    uint32_t out = 0;
    for (size_t i = 0; i < 4; ++i) {
      out |= uint32_t{static_cast<uint8_t>(letters[at + i])} << (8 * i);
    }
    return out;
  };
  CpuidData data;
  data.leaves.push_back({0, 0, 7, word(0), word(8), word(4)});
  data.leaves.push_back({1, 0, 0x50656, 0, 0, edx});
  return data;
}

}  // namespace lodge
