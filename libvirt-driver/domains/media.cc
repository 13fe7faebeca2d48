#include "libvirt-driver/domains/media.h"

#include <libvirt/libvirt.h>

#include <algorithm>

#include "libvirt-driver/domains/device_json.h"
#include "libvirt-driver/domains/guest_files.h"
#include "libvirt-driver/domains/image_format.h"
#include "libvirt-driver/xml/domain_defaults.h"

namespace lodge {
namespace {

void tell(Driver& driver, const rpc::DomainName& who, const std::string& alias, bool open) {
  const int reason = open ? VIR_DOMAIN_EVENT_TRAY_CHANGE_OPEN : VIR_DOMAIN_EVENT_TRAY_CHANGE_CLOSE;
  driver.events().emit(
      VIR_DOMAIN_EVENT_ID_TRAY_CHANGE,
      rpc::DomainEventCallbackTrayChangeMsg{.callback_id = 0, .dom = who, .dev_alias = alias, .reason = reason});
}

bool same_medium(const DiskSource& a, const DiskSource& b) {
  return a.type == b.type && a.path == b.path && a.pool == b.pool && a.volume == b.volume;
}

// What a client may not change with the medium.
Answer<void> check_rest(const DomainDisk& there, const DomainDisk& wanted) {
  const auto fixed = [](std::string_view field) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "cannot modify field '{}' (or its parts) of the disk", field);
  };
  if (wanted.device != there.device) {
    return fixed("device");
  }
  if (wanted.bus != DiskBus::absent && wanted.bus != there.bus) {
    return fixed("bus");
  }
  if (wanted.address && wanted.address != there.address) {
    return fixed("address");
  }
  if (!wanted.serial.empty() && wanted.serial != there.serial) {
    return fixed("serial");
  }
  if (there.device == DiskDevice::floppy && wanted.readonly != there.readonly) {
    return fixed("readonly");
  }
  return {};
}

// The drive with the other medium in it, as the domain will tell it.
Answer<DomainDisk> with_medium(const DomainDisk& there, const DomainDisk& wanted) {
  DomainDisk drive = there;
  drive.source = wanted.source;
  drive.tray = Tray::absent;
  drive.driver.format = wanted.driver.format;
  if (drive.driver.format.empty()) {
    drive.driver.format = drive.has_medium() ? probe_format(drive.source.path) : "raw";
  }
  TRY(disk_json(drive));  // what the monitor cannot read is refused here
  if (drive.has_medium() && drive.source.path.front() != '/') {
    return call_error(VIR_ERR_XML_ERROR, "disk {}: path '{}' must be absolute", drive.target, drive.source.path);
  }
  return drive;
}

Answer<void> exchange(Monitor& monitor, const DomainDisk& drive, bool force) {
  if (!drive.has_medium()) {
    TRY(monitor.execute("eject", {{"id", drive.alias}, {"force", force}}));
    return {};
  }
  const std::string name = "medium-" + drive.alias;
  std::vector<Fd> fds;
  fds.push_back(TRY(open_image(drive)));
  TRY(monitor.execute("getfd", {{"fdname", name}}, std::move(fds), Monitor::kPatience));
  const Json arguments{{"id", drive.alias}, {"fd", name}, {"path", drive.source.path}, {"force", force}};
  if (const auto changed = monitor.execute("change-medium", arguments); !changed) {
    (void)monitor.execute("closefd", {{"fdname", name}});
    return std::unexpected(changed.error());
  }
  return {};
}

}  // namespace

Answer<void> change_medium(Driver& driver, const DomainPtr& domain, const DomainDisk& wanted, bool force) {
  const DomainView view = domain->view();
  const auto run = TRY(Driver::running(view));
  const auto there = std::get<DomainDisk>(TRY(find_device(*view.live, wanted)));
  TRY_VOID(check_rest(there, wanted));
  if (there.device == DiskDevice::disk) {
    if (!same_medium(there.source, wanted.source)) {
      return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "Removable media not supported for {} device",
                        xml_word(there.device));
    }
    return {};
  }
  const bool was_open = there.tray == Tray::open;
  if (same_medium(there.source, wanted.source) && !was_open) {
    return {};
  }
  const DomainDisk drive = TRY(with_medium(there, wanted));
  TRY_VOID(exchange(*run->monitor, drive, force));
  DomainConfig live = *domain->view().live;
  for (DomainDisk& disk : live.devices.disks) {
    if (disk.alias == drive.alias) {
      disk = drive;
    }
  }
  driver.replace_live(domain, std::move(live));
  if (drive.device == DiskDevice::floppy) {
    return {};  // it has no tray
  }
  if (!was_open) {
    tell(driver, view.rpc_name(), drive.alias, true);
  }
  tell(driver, view.rpc_name(), drive.alias, false);
  return {};
}

void tray_moved(Driver& driver, const DomainPtr& domain, const std::string& alias, bool open) {
  const rpc::DomainName who = domain->change([&](DomainView& view) {
    if (view.live) {
      auto live = std::make_shared<DomainConfig>(*view.live);
      for (DomainDisk& disk : live->devices.disks) {
        if (disk.alias == alias) {
          disk.tray = open ? Tray::open : Tray::absent;
        }
      }
      view.live = std::move(live);
    }
    return view.rpc_name();
  });
  tell(driver, who, alias, open);
}

void take_trays(DomainConfig& live, const Json& block) {
  for (const Json& told : objects_in(block)) {
    for (DomainDisk& disk : live.devices.disks) {
      if (disk.alias == text_in(told, "device") && disk.device == DiskDevice::cdrom) {
        disk.tray = flag_in(told, "tray-open") ? Tray::open : Tray::absent;
      }
    }
  }
}

}  // namespace lodge
