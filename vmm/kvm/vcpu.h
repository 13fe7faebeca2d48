// One KVM vCPU: its descriptor, its run page and its registers. Used by the vCPU's own thread, and by control while that
// thread is parked.
#pragma once

#include "vmm/kvm/kvm_abi.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "vmm/boot/loader.h"
#include "vmm/kvm/vcpu_state.h"
#include "vmm/kvm/vm.h"

namespace lodge {

class KvmVcpu {
 public:
  // `apic_id` is KVM's vCPU id. The table comes from CpuidTable::for_vcpu.
  [[nodiscard]] static Result<std::unique_ptr<KvmVcpu>> create(KvmVm& vm, uint32_t apic_id,
                                                               std::span<const kvm_cpuid_entry2> cpuid,
                                                               std::span<const kvm_msr_entry> feature_msrs,
                                                               std::span<const uint32_t> msr_list, uint64_t tsc_khz);
  ~KvmVcpu();
  KvmVcpu(const KvmVcpu&) = delete;
  KvmVcpu& operator=(const KvmVcpu&) = delete;

  // KVM_RUN: 0, or -errno (EINTR: kicked).
  [[nodiscard]] int run() const;
  [[nodiscard]] kvm_run& page() { return *run_; }
  [[nodiscard]] size_t page_bytes() const { return run_size_; }  // with what the kernel maps after it
  // Makes the next, or the current, run() return. Any thread; the signal goes to the thread separately.
  void request_exit(bool wanted) { __atomic_store_n(&run_->immediate_exit, wanted ? 1 : 0, __ATOMIC_RELEASE); }

  // Back to the state after power-on.
  [[nodiscard]] Result<void> reset(bool bootstrap);
  // From there, the state a kernel starts in (first vCPU).
  [[nodiscard]] Result<void> enter_kernel(const EntryState& entry) const;
  [[nodiscard]] Result<VcpuState> save(std::span<const uint32_t> msr_list) const;
  [[nodiscard]] Result<void> load(const VcpuState& state);
  [[nodiscard]] Result<void> inject_nmi() const;
  // The guest's clock was stopped: tells kvm-clock so that watchdogs stay calm.
  void clock_was_paused() const;
  // General and control registers as text, for reports of a crash.
  [[nodiscard]] std::string describe_registers() const;
  [[nodiscard]] uint64_t tsc_khz() const;

 private:
  KvmVcpu() = default;
  [[nodiscard]] Result<void> set_msrs(std::span<const SavedMsr> msrs) const;

  int vm_ = -1;
  bool has_xsave_ = false;
  size_t xsave_size_ = 0;
  Fd fd_;
  kvm_run* run_ = nullptr;
  size_t run_size_ = 0;
  VcpuState power_on_;  // as KVM made it, for resets
};

}  // namespace lodge
