// MachineBuilder: from a MachineConfig to a Machine, in one pass, on the control thread. What it opens (disks, taps, kernel)
// is opened here and nowhere later; errors name the object, the cause and the remedy.
#pragma once

#include <memory>

#include "vmm/boot/acpi.h"
#include "vmm/machine/machine.h"

namespace lodge {

class MachineBuilder {
 public:
  MachineBuilder(Machine& machine, const Machine::Restore* restore)
      : machine_(machine), config_(machine.config_), restore_(restore) {}
  [[nodiscard]] Result<void> build();

 private:
  [[nodiscard]] Result<void> check_limits() const;
  [[nodiscard]] Result<void> create_memory();
  [[nodiscard]] std::vector<iovec> pinned_memory() const;
  [[nodiscard]] Result<void> create_loops();
  [[nodiscard]] Result<void> create_root();
  [[nodiscard]] Result<void> create_vcpus();
  [[nodiscard]] Result<void> open_boot_files();
  void prepare_kernel_boot();
  [[nodiscard]] Result<void> restore_state();
  // builder_firmware.cc
  [[nodiscard]] Result<void> open_firmware();
  [[nodiscard]] Result<void> create_firmware_map();
  void prepare_firmware_boot();
  [[nodiscard]] Result<void> open_variables();
  [[nodiscard]] Result<void> read_option_roms();
  [[nodiscard]] Result<void> add_flash();

  // builder_devices.cc
  [[nodiscard]] Result<void> create_devices();
  [[nodiscard]] Result<void> add(DeviceSpec spec, uint32_t slot = 0);  // slot: of PCI devices
  [[nodiscard]] Result<void> add_at(DeviceSpec spec, PciAddress at, bool wants_intx);
  [[nodiscard]] Result<void> add_power();
  [[nodiscard]] Result<void> add_cpu_hotplug();
  [[nodiscard]] Result<void> add_chipset();
  [[nodiscard]] Result<void> add_serials();
  [[nodiscard]] Result<void> add_disks();
  [[nodiscard]] Result<void> add_keyboard();
  [[nodiscard]] Result<void> add_watchdog();
  // builder_platform.cc
  [[nodiscard]] Result<void> add_platform();
  [[nodiscard]] Result<void> add_generation_id();
  [[nodiscard]] Result<void> add_hpet();
  [[nodiscard]] Result<void> add_parallels();
  [[nodiscard]] Result<void> add_vsock();
  [[nodiscard]] Result<void> add_filesystems();
  void describe_platform(AcpiConfig& acpi) const;
  [[nodiscard]] Result<void> add_video();
  [[nodiscard]] Result<void> add_inputs();
  [[nodiscard]] Result<void> add_usb();
  [[nodiscard]] Result<void> coalesce_writes();
  [[nodiscard]] Result<void> add_ide();
  [[nodiscard]] Result<void> add_floppies();
  [[nodiscard]] Result<void> add_nets();
  [[nodiscard]] Result<void> add_small_virtio();
  [[nodiscard]] VirtioPci::Options virtio_options(std::string id) const;

  [[nodiscard]] AcpiConfig acpi_config() const;
  [[nodiscard]] const StateReader* saved() const { return restore_ != nullptr ? restore_->saved : nullptr; }
  [[nodiscard]] bool firmware() const { return config_.firmware.kind != FirmwareKind::none; }
  [[nodiscard]] bool uefi() const { return config_.firmware.kind == FirmwareKind::uefi; }
  [[nodiscard]] bool pc() const { return config_.machine == MachineKind::pc; }
  [[nodiscard]] uint64_t ram_size() const { return config_.memory.size_mib * kMiB; }

  Machine& machine_;
  const MachineConfig& config_;
  const Machine::Restore* restore_;
  Topology topology_;
  MappedFile firmware_;
  std::unique_ptr<FlashStore> variables_;  // of UEFI
  uint64_t variables_base_ = 0;
};

// A file from its descriptor, which is closed, or else by its path.
[[nodiscard]] Result<MappedFile> open_mapped(int fd, const std::string& path, const char* what);

// The character device that a setting asks for.
[[nodiscard]] Result<std::unique_ptr<CharBackend>> open_char(const CharSettings& settings, std::string_view what);

}  // namespace lodge
