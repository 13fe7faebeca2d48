// CoalescedWrites: writes that KVM keeps in a ring instead of leaving the guest for each (KVM API, 4.116,
// KVM_REGISTER_COALESCED_MMIO, with ports too). A disk's data register is written 256 times for each sector, and a VGA's
// window at 0xA0000 for each character and each byte of a font: one exit instead.
//
// Every exit of a vCPU empties the ring before it does anything else, so no device sees accesses in another order than the
// guest made them; whoever draws a picture empties it, too. A guest may also wait for an interrupt without any exit after
// its last write; while a device says that it expects data, the control loop therefore looks at the ring, every millisecond
// at first.
//
// pending() and flush() from any thread, without a device's lock; expect() too, one may be held; the rest on control.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "base/io/event_loop.h"
#include "base/mutex.h"
#include "devices/core/bus.h"
#include "vmm/kvm/vcpu.h"

namespace lodge {

class CoalescedWrites {
 public:
  struct Zone {
    uint64_t base = 0;
    uint32_t bytes = 0;
    bool ports = false;  // else memory
  };
  // The ring of the VM is seen through any of its vCPUs, which outlives this. Null: the kernel does not offer it, or not for
  // ports.
  [[nodiscard]] static std::unique_ptr<CoalescedWrites> create(const KvmVm& vm, KvmVcpu& vcpu, Bus& ports, Bus& mmio,
                                                               EventLoop& control);

  [[nodiscard]] Result<void> add(const Zone& zone) const;
  // Whether a device still expects data; on control. Takes the device's lock.
  void set_expected(std::function<bool()> expected) { expected_ = std::move(expected); }

  [[nodiscard]] bool pending() const {
    return __atomic_load_n(&ring_->last, __ATOMIC_ACQUIRE) != __atomic_load_n(&ring_->first, __ATOMIC_RELAXED);
  }
  // Hands what is in the ring to the devices; `vcpu`: who is told to have written.
  void flush(uint32_t vcpu = 0);
  // A device expects data from now on.
  void expect();

 private:
  CoalescedWrites(const KvmVm& vm, kvm_coalesced_mmio_ring* ring, Bus& ports, Bus& mmio, EventLoop& control)
      : vm_(vm), ring_(ring), control_(control), ports_(ports), mmio_(mmio) {}
  void look();

  const KvmVm& vm_;
  kvm_coalesced_mmio_ring* ring_;
  EventLoop& control_;
  Mutex mutex_;  // one reader of the ring at a time
  Bus::Reader ports_ GUARDED_BY(mutex_);
  Bus::Reader mmio_ GUARDED_BY(mutex_);
  std::chrono::milliseconds pause_{1};  // control's, as the next
  EventLoop::Timer timer_;
  std::function<bool()> expected_;
  std::atomic<bool> looks_{false};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

 public:
  ~CoalescedWrites() { *alive_ = false; }
  CoalescedWrites(const CoalescedWrites&) = delete;
  CoalescedWrites& operator=(const CoalescedWrites&) = delete;
};

}  // namespace lodge
