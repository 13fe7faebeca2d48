// A ControlTarget without a machine: remembers what was asked of it; verbs finish when the test says so.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <fmt/ranges.h>

#include "vmm/control/target.h"

namespace lodge {

class FakeTarget final : public ControlTarget {
 public:
  std::vector<std::string> calls;
  std::vector<Done> waiting;  // of verbs, when `hold`
  bool hold = false;

  void release() {
    for (const Done& done : std::exchange(waiting, {})) {
      done({});
    }
  }

  [[nodiscard]] std::string name() const override { return "fake"; }
  [[nodiscard]] std::string status() const override { return "running"; }
  [[nodiscard]] bool running() const override { return true; }
  [[nodiscard]] uint64_t memory_size() const override { return 1 << 20; }
  [[nodiscard]] std::vector<Cpu> cpus() const override { return {Cpu{}}; }
  [[nodiscard]] std::vector<DeviceCounters> counters() const override { return {{"disk0", {{"reads", 3}}}}; }
  [[nodiscard]] std::vector<Disk> disks() const override { return {{"disk0", "'a' (/b)", 512, 512, false, 3, {}}}; }
  [[nodiscard]] std::vector<CharDevice> char_devices() const override { return {{"serial0", "/dev/pts/1", true}}; }
  [[nodiscard]] std::optional<Balloon> balloon() const override { return std::nullopt; }
  [[nodiscard]] std::optional<GenerationId> generation_id() const override { return GenerationId{"a-b", 4096}; }
  [[nodiscard]] std::optional<CoreInfo> core_info() const override { return CoreInfo{true, 4096, 100}; }
  [[nodiscard]] std::vector<Net> nets() const override {
    return {{"net0", "52:54:00:00:00:01", true, "tap", "tap0", false, 1, 4}};
  }
  [[nodiscard]] std::vector<IoThread> io_threads() const override { return {{"io0", 77, 88}}; }
  [[nodiscard]] Result<std::vector<std::byte>> read_memory(uint64_t address, uint64_t size) const override {
    if (address != 5) {
      return fail("no RAM");
    }
    return std::vector<std::byte>(size, std::byte{0xAB});
  }
  [[nodiscard]] SaveProgress save_progress() const override { return {"none", 0, 0, {}}; }

  void stop(Done done) override { verb("stop", std::move(done)); }
  void resume(Done done) override { verb("cont", std::move(done)); }
  void reset(Done done) override { verb("reset", std::move(done)); }
  void press_power_button(bool reboot) override { calls.emplace_back(reboot ? "power, reboot" : "power"); }
  void set_actions(const Actions& actions) override {
    const auto text = [](const std::optional<OnEvent>& action) { return action ? static_cast<int>(*action) : -1; };
    calls.push_back(fmt::format("actions {} {} {}", text(actions.poweroff), text(actions.reboot), text(actions.crash)));
  }
  [[nodiscard]] std::vector<CpuSeat> cpu_seats() const override { return {{0, true, false}, {1, false, true}}; }
  void add_cpu(uint32_t index, Done done) override { verb(fmt::format("cpu_add {}", index), std::move(done)); }
  void remove_cpu(uint32_t index, Done done) override { verb(fmt::format("cpu_del {}", index), std::move(done)); }
  void quit() override { calls.emplace_back("quit"); }
  Result<void> inject_nmi() override { return note("nmi"); }
  Result<void> screendump(int fd) override {
    return ::write(fd, "P6", 2) == 2 ? note("screendump") : fail("the file cannot be written to");
  }
  Result<void> attach_display(Fd socket) override { return note(fmt::format("display {}", socket.valid())); }
  void send_keys(std::vector<uint16_t> keys, std::chrono::milliseconds time, Done done) override {
    done(note(fmt::format("keys {} for {} ms", fmt::join(keys, "+"), time.count())));
  }
  Result<void> set_balloon(uint64_t bytes) override { return note(fmt::format("balloon {}", bytes)); }
  Result<void> set_balloon_period(std::chrono::seconds period) override {
    return note(fmt::format("balloon period {}", period.count()));
  }
  Result<void> resize_disk(const std::string& id, uint64_t bytes) override {
    return note(fmt::format("resize {} {}", id, bytes));
  }
  Result<void> set_link(const std::string& id, bool up) override { return note(fmt::format("link {} {}", id, up)); }
  Result<void> announce(const std::string& id) override { return note("announce " + id); }
  void add_disk(DiskSettings disk, Fd image, Done done) override {
    verb(fmt::format("{}disk {} at {} on {} ({})", disk.bus == "usb" ? "usb " : "", disk.id,
                     disk.bus == "usb" ? disk.port : disk.slot, disk.path, image.valid()),
         std::move(done));
  }
  void add_net(NetSettings net, std::vector<Fd> taps, std::vector<Fd> vhosts, Done done) override {
    verb(fmt::format("net {} {} ({} taps, {} vhosts){}", net.id, net.mac, taps.size(), vhosts.size(),
                     net.model == NetModel::e1000 ? " e1000" : ""),
         std::move(done));
  }
  void add_input(InputSettings input, Done done) override {
    verb(fmt::format("input {} {} at {}", static_cast<int>(input.kind), input.id, input.slot), std::move(done));
  }
  void add_usb_device(UsbDeviceSettings device, Done done) override {
    verb(fmt::format("usb {} {} at {}", static_cast<int>(device.kind), device.id, device.port), std::move(done));
  }
  void change_medium(const std::string& id, const std::string& path, Fd image, bool force, Done done) override {
    verb(fmt::format("medium {} {} ({}, {})", id, path, image.valid(), force), std::move(done));
  }
  void remove_device(const std::string& id, Done done) override { verb("remove " + id, std::move(done)); }
  void save(const std::string& path, bool quit, Done done) override {
    verb(fmt::format("save {} {}", path, quit), std::move(done));
  }

 private:
  Result<void> note(std::string what) {
    calls.push_back(std::move(what));
    return {};
  }
  void verb(std::string what, Done done) {
    calls.push_back(std::move(what));
    if (hold) {
      waiting.push_back(std::move(done));
    } else {
      done({});
    }
  }
};

}  // namespace lodge
