#include "vmm/config/complete.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <set>

#include <fmt/ranges.h>

namespace lodge {
namespace {

// A PCI device of the configuration, for its slot.
struct SlotUser {
  std::string name;
  uint32_t* slot;
};

// In the order in which free slots are given.
std::vector<SlotUser> slot_users(MachineConfig& config) {
  std::vector<SlotUser> users;
  if (config.video.enabled) {
    users.push_back({"the screen", &config.video.slot});
  }
  if (config.rng.enabled) {
    users.push_back({"the random number device", &config.rng.slot});
  }
  if (config.balloon.enabled) {
    users.push_back({"the balloon", &config.balloon.slot});
  }
  if (has_virtio_serial(config)) {
    users.push_back({"the virtio console", &config.virtio_serial.slot});
  }
  if (config.watchdog.enabled && config.watchdog.model == WatchdogModel::i6300esb) {
    users.push_back({"the watchdog", &config.watchdog.slot});
  }
  if (config.usb.enabled && config.usb.model != UsbModel::piix3_uhci) {  // which is a part of the chipset
    users.push_back({"the USB controller", &config.usb.slot});
  }
  if (config.vsock.enabled) {
    users.push_back({"the vsock device", &config.vsock.slot});
  }
  for (InputSettings& input : config.inputs) {
    users.push_back({fmt::format("input device '{}'", input.id), &input.slot});
  }
  for (FilesystemSettings& filesystem : config.filesystems) {
    users.push_back({fmt::format("filesystem '{}'", filesystem.id), &filesystem.slot});
  }
  for (NetSettings& net : config.nets) {
    users.push_back({fmt::format("NIC '{}'", net.id), &net.slot});
  }
  for (DiskSettings& disk : config.disks) {
    if (disk.bus == "virtio") {
      users.push_back({fmt::format("disk '{}'", disk.id), &disk.slot});
    }
  }
  return users;
}

// Places on the two IDE channels. What is chosen: disks from the front, CD drives from the second channel's master on.
Result<void> choose_ide_places(MachineConfig& config) {
  std::array<const DiskSettings*, kIdePlaces> taken{};
  const auto place = [](const DiskSettings& disk) { return (disk.channel - 1) * 2 + disk.unit - 1; };
  for (DiskSettings& disk : config.disks) {
    if (disk.bus != "ide" || (disk.channel == 0 && disk.unit == 0)) {
      continue;
    }
    if (disk.channel == 0 || disk.unit == 0) {
      return fail("disk '{}' has only one of channel and unit; give both, or none to have a place chosen", disk.id);
    }
    const DiskSettings*& there = taken.at(place(disk));
    if (there != nullptr) {
      return fail("unit {} of IDE channel {} is asked for by disk '{}' and by disk '{}'; give one of them another",
                  disk.unit, disk.channel, there->id, disk.id);
    }
    there = &disk;
  }
  static constexpr std::array<std::array<uint32_t, kIdePlaces>, 2> kOrder{{{0, 1, 2, 3}, {2, 3, 1, 0}}};
  for (DiskSettings& disk : config.disks) {
    if (disk.bus != "ide" || disk.channel != 0) {
      continue;
    }
    const auto& order = kOrder.at(disk.device == DiskDevice::cdrom ? 1 : 0);
    const auto* const free = std::ranges::find_if(order, [&taken](uint32_t at) { return taken.at(at) == nullptr; });
    if (free == order.end()) {
      return fail("disk '{}' finds no free place on the IDE bus, which has {}; use bus=virtio", disk.id, kIdePlaces);
    }
    disk.channel = *free / 2 + 1;
    disk.unit = *free % 2 + 1;
    taken.at(*free) = &disk;
  }
  return {};
}

Result<void> choose_floppy_places(MachineConfig& config) {
  std::array<const DiskSettings*, kFloppyPlaces> taken{};
  const auto take = [&taken](DiskSettings& disk, uint32_t unit) -> Result<void> {
    const DiskSettings*& there = taken.at(unit - 1);
    if (there != nullptr) {
      return fail("floppy drive {} is asked for by disk '{}' and by disk '{}'; give one of them another", unit, there->id,
                  disk.id);
    }
    there = &disk;
    disk.unit = unit;
    return {};
  };
  for (DiskSettings& disk : config.disks) {
    if (disk.bus == "fdc" && disk.unit != 0) {
      TRY_VOID(take(disk, disk.unit));
    }
  }
  for (DiskSettings& disk : config.disks) {
    if (disk.bus != "fdc" || disk.unit != 0) {
      continue;
    }
    const auto* const free = std::ranges::find(taken, nullptr);
    if (free == taken.end()) {
      return fail("disk '{}' finds no free place; there are {} floppy drives", disk.id, kFloppyPlaces);
    }
    TRY_VOID(take(disk, static_cast<uint32_t>(free - taken.begin()) + 1));
  }
  return {};
}

constexpr uint32_t kUhciPorts = 2;

// Whatever is plugged into the USB controller, for its port.
Result<void> choose_usb_ports(MachineConfig& config) {
  struct User {
    std::string_view id;
    uint32_t* port;
  };
  std::vector<User> users;
  users.reserve(config.usb_devices.size() + config.disks.size());
  for (UsbDeviceSettings& device : config.usb_devices) {
    users.push_back({device.id, &device.port});
  }
  for (DiskSettings& disk : config.disks) {
    if (disk.bus == "usb") {
      users.push_back({disk.id, &disk.port});
    }
  }
  config.usb.enabled = config.usb.enabled || !users.empty();
  const bool uhci = config.usb.model == UsbModel::piix3_uhci;
  if (uhci && config.usb.enabled && config.machine != MachineKind::pc) {
    return fail("a USB controller of model piix3-uhci belongs to machine=pc; use model=xhci");
  }
  if (uhci && config.usb.slot != 0) {
    return fail("a USB controller of model piix3-uhci is a part of the chipset in slot {}; leave slot out", kPcChipsetSlot);
  }
  if (uhci) {
    config.usb.ports = kUhciPorts;
  }
  std::vector<const User*> taken(config.usb.ports + 1, nullptr);
  for (const User& user : users) {
    if (*user.port > config.usb.ports) {
      return fail("USB device '{}': there is no port {}; the controller has 1 to {}", user.id, *user.port, config.usb.ports);
    }
    const User*& there = taken[*user.port];
    if (*user.port != 0 && there != nullptr) {
      return fail("USB port {} is asked for by '{}' and by '{}'; give one of them another, or 0 to have one chosen",
                  *user.port, there->id, user.id);
    }
    there = &user;
  }
  for (const User& user : users) {
    if (*user.port != 0) {
      continue;
    }
    const auto free = std::find(taken.begin() + 1, taken.end(), nullptr);
    if (free == taken.end()) {
      return fail("USB device '{}' finds no free port; the controller has {}: {}", user.id, config.usb.ports,
                  uhci ? "choose model=xhci" : "raise ports of --usb (15 at most)");
    }
    *user.port = static_cast<uint32_t>(free - taken.begin());
    *free = &user;
  }
  return {};
}

Result<void> choose_slots(MachineConfig& config) {
  const uint32_t first = first_free_slot(config.machine);
  const std::vector<SlotUser> users = slot_users(config);
  std::array<const SlotUser*, kPciSlots> taken{};
  for (const SlotUser& user : users) {
    const uint32_t slot = *user.slot;
    if (slot == 0) {
      continue;
    }
    if (slot < first || slot >= kPciSlots) {
      return fail("PCI slot {} of {} is {}; use {} to {}, or 0 to have one chosen", slot, user.name,
                  slot >= kPciSlots ? "not there" : "the chipset's", first, kPciSlots - 1);
    }
    if (taken.at(slot) != nullptr) {
      return fail("PCI slot {} is asked for by {} and by {}; give one of them another, or 0 to have one chosen", slot,
                  taken.at(slot)->name, user.name);
    }
    taken.at(slot) = &user;
  }
  for (const SlotUser& user : users) {
    if (*user.slot != 0) {
      continue;
    }
    const auto* const free = std::find(taken.begin() + first, taken.end(), nullptr);
    if (free == taken.end()) {
      return fail("{} finds no free PCI slot; this machine has {}", user.name, kPciSlots - first);
    }
    *user.slot = static_cast<uint32_t>(free - taken.begin());
    taken.at(*user.slot) = &user;
  }
  return {};
}

// "disk0" and on by position, or the next number that is not taken.
template <class Settings>
void choose_ids(std::vector<Settings>& list, std::string_view prefix) {
  for (size_t i = 0; i < list.size(); ++i) {
    for (size_t number = i; list[i].id.empty(); ++number) {
      std::string id = fmt::format("{}{}", prefix, number);
      if (std::ranges::find(list, id, &Settings::id) == list.end()) {
        list[i].id = std::move(id);
      }
    }
  }
}

// The address of a NIC that was given none: the same for the same guest name and position.
std::string made_up_mac(std::string_view name, size_t index) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : name) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  }
  hash = (hash ^ index) * 0x100000001b3;
  return fmt::format("52:54:00:{:02x}:{:02x}:{:02x}", (hash >> 16) & 0xFF, (hash >> 8) & 0xFF, hash & 0xFF);
}

