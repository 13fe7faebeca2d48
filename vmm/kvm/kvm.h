// The KVM system device: what this host can do. Opened once, on the control thread, before the machine is built.
#pragma once

#include "vmm/kvm/kvm_abi.h"

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "vmm/cpu/cpuid.h"

namespace lodge {

class Kvm {
 public:
  // `fd`: an open /dev/kvm passed by the daemon, or none to open it here. Errors say which capability is missing.
  [[nodiscard]] static Result<Kvm> open(Fd fd = Fd());

  [[nodiscard]] int get() const { return fd_.get(); }
  // KVM_CHECK_EXTENSION: 0 when absent.
  [[nodiscard]] int capability(unsigned which) const;
  [[nodiscard]] uint32_t max_vcpus() const { return max_vcpus_; }
  [[nodiscard]] uint32_t max_vcpu_id() const { return max_vcpu_id_; }
  [[nodiscard]] Result<HostCpu> host_cpu() const;
  // MSRs that belong to a vCPU's state.
  [[nodiscard]] Result<std::vector<uint32_t>> msr_list() const;

 private:
  explicit Kvm(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
  uint32_t max_vcpus_ = 1;
  uint32_t max_vcpu_id_ = 1;
};

// An ioctl that retries on EINTR; the result is -1 with errno set on failure.
[[nodiscard]] int kvm_ioctl(int fd, unsigned long request, void* argument = nullptr);
[[nodiscard]] int kvm_ioctl_value(int fd, unsigned long request, unsigned long value);

}  // namespace lodge
