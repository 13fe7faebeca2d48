// ControlTarget: what the commands of the control socket act on. MachineTarget puts it over the machine, tests over a fake.
//
// All calls on the control thread. Queries answer at once; verbs report through `done`, maybe before they return.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "devices/core/device.h"
#include "vmm/config/machine_config.h"

namespace lodge {

class ControlTarget {
 public:
  using Done = std::function<void(Result<void>)>;
  struct Cpu {
    uint32_t index = 0;
    int thread_id = 0;
    uint32_t apic_id = 0;
    uint32_t socket = 0;
    uint32_t die = 0;
    uint32_t core = 0;
    uint32_t thread = 0;
    uint64_t time_ns = 0;    // processor time of the thread
    uint64_t exits = 0;      // to user space
    uint64_t unclaimed = 0;  // accesses that no device answered
  };
  struct DeviceCounters {
    std::string id;
    std::vector<Counter> counters;
  };
  struct Disk {
    std::string id;
    std::string image;
    uint64_t size = 0;
    uint32_t logical_block = 0;
    bool read_only = false;
    uint32_t slot = 0;  // on PCI bus 0; of the controller
    struct Tray {
      bool open = false;
      bool locked = false;
    };
    std::optional<Tray> tray;  // CD drives; their size is 0 when they are empty
  };
  struct Net {
    std::string id;
    std::string mac;  // as the guest set it
    bool link = true;
    std::string kind;       // "tap", "user", "none"
    std::string interface;  // of a tap
    bool vhost = false;
    uint32_t queues = 1;  // pairs
    uint32_t slot = 0;
  };
  struct IoThread {
    std::string id;  // "io0"
    int thread_id = 0;
    uint64_t time_ns = 0;  // processor time
  };
  struct CharDevice {
    std::string id;
    std::string path;  // what people connect to; empty: nothing
    bool open = false;
  };
  struct Balloon {
    uint64_t actual = 0;  // bytes of memory left to the guest
    uint64_t target = 0;
    std::vector<std::pair<std::string, uint64_t>> stats;  // what the guest says of its memory
    uint64_t updated = 0;                                 // when it said so: seconds since the epoch; 0: never
    uint64_t period = 0;                                  // seconds between its reports; 0: it is not asked
  };
  struct GenerationId {
    std::string guid;      // as a UUID
    uint64_t address = 0;  // in the guest's memory; 0: nowhere yet
  };
  struct CoreInfo {  // the guest's note for dumps of its memory
    bool told = false;
    uint64_t address = 0;
    uint64_t size = 0;
  };
  struct SaveProgress {
    std::string status;  // "none", "active", "completed", "failed"
    uint64_t done = 0;   // bytes of RAM looked at
    uint64_t total = 0;
    std::string error;
  };

  virtual ~ControlTarget() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual std::string status() const = 0;  // "running", "paused", ...
  [[nodiscard]] virtual bool running() const = 0;
  [[nodiscard]] virtual uint64_t memory_size() const = 0;
  [[nodiscard]] virtual std::vector<Cpu> cpus() const = 0;
  // All that are possible, with whether they are there.
  struct CpuSeat {
    uint32_t index = 0;
    bool present = false;
    bool removable = false;
  };
  [[nodiscard]] virtual std::vector<CpuSeat> cpu_seats() const = 0;
  [[nodiscard]] virtual std::vector<DeviceCounters> counters() const = 0;
  [[nodiscard]] virtual std::vector<Disk> disks() const = 0;
  [[nodiscard]] virtual std::vector<CharDevice> char_devices() const = 0;
  [[nodiscard]] virtual std::optional<Balloon> balloon() const = 0;
  [[nodiscard]] virtual std::optional<GenerationId> generation_id() const = 0;
  [[nodiscard]] virtual std::optional<CoreInfo> core_info() const = 0;
  [[nodiscard]] virtual std::vector<Net> nets() const = 0;
  [[nodiscard]] virtual std::vector<IoThread> io_threads() const = 0;
  // Guest physical memory, as it is in this moment. Error: not all of it is RAM.
  [[nodiscard]] virtual Result<std::vector<std::byte>> read_memory(uint64_t address, uint64_t size) const = 0;
  [[nodiscard]] virtual SaveProgress save_progress() const = 0;

  virtual void stop(Done done) = 0;
  virtual void resume(Done done) = 0;
  virtual void reset(Done done) = 0;
  // `reboot`: if the guest then switches itself off, it is reset instead.
  virtual void press_power_button(bool reboot) = 0;
  // What happens when the guest ends of itself; nothing: as it is.
  struct Actions {
    std::optional<OnEvent> poweroff, reboot, crash;
  };
  virtual void set_actions(const Actions& actions) = 0;
  virtual void quit() = 0;  // soon; answers still go out
  virtual Result<void> inject_nmi() = 0;
  // What the screen shows, as a PPM image (P6), into an empty file. Error: there is no screen.
  virtual Result<void> screendump(int fd) = 0;
  // A viewer at the other end of `socket` sees the screen and types (vmm/display/channel.h). Error: there is no screen.
  virtual Result<void> attach_display(Fd socket) = 0;
  // Keys (Linux's numbers) go down in their order, and up after `hold`; then `done` runs.
  virtual void send_keys(std::vector<uint16_t> keys, std::chrono::milliseconds hold, Done done) = 0;
  // The guest shall keep `bytes` of its memory.
  virtual Result<void> set_balloon(uint64_t bytes) = 0;
  virtual Result<void> set_balloon_period(std::chrono::seconds period) = 0;
  virtual Result<void> resize_disk(const std::string& id, uint64_t bytes) = 0;
  virtual Result<void> set_link(const std::string& id, bool up) = 0;
  virtual Result<void> announce(const std::string& id) = 0;  // empty: every NIC
  // A disk, NIC or input device more, and one less (machine.h); the settings carry no descriptors.
  virtual void add_disk(DiskSettings disk, Fd image, Done done) = 0;
  virtual void add_net(NetSettings net, std::vector<Fd> taps, std::vector<Fd> vhosts, Done done) = 0;
  virtual void add_input(InputSettings input, Done done) = 0;
  virtual void add_usb_device(UsbDeviceSettings device, Done done) = 0;
  // Another CD in a drive, or (no image) none. `path` is for people. `force`: also when the guest has locked the tray.
  virtual void change_medium(const std::string& id, const std::string& path, Fd image, bool force, Done done) = 0;
  // A vCPU more or less (machine.h).
  virtual void add_cpu(uint32_t index, Done done) = 0;
  virtual void remove_cpu(uint32_t index, Done done) = 0;
  virtual void remove_device(const std::string& id, Done done) = 0;
  // `quit`: the guest does not go on after it is saved, and the process ends.
  virtual void save(const std::string& path, bool quit, Done done) = 0;
};

}  // namespace lodge
