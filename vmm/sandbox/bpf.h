// FilterProgram: assembles a seccomp filter, rule by rule, first match first. Pure; any thread.
//
// Each rule is a block that ends in a return, so no jump is longer than its block. The kernel remembers calls that are
// allowed whatever their arguments and does not run the program for them again.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>
#include <vector>

namespace lodge {

class FilterProgram {
 public:
  FilterProgram();
  void allow(uint32_t call);
  // When the low half of argument `index` is one of `values`.
  void allow_values(uint32_t call, unsigned index, std::span<const uint32_t> values);
  // When no bit (any bit) of `mask` is set in it.
  void allow_without(uint32_t call, unsigned index, uint32_t mask);
  void allow_with(uint32_t call, unsigned index, uint32_t mask);
  // The call fails with this errno value.
  void refuse(uint32_t call, uint16_t error);
  // All that is left ends in SIGSYS.
  [[nodiscard]] std::vector<sock_filter> finish();

 private:
  void begin(uint32_t call, size_t block);
  void load_argument(unsigned index);
  std::vector<sock_filter> code_;
};

}  // namespace lodge
