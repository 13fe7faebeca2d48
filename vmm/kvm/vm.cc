#include "vmm/kvm/vm.h"

#include <sys/ioctl.h>
#include <cstring>

#include "base/log.h"

namespace lodge {

// An input of the in-kernel interrupt controllers.
class KvmVm::Line final : public IrqLine {
 public:
  Line(int vm, uint32_t gsi) : vm_(vm), gsi_(gsi) {}
  void set(bool asserted) override {
    kvm_irq_level level{};
    level.irq = gsi_;
    level.level = asserted ? 1 : 0;
    (void)kvm_ioctl(vm_, KVM_IRQ_LINE, &level);
  }

 private:
  int vm_;
  uint32_t gsi_;
};

// A message-signalled interrupt: an irqfd with a route of its own while it is enabled. A change of the route table costs the
// kernel milliseconds, and a booting guest makes one for every queue; so a fresh vector is sent with KVM_SIGNAL_MSI until
// the table is next committed, for all of them at once. Whoever needs the descriptor itself (vhost) has it routed at once.
class KvmVm::Msi final : public MsiVector {
 public:
  Msi(KvmVm& vm, EventFd event) : vm_(vm), event_(std::move(event)) {}
  ~Msi() override {
    const Lock lock(vm_.mutex_);
    vm_.retire(*this);
  }
  Msi(const Msi&) = delete;
  Msi& operator=(const Msi&) = delete;

  Result<void> configure(uint64_t address, uint32_t data, bool enabled) override {
    const Lock lock(vm_.mutex_);
    if (!enabled) {
      vm_.retire(*this);
      return {};
    }
    if (enabled_ && address == address_ && data == data_) {
      return {};
    }
    routed_.store(false, std::memory_order_release);
    address_ = address;
    data_ = data;
    enabled_ = true;
    vm_.unrouted_.insert(this);
    if (used_by_kernel_) {
      return vm_.route_all();
    }
    vm_.route_later();
    return {};
  }

  void trigger() override {
    if (routed_.load(std::memory_order_acquire)) {
      event_.signal();
      return;
    }
    const Lock lock(vm_.mutex_);
    if (routed_.load(std::memory_order_relaxed)) {
      event_.signal();
    } else if (enabled_) {
      kvm_msi message{};
      message.address_lo = static_cast<uint32_t>(address_);
      message.address_hi = static_cast<uint32_t>(address_ >> 32);
      message.data = data_;
      (void)kvm_ioctl(vm_.get(), KVM_SIGNAL_MSI, &message);
    }
  }

  int event_fd() const override {
    const Lock lock(vm_.mutex_);
    if (!std::exchange(used_by_kernel_, true) && enabled_) {
      if (const auto outcome = vm_.route_all(); !outcome) {
        log_warning("kvm", "{}; the kernel's queues will miss interrupts", outcome.error().message);
      }
    }
    return event_.get();
  }

 private:
  friend class KvmVm;
  KvmVm& vm_;
  EventFd event_;
  std::atomic<bool> routed_{false};
  // What follows is guarded by vm_.mutex_.
  bool enabled_ = false;
  bool connected_ = false;
  mutable bool used_by_kernel_ = false;
  uint64_t address_ = 0;
  uint32_t data_ = 0;
  uint32_t gsi_ = 0;  // 0: none
};

// Puts a vector into our table; false when KVM's is full, and then it goes on without a route.
bool KvmVm::enter(Msi& msi) {
  if (msi.gsi_ == 0) {
    if (!free_gsis_.empty()) {
      msi.gsi_ = free_gsis_.back();
      free_gsis_.pop_back();
    } else if (next_gsi_ < kMaxGsi) {
      msi.gsi_ = next_gsi_++;
    } else {
      return false;
    }
  }
  kvm_irq_routing_entry entry{};
  entry.gsi = msi.gsi_;
  entry.type = KVM_IRQ_ROUTING_MSI;
  entry.u.msi.address_lo = static_cast<uint32_t>(msi.address_);
  entry.u.msi.address_hi = static_cast<uint32_t>(msi.address_ >> 32);
  entry.u.msi.data = msi.data_;
  msi_routes_[msi.gsi_] = entry;
  return true;
}

bool KvmVm::irqfd(const Msi& msi, uint32_t flags) const {
  kvm_irqfd request{};
  request.fd = static_cast<uint32_t>(msi.event_.get());
  request.gsi = msi.gsi_;
  request.flags = flags;
  return kvm_ioctl(fd_.get(), KVM_IRQFD, &request) == 0;
}

Result<void> KvmVm::route_all() {
  std::vector<Msi*> entered;
  for (Msi* msi : unrouted_) {
    if (enter(*msi)) {
      entered.push_back(msi);
    }
  }
  TRY_VOID(commit_routes());
  for (Msi* msi : entered) {
    if (!msi->connected_) {
      (void)msi->event_.drain();  // a signal from before must not fire now
      msi->connected_ = irqfd(*msi, 0);
    }
    msi->routed_.store(msi->connected_, std::memory_order_release);
    unrouted_.erase(msi);
  }
  return {};
}

void KvmVm::retire(Msi& msi) {
  msi.routed_.store(false, std::memory_order_release);
  msi.enabled_ = false;
  unrouted_.erase(&msi);
  if (msi.gsi_ == 0) {
    return;
  }
  if (std::exchange(msi.connected_, false)) {
    (void)irqfd(msi, KVM_IRQFD_FLAG_DEASSIGN);
  }
  msi_routes_.erase(msi.gsi_);  // out of the kernel's table with its next change
  free_gsis_.push_back(std::exchange(msi.gsi_, 0));
}

void KvmVm::route_later() {
  if (!options_.later || std::exchange(later_asked_, true)) {
    return;
  }
  options_.later([this, alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired()) {
      route_now();
    }
  });
}

