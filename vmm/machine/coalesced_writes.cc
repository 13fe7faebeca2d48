#include "vmm/machine/coalesced_writes.h"

#include <sys/ioctl.h>
#include <unistd.h>
#include <algorithm>
#include <cstring>

namespace lodge {
namespace {

constexpr size_t kPage = 4096;
constexpr uint32_t kEntries = (kPage - sizeof(kvm_coalesced_mmio_ring)) / sizeof(kvm_coalesced_mmio);
constexpr std::chrono::milliseconds kSoon{1};
constexpr std::chrono::milliseconds kLate{16};

}  // namespace

std::unique_ptr<CoalescedWrites> CoalescedWrites::create(const KvmVm& vm, KvmVcpu& vcpu, Bus& ports, Bus& mmio,
                                                         EventLoop& control) {
  const int page = vm.kvm().capability(KVM_CAP_COALESCED_MMIO);  // of those that a vCPU maps
  if (page <= 0 || vm.kvm().capability(KVM_CAP_COALESCED_PIO) <= 0 ||
      (static_cast<size_t>(page) + 1) * kPage > vcpu.page_bytes()) {
    return nullptr;
  }
  // SAFETY: the kernel keeps the ring at this page of the mapping, which is large enough.
  auto* const ring = reinterpret_cast<kvm_coalesced_mmio_ring*>(reinterpret_cast<std::byte*>(&vcpu.page()) +
                                                                static_cast<size_t>(page) * kPage);
  return std::unique_ptr<CoalescedWrites>(new CoalescedWrites(vm, ring, ports, mmio, control));
}

Result<void> CoalescedWrites::add(const Zone& zone) const {
  kvm_coalesced_mmio_zone wanted{};
  wanted.addr = zone.base;
  wanted.size = zone.bytes;
  wanted.pio = zone.ports ? 1 : 0;
  if (::ioctl(vm_.get(), KVM_REGISTER_COALESCED_MMIO, &wanted) != 0) {
    return fail_errno(errno, "KVM_REGISTER_COALESCED_MMIO for {} {:#x}", zone.ports ? "port" : "address", zone.base);
  }
  return {};
}

void CoalescedWrites::flush(uint32_t vcpu) {
  const Lock lock(mutex_);
  uint32_t first = __atomic_load_n(&ring_->first, __ATOMIC_RELAXED);
  while (first != __atomic_load_n(&ring_->last, __ATOMIC_ACQUIRE)) {
    const kvm_coalesced_mmio& entry = ring_->coalesced_mmio[first];
    uint64_t value = 0;
    std::memcpy(&value, entry.data, std::min<size_t>(entry.len, sizeof value));
    (void)(entry.pio != 0 ? ports_ : mmio_).write(entry.phys_addr, static_cast<uint8_t>(entry.len), vcpu, value);
    first = (first + 1) % kEntries;
    __atomic_store_n(&ring_->first, first, __ATOMIC_RELEASE);
  }
}

void CoalescedWrites::expect() {
  if (!looks_.load() && !looks_.exchange(true)) {  // with each word of data: mostly somebody looks already
    control_.post([this, alive = alive_] {
      if (*alive) {
        pause_ = kSoon;
        look();
      }
    });
  }
}

void CoalescedWrites::look() {
  if (pending()) {
    pause_ = kSoon;
    flush();
  } else {
    pause_ = std::min(2 * pause_, kLate);
  }
  // Who expects data from now on finds that nobody looks; who does already is seen here.
  looks_.store(false);
  if (expected_() && !looks_.exchange(true)) {
    timer_ = control_.after(pause_, [this] { look(); });
  }
}

}  // namespace lodge
