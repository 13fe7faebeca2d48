// Machine: owns a guest, its KVM machine, memory, vCPUs and devices, and moves it between running and paused.
//
// All calls on the control thread unless said otherwise. Verbs that take time (pause, reset, save) queue up, run one at a
// time and report through a callback; queries answer at once, also in the middle of one.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/io/loop_thread.h"
#include "devices/chipset/hpet/legacy_line.h"
#include "devices/input/router.h"
#include "devices/legacy/power/device.h"
#include "devices/pci/root.h"
#include "devices/registry.h"
#include "vmm/boot/mapped_file.h"
#include "vmm/config/machine_config.h"
#include "vmm/cpu/topology.h"
#include "vmm/kvm/vm.h"
#include "vmm/machine/boot_tables.h"
#include "vmm/machine/firmware_map.h"
#include "vmm/machine/irqchip_state.h"
#include "vmm/machine/vcpu_thread.h"

namespace lodge {

enum class MachineStatus : uint8_t {
  prelaunch,
  running,
  paused,
  saving,
  io_error,
  watchdog,
  shutdown,
  guest_panicked,
  internal_error
};
[[nodiscard]] std::string_view to_string(MachineStatus status);

// What happened, for the control socket's events. `details`: names and values, in order.
struct MachineEvent {
  std::string name;  // QMP's word: "STOP", "RESUME", "SHUTDOWN", "RESET", "BLOCK_IO_ERROR", ...
  std::vector<std::pair<std::string, std::string>> details;
};

class Machine {
 public:
  using Done = std::function<void(Result<void>)>;
  struct Hooks {
    std::function<void(const MachineEvent&)> on_event;
    // The guest is off and the configuration says to leave; `reason` as in the SHUTDOWN event.
    std::function<void(std::string_view reason, int exit_status)> on_finished;
    std::function<void()> on_vcpu_thread;  // first thing on each new thread of a kind
    std::function<void()> on_io_thread;
  };

  // Builds the machine; the guest does not run yet. `saved`: a saved state to continue from, its RAM already in place
  // through `load_ram`, which runs once the memory exists.
  struct Restore {
    const StateReader* saved = nullptr;
    std::function<Result<void>(GuestMemory&)> load_ram;
  };
  [[nodiscard]] static Result<std::unique_ptr<Machine>> create(const MachineConfig& config, EventLoop& control, Hooks hooks,
                                                               const Restore* restore);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Verbs.
  void resume(Done done);
  void pause(Done done) { pause_as(MachineStatus::paused, std::move(done)); }
  void reset(Done done);
  // `reboot`: should the guest switch itself off next, it is reset instead.
  void press_power_button(bool reboot) {
    reset_when_off_ = reboot;
    power_->press_power_button();
  }
  // What happens from now on when the guest ends of itself.
  enum class Ending : uint8_t { poweroff, reboot, crash };
  void set_action(Ending ending, OnEvent action);
  // Runs `fn` while the guest is paused and its devices are quiet. When `fn` has called what it is given (on control, maybe
  // later), the guest goes on as before; after a success it stays paused if `after` says so.
  enum class After : uint8_t { as_before, paused };
  void while_quiet(std::function<void(Done finished)> fn, After after, Done done);
  // A device more; the answer comes when the guest has been told. `image`: what the disk is on.
  void add_disk(DiskSettings disk, Fd image, Done done);
  struct NetDescriptors {
    std::vector<Fd> taps;    // one for each queue pair
    std::vector<Fd> vhosts;  // the same, or none
  };
  void add_net(NetSettings net, NetDescriptors descriptors, Done done);
  void add_input(InputSettings input, Done done);
  void add_usb_device(UsbDeviceSettings device, Done done);
  // Asks the guest to let go of a disk, NIC or virtio input device; may be asked again. Events: DEVICE_DELETED when it is
  // gone (a reset of the guest does that too), DEVICE_UNPLUG_GUEST_ERROR when the guest refuses. What is at USB goes at
  // once, and the guest is not asked.
  void remove_device(const std::string& id, Done done);
  // Another CD or floppy disk in a drive, or none (an invalid `image`). Fails while the guest has locked a CD's tray, unless
  // forced; the guest is then told that someone wants it open.
  void change_medium(const std::string& id, const std::string& path, Fd image, bool force, Done done);
  // A vCPU more; the answer comes when the guest has been told.
  void add_cpu(uint32_t index, Done done);
  // Asks the guest to let go of a vCPU, as remove_device does. The events name it "vcpuN".
  void remove_cpu(uint32_t index, Done done);
  // A non-maskable interrupt to every vCPU.
  [[nodiscard]] Result<void> inject_nmi() const;
  // Error: why the guest cannot be saved with the devices that it has.
  [[nodiscard]] Result<void> check_can_save() const;
  // Collects the state of everything but RAM; inside while_quiet only.
  [[nodiscard]] Result<void> save(StateWriter& out) const;

