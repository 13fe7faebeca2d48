// One KVM virtual machine: memory slots, interrupt controllers, interrupt routes, irqfds, ioeventfds, clock.
//
// Set up on the control thread; routes and doorbells may change from any vCPU thread (a mutex guards the route table).
#pragma once

#include "vmm/kvm/kvm_abi.h"

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "base/memory/guest_memory.h"
#include "base/mutex.h"
#include "devices/core/irq.h"
#include "vmm/kvm/kvm.h"

namespace lodge {

class KvmVm final : public MsiFactory, public Doorbells {
 public:
  struct Options {
    bool pit = true;             // the 8254 timer (and speaker port) in the kernel
    bool discard_ticks = false;  // of that timer: those that come while one is pending; else they come later
    // Runs its argument a little later on a thread that may wait: changing the route table takes the kernel milliseconds.
    std::function<void(std::function<void()>)> later;
  };
  [[nodiscard]] static Result<std::unique_ptr<KvmVm>> create(const Kvm& kvm, const Options& options);
  ~KvmVm() override;

  [[nodiscard]] int get() const { return fd_.get(); }
  [[nodiscard]] const Kvm& kvm() const { return kvm_; }
  [[nodiscard]] const Options& options() const { return options_; }

  // Frequency of a vCPU's time stamp counter when nothing else is asked for; 0: the kernel does not say.
  [[nodiscard]] uint64_t tsc_khz() const;
  // An HPET takes the 8254's interrupt, or gives it back. Any thread.
  [[nodiscard]] Result<void> replace_pit(bool on) const;

  // Makes the regions of `memory` the guest's RAM. May run beside the rest of the set-up, on any one thread.
  [[nodiscard]] Result<void> map_memory(const GuestMemory& memory);

  // One stretch of guest physical memory; size 0 takes it away. Any thread, each slot by one at a time.
  struct Slot {
    uint32_t number = 0;
    Gpa base;
    uint64_t size = 0;
    const void* host = nullptr;
    bool read_only = false;  // writes become register accesses
  };
  [[nodiscard]] Result<void> set_slot(const Slot& slot) const;

  // Inputs of the interrupt controllers: GSI 0 to 15 reach both 8259 and IOAPIC, 16 to 23 the IOAPIC.
  [[nodiscard]] IrqLine& line(uint32_t gsi) { return *lines_.at(gsi); }

  [[nodiscard]] Result<std::unique_ptr<MsiVector>> create_msi() override;
  [[nodiscard]] Result<void> add(const Bell& bell, int event_fd) override;
  void remove(const Bell& bell, int event_fd) override;

 private:
  class Line;
  class Msi;
  explicit KvmVm(const Kvm& kvm, const Options& options) : kvm_(kvm), options_(options) {}
  [[nodiscard]] Result<void> set_up();
  [[nodiscard]] Result<void> commit_routes() REQUIRES(mutex_);
  [[nodiscard]] bool enter(Msi& msi) REQUIRES(mutex_);
  [[nodiscard]] bool irqfd(const Msi& msi, uint32_t flags) const;
  [[nodiscard]] Result<void> route_all() REQUIRES(mutex_);
  void retire(Msi& msi) REQUIRES(mutex_);
  void route_later() REQUIRES(mutex_);
  void route_now();
  [[nodiscard]] Result<void> ioeventfd(const Bell& bell, int event_fd, bool remove) const;

  static constexpr uint32_t kPins = 24;
  static constexpr uint32_t kMaxGsi = 4096;
  const Kvm& kvm_;
  Options options_;
  Fd fd_;
  std::vector<std::unique_ptr<IrqLine>> lines_;
  Mutex mutex_;
  std::map<uint32_t, kvm_irq_routing_entry> msi_routes_ GUARDED_BY(mutex_);
  std::set<Msi*> unrouted_ GUARDED_BY(mutex_);  // enabled, waiting for route_now()
  bool later_asked_ GUARDED_BY(mutex_) = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::vector<uint32_t> free_gsis_ GUARDED_BY(mutex_);
  uint32_t next_gsi_ GUARDED_BY(mutex_) = kPins;
};

}  // namespace lodge
