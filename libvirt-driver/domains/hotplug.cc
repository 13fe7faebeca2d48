#include "libvirt-driver/domains/hotplug.h"

#include <libvirt/libvirt.h>

#include <algorithm>

#include "base/log.h"
#include "libvirt-driver/domains/bandwidth.h"
#include "libvirt-driver/domains/card_json.h"
#include "libvirt-driver/domains/device_json.h"
#include "libvirt-driver/domains/display_change.h"
#include "libvirt-driver/domains/guest_files.h"
#include "libvirt-driver/domains/input_json.h"
#include "libvirt-driver/domains/media.h"
#include "libvirt-driver/domains/network_ports.h"
#include "libvirt-driver/domains/taps.h"
#include "libvirt-driver/domains/usb_json.h"
#include "libvirt-driver/xml/domain_defaults.h"

namespace lodge {
namespace {

constexpr std::chrono::seconds kDetachPatience{5};  // as libvirt's qemu driver waits

std::unexpected<CallError> not_live(std::string_view what) {
  return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "{} of a running guest stay as they are; use --config", what);
}

// Passes a descriptor under a name.
Answer<void> pass(Monitor& monitor, const std::string& name, Fd fd) {
  std::vector<Fd> fds;
  fds.push_back(std::move(fd));
  TRY(monitor.execute("getfd", {{"fdname", name}}, std::move(fds), Monitor::kPatience));
  return {};
}

// Which disks can come and go.
Answer<void> check_plugs_in(const DomainDisk& disk) {
  if (disk.device != DiskDevice::disk) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "cdrom/floppy device hotplug isn't supported");
  }
  if (disk.bus != DiskBus::virtio && disk.bus != DiskBus::usb) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "disk bus '{}' cannot be hotplugged.", xml_word(disk.bus));
  }
  return {};
}
Answer<void> check_plugs_out(const DomainDisk& disk) {
  if (disk.device != DiskDevice::disk) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "disk device type '{}' cannot be detached", xml_word(disk.device));
  }
  if (disk.bus != DiskBus::virtio && disk.bus != DiskBus::usb) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "This type of disk cannot be hot unplugged");
  }
  return {};
}

// A disk that is attached where a CD or floppy drive is already: its medium, as libvirt takes it.
bool is_medium(const DomainConfig& live, const Device& device) {
  const auto* disk = std::get_if<DomainDisk>(&device);
  return disk != nullptr && disk->device != DiskDevice::disk &&
         std::ranges::any_of(live.devices.disks, [&](const DomainDisk& there) { return there.target == disk->target; });
}

Answer<void> plug_disk(Monitor& monitor, const DomainDisk& disk) {
  Json settings = TRY(disk_json(disk));
  const std::string name = "image-" + disk.alias;
  TRY_VOID(pass(monitor, name, TRY(open_image(disk))));
  settings["driver"] = disk.bus == DiskBus::usb ? "usb-storage" : "virtio-blk";
  settings["fd"] = name;
  const auto added = monitor.execute("device_add", settings);
  if (!added) {
    (void)monitor.execute("closefd", {{"fdname", name}});
    return std::unexpected(added.error());
  }
  return {};
}

Answer<void> plug_interface(Monitor& monitor, DomainInterface& interface) {
  if (!wants_tap(interface)) {
    return not_live("interfaces of type 'user'");
  }
  Json settings = TRY(interface_json(interface));
  Tap tap = TRY(make_tap(interface));
  interface.target = tap.name;
  TRY_VOID(apply_bandwidth(interface));
  std::vector<std::string> names;
  for (Fd& fd : tap.fds) {
    names.push_back(fmt::format("tap-{}-{}", interface.alias, names.size()));
    TRY_VOID(pass(monitor, names.back(), std::move(fd)));
  }
  std::vector<std::string> vhosts;
  for (Fd& fd : TRY(open_vhost(interface))) {
    vhosts.push_back(fmt::format("vhost-{}-{}", interface.alias, vhosts.size()));
    TRY_VOID(pass(monitor, vhosts.back(), std::move(fd)));
  }
  settings["driver"] = offered::card(interface.model)->driver;  // interface_json() knows it
  settings["fds"] = names;
  if (!vhosts.empty()) {
    settings["vhost_fds"] = vhosts;
  }
  settings["tap"] = tap.name;
  const auto added = monitor.execute("device_add", settings);
  if (!added) {
    names.insert(names.end(), vhosts.begin(), vhosts.end());
    for (const std::string& name : names) {
      (void)monitor.execute("closefd", {{"fdname", name}});
    }
    return std::unexpected(added.error());
  }
  return {};
}

std::unexpected<CallError> refuse_bus(InputBus bus) {
  return call_error(VIR_ERR_OPERATION_UNSUPPORTED,
                    "input device on bus '{}' cannot be hot plugged or unplugged; use bus='usb', bus='virtio', or --config",
                    xml_word(bus));
}

Answer<void> check_plugs(const DomainInput& input) {
  if (input.bus != InputBus::virtio && input.bus != InputBus::usb) {
    return refuse_bus(input.bus);
  }
  return {};
}

Answer<void> plug_input(Monitor& monitor, const DomainInput& input) {
  TRY_VOID(check_plugs(input));
  const bool usb = input.bus == InputBus::usb;
  Json settings = usb ? usb_input_json(input) : TRY(input_json(input));
  settings["driver"] = fmt::format("{}-{}", usb ? "usb" : "virtio", xml_word(input.type));
  TRY(monitor.execute("device_add", settings));
  return {};
}

