#include "vmm/sandbox/bpf.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <cassert>
#include <cstddef>

namespace lodge {
namespace {

constexpr uint32_t kX32Bit = 0x4000'0000;  // calls of the x32 ABI

sock_filter load(size_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)); }
sock_filter ret(uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }
sock_filter jump(uint16_t code, uint32_t value, size_t if_true, size_t if_false) {
  assert(if_true <= UINT8_MAX && if_false <= UINT8_MAX);
  return BPF_JUMP(static_cast<uint16_t>(BPF_JMP | BPF_K | code), value, static_cast<uint8_t>(if_true),
                  static_cast<uint8_t>(if_false));
}

}  // namespace

FilterProgram::FilterProgram() {
  code_ = {load(offsetof(seccomp_data, arch)), jump(BPF_JEQ, AUDIT_ARCH_X86_64, 1, 0), ret(SECCOMP_RET_KILL_PROCESS),
           load(offsetof(seccomp_data, nr)),   jump(BPF_JGE, kX32Bit, 0, 1),           ret(SECCOMP_RET_TRAP)};
}

void FilterProgram::begin(uint32_t call, size_t block) { code_.push_back(jump(BPF_JEQ, call, 0, block)); }

void FilterProgram::load_argument(unsigned index) {
  code_.push_back(load(offsetof(seccomp_data, args) + index * sizeof(uint64_t)));  // little-endian: the low half
}

void FilterProgram::allow(uint32_t call) {
  begin(call, 1);
  code_.push_back(ret(SECCOMP_RET_ALLOW));
}

void FilterProgram::allow_values(uint32_t call, unsigned index, std::span<const uint32_t> values) {
  begin(call, 2 * values.size() + 2);
  load_argument(index);
  for (const uint32_t value : values) {
    code_.push_back(jump(BPF_JEQ, value, 0, 1));
    code_.push_back(ret(SECCOMP_RET_ALLOW));
  }
  code_.push_back(ret(SECCOMP_RET_TRAP));
}

void FilterProgram::allow_without(uint32_t call, unsigned index, uint32_t mask) {
  begin(call, 4);
  load_argument(index);
  code_.insert(code_.end(), {jump(BPF_JSET, mask, 0, 1), ret(SECCOMP_RET_TRAP), ret(SECCOMP_RET_ALLOW)});
}

void FilterProgram::allow_with(uint32_t call, unsigned index, uint32_t mask) {
  begin(call, 4);
  load_argument(index);
  code_.insert(code_.end(), {jump(BPF_JSET, mask, 0, 1), ret(SECCOMP_RET_ALLOW), ret(SECCOMP_RET_TRAP)});
}

void FilterProgram::refuse(uint32_t call, uint16_t error) {
  begin(call, 1);
  code_.push_back(ret(SECCOMP_RET_ERRNO | error));
}

std::vector<sock_filter> FilterProgram::finish() {
  code_.push_back(ret(SECCOMP_RET_TRAP));
  return std::move(code_);
}

}  // namespace lodge
