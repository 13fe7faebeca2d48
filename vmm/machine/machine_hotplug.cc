// Disks, NICs and virtio input devices at PCI that come and go while the guest runs; machine_usb.cc has what is at USB.
//
// A device leaves in steps, each on control: its slot is empty from the guest's eject on (that is the vCPU's doing); once no
// vCPU is inside it any more its queues stop; once nothing is in flight it is destroyed; once the I/O loops have let go of
// its descriptors the event is told. Nobody waits for any of it.
#include <fcntl.h>

#include <algorithm>

#include "base/log.h"
#include "vmm/config/command_line.h"
#include "vmm/config/complete.h"
#include "vmm/machine/device_specs.h"
#include "vmm/machine/machine.h"

namespace lodge {
namespace {

constexpr std::chrono::milliseconds kLookAgain(1);

constexpr uint32_t bit(uint32_t slot) { return uint32_t{1} << slot; }

}  // namespace

Nic* Machine::find_nic(std::string_view id) const {
  for (const auto& device : devices_) {
    if (device->id() == id) {
      auto* carrier = dynamic_cast<VirtioPci*>(device.get());
      return carrier != nullptr ? dynamic_cast<Nic*>(&carrier->device()) : dynamic_cast<Nic*>(device.get());
    }
  }
  return nullptr;
}

void Machine::add_disk(DiskSettings disk, Fd image, Done done) {
  enqueue([this, disk = std::move(disk), image = std::make_shared<Fd>(std::move(image)),
           done = std::move(done)](const auto& next) {
    done(plug_disk(disk, std::move(*image)));
    next();
  });
}

void Machine::add_net(NetSettings net, NetDescriptors descriptors, Done done) {
  enqueue([this, net = std::move(net), descriptors = std::make_shared<NetDescriptors>(std::move(descriptors)),
           done = std::move(done)](const auto& next) {
    done(plug_net(net, std::move(*descriptors)));
    next();
  });
}

void Machine::add_input(InputSettings input, Done done) {
  enqueue([this, input = std::move(input), done = std::move(done)](const auto& next) {
    done(plug_input(input));
    next();
  });
}

void Machine::change_medium(const std::string& id, const std::string& path, Fd image, bool force, Done done) {
  enqueue([this, id, path, image = std::make_shared<Fd>(std::move(image)), force, done = std::move(done)](const auto& next) {
    const auto drive = std::ranges::find(config_.disks, id, &DiskSettings::id);
    if (drive == config_.disks.end() || drive->device == DiskDevice::disk) {
      done(fail("there is no CD or floppy drive '{}'; query-block lists the drives", id));
      next();
      return;
    }
    auto medium = open_medium(*drive, path, std::move(*image), force);
    if (!medium) {
      done(std::unexpected(medium.error()));
      next();
      return;
    }
    const auto exchanged = [this, id, path, done, next](const std::unique_ptr<BlockBackend>& old) {
      if (old) {
        old->give_up();
      }
      const auto settings = std::ranges::find(config_.disks, id, &DiskSettings::id);
      if (settings != config_.disks.end()) {
        settings->path = path;
      }
      emit({"MEDIUM_CHANGED", {{"device", id}, {"path", path}}});
      done({});
      next();
    };
    if (drive->device == DiskDevice::floppy) {
      floppy_->exchange_medium(*floppy_->find(id), std::move(*medium), exchanged);
    } else {
      const auto found = *ide_->find(id);
      found.channel->exchange_medium(found.unit, std::move(*medium), exchanged);
    }
  });
}

// On control. Null: the drive is to be empty.
Result<std::unique_ptr<BlockBackend>> Machine::open_medium(DiskSettings& drive, const std::string& path, Fd image,
                                                           bool force) {
  const bool floppy = drive.device == DiskDevice::floppy;
  if (!floppy && !force) {
    const auto found = *ide_->find(drive.id);
    if (found.channel->medium(found.unit).locked) {
      found.channel->ask_to_eject(found.unit);
      return fail("the guest has locked the tray of '{}' and was asked to let go; try again, or use force", drive.id);
    }
  }
  if (!image.valid()) {
    return std::unique_ptr<BlockBackend>();
  }
  DiskSettings wanted = drive;
  wanted.path = path;
  wanted.read_only = wanted.read_only || (::fcntl(image.get(), F_GETFL) & O_ACCMODE) == O_RDONLY;
  wanted.fd = image.release();
  auto medium = TRY(open_image(wanted, std::chrono::milliseconds(0)));
  TRY_VOID(floppy ? floppy_->check_medium(*floppy_->find(drive.id), medium->info())
                  : IdeDrive::check_medium(medium->info()));
  return medium;
}

Result<void> Machine::plug_disk(const DiskSettings& disk, Fd image) {
  if (disk.device != DiskDevice::disk) {
    return fail("disk '{}': CD and floppy drives are there from the start; change-medium puts a medium in", disk.id);
  }
  if (!image.valid()) {
    return fail("disk '{}' has no descriptor; the monitor of a running guest opens no paths: pass one with getfd, then fd",
                disk.id);
  }
  if (disk.bus == "usb") {
    TRY_VOID(check_usb(disk.id));
  }
  MachineConfig wanted = config_;
  DiskSettings& chosen = wanted.disks.emplace_back(disk);
  TRY_VOID(complete(wanted));
  TRY_VOID(check_newcomer(chosen.id));
  if (disk.bus == "usb") {
    return plug_usb_disk(chosen, std::move(image), wanted);
  }
  chosen.fd = image.release();
  const auto on_error = [this](const BlockErrorEvent& event) { block_error(event); };
  BlkSpec spec = TRY(disk_spec(wanted, chosen, on_error, std::chrono::milliseconds(0)));
  chosen.fd = -1;
  return plug(std::move(spec), chosen.slot, std::move(wanted));
}

Result<void> Machine::plug_net(const NetSettings& net, NetDescriptors descriptors) {
  if (net.kind == NetKind::user) {
    return fail("NIC '{}': user networking starts a program, which a running guest's monitor may not; use a tap", net.id);
  }
  if (net.kind == NetKind::tap && descriptors.taps.empty()) {
    return fail("NIC '{}' has no descriptor; the monitor of a running guest opens no taps: pass one with getfd, then fds",
                net.id);
  }
  if (net.vhost && descriptors.vhosts.empty()) {
    return fail("NIC '{}' has no vhost descriptor; pass an open /dev/vhost-net with getfd, then vhost_fds", net.id);
  }
  MachineConfig wanted = config_;
  NetSettings& chosen = wanted.nets.emplace_back(net);
  TRY_VOID(complete(wanted));
  TRY_VOID(check_newcomer(chosen.id));
  chosen.fds.assign(descriptors.taps.size(), 0);  // for the check of their number
  chosen.vhost_fds.assign(descriptors.vhosts.size(), 0);
  TRY_VOID(check_net(chosen));
  std::ranges::transform(descriptors.taps, chosen.fds.begin(), &Fd::release);
  std::ranges::transform(descriptors.vhosts, chosen.vhost_fds.begin(), &Fd::release);
  chosen.queues = static_cast<uint32_t>(std::max<size_t>(chosen.queues, chosen.fds.size()));
  DeviceSpec spec = TRY(net_spec(wanted, chosen));
  chosen.fds.clear();
  chosen.vhost_fds.clear();
  return plug(std::move(spec), chosen.slot, std::move(wanted));
}

// It takes keys and moves after the virtio devices that came before it.
Result<void> Machine::plug_input(const InputSettings& input) {
  MachineConfig wanted = config_;
  InputSettings& chosen = wanted.inputs.emplace_back(input);
  TRY_VOID(complete(wanted));
  TRY_VOID(check_newcomer(chosen.id));
  const std::string id = chosen.id;
  VirtioInputSpec spec = input_spec(wanted, chosen, [this] { pointer_changed(); });
  TRY_VOID(plug(std::move(spec), chosen.slot, std::move(wanted)));
  input_.add(*find_virtio<VirtioInput>(id), InputRank::virtio);
  return {};
}

Result<void> Machine::check_newcomer(const std::string& id) const {
  if (finished_) {
    return fail("the guest is off");
  }
  if (leaving_.contains(id)) {
    return fail("the device '{}' of before is not gone yet; wait for its DEVICE_DELETED", id);
  }
  return {};
}

Result<void> Machine::plug(DeviceSpec spec, uint32_t slot, MachineConfig wanted) {
  CreatedDevice created = TRY(create_device(std::move(spec), *env_, nullptr));
  TRY_VOID(root_->plug({static_cast<uint8_t>(slot), 0}, created.function, true));
  if (guest_runs_) {
    created.device->resume();  // else it starts with the guest
  }
  devices_.push_back(std::move(created.device));
  config_ = std::move(wanted);
  removable_ |= bit(slot);
  hotplug_->added(static_cast<uint8_t>(slot));
  return {};
}

std::optional<Machine::Seat> Machine::seat_of(std::string_view id) const {
  for (const DiskSettings& disk : config_.disks) {
    if (disk.id == id && disk.bus == "virtio") {
      return Seat{disk.id, disk.slot};
    }
  }
  for (const NetSettings& net : config_.nets) {
    if (net.id == id) {
      return Seat{net.id, net.slot};
    }
  }
  for (const InputSettings& input : config_.inputs) {
    if (input.id == id) {
      return Seat{input.id, input.slot};
    }
  }
  return std::nullopt;
}

std::optional<Machine::Seat> Machine::seat_at(uint32_t slot) const {
  for (const DiskSettings& disk : config_.disks) {
    if (disk.slot == slot && disk.bus == "virtio") {
      return Seat{disk.id, slot};
    }
  }
  for (const NetSettings& net : config_.nets) {
    if (net.slot == slot) {
      return Seat{net.id, slot};
    }
  }
  for (const InputSettings& input : config_.inputs) {
    if (input.slot == slot) {
      return Seat{input.id, slot};
    }
  }
  return std::nullopt;
}

void Machine::note_removable() {
  for (uint32_t slot = 0; slot < kPciSlots; ++slot) {
    if (seat_at(slot)) {
      removable_ |= bit(slot);
    }
  }
}

void Machine::remove_device(const std::string& id, Done done) {
  enqueue([this, id, done = std::move(done)](const auto& next) {
    const auto seat = seat_of(id);
    if (seat) {
      hotplug_->ask_to_leave(static_cast<uint8_t>(seat->slot));
      done({});
    } else if (unplug_usb(id) || leaving_.contains(id)) {
      done({});  // it is on its way
    } else if (std::ranges::any_of(devices_, [&id](const auto& device) { return device->id() == id; })) {
      done(fail("device '{}' is part of the machine; only disks, NICs, virtio input and USB devices can be removed", id));
    } else {
      done(fail("there is no device '{}'; query-block and query-net list those that can be removed", id));
    }
    next();
  });
}

void Machine::slot_ejected(uint8_t slot) {
  if ((removable_.load() & bit(slot)) != 0 && root_->unplug({slot, 0}) != nullptr) {
    control_.post([this, slot] { slot_released(slot); });
  }
}

void Machine::slot_refused(uint8_t slot) {
  control_.post([this, slot] {
    if (const auto seat = seat_at(slot)) {
      log_warning("machine", "the guest does not let go of device '{}'", seat->id);
      emit({"DEVICE_UNPLUG_GUEST_ERROR", {{"device", seat->id}}});
    }
  });
}

// The root has the function no more. From here on the device is not the machine's, so that a save that comes now is right.
void Machine::slot_released(uint8_t slot) {
  const auto seat = seat_at(slot);
  if (!seat) {
    return;
  }
  std::erase_if(config_.disks, [slot](const DiskSettings& disk) { return disk.bus == "virtio" && disk.slot == slot; });
  std::erase_if(config_.nets, [slot](const NetSettings& net) { return net.slot == slot; });
  std::erase_if(config_.inputs, [slot](const InputSettings& input) { return input.slot == slot; });
  removable_ &= ~bit(slot);
  hotplug_->gone(slot);
  const auto it = std::ranges::find(devices_, seat->id, [](const auto& device) { return device->id(); });
  if (auto* input = find_virtio<VirtioInput>(seat->id)) {
    input_.remove(*input);
    pointer_changed();
  }
  leaving_[seat->id].device = *it;
  devices_.erase(it);
  let_go(seat->id);
}

void Machine::let_go(const std::string& id) {
  Leaving& leaving = leaving_.at(id);
  // Others that hold it are vCPUs in an access to its configuration space.
  if (dynamic_cast<PciFunction&>(*leaving.device).in_use() || leaving.device.use_count() > 1) {
    leaving.timer = control_.after(kLookAgain, [this, id] { let_go(id); });
    return;
  }
  leaving.device->quiesce([this, id] {
    control_.post([this, id] {
      auto& device = leaving_.at(id).device;
      if (auto* carrier = dynamic_cast<VirtioPci*>(device.get())) {
        if (auto* blk = dynamic_cast<VirtioBlk*>(&carrier->device())) {
          blk->backend().give_up();
        }
      }
      device.reset();
      after_loops([this, id] {
        leaving_.erase(id);
        emit({"DEVICE_DELETED", {{"device", id}}});
      });
    });
  });
}

// `then` runs on control when every I/O loop has been through what it had to do; what it cancelled is closed by then.
void Machine::after_loops(const std::function<void()>& then) {
  auto left = std::make_shared<std::atomic<size_t>>(io_threads_.size());
  for (const auto& thread : io_threads_) {
    EventLoop& loop = thread->loop();
    loop.post([this, &loop, left, then] {
      loop.post([this, left, then] {
        if (left->fetch_sub(1) == 1) {
          control_.post(then);
        }
      });
    });
  }
}

}  // namespace lodge
