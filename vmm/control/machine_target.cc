#include "vmm/control/machine_target.h"
#include "base/uuid.h"

#include <algorithm>
#include <ctime>
#include <ranges>

#include <fmt/ranges.h>

#include "devices/virtio/balloon/device.h"
#include "devices/virtio/console/device.h"
#include "vmm/config/complete.h"
#include "vmm/config/fields.h"
#include "vmm/config/json.h"

namespace lodge {
namespace {

// The virtio device of type T that `device` carries, or null.
template <class T>
T* virtio_of(const std::shared_ptr<Device>& device) {
  auto* carrier = dynamic_cast<VirtioPci*>(device.get());
  return carrier == nullptr ? nullptr : dynamic_cast<T*>(&carrier->device());
}

// Processor time of another thread of this process; 0 when it is gone.
uint64_t thread_time_ns(int thread_id) {
  // The kernel's way to name a thread's clock: the inverted id, then "per thread" and "scheduler".
  const auto clock = static_cast<clockid_t>((~static_cast<unsigned>(thread_id) << 3) | 6U);
  timespec time{};
  if (::clock_gettime(clock, &time) != 0) {
    return 0;
  }
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

constexpr std::chrono::hours kMaxBalloonPeriod(24);

constexpr std::array<const char*, BalloonStats::kTags> kBalloonStats{
    "swap-in", "swap-out",  "major-faults", "minor-faults",        "free",
    "total",   "available", "caches",       "hugetlb-allocations", "hugetlb-failures"};

}  // namespace

MachineTarget::~MachineTarget() { machine_.on_pointer_change({}); }

std::vector<ControlTarget::Cpu> MachineTarget::cpus() const {
  std::vector<Cpu> cpus;
  for (const auto& vcpu : machine_.vcpus()) {
    if (!machine_.is_present(*vcpu)) {
      continue;
    }
    const VcpuPlace place = place_of(machine_.topology(), vcpu->index());
    cpus.push_back({.index = vcpu->index(),
                    .thread_id = vcpu->thread_id(),
                    .apic_id = x2apic_id(machine_.topology(), vcpu->index()),
                    .socket = place.socket,
                    .die = place.die,
                    .core = place.core,
                    .thread = place.thread,
                    .time_ns = thread_time_ns(vcpu->thread_id()),
                    .exits = vcpu->exits(),
                    .unclaimed = vcpu->unclaimed()});
  }
  return cpus;
}

std::vector<ControlTarget::CpuSeat> MachineTarget::cpu_seats() const {
  std::vector<CpuSeat> seats;
  for (const auto& vcpu : machine_.vcpus()) {
    const bool comes_and_goes = machine_.config().cpu.max != 0 && vcpu->index() > 0;
    seats.push_back({vcpu->index(), machine_.is_present(*vcpu), comes_and_goes});
  }
  return seats;
}

std::vector<ControlTarget::DeviceCounters> MachineTarget::counters() const {
  std::vector<DeviceCounters> all;
  for (const auto& device : machine_.devices()) {
    if (auto counters = device->counters(); !counters.empty()) {
      all.push_back({std::string(device->id()), std::move(counters)});
    }
  }
  if (machine_.usb() != nullptr) {
    for (const UsbPlug& plug : machine_.usb()->devices()) {
      if (auto counters = plug.device->counters(); !counters.empty()) {
        all.push_back({plug.device->id(), std::move(counters)});
      }
    }
  }
  if (machine_.ide() != nullptr) {
    for (const Piix3Ide::Found& found : machine_.ide()->drives()) {
      all.push_back({found.drive().id(), found.channel->counters(found.unit)});
    }
  }
  if (const FloppyController* floppy = machine_.floppy()) {
    for (size_t unit = 0; unit < FloppyController::kDrives; ++unit) {
      if (floppy->kind(unit) != FloppyDriveKind::none) {
        all.push_back({floppy->drive_id(unit), floppy->drive_counters(unit)});
      }
    }
  }
  return all;
}

std::vector<ControlTarget::Disk> MachineTarget::floppies() const {
  std::vector<Disk> disks;
  const FloppyController* floppy = machine_.floppy();
  for (size_t unit = 0; floppy != nullptr && unit < FloppyController::kDrives; ++unit) {
    if (floppy->kind(unit) != FloppyDriveKind::none) {
      const BlockInfo medium = floppy->medium(unit);
      disks.push_back({.id = floppy->drive_id(unit),
                       .image = medium.description,
                       .size = medium.size,
                       .logical_block = medium.logical_block,
                       .read_only = medium.read_only,
                       .slot = kPcChipsetSlot,
                       .tray = Disk::Tray{}});
    }
  }
  return disks;
}

std::vector<ControlTarget::Disk> MachineTarget::disks() const {
  std::vector<Disk> disks = floppies();
  for (const auto& device : machine_.devices()) {
    if (auto* blk = virtio_of<VirtioBlk>(device)) {
      const BlockInfo info = blk->backend().info();
      const auto& settings = machine_.config().disks;
      const auto it = std::ranges::find(settings, device->id(), &DiskSettings::id);
      disks.push_back({std::string(device->id()), info.description, info.size, info.logical_block, info.read_only,
                       it != settings.end() ? it->slot : 0, std::nullopt});
    }
  }
  for (const UsbPlug& plug : machine_.usb() != nullptr ? machine_.usb()->devices() : std::vector<UsbPlug>()) {
    if (const auto* disk = dynamic_cast<const UsbStorage*>(plug.device.get())) {
      const BlockInfo info = disk->backend().info();
      disks.push_back({.id = disk->id(),
                       .image = info.description,
                       .size = info.size,
                       .logical_block = info.logical_block,
                       .read_only = info.read_only,
                       .slot = usb_slot(machine_.config().usb),
                       .tray = std::nullopt});
    }
  }
  if (machine_.ide() == nullptr) {
    return disks;
  }
  for (const Piix3Ide::Found& found : machine_.ide()->drives()) {
    Disk disk{.id = found.drive().id(), .image = {}, .slot = kPcChipsetSlot, .tray = {}};
    const IdeChannel::Medium medium = found.channel->medium(found.unit);
    disk.image = medium.info.description;
    disk.size = medium.info.size;
    disk.logical_block = medium.info.logical_block;
    disk.read_only = medium.info.read_only;
    if (found.drive().cdrom()) {
      disk.tray = Disk::Tray{medium.tray_open, medium.locked};
    }
    disks.push_back(std::move(disk));
  }
  return disks;
}

std::vector<ControlTarget::CharDevice> MachineTarget::char_devices() const {
  std::vector<CharDevice> all;
  for (const auto& device : machine_.devices()) {
    if (auto* serial = dynamic_cast<Uart16550*>(device.get())) {
      all.push_back({std::string(device->id()), serial->backend().path(), serial->backend().is_open()});
    } else if (auto* parallel = dynamic_cast<ParallelPort*>(device.get())) {
      all.push_back({std::string(device->id()), parallel->backend().path(), parallel->backend().is_open()});
    } else if (auto* console = virtio_of<VirtioConsole>(device)) {
      for (size_t i = 0; i < console->port_count(); ++i) {
        all.push_back({fmt::format("{}.{}", device->id(), i), console->backend(i).path(), console->backend(i).is_open()});
      }
    }
  }
  return all;
}

std::optional<ControlTarget::GenerationId> MachineTarget::generation_id() const {
  const VmGenId* device = machine_.generation_id();
  if (device == nullptr) {
    return std::nullopt;
  }
  return GenerationId{print_uuid(memory_order(device->generation())), device->address()};
}

std::optional<ControlTarget::CoreInfo> MachineTarget::core_info() const {
  const VmCoreInfo* device = machine_.vmcoreinfo();
  if (device == nullptr) {
    return std::nullopt;
  }
  const auto note = device->note();
  return note ? CoreInfo{true, note->address, note->size} : CoreInfo{};
}

std::optional<ControlTarget::Balloon> MachineTarget::balloon() const {
  for (const auto& device : machine_.devices()) {
    if (auto* balloon = virtio_of<VirtioBalloon>(device)) {
      const uint64_t ram = memory_size();
      const BalloonStats stats = balloon->stats();
      Balloon out{.actual = ram - std::min(ram, balloon->size()),
                  .target = ram - std::min(ram, balloon->target()),
                  .stats = {},
                  .updated = static_cast<uint64_t>(
                      std::chrono::duration_cast<std::chrono::seconds>(stats.updated.time_since_epoch()).count()),
                  .period = static_cast<uint64_t>(
                      std::chrono::duration_cast<std::chrono::seconds>(balloon->stats_period()).count())};
      for (size_t i = 0; i < kBalloonStats.size(); ++i) {
        if (stats.values[i] != BalloonStats::kUnknown) {
          out.stats.emplace_back(kBalloonStats[i], stats.values[i]);
        }
      }
      return out;
    }
  }
  return std::nullopt;
}

Result<void> MachineTarget::set_balloon(uint64_t bytes) {
  for (const auto& device : machine_.devices()) {
    if (auto* balloon = virtio_of<VirtioBalloon>(device)) {
      if (bytes == 0 || bytes > memory_size()) {
        return fail("balloon: {} bytes are not between 1 and the guest's memory of {} bytes", bytes, memory_size());
      }
      balloon->set_size(memory_size() - bytes);
      return {};
    }
  }
  return fail("the guest has no balloon; start it with --balloon");
}

Result<void> MachineTarget::set_balloon_period(std::chrono::seconds period) {
  for (const auto& device : machine_.devices()) {
    if (auto* balloon = virtio_of<VirtioBalloon>(device)) {
      if (period > kMaxBalloonPeriod) {
        return fail("balloon: a period of {} s is too long; choose 0 (off) to {} s", period.count(),
                    std::chrono::seconds(kMaxBalloonPeriod).count());
      }
      balloon->set_stats_period(period);
      return {};
    }
  }
  return fail("the guest has no balloon; start it with --balloon");
}

std::vector<ControlTarget::Net> MachineTarget::nets() const {
  std::vector<Net> nets;
  for (const NetSettings& settings : machine_.config().nets) {
    const Nic* net = machine_.find_nic(settings.id);
    if (net == nullptr) {
      continue;
    }
    nets.push_back({.id = settings.id,
                    .mac = fmt::format("{:02x}", fmt::join(net->mac(), ":")),
                    .link = net->link_up(),
                    .kind = std::string(EnumWords<NetKind>::words.at(static_cast<size_t>(settings.kind))),
                    .interface = net->port().interface,
                    .vhost = settings.vhost,
                    .queues = static_cast<uint32_t>(net->port().queues.size()),
                    .slot = settings.slot});
  }
  return nets;
}

std::vector<ControlTarget::IoThread> MachineTarget::io_threads() const {
  std::vector<IoThread> threads;
  for (const auto& thread : machine_.io_threads()) {
    threads.push_back({thread.name, thread.id, thread_time_ns(thread.id)});
  }
  return threads;
}

Result<std::vector<std::byte>> MachineTarget::read_memory(uint64_t address, uint64_t size) const {
  std::vector<std::byte> bytes(size);
  TRY_VOID(machine_.memory().read_bytes(Gpa{address}, bytes));
  return bytes;
}

void MachineTarget::press_power_button(bool reboot) {
  machine_.emit({"POWERDOWN", {}});
  machine_.press_power_button(reboot);
}

void MachineTarget::set_actions(const Actions& actions) {
  const std::pair<std::optional<OnEvent>, Machine::Ending> wanted[] = {{actions.poweroff, Machine::Ending::poweroff},
                                                                       {actions.reboot, Machine::Ending::reboot},
                                                                       {actions.crash, Machine::Ending::crash}};
  for (const auto& [action, ending] : wanted) {
    if (action) {
      machine_.set_action(ending, *action);
    }
  }
}

Result<void> MachineTarget::resize_disk(const std::string& id, uint64_t bytes) {
  auto* blk = machine_.find_virtio<VirtioBlk>(id);
  if (blk == nullptr) {
    return fail("there is no disk '{}'; query-block lists them", id);
  }
  return blk->resize(bytes);
}

Result<void> MachineTarget::set_link(const std::string& id, bool up) {
  Nic* net = machine_.find_nic(id);
  if (net == nullptr) {
    return fail("there is no NIC '{}'", id);
  }
  net->set_link(up);
  return {};
}

Result<void> MachineTarget::screendump(int fd) {
  Screen* screen = machine_.screen();
  if (screen == nullptr) {
    return fail("the guest has no screen; start it with --video vga or virtio");
  }
  Image image;
  (void)screen->refresh(image);
  std::string bytes = fmt::format("P6\n{} {}\n255\n", image.width, image.height);
  bytes.reserve(bytes.size() + image.pixels.size() * 3);
  for (const uint32_t pixel : image.pixels) {
    bytes += {static_cast<char>(pixel >> 16), static_cast<char>(pixel >> 8), static_cast<char>(pixel)};
  }
  return write_all(fd, bytes);
}

void MachineTarget::send_keys(std::vector<uint16_t> keys, std::chrono::milliseconds hold, Done done) {
  InputRouter& keyboard = machine_.input();
  if (!keyboard.has_keyboard()) {
    done(
        fail("the guest has no keyboard; a machine pc that starts with firmware has one, or use --input keyboard or "
             "--usb-device keyboard"));
    return;
  }
  release_keys();  // of those before, which are overtaken
  for (const uint16_t key : keys) {
    keyboard.key(key, true);
  }
  held_keys_ = std::move(keys);
  keys_done_ = std::move(done);
  key_timer_ = control_.after(hold, [this] { release_keys(); });
}

void MachineTarget::release_keys() {
  for (const uint16_t key : held_keys_ | std::views::reverse) {
    machine_.input().key(key, false);
  }
  held_keys_.clear();
  if (const Done done = std::exchange(keys_done_, {})) {
    done({});
  }
}

Result<void> MachineTarget::announce(const std::string& id) {
  if (!id.empty() && machine_.find_nic(id) == nullptr) {
    return fail("there is no NIC '{}'", id);
  }
  for (const NetSettings& net : machine_.config().nets) {
    if (Nic* nic = machine_.find_nic(net.id); nic != nullptr && (id.empty() || net.id == id)) {
      nic->announce();
    }
  }
  return {};
}

ControlTarget::SaveProgress MachineTarget::save_progress() const {
  SaveProgress progress = save_;
  if (job_) {
    progress.done = job_->progress();
  }
  return progress;
}

void MachineTarget::save(const std::string& path, bool quit, Done done) {
  if (const auto able = machine_.check_can_save(); !able) {  // before the guest stands still
    done(able);
    return;
  }
  machine_.while_quiet([this, path](Done finished) { start_save(path, std::move(finished)); },
                       quit ? Machine::After::paused : Machine::After::as_before,
                       [this, quit, done = std::move(done)](const Result<void>& outcome) {
                         save_.status = outcome ? "completed" : "failed";
                         save_.error = outcome ? "" : outcome.error().message;
                         done(outcome);
                         if (outcome && quit) {
                           quit_("saved");
                         }
                       });
}

// The guest is quiet. Its state is collected here, RAM by the job.
void MachineTarget::start_save(const std::string& path, Done finished) {
  save_ = {"active", 0, memory_size(), {}};
  StateWriter state;
  if (auto outcome = machine_.save(state); !outcome) {
    finished(context(outcome.error(), fmt::format("save to '{}'", path)));
    return;
  }
  job_ = SaveJob::start(control_, {path, to_json(machine_.config()), state.bytes(), {}}, machine_.memory(),
                        [this, finished = std::move(finished)](Result<void> outcome) {
                          save_.done = job_->progress();
                          job_.reset();
                          finished(std::move(outcome));
                        });
}

}  // namespace lodge
