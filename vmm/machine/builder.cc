// Processor, memory and boot parts of the builder. Devices: builder_devices.cc; firmware: builder_firmware.cc.
#include "vmm/machine/builder.h"

#include <sys/sysinfo.h>
#include <unistd.h>
#include <algorithm>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "vmm/boot/e820.h"
#include "vmm/boot/reset_vector.h"
#include "vmm/boot/smbios.h"
#include "vmm/config/complete.h"
#include "vmm/config/descriptors.h"
#include "vmm/config/fields.h"
#include "vmm/machine/layout.h"

namespace lodge {
namespace {

// Interrupt routes of vectors that a guest enabled go to the kernel together, this long after the first.
constexpr std::chrono::milliseconds kRouteDelay(50);

// "+name" required, "-name" hidden, "?name" if the host has it, "!name" forced; a bare name is required.
FeatureRequest feature_request(std::string_view text) {
  FeatureRequest request;
  switch (text.empty() ? '+' : text.front()) {
    case '-': request.policy = FeaturePolicy::disable; break;
    case '?': request.policy = FeaturePolicy::optional; break;
    case '!': request.policy = FeaturePolicy::force; break;
    case '+': request.policy = FeaturePolicy::require; break;
    default: request.name = std::string(text); return request;
  }
  request.name = std::string(text.substr(std::min<size_t>(1, text.size())));
  return request;
}

Result<Topology> choose_topology(const CpuSettings& cpu) {
  const uint32_t possible = possible_cpus(cpu);
  if (cpu.sockets == 0 && cpu.dies == 0 && cpu.cores == 0 && cpu.threads == 0) {
    return default_topology(possible);
  }
  Topology topology{std::max(cpu.sockets, 1U), std::max(cpu.dies, 1U), std::max(cpu.cores, 1U), std::max(cpu.threads, 1U)};
  // What was left open takes up the rest: sockets first, as libvirt does.
  const uint64_t known = topology.total();
  if (cpu.sockets == 0 && possible % known == 0) {
    topology.sockets = static_cast<uint32_t>(possible / known);
  } else if (cpu.cores == 0 && possible % known == 0) {
    topology.cores = static_cast<uint32_t>(possible / known);
  }
  TRY_VOID(validate_topology(topology, possible));
  return topology;
}

// By leaf 0x80000008, whose lowest byte is the number of address bits.
uint64_t address_end(std::span<const kvm_cpuid_entry2> cpuid) {
  constexpr uint32_t kSizes = 0x8000'0008;
  constexpr uint32_t kFewest = 36;
  constexpr uint32_t kMost = 52;
  const auto it = std::ranges::find(cpuid, kSizes, &kvm_cpuid_entry2::function);
  return uint64_t{1} << (it != cpuid.end() ? std::clamp(it->eax & 0xFF, kFewest, kMost) : kFewest);
}

}  // namespace

Result<std::unique_ptr<Machine>> Machine::create(const MachineConfig& config, EventLoop& control, Hooks hooks,
                                                 const Restore* restore) {
  std::unique_ptr<Machine> machine(new Machine(config, control, std::move(hooks)));
  TRY_VOID(MachineBuilder(*machine, restore).build());
  return machine;
}

Result<void> MachineBuilder::build() {
  TRY_VOID(claim_descriptors(machine_.config_));
  TRY_VOID(complete(machine_.config_));
  if (CpuSettings& cpu = machine_.config_.cpu; cpu.max != 0 && cpu.present.empty()) {
    cpu.present.resize(cpu.count);
    std::ranges::generate(cpu.present, [next = 0U]() mutable { return next++; });
  }
  topology_ = TRY(choose_topology(config_.cpu));
  machine_.topology_ = topology_;
  TRY_VOID(open_boot_files());  // the cheapest mistakes first
  machine_.kvm_ = std::make_unique<Kvm>(TRY(Kvm::open(Fd(config_.kvm_fd))));
  TRY_VOID(check_limits());
  TRY_VOID(create_memory());
  machine_.vm_ = TRY(KvmVm::create(*machine_.kvm_, {.pit = pc(),
                                                    .discard_ticks = config_.clock.lost_ticks == LostTicks::discard,
                                                    .later = [machine = &machine_](std::function<void()> fn) {
                                                      machine->control_.post([machine, fn = std::move(fn)] {
                                                        machine->route_timer_ = machine->control_.after(kRouteDelay, fn);
                                                      });
                                                    }}));
  TRY_VOID(create_firmware_map());
  // The kernel takes milliseconds over this; the rest of the set-up does not need it.
  Result<void> mapped;
  std::jthread mapper([this, &mapped] {
    mapped = machine_.firmware_map_ ? machine_.firmware_map_->map() : machine_.vm_->map_memory(*machine_.memory_);
  });
  TRY_VOID(create_loops());
  TRY_VOID(create_root());
  machine_.power_on_irqchip_ = TRY(save_irqchip(*machine_.vm_));  // before devices that go on from a saved state change it
  TRY_VOID(create_devices());
  TRY_VOID(create_vcpus());
  TRY_VOID(coalesce_writes());
  mapper.join();
  TRY_VOID(mapped);
  forget_descriptors(machine_.config_);  // they are the devices' now
  machine_.note_removable();
  return restore_ != nullptr ? restore_state() : machine_.load_boot_state();
}

Result<void> MachineBuilder::check_limits() const {
  const Kvm& kvm = *machine_.kvm_;
  const uint32_t possible = possible_cpus(config_.cpu);
  if (possible == 0 || possible > kvm.max_vcpus()) {
    return fail("{} vCPUs are not possible; this host's KVM allows 1 to {}", possible, kvm.max_vcpus());
  }
  if (x2apic_id(topology_, possible - 1) >= kvm.max_vcpu_id()) {
    return fail("the CPU topology needs APIC id {}, this host's KVM allows ids below {}; use fewer levels or powers of two",
                x2apic_id(topology_, possible - 1), kvm.max_vcpu_id());
  }
  struct sysinfo host{};
  ::sysinfo(&host);
  const uint64_t host_ram = (uint64_t{host.totalram} + host.totalswap) * host.mem_unit;
  if (ram_size() < kMinimumRam) {
    return fail("memory of {} MiB is too small; give the guest at least {} MiB", config_.memory.size_mib,
                kMinimumRam / kMiB);
  }
  if (ram_size() > host_ram) {
    return fail("memory of {} MiB is more than this host has ({} MiB with swap); give the guest less",
                config_.memory.size_mib, host_ram / kMiB);
  }
  return {};
}

Result<void> MachineBuilder::create_memory() {
  MemoryOptions options;
  options.backing = config_.memory.backing == MemoryKind::memfd     ? MemoryBacking::memfd
                    : config_.memory.backing == MemoryKind::hugetlb ? MemoryBacking::hugetlb
                                                                    : MemoryBacking::anonymous;
  options.hugepage_size = config_.memory.hugepage_kib * kKiB;
  options.transparent_hugepages = config_.memory.transparent_hugepages;
  options.prealloc = config_.memory.prealloc;
  options.mergeable = config_.memory.mergeable;
  const auto ranges = ram_ranges(ram_size());
  machine_.memory_ = TRY_CONTEXT(GuestMemory::create(ranges, options), "guest memory");
  if (restore_ != nullptr && restore_->load_ram) {
    TRY_VOID_CONTEXT(restore_->load_ram(*machine_.memory_), "guest memory");
  }
  return {};
}

// Guest memory for the rings of the I/O loops to register: memory that is allocated whole at the start and stays. Not with a
// balloon, which gives pages back: a ring would go on to use the old ones.
std::vector<iovec> MachineBuilder::pinned_memory() const {
  const bool stays = config_.memory.prealloc || config_.memory.backing == MemoryKind::hugetlb;
  std::vector<iovec> buffers;
  if (stays && !config_.balloon.enabled) {
    for (const MemoryRegion& region : machine_.memory_->regions()) {
      for (uint64_t done = 0; done < region.size; done += kGiB) {  // the most that one buffer may have
        buffers.push_back({region.host + done, std::min(region.size - done, kGiB)});
      }
    }
  }
  return buffers;
}

Result<void> MachineBuilder::create_loops() {
  const auto host_cpus = static_cast<uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  uint32_t count = config_.io_threads;
  if (count == 0) {
    count = std::clamp(std::min(config_.cpu.count, host_cpus), 1U, 4U);
  }
  std::vector<EventLoop*> loops;
  const std::vector<iovec> pinned = pinned_memory();
  for (uint32_t i = 0; i < count; ++i) {
    int id = 0;
    const auto on_start = [&id, this] {
      id = ::gettid();
      if (machine_.hooks_.on_io_thread) {
        machine_.hooks_.on_io_thread();
      }
    };
    machine_.io_threads_.push_back(TRY(LoopThread::start(fmt::format("io{}", i), on_start)));
    machine_.io_thread_ids_.push_back(id);  // start() returned after on_start
    EventLoop& loop = machine_.io_threads_.back()->loop();
    loops.push_back(&loop);
    if (!pinned.empty()) {
      loop.post([&loop, pinned] {
        if (const auto outcome = loop.ring().register_buffers(pinned); !outcome) {
          log_info("machine", "{}; with a higher RLIMIT_MEMLOCK disks are faster", outcome.error().message);
        }
      });
    }
  }
  machine_.loops_ = std::make_unique<LoopPool>(std::move(loops));
  if (config_.clock.hpet) {
    machine_.clock_line_ = std::make_unique<LegacyLine>(machine_.vm_->line(Hpet::kClockGsi));
  }
  Machine* machine = &machine_;
  machine_.env_ = std::make_unique<DeviceEnv>(DeviceEnv{
      .memory = *machine_.memory_,
      .mmio = machine_.mmio_,
      .pio = machine_.pio_,
      .msi = *machine_.vm_,
      .doorbells = *machine_.vm_,
      .control = machine_.control_,
      .loops = *machine_.loops_,
      .line = [machine](uint32_t gsi) -> IrqLine& {
        const bool shared = gsi == Hpet::kClockGsi && machine->clock_line_;
        return shared ? *machine->clock_line_ : machine->vm_->line(gsi);
      },
      .power = [machine](PowerEvent event, int code) { machine->power_event(event, code); },
  });
  return {};
}

Result<void> MachineBuilder::create_vcpus() {
  VcpuThread::install_kick_signal();
  machine_.msr_list_ = TRY(machine_.kvm_->msr_list());
  HostCpu host = TRY(machine_.kvm_->host_cpu());
  CpuConfig cpu;
  cpu.topology = topology_;
  cpu.tsc_khz = config_.cpu.tsc_khz != 0 ? config_.cpu.tsc_khz : machine_.vm_->tsc_khz();
  for (const std::string& feature : config_.cpu.features) {
    cpu.features.push_back(feature_request(feature));
  }
  std::optional<CpuMap> map;
  if (config_.cpu.model == "host-passthrough") {
    cpu.mode = CpuMode::host_passthrough;
  } else if (config_.cpu.model == "host-model") {
    cpu.mode = CpuMode::host_model;
  } else {
    cpu.mode = CpuMode::custom;
    cpu.model = config_.cpu.model;
  }
  if (cpu.mode != CpuMode::host_passthrough || !cpu.features.empty()) {
    map = TRY(CpuMap::load());
  }
  const CpuidTable table = TRY_CONTEXT(CpuidTable::create(cpu, host, map ? &*map : nullptr), "CPU");
  machine_.address_end_ = address_end(table.for_vcpu(0));
  for (uint32_t i = 0; i < possible_cpus(config_.cpu); ++i) {
    auto vcpu = TRY(KvmVcpu::create(*machine_.vm_, x2apic_id(topology_, i), table.for_vcpu(i), table.feature_msrs(),
                                    machine_.msr_list_, config_.cpu.tsc_khz));
    Machine* machine = &machine_;
    VcpuThread::Hooks hooks{.on_thread_start = machine_.hooks_.on_vcpu_thread,
                            .on_fault = [machine](uint32_t index, VcpuThread::Fault fault, std::string what) {
                              machine->vcpu_fault(index, fault, std::move(what));
                            }};
    machine_.vcpus_.push_back(
        std::make_unique<VcpuThread>(i, std::move(vcpu), machine_.mmio_, machine_.pio_, std::move(hooks)));
    machine_.vcpus_.back()->start();
  }
  return {};
}

Result<MappedFile> open_mapped(int fd, const std::string& path, const char* what) {
  const Fd given(fd);
  return fd >= 0 ? MappedFile::map(fd, path.empty() ? "(descriptor)" : path, what) : MappedFile::open(path, what);
}

Result<void> MachineBuilder::open_boot_files() {
  const BootSettings& boot = config_.boot;
  const bool kernel = !boot.kernel.empty() || boot.kernel_fd >= 0;
  if (!kernel && !firmware()) {
    return fail("nothing to start is given; use --kernel PATH, or --machine pc with --firmware bios or uefi");
  }
  if (kernel) {
    machine_.kernel_ = TRY(open_mapped(boot.kernel_fd, boot.kernel, "kernel"));
  }
  if (!boot.initrd.empty() || boot.initrd_fd >= 0) {
    machine_.initrd_ = TRY(open_mapped(boot.initrd_fd, boot.initrd, "initrd"));
  }
  if (firmware()) {
    return open_firmware();
  }
  for (const std::string& module : boot.modules) {
    const size_t space = module.find(' ');
    machine_.modules_.emplace_back(TRY(MappedFile::open(module.substr(0, space), "module")), module);
  }
  if (const auto kind = recognise_kernel(machine_.kernel_.bytes()); !kind) {
    return fail("kernel '{}': {}", boot.kernel, kind.error().message);
  }
  prepare_kernel_boot();
  return {};
}

void MachineBuilder::prepare_kernel_boot() {
  machine_.prepare_boot_ = [machine = &machine_, acpi = acpi_config(),
                            topology = topology_]() mutable -> Result<std::optional<EntryState>> {
    const MachineConfig& config = machine->config_;
    for (uint32_t i = 0; i < acpi.cpus.size(); ++i) {
      acpi.cpus[i].enabled = is_present(config.cpu, i);
    }
    const uint64_t ram = config.memory.size_mib * kMiB;
    const bool microvm = config.machine == MachineKind::microvm;
    const AcpiImage tables = TRY_CONTEXT(build_acpi(acpi, low_ram_end(ram)), "ACPI tables");
    TRY_VOID(write_acpi(*machine->memory_, tables));
    if (machine->generation_id_ != nullptr) {
      TRY_VOID(machine->generation_id_->place(Gpa{kGenerationIdPage.value + VmGenId::kIdOffset}));
    }
    if (machine->fw_cfg_ != nullptr) {
      machine->fw_cfg_->offer(kernel_items(machine->vmcoreinfo_));
    }
    TRY_VOID(write_smbios(*machine->memory_, TRY_CONTEXT(build_smbios(smbios_config(config, topology)), "SMBIOS tables")));
    TRY_VOID(write_reset_vector(*machine->memory_));
    BootFiles files{machine->kernel_.bytes(), machine->initrd_.bytes(), config.boot.command_line, {}};
    for (const auto& [file, text] : machine->modules_) {
      files.modules.push_back({file.bytes(), text});
    }
    BootTables boot_tables;
    boot_tables.e820 = build_e820({.ram_size = ram,
                                   .ecam_base = microvm ? kEcam : 0,
                                   .ecam_size = microvm ? kEcamMapped : 0,
                                   .acpi_base = tables.high_base,
                                   .acpi_size = tables.high_size});
    boot_tables.low_ram_end = tables.high_size != 0 ? tables.high_base : low_ram_end(ram);
    boot_tables.rsdp = tables.rsdp;
    auto entry = load_kernel(*machine->memory_, files, boot_tables);
    machine->kernel_.release_pages();
    machine->initrd_.release_pages();
    for (const auto& [file, text] : machine->modules_) {
      file.release_pages();
    }
    if (!entry) {
      return context(entry.error(), fmt::format("kernel '{}'", config.boot.kernel));
    }
    return *entry;
  };
}

Result<void> MachineBuilder::restore_state() {
  const StateReader& state = *restore_->saved;
  TRY_VOID(load_irqchip(*machine_.vm_, TRY(state.get<IrqchipState>("irqchip0")), true));
  for (const auto& vcpu : machine_.vcpus_) {
    if (!machine_.is_present(*vcpu)) {
      continue;
    }
    const auto saved_vcpu = TRY(state.get<VcpuState>(fmt::format("vcpu{}", vcpu->index())));
    TRY_VOID_CONTEXT(vcpu->vcpu().load(saved_vcpu), fmt::format("vCPU {}", vcpu->index()));
  }
  if (firmware()) {
    TRY(machine_.prepare_boot_());  // touches no memory: what firmware may ask for
  } else if (machine_.fw_cfg_ != nullptr) {
    machine_.fw_cfg_->offer(kernel_items(machine_.vmcoreinfo_));
  }
  machine_.status_ = MachineStatus::paused;
  return state.check_all_used();
}

}  // namespace lodge