void KvmVm::route_now() {
  const Lock lock(mutex_);
  later_asked_ = false;
  if (!unrouted_.empty()) {
    if (const auto outcome = route_all(); !outcome) {
      log_warning("kvm", "{}; interrupts are sent one by one", outcome.error().message);
    }
  }
}

Result<std::unique_ptr<KvmVm>> KvmVm::create(const Kvm& kvm, const Options& options) {
  std::unique_ptr<KvmVm> vm(new KvmVm(kvm, options));
  TRY_VOID(vm->set_up());
  return vm;
}

KvmVm::~KvmVm() = default;

Result<void> KvmVm::set_up() {
  const int fd = kvm_ioctl_value(kvm_.get(), KVM_CREATE_VM, 0);
  if (fd < 0) {
    return fail_errno(errno, "create a virtual machine with /dev/kvm");
  }
  fd_ = Fd(fd);
  // Three pages that Intel processors without unrestricted guest mode need, below the largest firmware.
  if (kvm_ioctl_value(fd, KVM_SET_TSS_ADDR, 0xFEFF'D000) < 0) {
    return fail_errno(errno, "reserve KVM's task state pages");
  }
  uint64_t identity_map = 0xFEFF'C000;
  (void)kvm_ioctl(fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
  // 32-bit APIC ids in MSIs and no broadcast quirk: needed for ids of 255 and above.
  kvm_enable_cap x2apic{};
  x2apic.cap = KVM_CAP_X2APIC_API;
  x2apic.args[0] = KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;
  if (kvm_.capability(KVM_CAP_X2APIC_API) > 0) {
    (void)kvm_ioctl(fd, KVM_ENABLE_CAP, &x2apic);
  }
  if (kvm_ioctl_value(fd, KVM_CREATE_IRQCHIP, 0) < 0) {
    return fail_errno(errno, "create the interrupt controllers in KVM");
  }
  if (options_.pit) {
    kvm_pit_config pit{};
    pit.flags = KVM_PIT_SPEAKER_DUMMY;
    if (kvm_ioctl(fd, KVM_CREATE_PIT2, &pit) < 0) {
      return fail_errno(errno, "create the 8254 timer in KVM");
    }
    kvm_reinject_control reinject{};
    if (options_.discard_ticks && kvm_ioctl(fd, KVM_REINJECT_CONTROL, &reinject) < 0) {
      return fail_errno(errno, "let KVM discard ticks of the 8254 timer");
    }
  }
  for (uint32_t gsi = 0; gsi < kPins; ++gsi) {
    lines_.push_back(std::make_unique<Line>(fd, gsi));
  }
  if (!options_.pit) {
    return {};  // nothing drives the timer's input: the kernel's own table will do
  }
  const Lock lock(mutex_);
  return commit_routes();
}

uint64_t KvmVm::tsc_khz() const {
  if (kvm_.capability(KVM_CAP_VM_TSC_CONTROL) <= 0) {
    return 0;
  }
  const int khz = kvm_ioctl_value(fd_.get(), KVM_GET_TSC_KHZ, 0);
  return khz > 0 ? static_cast<uint64_t>(khz) : 0;
}

Result<void> KvmVm::replace_pit(bool on) const {
  kvm_pit_state2 pit{};
  if (kvm_ioctl(fd_.get(), KVM_GET_PIT2, &pit) < 0) {
    return fail_errno(errno, "read the 8254 timer");
  }
  pit.flags = on ? pit.flags | KVM_PIT_FLAGS_HPET_LEGACY : pit.flags & ~uint32_t{KVM_PIT_FLAGS_HPET_LEGACY};
  if (kvm_ioctl(fd_.get(), KVM_SET_PIT2, &pit) < 0) {
    return fail_errno(errno, "{} the 8254 timer's interrupt", on ? "take" : "give back");
  }
  return {};
}

Result<void> KvmVm::map_memory(const GuestMemory& memory) {
  uint32_t slot = 0;
  for (const MemoryRegion& region : memory.regions()) {
    TRY_VOID(set_slot({slot++, region.base, region.size, region.host, false}));
  }
  return {};
}

Result<void> KvmVm::set_slot(const Slot& slot) const {
  kvm_userspace_memory_region request{};
  request.slot = slot.number;
  request.flags = slot.read_only ? KVM_MEM_READONLY : 0;
  request.guest_phys_addr = slot.base.value;
  request.memory_size = slot.size;
  request.userspace_addr = reinterpret_cast<uint64_t>(slot.host);  // SAFETY: an address for the kernel
  if (kvm_ioctl(fd_.get(), KVM_SET_USER_MEMORY_REGION, &request) < 0) {
    return fail_errno(errno, "give {} KiB of memory at {:#x} to the guest", slot.size / kKiB, slot.base.value);
  }
  return {};
}

Result<void> KvmVm::commit_routes() {
  std::vector<kvm_irq_routing_entry> entries;
  const auto pin = [&entries](uint32_t gsi, uint32_t chip, uint32_t number) {
    kvm_irq_routing_entry entry{};
    entry.gsi = gsi;
    entry.type = KVM_IRQ_ROUTING_IRQCHIP;
    entry.u.irqchip.irqchip = chip;
    entry.u.irqchip.pin = number;
    entries.push_back(entry);
  };
  for (uint32_t gsi = 0; gsi < kPins; ++gsi) {
    if (gsi < 16 && gsi != 2) {
      pin(gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
    }
    if (gsi != 2) {
      pin(gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? 2 : gsi);  // the timer arrives at pin 2, as on every PC
    }
  }
  for (const auto& [gsi, entry] : msi_routes_) {
    entries.push_back(entry);
  }
  std::vector<std::byte> buffer(sizeof(kvm_irq_routing) + entries.size() * sizeof(kvm_irq_routing_entry));
  auto* routing = reinterpret_cast<kvm_irq_routing*>(buffer.data());  // SAFETY: flexible array in a large enough buffer
  routing->nr = static_cast<uint32_t>(entries.size());
  std::memcpy(routing->entries, entries.data(), entries.size() * sizeof(kvm_irq_routing_entry));
  if (kvm_ioctl(fd_.get(), KVM_SET_GSI_ROUTING, routing) < 0) {
    return fail_errno(errno, "set {} interrupt routes", entries.size());
  }
  return {};
}

Result<std::unique_ptr<MsiVector>> KvmVm::create_msi() {
  EventFd event = TRY(EventFd::create());
  return std::make_unique<Msi>(*this, std::move(event));
}

Result<void> KvmVm::ioeventfd(const Bell& bell, int event_fd, bool remove) const {
  kvm_ioeventfd request{};
  request.addr = bell.address;
  request.len = bell.size;
  request.fd = event_fd;
  request.datamatch = bell.value;
  if (bell.port) {
    request.flags |= KVM_IOEVENTFD_FLAG_PIO;
  }
  if (bell.match) {
    request.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
  }
  if (remove) {
    request.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
  }
  if (kvm_ioctl(fd_.get(), KVM_IOEVENTFD, &request) < 0) {
    return fail_errno(errno, "doorbell at {} {:#x}", bell.port ? "port" : "address", bell.address);
  }
  return {};
}

Result<void> KvmVm::add(const Bell& bell, int event_fd) { return ioeventfd(bell, event_fd, false); }

void KvmVm::remove(const Bell& bell, int event_fd) {
  if (const auto outcome = ioeventfd(bell, event_fd, true); !outcome) {
    log_debug("kvm", "remove: {}", outcome.error().message);
  }
}

}  // namespace lodge
