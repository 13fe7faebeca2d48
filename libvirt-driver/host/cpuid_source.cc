#include "libvirt-driver/host/cpuid_source.h"

#include "vmm/kvm/kvm_abi.h"

#include <cpuid.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>

#include "base/fd.h"

namespace lodge {
namespace {

constexpr uint32_t kMaxLeaf = 0x40;  // of a range; what has features is below
constexpr uint32_t kEcxTscDeadline = 1U << 24;
constexpr uint32_t kEcxX2Apic = 1U << 21;
constexpr uint32_t kEcxHypervisor = 1U << 31;
constexpr uint32_t kEdxApic = 1U << 9;

CpuidLeaf instruction(uint32_t leaf, uint32_t subleaf) {
  CpuidLeaf out{leaf, subleaf};
  __cpuid_count(leaf, subleaf, out.eax, out.ebx, out.ecx, out.edx);
  return out;
}

// Leaves whose other subleaves hold features; the count is in eax of subleaf 0 for leaf 7.
void add_range(uint32_t base, CpuidData& out) {
  const uint32_t highest = std::min(instruction(base, 0).eax, base + kMaxLeaf);
  for (uint32_t leaf = base; leaf <= highest && highest >= base; ++leaf) {
    const CpuidLeaf first = instruction(leaf, 0);
    out.leaves.push_back(first);
    const uint32_t subleaves = leaf == 7 ? std::min(first.eax, 8U) : leaf == 0xd || leaf == 0x14 ? 1 : 0;
    for (uint32_t subleaf = 1; subleaf <= subleaves; ++subleaf) {
      out.leaves.push_back(instruction(leaf, subleaf));
    }
  }
}

Result<int> request(const Fd& fd, unsigned long number, auto argument, const char* what) {
  const int value = ::ioctl(fd.get(), number, argument);
  if (value < 0) {
    return fail_errno(errno, "{}", what);
  }
  return value;
}

// A structure with an array behind it, as several of KVM's requests take.
template <class Header, class Element>
class Table {
 public:
  explicit Table(size_t count) : bytes_(sizeof(Header) + count * sizeof(Element)) {}
  // SAFETY: new[] aligns for both, and the storage is large enough for the header and `count` elements.
  [[nodiscard]] Header* get() { return reinterpret_cast<Header*>(bytes_.data()); }

 private:
  std::vector<std::byte> bytes_;
};

Result<void> add_supported(const Fd& kvm, CpuidData& out) {
  constexpr uint32_t kMost = 1024;
  Table<kvm_cpuid2, kvm_cpuid_entry2> table(kMost);
  table.get()->nent = kMost;
  (void)TRY(request(kvm, KVM_GET_SUPPORTED_CPUID, table.get(), "ask KVM for the CPU features it supports"));
  for (uint32_t i = 0; i < std::min(table.get()->nent, kMost); ++i) {
    const kvm_cpuid_entry2& entry = table.get()->entries[i];
    out.leaves.push_back({entry.function, entry.index, entry.eax, entry.ebx, entry.ecx, entry.edx});
  }
  return {};
}

void add_feature_msrs(const Fd& kvm, CpuidData& out) {
  constexpr uint32_t kMost = 1024;
  Table<kvm_msr_list, uint32_t> list(kMost);
  list.get()->nmsrs = kMost;
  if (!request(kvm, KVM_GET_MSR_FEATURE_INDEX_LIST, list.get(), "")) {
    return;  // an old kernel: there are none
  }
  for (uint32_t i = 0; i < std::min(list.get()->nmsrs, kMost); ++i) {
    Table<kvm_msrs, kvm_msr_entry> one(1);
    one.get()->nmsrs = 1;
    one.get()->entries[0].index = list.get()->indices[i];
    if (request(kvm, KVM_GET_MSRS, one.get(), "").value_or(0) == 1) {
      out.msrs.push_back({one.get()->entries[0].index, one.get()->entries[0].data});
    }
  }
}

// The frequency is known to a vCPU only.
void add_tsc(const Fd& kvm, CpuidData& out) {
  out.tsc_scaling = request(kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL, "").value_or(0) > 0;
  const Fd vm(request(kvm, KVM_CREATE_VM, 0UL, "").value_or(-1));
  const Fd vcpu(vm.valid() ? request(vm, KVM_CREATE_VCPU, 0UL, "").value_or(-1) : -1);
  if (vcpu.valid()) {
    out.tsc_hz = static_cast<uint64_t>(request(vcpu, KVM_GET_TSC_KHZ, 0UL, "").value_or(0)) * 1000;
  }
}

Answer<CpuidData> ask_kvm(const std::string& path) {
  auto opened = open_file(path, O_RDWR);
  if (!opened) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED,
                      "{}; guests need KVM: enable virtualization in the firmware and load kvm_intel or kvm_amd",
                      opened.error().message);
  }
  const Fd kvm = std::move(*opened);
  CpuidData out;
  TRY_VOID(add_supported(kvm, out));
  for (CpuidLeaf& leaf : out.leaves) {
    if (leaf.leaf == 1) {
      const bool deadline = request(kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER, "").value_or(0) > 0;
      leaf.ecx |= kEcxX2Apic | kEcxHypervisor | (deadline ? kEcxTscDeadline : 0);
      leaf.edx |= kEdxApic;
    }
  }
  add_feature_msrs(kvm, out);
  add_tsc(kvm, out);
  return out;
}

}  // namespace

const CpuidLeaf* CpuidData::find(uint32_t leaf, uint32_t subleaf) const {
  const auto found = std::find_if(leaves.begin(), leaves.end(), [leaf, subleaf](const CpuidLeaf& entry) {
    return entry.leaf == leaf && entry.subleaf == subleaf;
  });
  return found == leaves.end() ? nullptr : &*found;
}

Answer<CpuidData> processor_cpuid() {
  CpuidData out;
  add_range(0, out);
  add_range(0x80000000, out);
  return out;
}

CpuidSource kvm_cpuid(const HostPaths& paths) {
  struct Cache {
    std::mutex mutex;
    std::optional<CpuidData> data;
  };
  return [path = paths.kvm, cache = std::make_shared<Cache>()]() -> Answer<CpuidData> {
    const std::scoped_lock lock(cache->mutex);
    if (!cache->data) {
      cache->data = TRY(ask_kvm(path));
    }
    return *cache->data;
  };
}

}  // namespace lodge