void choose_macs(MachineConfig& config) {
  for (size_t i = 0; i < config.nets.size(); ++i) {
    for (size_t number = i; config.nets[i].mac.empty(); ++number) {
      std::string mac = made_up_mac(config.name, number);
      if (std::ranges::find(config.nets, mac, &NetSettings::mac) == config.nets.end()) {
        config.nets[i].mac = std::move(mac);
      }
    }
  }
}

Result<void> check_cpus(const CpuSettings& cpu) {
  if (cpu.max != 0 && cpu.max < cpu.count) {
    return fail("{} vCPUs are more than the maximum of {}; raise max, or leave it out", cpu.count, cpu.max);
  }
  if (cpu.present.empty()) {
    return {};
  }
  const bool ascending = std::ranges::adjacent_find(cpu.present, std::greater_equal<>()) == cpu.present.end();
  if (!ascending || cpu.present.front() != 0 || cpu.present.back() >= possible_cpus(cpu) ||
      cpu.present.size() != cpu.count) {
    return fail("the list of vCPUs that are there ({}) must have {} different numbers, ascending, from 0 and below {}",
                fmt::join(cpu.present, ", "), cpu.count, possible_cpus(cpu));
  }
  return {};
}

// The names of vCPUs in events.
bool is_vcpu_id(std::string_view id) {
  return id.starts_with("vcpu") && id.size() > 4 && id.find_first_not_of("0123456789", 4) == std::string_view::npos;
}

