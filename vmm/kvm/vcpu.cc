#include "vmm/kvm/vcpu.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "vmm/kvm/blob.h"

namespace lodge {
namespace {

// struct kvm_msrs with its flexible array.
class MsrBuffer {
 public:
  explicit MsrBuffer(size_t count) : words_(1 + count * 2) { get()->nmsrs = static_cast<uint32_t>(count); }
  [[nodiscard]] kvm_msrs* get() { return reinterpret_cast<kvm_msrs*>(words_.data()); }  // SAFETY: aligned and large enough
  [[nodiscard]] std::span<kvm_msr_entry> entries() { return {get()->entries, get()->nmsrs}; }

 private:
  static_assert(sizeof(kvm_msrs) == 8 && sizeof(kvm_msr_entry) == 16);
  std::vector<uint64_t> words_;
};

kvm_segment segment_of(const SegmentState& state) {
  kvm_segment segment{};
  segment.base = state.base;
  segment.limit = state.limit;
  segment.selector = state.selector;
  segment.type = state.type;
  segment.present = 1;
  segment.s = state.code_or_data ? 1 : 0;
  segment.l = state.long_mode ? 1 : 0;
  segment.db = state.default_32 ? 1 : 0;
  segment.g = state.granular ? 1 : 0;
  return segment;
}

}  // namespace

Result<std::unique_ptr<KvmVcpu>> KvmVcpu::create(KvmVm& vm, uint32_t apic_id, std::span<const kvm_cpuid_entry2> cpuid,
                                                 std::span<const kvm_msr_entry> feature_msrs,
                                                 std::span<const uint32_t> msr_list, uint64_t tsc_khz) {
  std::unique_ptr<KvmVcpu> self(new KvmVcpu);
  self->vm_ = vm.get();
  const int fd = kvm_ioctl_value(vm.get(), KVM_CREATE_VCPU, apic_id);
  if (fd < 0) {
    return fail_errno(errno, "create vCPU with APIC id {}", apic_id);
  }
  self->fd_ = Fd(fd);
  self->run_size_ = static_cast<size_t>(kvm_ioctl_value(vm.kvm().get(), KVM_GET_VCPU_MMAP_SIZE, 0));
  void* page = ::mmap(nullptr, self->run_size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (page == MAP_FAILED) {
    return fail_errno(errno, "map the run page of vCPU with APIC id {}", apic_id);
  }
  self->run_ = static_cast<kvm_run*>(page);
  std::vector<std::byte> buffer(sizeof(kvm_cpuid2) + cpuid.size_bytes());
  auto* table = reinterpret_cast<kvm_cpuid2*>(buffer.data());  // SAFETY: flexible array in a large enough buffer
  table->nent = static_cast<uint32_t>(cpuid.size());
  std::memcpy(table->entries, cpuid.data(), cpuid.size_bytes());
  if (kvm_ioctl(fd, KVM_SET_CPUID2, table) < 0) {
    return fail_errno(errno, "set the CPU features of the vCPU with APIC id {}", apic_id);
  }
  if (tsc_khz != 0 && kvm_ioctl_value(fd, KVM_SET_TSC_KHZ, tsc_khz) < 0) {
    return fail_errno(errno, "set the TSC frequency to {} kHz; the host cannot scale it", tsc_khz);
  }
  std::vector<SavedMsr> msrs;
  for (const kvm_msr_entry& entry : feature_msrs) {
    msrs.push_back({entry.index, entry.data});
  }
  TRY_VOID_CONTEXT(self->set_msrs(msrs), "set CPU feature MSRs");
  const int xsave = vm.kvm().capability(KVM_CAP_XSAVE2);
  self->has_xsave_ = vm.kvm().capability(KVM_CAP_XSAVE) > 0;
  self->xsave_size_ = xsave > static_cast<int>(sizeof(kvm_xsave)) ? static_cast<size_t>(xsave) : sizeof(kvm_xsave);
  self->power_on_ = TRY_CONTEXT(self->save(msr_list), "read the power-on state of a vCPU");
  return self;
}

KvmVcpu::~KvmVcpu() {
  if (run_ != nullptr) {
    ::munmap(run_, run_size_);
  }
}

int KvmVcpu::run() const { return ::ioctl(fd_.get(), KVM_RUN, 0) < 0 ? -errno : 0; }

Result<void> KvmVcpu::reset(bool bootstrap) {
  kvm_mp_state ignored{};
  (void)kvm_ioctl(fd_.get(), KVM_GET_MP_STATE, &ignored);  // takes INIT and SIPI that were sent to it and wait
  VcpuState state = power_on_;
  state.mp_state = bootstrap ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
  TRY_VOID_CONTEXT(load(state), "reset a vCPU");
  return {};
}

Result<void> KvmVcpu::enter_kernel(const EntryState& entry) const {
  kvm_sregs sregs{};
  if (kvm_ioctl(fd_.get(), KVM_GET_SREGS, &sregs) < 0) {
    return fail_errno(errno, "read vCPU registers");
  }
  sregs.cs = segment_of(entry.code);
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment_of(entry.data);
  sregs.tr = segment_of(entry.task);
  sregs.gdt.base = entry.gdt_base;
  sregs.gdt.limit = entry.gdt_limit;
  sregs.idt.base = 0;
  sregs.idt.limit = entry.idt_limit;
  sregs.cr0 = entry.cr0;
  sregs.cr3 = entry.cr3;
  sregs.cr4 = entry.cr4;
  sregs.efer = entry.efer;
  if (kvm_ioctl(fd_.get(), KVM_SET_SREGS, &sregs) < 0) {
    return fail_errno(errno, "set the boot state of the first vCPU");
  }
  kvm_regs regs{};
  regs.rip = entry.rip;
  regs.rax = entry.rax;
  regs.rbx = entry.rbx;
  regs.rsi = entry.rsi;
  regs.rsp = entry.rsp;
  regs.rflags = 2;
  if (kvm_ioctl(fd_.get(), KVM_SET_REGS, &regs) < 0) {
    return fail_errno(errno, "set the boot registers of the first vCPU");
  }
  return {};
}

Result<VcpuState> KvmVcpu::save(std::span<const uint32_t> msr_list) const {
  VcpuState state;
  const auto get = [this](unsigned long request, void* to, std::string_view what) -> Result<void> {
    if (kvm_ioctl(fd_.get(), request, to) < 0) {
      return fail_errno(errno, "read vCPU {}", what);
    }
    return {};
  };
  kvm_mp_state mp{};  // first: it makes KVM deliver pending INIT and SIPI
  TRY_VOID(get(KVM_GET_MP_STATE, &mp, "run state"));
  state.mp_state = mp.mp_state;
  kvm_regs regs{};
  TRY_VOID(get(KVM_GET_REGS, &regs, "registers"));
  state.regs = to_blob(regs);
  kvm_sregs sregs{};
  TRY_VOID(get(KVM_GET_SREGS, &sregs, "system registers"));
  state.sregs = to_blob(sregs);
  if (has_xsave_ || xsave_size_ == 0) {
    state.xsave.resize(std::max(xsave_size_, sizeof(kvm_xsave)));
    const unsigned long request = state.xsave.size() > sizeof(kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;
    if (!get(request, state.xsave.data(), "XSAVE state")) {
      state.xsave.clear();
    }
    kvm_xcrs xcrs{};
    if (get(KVM_GET_XCRS, &xcrs, "extended control registers")) {
      state.xcrs = to_blob(xcrs);
    }
  }
  if (state.xsave.empty()) {
    kvm_fpu fpu{};
    TRY_VOID(get(KVM_GET_FPU, &fpu, "FPU state"));
    state.fpu = to_blob(fpu);
  }
  kvm_debugregs debug{};
  TRY_VOID(get(KVM_GET_DEBUGREGS, &debug, "debug registers"));
  state.debug = to_blob(debug);
  kvm_vcpu_events events{};
  TRY_VOID(get(KVM_GET_VCPU_EVENTS, &events, "pending events"));
  state.events = to_blob(events);
  kvm_lapic_state lapic{};
  TRY_VOID(get(KVM_GET_LAPIC, &lapic, "local APIC"));
  state.lapic = to_blob(lapic);
  state.tsc_khz = tsc_khz();
  size_t next = 0;
  while (next < msr_list.size()) {  // KVM stops at the first MSR that this guest does not have; go on behind it
    MsrBuffer buffer(msr_list.size() - next);
    for (size_t i = next; i < msr_list.size(); ++i) {
      buffer.entries()[i - next].index = msr_list[i];
    }
    const int read = kvm_ioctl(fd_.get(), KVM_GET_MSRS, buffer.get());
    for (int i = 0; i < read; ++i) {
      const kvm_msr_entry& entry = buffer.entries()[static_cast<size_t>(i)];
      state.msrs.push_back({entry.index, entry.data});
    }
    next += static_cast<size_t>(std::max(read, 0)) + 1;
  }
  return state;
}

Result<void> KvmVcpu::set_msrs(std::span<const SavedMsr> msrs) const {
  size_t next = 0;
  while (next < msrs.size()) {
    MsrBuffer buffer(msrs.size() - next);
    for (size_t i = next; i < msrs.size(); ++i) {
      buffer.entries()[i - next].index = msrs[i].index;
      buffer.entries()[i - next].data = msrs[i].value;
    }
    next += static_cast<size_t>(std::max(kvm_ioctl(fd_.get(), KVM_SET_MSRS, buffer.get()), 0));
    if (next < msrs.size()) {
      log_debug("kvm", "MSR {:#x} cannot be set to {:#x} on this host", msrs[next].index, msrs[next].value);
      ++next;
    }
  }
  return {};
}

Result<void> KvmVcpu::load(const VcpuState& state) {
  const auto set = [this](unsigned long request, const void* from, std::string_view what) -> Result<void> {
    if (kvm_ioctl(fd_.get(), request, const_cast<void*>(from)) < 0) {
      return fail_errno(errno, "set vCPU {}", what);
    }
    return {};
  };
  const auto sregs = TRY(from_blob<kvm_sregs>(state.sregs, "system registers"));
  const auto regs = TRY(from_blob<kvm_regs>(state.regs, "registers"));
  TRY_VOID(set(KVM_SET_SREGS, &sregs, "system registers"));
  TRY_VOID(set(KVM_SET_REGS, &regs, "registers"));
  if (!state.xsave.empty()) {
    if (state.xsave.size() < sizeof(kvm_xsave) || state.xsave.size() > std::max(xsave_size_, sizeof(kvm_xsave))) {
      return fail("saved XSAVE state has {} bytes, this host holds {}", state.xsave.size(), xsave_size_);
    }
    std::vector<uint8_t> buffer(state.xsave);
    buffer.resize(std::max(xsave_size_, sizeof(kvm_xsave)));
    TRY_VOID(set(KVM_SET_XSAVE, buffer.data(), "XSAVE state"));
  } else {
    const auto fpu = TRY(from_blob<kvm_fpu>(state.fpu, "FPU state"));
    TRY_VOID(set(KVM_SET_FPU, &fpu, "FPU state"));
  }
  if (!state.xcrs.empty()) {
    const auto xcrs = TRY(from_blob<kvm_xcrs>(state.xcrs, "extended control registers"));
    TRY_VOID(set(KVM_SET_XCRS, &xcrs, "extended control registers"));
  }
  if (!state.msrs.empty()) {
    TRY_VOID(set_msrs(state.msrs));
  }
  const auto debug = TRY(from_blob<kvm_debugregs>(state.debug, "debug registers"));
  TRY_VOID(set(KVM_SET_DEBUGREGS, &debug, "debug registers"));
  const auto lapic = TRY(from_blob<kvm_lapic_state>(state.lapic, "local APIC"));
  TRY_VOID(set(KVM_SET_LAPIC, &lapic, "local APIC"));
  if (!state.msrs.empty()) {
    // The deadline timer only arms once the local APIC is in its mode.
    for (const SavedMsr& msr : state.msrs) {
      if (msr.index == 0x6E0) {
        TRY_VOID(set_msrs(std::span(&msr, 1)));
      }
    }
  }
  const auto events = TRY(from_blob<kvm_vcpu_events>(state.events, "pending events"));
  TRY_VOID(set(KVM_SET_VCPU_EVENTS, &events, "pending events"));
  kvm_mp_state mp{};
  mp.mp_state = state.mp_state;
  TRY_VOID(set(KVM_SET_MP_STATE, &mp, "run state"));
  return {};
}

Result<void> KvmVcpu::inject_nmi() const {
  if (kvm_ioctl_value(fd_.get(), KVM_NMI, 0) < 0) {
    return fail_errno(errno, "inject an NMI");
  }
  return {};
}

void KvmVcpu::clock_was_paused() const { (void)kvm_ioctl_value(fd_.get(), KVM_KVMCLOCK_CTRL, 0); }

uint64_t KvmVcpu::tsc_khz() const {
  const int khz = kvm_ioctl_value(fd_.get(), KVM_GET_TSC_KHZ, 0);
  return khz > 0 ? static_cast<uint64_t>(khz) : 0;
}

std::string KvmVcpu::describe_registers() const {
  kvm_regs r{};
  kvm_sregs s{};
  if (kvm_ioctl(fd_.get(), KVM_GET_REGS, &r) < 0 || kvm_ioctl(fd_.get(), KVM_GET_SREGS, &s) < 0) {
    return "registers cannot be read";
  }
  return fmt::format(
      "rip={:#x} rflags={:#x} rsp={:#x} rbp={:#x} rax={:#x} rbx={:#x} rcx={:#x} rdx={:#x} rsi={:#x} rdi={:#x} r8={:#x} "
      "r9={:#x} r10={:#x} r11={:#x} r12={:#x} r13={:#x} r14={:#x} r15={:#x} cs={:#x}:{:#x} ss={:#x} cr0={:#x} cr2={:#x} "
      "cr3={:#x} cr4={:#x} efer={:#x} gdt={:#x}+{:#x} idt={:#x}+{:#x}",
      r.rip, r.rflags, r.rsp, r.rbp, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14,
      r.r15, s.cs.selector, s.cs.base, s.ss.selector, s.cr0, s.cr2, s.cr3, s.cr4, s.efer, s.gdt.base, s.gdt.limit,
      s.idt.base, s.idt.limit);
}

}  // namespace lodge