  // Queries.
  [[nodiscard]] MachineStatus status() const { return status_; }
  [[nodiscard]] const MachineConfig& config() const { return config_; }
  [[nodiscard]] GuestMemory& memory() { return *memory_; }
  struct IoThread {
    std::string name;
    int id = 0;  // of the kernel
  };
  [[nodiscard]] std::vector<IoThread> io_threads() const;
  [[nodiscard]] const Topology& topology() const { return topology_; }
  // All that are possible; those that are not there are parked.
  [[nodiscard]] const std::vector<std::unique_ptr<VcpuThread>>& vcpus() const { return vcpus_; }
  [[nodiscard]] bool is_present(const VcpuThread& vcpu) const { return lodge::is_present(config_.cpu, vcpu.index()); }
  [[nodiscard]] const std::vector<std::shared_ptr<Device>>& devices() const { return devices_; }
  // The virtio device of this id and type, or null.
  template <class T>
  [[nodiscard]] T* find_virtio(std::string_view id) const {
    for (const auto& device : devices_) {
      if (device->id() == id) {
        if (auto* carrier = dynamic_cast<VirtioPci*>(device.get())) {
          return dynamic_cast<T*>(&carrier->device());
        }
      }
    }
    return nullptr;
  }
  // The NIC of this id, or null.
  [[nodiscard]] Nic* find_nic(std::string_view id) const;
  // The IDE controller, or null.
  [[nodiscard]] Piix3Ide* ide() const { return ide_; }
  // The floppy controller, or null.
  [[nodiscard]] FloppyController* floppy() const { return floppy_; }
  // What shows a picture; null: the guest has nothing.
  [[nodiscard]] Screen* screen() const { return screen_; }
  // What takes keys, steps and places.
  [[nodiscard]] InputRouter& input() { return input_; }
  // `fn` runs whenever the guest may have begun to take places, or ceased; on control.
  void on_pointer_change(std::function<void()> fn) { on_pointer_change_ = std::move(fn); }
  // The USB controller, or null.
  [[nodiscard]] UsbController* usb() const { return usb_; }
  // The generation ID's device, and the file for notes of a crashed kernel, or null.
  [[nodiscard]] const VmGenId* generation_id() const { return generation_id_; }
  [[nodiscard]] const VmCoreInfo* vmcoreinfo() const { return vmcoreinfo_; }
  [[nodiscard]] std::string serial_path(size_t index) const;
  void emit(const MachineEvent& event) const;

 private:
  friend class MachineBuilder;
  Machine(const MachineConfig& config, EventLoop& control, Hooks hooks);

  void pause_as(MachineStatus status, Done done);
  void start_guest();
  void stop_guest(std::function<void()> stopped);
  void power_event(PowerEvent event, int code);  // any vCPU thread
  void handle_power(PowerEvent event, int code);
  void vcpu_fault(uint32_t vcpu, VcpuThread::Fault fault, std::string what);
  void follow(OnEvent policy, MachineStatus ended, const char* reason, int exit_status);
  void block_error(const BlockErrorEvent& event);       // any I/O loop
  void balloon_changed(uint64_t inflated);              // any vCPU thread; bytes the guest gave
  void port_changed(std::string_view port, bool open);  // any I/O loop
  void tray_moved(std::string_view drive, bool open);   // any vCPU thread
  void clock_set(int64_t offset_seconds);               // guest time minus UTC
  void watchdog_expired();
  void pointer_changed();  // any thread
  // machine_hotplug.cc
  struct Seat {
    std::string id;
    uint32_t slot = 0;
  };
  [[nodiscard]] std::optional<Seat> seat_of(std::string_view id) const;  // of what can go
  [[nodiscard]] std::optional<Seat> seat_at(uint32_t slot) const;
  void note_removable();
  [[nodiscard]] Result<void> plug_disk(const DiskSettings& disk, Fd image);
  [[nodiscard]] Result<void> plug_net(const NetSettings& net, NetDescriptors descriptors);
  [[nodiscard]] Result<void> plug_input(const InputSettings& input);
  [[nodiscard]] Result<void> check_newcomer(const std::string& id) const;
  [[nodiscard]] Result<void> plug(DeviceSpec spec, uint32_t slot, MachineConfig wanted);
  [[nodiscard]] Result<std::unique_ptr<BlockBackend>> open_medium(DiskSettings& drive, const std::string& path, Fd image,
                                                                  bool force);
  void slot_ejected(uint8_t slot);  // any vCPU thread
  void slot_refused(uint8_t slot);  // any vCPU thread
  void slot_released(uint8_t slot);
  void let_go(const std::string& id);
  // machine_usb.cc
  [[nodiscard]] Result<void> check_usb(std::string_view id) const;
  [[nodiscard]] Result<void> plug_usb(UsbDeviceSpec spec, MachineConfig& wanted);
  [[nodiscard]] Result<void> plug_usb_disk(DiskSettings& disk, Fd image, MachineConfig& wanted);
  [[nodiscard]] Result<void> plug_usb_hid(const UsbDeviceSettings& device);
  bool unplug_usb(const std::string& id);  // false: it is not at USB
  // machine_cpus.cc
  [[nodiscard]] Result<void> plug_cpu(uint32_t index);
  [[nodiscard]] Result<void> ask_cpu_to_leave(uint32_t index);
  void cpu_ejected(uint32_t index);  // any vCPU thread
  void cpu_refused(uint32_t index);  // any vCPU thread
  void cpu_released(uint32_t index);
  void after_loops(const std::function<void()>& then);

