// Firmware parts of the builder: its image, its variables, what it is told of the machine.
#include <fcntl.h>
#include <algorithm>

#include "base/log.h"
#include "vmm/config/fields.h"
#include "vmm/machine/builder.h"
#include "vmm/machine/layout.h"

namespace lodge {
namespace {

// As firmware asks for them, by the card that it finds; virtio's may be transitional or modern.
std::span<const char* const> option_rom_names(NetModel model) {
  static constexpr std::array kVirtio{"pci1af4,1000.rom", "pci1af4,1041.rom"};
  static constexpr std::array kE1000{"pci8086,100e.rom"};
  static constexpr std::array kRtl8139{"pci10ec,8139.rom"};
  switch (model) {
    case NetModel::virtio: return kVirtio;
    case NetModel::e1000: return kE1000;
    case NetModel::rtl8139: return kRtl8139;
  }
  return kVirtio;
}

std::string option_rom_path(const NetSettings& net) {
  if (net.rom != "auto") {
    return net.rom;
  }
  return fmt::format("/usr/lib/ipxe/qemu/pxe-{}.rom", EnumWords<NetModel>::words.at(static_cast<size_t>(net.model)));
}

}  // namespace

Result<void> MachineBuilder::open_firmware() {
  if (!pc()) {
    return fail("firmware is for machine pc only; use --machine pc");
  }
  const FirmwareSettings& firmware = config_.firmware;
  firmware_ = TRY(open_mapped(firmware.fd, firmware_path(firmware), "firmware"));
  if (firmware.kind == FirmwareKind::uefi) {
    TRY_VOID(open_variables());
  } else {
    TRY_VOID(read_option_roms());
  }
  prepare_firmware_boot();
  return {};
}

// UEFI has drivers of its own for what they are for.
Result<void> MachineBuilder::read_option_roms() {
  std::vector<std::string> read;
  for (const NetSettings& net : config_.nets) {
    Fd given(net.rom_fd);
    const std::string path = option_rom_path(net);
    if (net.boot == 0 || path.empty() || std::ranges::find(read, path) != read.end()) {
      continue;
    }
    const MappedFile rom = TRY(open_mapped(given.release(), path, "option ROM"));
    for (const char* name : option_rom_names(net.model)) {
      machine_.option_roms_.push_back({name, {rom.bytes().begin(), rom.bytes().end()}});
    }
    read.push_back(path);
  }
  if (is_vga(config_.video) && (config_.video.rom_fd >= 0 || !config_.video.rom.empty())) {
    const MappedFile rom = TRY(open_mapped(config_.video.rom_fd, vga_bios_path(config_.video), "VGA BIOS"));
    const char* const name = config_.video.model == VideoModel::vga ? "pci1234,1111.rom" : "pci1af4,1050.rom";
    machine_.option_roms_.push_back({name, {rom.bytes().begin(), rom.bytes().end()}});
  }
  return {};
}

Result<void> MachineBuilder::create_firmware_map() {
  if (firmware()) {
    machine_.firmware_map_ = TRY_CONTEXT(
        FirmwareMap::create(config_.firmware.kind, std::move(firmware_), *machine_.vm_, *machine_.memory_, machine_.mmio_),
        fmt::format("firmware '{}'", firmware_path(config_.firmware)));
  }
  return {};
}

// What is prepared runs at start and at each reset, when memory holds whatever the last guest left.
void MachineBuilder::prepare_firmware_boot() {
  machine_.prepare_boot_ = [machine = &machine_, acpi = acpi_config(),
                            topology = topology_]() mutable -> Result<std::optional<EntryState>> {
    for (uint32_t i = 0; i < acpi.cpus.size(); ++i) {
      acpi.cpus[i].enabled = is_present(machine->config_.cpu, i);
    }
    if (machine->config_.firmware.kind == FirmwareKind::uefi && acpi.pci->window64.base < machine->address_end_) {
      acpi.pci->window64.size = machine->address_end_ - acpi.pci->window64.base;
    }
    machine->fw_cfg_->offer(TRY(firmware_items(machine->config_, topology, acpi,
                                               {machine->kernel_.bytes(), machine->initrd_.bytes(), machine->option_roms_,
                                                machine->generation_id_, machine->vmcoreinfo_})));
    return std::nullopt;  // the processor begins in the firmware
  };
}

namespace {

// A volume of variables begins with a header (UEFI Platform Initialization 1.7, volume 3, section 3.2.1): its length at 32,
// its signature at 40.
Result<void> check_variables(std::span<const std::byte> bytes, uint64_t code) {
  constexpr size_t kLengthAt = 32;
  constexpr std::array kSignature{std::byte{'_'}, std::byte{'F'}, std::byte{'V'}, std::byte{'H'}};
  constexpr size_t kSignatureAt = 40;
  uint64_t length = 0;
  for (size_t i = 0; i < 8; ++i) {
    length |= std::to_integer<uint64_t>(bytes[kLengthAt + i]) << (8 * i);
  }
  if (!std::ranges::equal(bytes.subspan(kSignatureAt, kSignature.size()), kSignature) || length != bytes.size()) {
    return fail("it is no file of UEFI variables; make one by copying {}", kUefiVarsTemplate);
  }
  if ((code + bytes.size()) % kMiB != 0) {  // together they are an image of whole megabytes
    return fail(
        "its {} bytes do not belong to firmware of {} bytes; copy the file of variables that came with that firmware",
        bytes.size(), code);
  }
  return {};
}

}  // namespace

Result<void> MachineBuilder::open_variables() {
  const FirmwareSettings& firmware = config_.firmware;
  FlashStoreOptions options;
  options.written_through = !firmware.vars.empty() || firmware.vars_fd >= 0;
  const int given = options.written_through ? firmware.vars_fd : firmware.vars_template_fd;
  options.path = options.written_through ? firmware.vars : vars_template_path(firmware);
  if (given >= 0) {
    options.file = Fd(given);
  } else {
    options.file = Fd(::open(options.path.c_str(), (options.written_through ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK));
    if (const int error = errno; !options.file.valid()) {
      return fail_errno(error, "open the UEFI variables '{}'{}", options.path,
                        error != ENOENT ? ""
                        : options.written_through
                            ? fmt::format(" (make it: cp {} '{}')", vars_template_path(firmware), options.path)
                            : " (it comes with the package ovmf)");
    }
  }
  const std::string what = fmt::format("UEFI variables '{}'", options.path);
  variables_ = TRY_CONTEXT(FlashStore::open(std::move(options)), what);
  TRY_VOID_CONTEXT(check_variables(variables_->bytes(), firmware_.bytes().size()), what);
  variables_base_ = 4 * kGiB - firmware_.bytes().size() - variables_->size();
  return {};
}

Result<void> MachineBuilder::add_flash() {
  if (!variables_) {
    return {};
  }
  NorFlashSpec spec;
  spec.options.base = variables_base_;
  spec.options.store = std::move(variables_);
  spec.options.show = [vm = machine_.vm_.get(), base = variables_base_](std::span<const std::byte> bytes) {
    if (const auto outcome = vm->set_slot({kFlashSlot, Gpa{base}, bytes.size(), bytes.data(), true}); !outcome) {
      log_error("flash0", "{}; reading it is slow", outcome.error().message);  // the bus has all reads then
    }
  };
  return add(std::move(spec));
}

}  // namespace lodge