Result<void> check_ids(const MachineConfig& config) {
  std::set<std::string_view> ids{"rng0", "balloon0", "console0", "ide0", "usb0", "watchdog0", "vsock0", "video0"};
  const auto check = [&ids](const std::string& id) -> Result<void> {
    if (id.size() > 64 || id.find_first_of(" /\n") != std::string::npos) {
      return fail("id '{}' must have at most 64 characters and neither blanks nor '/'", id);
    }
    if (is_vcpu_id(id)) {
      return fail("id '{}' is the name of a vCPU; give the device another", id);
    }
    if (!ids.insert(id).second) {
      return fail("id '{}' is used twice; give each device its own", id);
    }
    return {};
  };
  for (const DiskSettings& disk : config.disks) {
    TRY_VOID(check(disk.id));
  }
  for (const NetSettings& net : config.nets) {
    TRY_VOID(check(net.id));
  }
  for (const UsbDeviceSettings& device : config.usb_devices) {
    TRY_VOID(check(device.id));
  }
  for (const InputSettings& input : config.inputs) {
    TRY_VOID(check(input.id));
  }
  for (const FilesystemSettings& filesystem : config.filesystems) {
    TRY_VOID(check(filesystem.id));
  }
  return {};
}

constexpr size_t kMaxTag = 36;  // bytes, in the device's configuration

Result<void> check_filesystems(const MachineConfig& config) {
  std::set<std::string_view> tags;
  for (const FilesystemSettings& filesystem : config.filesystems) {
    const std::string& id = filesystem.id;
    if (filesystem.tag.empty() || filesystem.tag.size() > kMaxTag) {
      return fail("filesystem '{}': the tag '{}' must have 1 to {} bytes; use tag=NAME", id, filesystem.tag, kMaxTag);
    }
    if (!tags.insert(filesystem.tag).second) {
      return fail("filesystem '{}': another one has the tag '{}', too; the guest could not tell them apart", id,
                  filesystem.tag);
    }
    if (filesystem.socket.empty() && filesystem.socket_fd < 0) {
      return fail("filesystem '{}' has no back-end; use socket=PATH, where virtiofsd listens", id);
    }
    if (!std::has_single_bit(filesystem.queue_size)) {
      return fail("filesystem '{}': queue_size {} is not a power of two", id, filesystem.queue_size);
    }
    if (config.memory.backing == MemoryKind::anonymous) {
      return fail(
          "filesystem '{}': its back-end needs guest RAM that is shared; use --memory SIZE,backing=memfd (in XML "
          "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>)",
          id);
    }
    if (!config.restore.empty() || config.restore_fd >= 0) {
      return fail("filesystem '{}': what its back-end knows is not in a saved guest; leave it out", id);
    }
  }
  return {};
}

}  // namespace

Result<void> complete(MachineConfig& config) {
  choose_ids(config.disks, "disk");
  choose_ids(config.nets, "net");
  choose_ids(config.usb_devices, "input");
  choose_ids(config.inputs, "virtio-input");
  choose_ids(config.filesystems, "fs");
  choose_macs(config);
  TRY_VOID(check_cpus(config.cpu));
  if (config.watchdog.enabled && config.watchdog.model == WatchdogModel::ib700 && config.machine != MachineKind::pc) {
    return fail("watchdog ib700 is a board of a pc; use --machine pc, or model=i6300esb");
  }
  TRY_VOID(check_ids(config));
  TRY_VOID(check_filesystems(config));
  TRY_VOID(choose_ide_places(config));
  TRY_VOID(choose_floppy_places(config));
  TRY_VOID(choose_usb_ports(config));
  return choose_slots(config);
}

}  // namespace lodge