  void enqueue(std::function<void(std::function<void()> next)> operation);
  void run_next();
  [[nodiscard]] Result<void> reset_now();
  [[nodiscard]] Result<void> load_boot_state();  // the vCPUs are as after power-on

  MachineConfig config_;
  EventLoop& control_;
  Hooks hooks_;

  std::unique_ptr<Kvm> kvm_;
  std::unique_ptr<KvmVm> vm_;
  std::unique_ptr<GuestMemory> memory_;
  Bus mmio_{"memory"};
  Bus pio_{"port"};
  std::vector<uint32_t> msr_list_;
  Topology topology_;
  uint64_t address_end_ = 0;  // of what a vCPU can address
  std::vector<std::unique_ptr<LoopThread>> io_threads_;
  std::vector<int> io_thread_ids_;
  std::unique_ptr<LoopPool> loops_;
  std::unique_ptr<DeviceEnv> env_;
  std::unique_ptr<LegacyLine> clock_line_;     // with an HPET
  std::unique_ptr<FirmwareMap> firmware_map_;  // null: a kernel is booted directly
  std::unique_ptr<PirqRouter> pirqs_;          // with firmware
  std::unique_ptr<PciRoot> root_;
  std::vector<std::shared_ptr<Device>> devices_;  // in start order
  struct Leaving {
    std::shared_ptr<Device> device;
    std::shared_ptr<UsbDevice> usb_device;  // or this
    EventLoop::Timer timer;
  };
  std::map<std::string, Leaving> leaving_;  // by id; no longer among devices_
  std::atomic<uint32_t> removable_{0};      // slots that a guest may eject
  PowerDevice* power_ = nullptr;
  Screen* screen_ = nullptr;  // null: none, here and below
  UsbController* usb_ = nullptr;
  InputRouter input_;
  std::function<void()> on_pointer_change_;
  PciHotplug* hotplug_ = nullptr;
  FwCfg* fw_cfg_ = nullptr;
  VmGenId* generation_id_ = nullptr;
  VmCoreInfo* vmcoreinfo_ = nullptr;
  Piix3Ide* ide_ = nullptr;             // null: no drive is on its bus
  FloppyController* floppy_ = nullptr;  // null: there is no drive
  CpuHotplug* cpu_hotplug_ = nullptr;   // null: vCPUs do not come or go
  std::vector<std::unique_ptr<VcpuThread>> vcpus_;
  std::unique_ptr<CoalescedWrites> coalesced_;  // null: none
  IrqchipState power_on_irqchip_;
  EventLoop::Timer route_timer_;
  int64_t clock_offset_ = 0;
  EventLoop::Timer clock_told_;     // active: the event was sent within the last second
  EventLoop::Timer watchdog_told_;  // the same

  // Kept for resets.
  MappedFile kernel_;
  MappedFile initrd_;
  std::vector<std::pair<MappedFile, std::string>> modules_;
  std::vector<FirmwareFile> option_roms_;
  // Prepares memory for a start; gives the first processor's state, unless it begins where processors do.
  std::function<Result<std::optional<EntryState>>()> prepare_boot_;

  MachineStatus status_ = MachineStatus::prelaunch;
  bool guest_runs_ = false;
  bool finished_ = false;
  bool reset_when_off_ = false;
  std::deque<std::function<void(std::function<void()>)>> operations_;
  bool operation_runs_ = false;
};

}  // namespace lodge
