// What a board has besides buses and their devices: generation ID, notes of a crashed kernel, HPET, parallel ports; and the
// sockets between guest and host, and folders of the host.
#include <sys/random.h>

#include "base/log.h"
#include "base/uuid.h"
#include "vmm/boot/layout.h"
#include "vmm/machine/builder.h"
#include "vmm/machine/device_specs.h"
#include "vmm/machine/layout.h"

namespace lodge {

static_assert(VmGenId::kIdOffset == AcpiGenerationId::kOffset);

Result<void> MachineBuilder::add_platform() {
  if (!config_.vmgenid.empty()) {
    TRY_VOID(add_generation_id());
  }
  if (config_.vmcoreinfo) {
    TRY_VOID(add(VmCoreInfoSpec{}));
    machine_.vmcoreinfo_ = dynamic_cast<VmCoreInfo*>(machine_.devices_.back().get());
    if (!firmware()) {
      TRY_VOID(add(FwCfgSpec{}));
      machine_.fw_cfg_ = dynamic_cast<FwCfg*>(machine_.devices_.back().get());
    }
  }
  if (config_.clock.hpet) {
    TRY_VOID(add_hpet());
  }
  return add_parallels();
}

// With legacy replacement neither the kernel's 8254 nor the real-time clock interrupts.
Result<void> MachineBuilder::add_hpet() {
  HpetSpec spec;
  spec.options.line = [vm = machine_.vm_.get()](uint32_t gsi) -> IrqLine& { return vm->line(gsi); };
  const auto warnings = std::make_shared<GuestWarnings>();  // a guest may do it as often as it likes
  spec.options.legacy = [machine = &machine_, warnings](bool on) {
    machine->clock_line_->replace(on);
    if (const auto outcome = machine->vm_->replace_pit(on); !outcome) {
      guest_warning(*warnings, "hpet0", "{}", outcome.error().message);
    }
  };
  return add(std::move(spec));
}

Result<void> MachineBuilder::add_parallels() {
  if (config_.parallels.size() > std::size(kParallelPorts)) {
    return fail("{} parallel ports are too many; a machine has {}", config_.parallels.size(), std::size(kParallelPorts));
  }
  for (size_t i = 0; i < config_.parallels.size(); ++i) {
    if (config_.parallels[i].kind == CharKind::none) {
      continue;
    }
    ParallelSpec spec;
    spec.options.id = fmt::format("parallel{}", i);
    spec.options.port = kParallelPorts[i];
    spec.options.backend = TRY(open_char(config_.parallels[i], spec.options.id));
    spec.gsi = kParallelIrqs[i];
    TRY_VOID(add(std::move(spec)));
  }
  return {};
}

Result<void> MachineBuilder::add_vsock() {
  if (!config_.vsock.enabled) {
    return {};
  }
  VsockSpec spec;
  spec.transport = lodge::virtio_options("vsock0", config_.machine, config_.vsock.virtio);
  spec.transport.transitional = false;  // it is younger than 0.9
  spec.options.id = "vsock0";
  spec.options.cid = config_.vsock.cid;
  spec.options.vhost = TRY(VhostVsock::create(Fd(config_.vsock.vhost_fd), config_.vsock.cid));
  return add(std::move(spec), config_.vsock.slot);
}

// Of the transport's features only those that the back-end can serve.
Result<void> MachineBuilder::add_filesystems() {
  for (const FilesystemSettings& filesystem : config_.filesystems) {
    const std::string what = fmt::format("filesystem '{}'", filesystem.id);
    Fd socket(filesystem.socket_fd);
    if (!socket.valid()) {
      socket = TRY_CONTEXT(VhostUser::connect(filesystem.socket), what);
    }
    FsSpec spec;
    spec.options.id = filesystem.id;
    spec.options.tag = filesystem.tag;
    spec.options.queues = static_cast<uint16_t>(filesystem.queues);
    spec.options.queue_size = static_cast<uint16_t>(filesystem.queue_size);
    spec.options.backend = TRY(VhostUser::open(std::move(socket), what, *machine_.memory_, 1 + filesystem.queues));
    const uint64_t served = spec.options.backend->features();
    spec.transport = lodge::virtio_options(filesystem.id, config_.machine,
                                           {.version = VirtioVersion::modern,
                                            .event_index = (served & kVirtioEventIdx) != 0,
                                            .indirect = (served & kVirtioIndirectDesc) != 0});
    TRY_VOID(add(std::move(spec), filesystem.slot));
  }
  return {};
}

Result<void> MachineBuilder::add_generation_id() {
  Uuid guid{};
  if (config_.vmgenid == "auto") {
    if (::getrandom(guid.data(), guid.size(), 0) != static_cast<ssize_t>(guid.size())) {
      return fail_errno(errno, "make a generation ID");
    }
  } else if (const auto given = parse_guid(config_.vmgenid)) {
    guid = *given;
  } else {
    return fail("the generation ID '{}' is neither a UUID nor 'auto'", config_.vmgenid);
  }
  VmGenIdSpec spec;
  spec.options.id = memory_order(guid);
  spec.options.announce = [machine = &machine_] { machine->power_->announce_generation(); };
  TRY_VOID(add(std::move(spec)));
  machine_.generation_id_ = dynamic_cast<VmGenId*>(machine_.devices_.back().get());
  return {};
}

// Of the configuration only: the devices are made later.
void MachineBuilder::describe_platform(AcpiConfig& acpi) const {
  if (firmware() || config_.vmcoreinfo) {
    acpi.fw_cfg_port = FwCfg::kPort;
  }
  for (size_t i = 0; i < config_.parallels.size() && i < std::size(kParallelPorts); ++i) {
    if (config_.parallels[i].kind != CharKind::none) {
      acpi.parallel.push_back({kParallelPorts[i], kParallelIrqs[i]});
    }
  }
  if (config_.clock.hpet) {
    acpi.hpet = AcpiHpet{Hpet::kBase, Hpet::kId};
  }
  if (!config_.vmgenid.empty()) {
    acpi.generation_id = AcpiGenerationId{};
  }
}

}  // namespace lodge
