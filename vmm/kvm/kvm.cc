#include "vmm/kvm/kvm.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <algorithm>
#include <cstring>
#include <memory>

namespace lodge {
namespace {

struct Needed {
  unsigned capability;
  const char* name;
};

// Without these Lodge does not run a guest. All are in Linux 5.11.
constexpr Needed kNeeded[] = {
    {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
    {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
    {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
    {KVM_CAP_IOEVENTFD_ANY_LENGTH, "KVM_CAP_IOEVENTFD_ANY_LENGTH"},
    {KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
    {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
    {KVM_CAP_ADJUST_CLOCK, "KVM_CAP_ADJUST_CLOCK"},
};

}  // namespace

int kvm_ioctl(int fd, unsigned long request, void* argument) {
  int rc = 0;
  do {
    rc = ::ioctl(fd, request, argument);
  } while (rc < 0 && errno == EINTR);
  return rc;
}

int kvm_ioctl_value(int fd, unsigned long request, unsigned long value) {
  int rc = 0;
  do {
    rc = ::ioctl(fd, request, value);
  } while (rc < 0 && errno == EINTR);
  return rc;
}

namespace {

std::unexpected<Error> fail_open(std::string_view remedy) {
  const int code = errno;
  return std::unexpected(
      Error{fmt::format("cannot open /dev/kvm: {}{}", std::generic_category().message(code), remedy), code});
}

}  // namespace

Result<Kvm> Kvm::open(Fd fd) {
  if (!fd.valid()) {
    fd = Fd(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!fd.valid() && (errno == ENOENT || errno == ENODEV || errno == ENXIO)) {
      return fail_open("; enable virtualization in the firmware and load kvm_intel or kvm_amd");
    }
    if (!fd.valid() && (errno == EACCES || errno == EPERM)) {
      return fail_open("; add the user to the group that owns it (usually kvm)");
    }
    if (!fd.valid()) {
      return fail_open("");
    }
  }
  Kvm kvm(std::move(fd));
  const int version = kvm_ioctl_value(kvm.get(), KVM_GET_API_VERSION, 0);
  if (version < 0) {
    return fail("/dev/kvm is not KVM ({}); check what the device node points to", std::generic_category().message(errno));
  }
  if (version != KVM_API_VERSION) {
    return fail("/dev/kvm has API version {}, Lodge needs {}; the kernel is too old", version, KVM_API_VERSION);
  }
  for (const Needed& needed : kNeeded) {
    if (kvm.capability(needed.capability) <= 0) {
      return fail("/dev/kvm lacks {}; Lodge needs Linux 5.11 or later", needed.name);
    }
  }
  kvm.max_vcpus_ = static_cast<uint32_t>(std::max(1, kvm.capability(KVM_CAP_MAX_VCPUS)));
  kvm.max_vcpu_id_ =
      static_cast<uint32_t>(std::max<int>(static_cast<int>(kvm.max_vcpus_), kvm.capability(KVM_CAP_MAX_VCPU_ID)));
  return kvm;
}

int Kvm::capability(unsigned which) const { return kvm_ioctl_value(fd_.get(), KVM_CHECK_EXTENSION, which); }

Result<HostCpu> Kvm::host_cpu() const {
  HostCpu host;
  for (uint32_t entries = 128; entries <= 4096; entries *= 2) {
    // SAFETY: kvm_cpuid2 ends in a flexible array; a byte buffer of the right size carries it.
    std::vector<std::byte> buffer(sizeof(kvm_cpuid2) + entries * sizeof(kvm_cpuid_entry2));
    auto* cpuid = reinterpret_cast<kvm_cpuid2*>(buffer.data());
    cpuid->nent = entries;
    if (kvm_ioctl(fd_.get(), KVM_GET_SUPPORTED_CPUID, cpuid) == 0) {
      host.supported.assign(cpuid->entries, cpuid->entries + cpuid->nent);
      break;
    }
    if (errno != E2BIG) {
      return fail_errno(errno, "ask KVM for the CPU features it supports");
    }
  }
  host.tsc_deadline = capability(KVM_CAP_TSC_DEADLINE_TIMER) > 0;
  if (capability(KVM_CAP_GET_MSR_FEATURES) > 0) {
    kvm_msr_list probe{};
    (void)kvm_ioctl(fd_.get(), KVM_GET_MSR_FEATURE_INDEX_LIST, &probe);  // E2BIG: tells the count
    std::vector<std::byte> list_bytes(sizeof(kvm_msr_list) + probe.nmsrs * sizeof(uint32_t));
    auto* list = reinterpret_cast<kvm_msr_list*>(list_bytes.data());  // SAFETY: as above
    list->nmsrs = probe.nmsrs;
    if (probe.nmsrs != 0 && kvm_ioctl(fd_.get(), KVM_GET_MSR_FEATURE_INDEX_LIST, list) == 0) {
      for (uint32_t i = 0; i < list->nmsrs; ++i) {
        std::vector<std::byte> one(sizeof(kvm_msrs) + sizeof(kvm_msr_entry));
        auto* msrs = reinterpret_cast<kvm_msrs*>(one.data());  // SAFETY: as above
        msrs->nmsrs = 1;
        msrs->entries[0].index = list->indices[i];
        if (kvm_ioctl(fd_.get(), KVM_GET_MSRS, msrs) == 1) {
          host.feature_msrs.push_back(msrs->entries[0]);
        }
      }
    }
  }
  return host;
}

Result<std::vector<uint32_t>> Kvm::msr_list() const {
  kvm_msr_list probe{};
  if (kvm_ioctl(fd_.get(), KVM_GET_MSR_INDEX_LIST, &probe) == 0 || errno != E2BIG) {
    return fail_errno(errno, "ask KVM for its list of MSRs");
  }
  std::vector<std::byte> buffer(sizeof(kvm_msr_list) + probe.nmsrs * sizeof(uint32_t));
  auto* list = reinterpret_cast<kvm_msr_list*>(buffer.data());  // SAFETY: flexible array in a large enough buffer
  list->nmsrs = probe.nmsrs;
  if (kvm_ioctl(fd_.get(), KVM_GET_MSR_INDEX_LIST, list) < 0) {
    return fail_errno(errno, "ask KVM for its list of MSRs");
  }
  return std::vector<uint32_t>(list->indices, list->indices + list->nmsrs);
}

}  // namespace lodge