ptrdiff_t usb_devices(const DomainConfig& config) {
  return std::ranges::count(config.devices.disks, DiskBus::usb, &DomainDisk::bus) +
         std::ranges::count(config.devices.inputs, InputBus::usb, &DomainInput::bus);
}

// The device that add_device() put last into the definition.
template <class T>
T* last_of(std::vector<T>& before, std::vector<T>& after) {
  return after.size() > before.size() ? &after.back() : nullptr;
}

bool is_there(const DomainPtr& domain, const std::string& alias) {
  const DomainView view = domain->view();
  const auto has = [&alias](const auto& devices) {
    return std::ranges::any_of(devices, [&](const auto& device) { return device.alias == alias; });
  };
  return view.live &&
         (has(view.live->devices.disks) || has(view.live->devices.interfaces) || has(view.live->devices.inputs));
}

}  // namespace

Answer<void> attach_live(Driver& driver, const DomainPtr& domain, const Device& device) {
  const DomainView view = domain->view();
  const auto run = TRY(Driver::running(view));
  if (!std::holds_alternative<DomainDisk>(device) && !std::holds_alternative<DomainInterface>(device) &&
      !std::holds_alternative<DomainInput>(device)) {
    return not_live("devices other than disks, interfaces and input devices");
  }
  if (is_medium(*view.live, device)) {
    return change_medium(driver, domain, std::get<DomainDisk>(device), false);
  }
  DomainConfig live = *view.live;
  DomainConfig before = live;
  TRY_VOID(add_device(live, device));
  TRY_VOID(driver.complete_definition(live));
  if (usb_devices(live) > usb_devices(before)) {
    TRY_VOID(check_usb_newcomer(before, live));
  }
  (void)leave_out(live);  // what was completed again
  if (std::holds_alternative<DomainInput>(device) && live.devices.inputs.size() == before.devices.inputs.size()) {
    return refuse_bus(InputBus::ps2);  // which was left out
  }
  assign_aliases(live);
  std::string alias;
  if (DomainDisk* disk = nullptr; std::holds_alternative<DomainDisk>(device)) {
    // Disks are kept in the order of their targets: the new one is the one that was not there.
    for (DomainDisk& candidate : live.devices.disks) {
      if (std::ranges::none_of(before.devices.disks,
                               [&](const DomainDisk& old) { return old.target == candidate.target; })) {
        disk = &candidate;
      }
    }
    if (disk == nullptr) {
      return call_error(VIR_ERR_INTERNAL_ERROR, "the disk is not in the definition");
    }
    TRY_VOID(check_plugs_in(*disk));
    TRY_VOID(plug_disk(*run->monitor, *disk));
    alias = disk->alias;
  } else if (DomainInterface* interface = last_of(before.devices.interfaces, live.devices.interfaces)) {
    TRY_VOID(driver.networks().plug(before, *interface));
    if (auto plugged = plug_interface(*run->monitor, *interface); !plugged) {
      driver.networks().unplug({*interface});
      return plugged;
    }
    alias = interface->alias;
  } else if (const DomainInput* input = last_of(before.devices.inputs, live.devices.inputs)) {
    TRY_VOID(plug_input(*run->monitor, *input));
    alias = input->alias;
  }
  driver.replace_live(domain, std::move(live));
  driver.events().emit(VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
                       rpc::DomainEventCallbackDeviceAddedMsg{.callback_id = 0, .dom = view.rpc_name(), .dev_alias = alias});
  return {};
}

Answer<void> detach_live(Driver& driver, const DomainPtr& domain, const Device& device) {
  const DomainView view = domain->view();
  const auto run = TRY(Driver::running(view));
  const Device found = TRY(find_device(*view.live, device));
  std::string alias;
  if (const auto* disk = std::get_if<DomainDisk>(&found)) {
    TRY_VOID(check_plugs_out(*disk));
    alias = disk->alias;
  } else if (const auto* interface = std::get_if<DomainInterface>(&found)) {
    alias = interface->alias;
  } else if (const auto* input = std::get_if<DomainInput>(&found)) {
    TRY_VOID(check_plugs(*input));
    alias = input->alias;
  } else {
    return not_live("devices other than disks, interfaces and input devices");
  }
  TRY(run->monitor->execute("device_del", {{"id", alias}}));
  if (!driver.wait_for_removal(kDetachPatience, [&] { return !is_there(domain, alias); })) {
    log_info("domain", "'{}': the guest has not let go of '{}' yet", view.name, alias);
  }
  return {};
}

Answer<void> update_live(Driver& driver, const DomainPtr& domain, const Device& device, bool force) {
  if (const auto* disk = std::get_if<DomainDisk>(&device)) {
    return change_medium(driver, domain, *disk, force);
  }
  if (const auto* graphics = std::get_if<DomainGraphics>(&device)) {
    return change_graphics(driver, domain, *graphics);
  }
  const DomainView view = domain->view();
  const auto run = TRY(Driver::running(view));
  const auto* wanted = std::get_if<DomainInterface>(&device);
  if (wanted == nullptr) {
    return not_live("devices other than interfaces, CD and floppy drives and graphics");
  }
  const Device found = TRY(find_device(*view.live, device));
  const auto& old = std::get<DomainInterface>(found);
  if (!wanted->model.empty() && wanted->model != old.model) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "cannot modify network device model from {} to {}", old.model,
                      wanted->model);
  }
  DomainConfig live = *view.live;
  for (DomainInterface& interface : live.devices.interfaces) {
    if (interface.alias == old.alias) {
      interface.link = wanted->link;
    }
  }
  TRY(run->monitor->execute("set_link", {{"name", old.alias}, {"up", wanted->link != LinkState::down}}));
  driver.replace_live(domain, std::move(live));
  return {};
}

}  // namespace lodge
