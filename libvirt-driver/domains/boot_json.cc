#include "libvirt-driver/domains/boot_json.h"

#include <algorithm>

#include "libvirt-driver/host/offered.h"

namespace lodge {
namespace {

std::unexpected<CallError> unsupported(std::string_view path, std::string_view why) {
  return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "/domain/os/{}: {}", path, why);
}

Answer<void> check_uefi(const OsConfig& os) {
  if (!os.loader_type.empty() && os.loader_type != "pflash") {
    return unsupported("loader/@type", "UEFI is on a flash; use type='pflash', or leave it out");
  }
  if (os.loader_readonly == YesNo::no) {
    return unsupported("loader/@readonly", "the firmware's code cannot be written; use readonly='yes'");
  }
  for (const auto& [path, format] : {std::pair{"loader/@format", &os.loader_format}, {"nvram/@format", &os.nvram_format}}) {
    if (!format->empty() && *format != "raw") {
      return unsupported(path, "this version of Lodge has only 'raw'; leave it out");
    }
  }
  return {};
}

Answer<void> check_bios(const OsConfig& os) {
  constexpr std::string_view kUefiOnly = "is for UEFI; leave it out, or use firmware='efi'";
  if (!os.loader_type.empty() && os.loader_type != "rom") {
    return unsupported("loader/@type", "is neither 'rom' nor 'pflash'");
  }
  if (!os.nvram.empty() || !os.nvram_template.empty()) {
    return unsupported("nvram", kUefiOnly);
  }
  const bool features = std::ranges::any_of(os.firmware_features,
                                            [](const FirmwareFeature& feature) { return feature.enabled == YesNo::yes; });
  return features ? Answer<void>(unsupported("firmware/feature", kUefiOnly)) : Answer<void>();
}

Answer<void> check_firmware(const OsConfig& os) {
  if (os.loader_secure == YesNo::yes) {
    return unsupported("loader/@secure", "this version of Lodge has no Secure Boot; use secure='no'");
  }
  return is_uefi(os) ? check_uefi(os) : check_bios(os);
}

Json kernel_json(const OsConfig& os, const MachineFds& fds) {
  Json boot{{"kernel", os.kernel}, {"kernel_fd", fds.kernel}};
  if (!os.initrd.empty()) {
    boot["initrd"] = os.initrd;
    boot["initrd_fd"] = fds.initrd;
  }
  if (!os.cmdline.empty()) {
    boot["command_line"] = os.cmdline;
  }
  return boot;
}

Json firmware_json(const OsConfig& os, const MachineFds& fds) {
  Json firmware{{"kind", is_uefi(os) ? "uefi" : "bios"}, {"path", firmware_image(os)}, {"fd", fds.firmware}};
  if (is_uefi(os)) {
    const bool kept = !os.nvram.empty();
    firmware[kept ? "vars" : "vars_template"] = kept ? os.nvram : os.nvram_template;
    firmware[kept ? "vars_fd" : "vars_template_fd"] = fds.nvram;
  }
  firmware["serial"] = os.useserial == YesNo::yes;
  firmware["menu"] = os.boot_menu == YesNo::yes;
  if (os.boot_menu_timeout_ms) {
    firmware["menu_wait_ms"] = *os.boot_menu_timeout_ms;
  }
  if (const int32_t wait = os.reboot_timeout_ms.value_or(-1); wait >= 0) {
    firmware["reboot_wait_ms"] = std::max(wait, 1);  // 0 is "never" there, "at once" here
  }
  return firmware;
}

}  // namespace

std::string firmware_image(const OsConfig& os) { return os.loader.empty() ? std::string(offered::kBios) : os.loader; }

std::map<std::string, uint32_t> boot_places(const DomainConfig& config) {
  std::map<uint32_t, std::string> in_order;
  const auto take = [&](const auto& devices) {
    for (const auto& device : devices) {
      if (device.boot_order) {
        in_order.emplace(*device.boot_order, device.alias);
      }
    }
  };
  take(config.devices.disks);
  take(config.devices.interfaces);
  const auto first_disk = [&](uint32_t place, DiskDevice wanted) {
    const auto& disks = config.devices.disks;
    if (const auto it = std::ranges::find(disks, wanted, &DomainDisk::device); it != disks.end()) {
      in_order.emplace(place, it->alias);
    }
  };
  for (uint32_t place = 0; place < config.os.boot.size(); ++place) {
    switch (config.os.boot[place]) {
      case BootDev::hd: first_disk(place, DiskDevice::disk); break;
      case BootDev::cdrom: first_disk(place, DiskDevice::cdrom); break;
      case BootDev::fd: first_disk(place, DiskDevice::floppy); break;
      case BootDev::network:
        if (!config.devices.interfaces.empty()) {
          in_order.emplace(place, config.devices.interfaces.front().alias);
        }
        break;
    }
  }
  std::map<std::string, uint32_t> places;
  for (const auto& [order, alias] : in_order) {
    places.emplace(alias, static_cast<uint32_t>(places.size()) + 1);
  }
  return places;
}

Answer<void> add_boot(Json& machine, const DomainConfig& config, const MachineFds& fds) {
  const OsConfig& os = config.os;
  TRY_VOID(check_firmware(os));
  if (!has_firmware(config)) {
    if (!os.loader.empty()) {
      return unsupported("loader", "with <kernel> this version of Lodge starts the kernel itself; leave one of them out");
    }
    machine["boot"] = kernel_json(os, fds);
    return {};
  }
  if (is_microvm(config)) {
    return unsupported("kernel",
                       "machine 'microvm' starts by a kernel only; give <kernel>, or use machine='pc', which "
                       "has a BIOS and UEFI");
  }
  machine["firmware"] = firmware_json(os, fds);
  if (!os.kernel.empty()) {
    machine["boot"] = kernel_json(os, fds);
  }
  return {};
}

}  // namespace lodge
