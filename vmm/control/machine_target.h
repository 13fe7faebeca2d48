// MachineTarget: puts the commands of the control socket over the machine. On the control thread.
#pragma once

#include <functional>
#include <string>

#include "migration/save_job.h"
#include "vmm/control/target.h"
#include "vmm/display/viewers.h"
#include "vmm/machine/machine.h"

namespace lodge {

class MachineTarget final : public ControlTarget {
 public:
  // `quit`: tells the clients and ends the process soon (stops the control loop), for a reason that the end file shall name.
  // `machine` outlives this.
  // `on_viewer_thread` runs first on the thread of each viewer of the screen.
  MachineTarget(Machine& machine, EventLoop& control, std::function<void(const char* reason)> quit,
                std::function<Result<void>()> on_viewer_thread)
      : machine_(machine),
        control_(control),
        quit_(std::move(quit)),
        viewers_(control, {machine.screen(), &machine.input(), &machine.input(), &machine.input()},
                 std::move(on_viewer_thread)) {
    machine_.on_pointer_change([this] { viewers_.pointer_changed(); });
  }
  ~MachineTarget() override;

  [[nodiscard]] std::string name() const override { return machine_.config().name; }
  [[nodiscard]] std::string status() const override { return std::string(to_string(machine_.status())); }
  [[nodiscard]] bool running() const override { return machine_.status() == MachineStatus::running; }
  [[nodiscard]] uint64_t memory_size() const override { return machine_.memory().total_size(); }
  [[nodiscard]] std::vector<Cpu> cpus() const override;
  [[nodiscard]] std::vector<CpuSeat> cpu_seats() const override;
  [[nodiscard]] std::vector<DeviceCounters> counters() const override;
  [[nodiscard]] std::vector<Disk> disks() const override;
  [[nodiscard]] std::vector<Disk> floppies() const;
  [[nodiscard]] std::vector<CharDevice> char_devices() const override;
  [[nodiscard]] std::optional<Balloon> balloon() const override;
  [[nodiscard]] std::optional<GenerationId> generation_id() const override;
  [[nodiscard]] std::optional<CoreInfo> core_info() const override;
  [[nodiscard]] std::vector<Net> nets() const override;
  [[nodiscard]] std::vector<IoThread> io_threads() const override;
  [[nodiscard]] Result<std::vector<std::byte>> read_memory(uint64_t address, uint64_t size) const override;
  [[nodiscard]] SaveProgress save_progress() const override;

  void stop(Done done) override { machine_.pause(std::move(done)); }
  void resume(Done done) override { machine_.resume(std::move(done)); }
  void reset(Done done) override { machine_.reset(std::move(done)); }
  void press_power_button(bool reboot) override;
  void set_actions(const Actions& actions) override;
  void quit() override { quit_("host-qmp-quit"); }
  Result<void> inject_nmi() override { return machine_.inject_nmi(); }
  Result<void> screendump(int fd) override;
  Result<void> attach_display(Fd socket) override { return viewers_.attach(std::move(socket)); }
  void send_keys(std::vector<uint16_t> keys, std::chrono::milliseconds hold, Done done) override;
  Result<void> set_balloon(uint64_t bytes) override;
  Result<void> set_balloon_period(std::chrono::seconds period) override;
  Result<void> resize_disk(const std::string& id, uint64_t bytes) override;
  Result<void> set_link(const std::string& id, bool up) override;
  Result<void> announce(const std::string& id) override;
  void add_disk(DiskSettings disk, Fd image, Done done) override {
    machine_.add_disk(std::move(disk), std::move(image), std::move(done));
  }
  void change_medium(const std::string& id, const std::string& path, Fd image, bool force, Done done) override {
    machine_.change_medium(id, path, std::move(image), force, std::move(done));
  }
  void add_net(NetSettings net, std::vector<Fd> taps, std::vector<Fd> vhosts, Done done) override {
    machine_.add_net(std::move(net), {std::move(taps), std::move(vhosts)}, std::move(done));
  }
  void add_input(InputSettings input, Done done) override { machine_.add_input(std::move(input), std::move(done)); }
  void add_usb_device(UsbDeviceSettings device, Done done) override {
    machine_.add_usb_device(std::move(device), std::move(done));
  }
  void add_cpu(uint32_t index, Done done) override { machine_.add_cpu(index, std::move(done)); }
  void remove_cpu(uint32_t index, Done done) override { machine_.remove_cpu(index, std::move(done)); }
  void remove_device(const std::string& id, Done done) override { machine_.remove_device(id, std::move(done)); }
  void save(const std::string& path, bool quit, Done done) override;

 private:
  void release_keys();
  void start_save(const std::string& path, Done finished);

  Machine& machine_;
  EventLoop& control_;
  std::function<void(const char*)> quit_;
  SaveProgress save_{"none", 0, 0, {}};
  std::unique_ptr<SaveJob> job_;
  std::vector<uint16_t> held_keys_;
  Done keys_done_;
  EventLoop::Timer key_timer_;
  Viewers viewers_;
};

}  // namespace lodge
