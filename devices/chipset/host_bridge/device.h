// HostBridge: the 440FX (Intel 290549) at 00:00.0 of a machine with firmware. Its PAM registers say, for each part of
// 0xC0000 to 0xFFFFF, whether reads and writes go to RAM or to the ROM that lies over it; SMRAM whether the RAM under the
// screen's window can be seen. What they say is done by a hook of the machine, with memory slots of the hypervisor.
//
// Registers from any vCPU thread; the hook runs on it, one at a time. create() and reset() on control.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "devices/chipset/host_bridge/state.h"
#include "devices/core/device.h"
#include "devices/pci/function.h"

namespace lodge {

// What the processors see below 1 MiB.
struct ShadowMap {
  static constexpr size_t kSegments = 13;  // twelve of 16 KiB from 0xC0000, then 64 KiB at 0xF0000
  static constexpr uint8_t kRead = 1;      // reads come from RAM, else from the ROM
  static constexpr uint8_t kWrite = 2;     // writes go to RAM, else nowhere
  std::array<uint8_t, kSegments> segments{};
  bool smram_open = false;  // RAM at 0xA0000 to 0xBFFFF
  friend bool operator==(const ShadowMap&, const ShadowMap&) = default;
};

class HostBridge final : public Device, public PciFunction {
 public:
  static constexpr uint16_t kPam = 0x59;
  static constexpr uint16_t kSmram = 0x72;
  struct Options {
    uint64_t low_ram = 0;  // bytes below 4 GiB, for the DRAM row boundaries
    std::function<void(const ShadowMap&)> apply;
  };
  [[nodiscard]] static Result<std::shared_ptr<HostBridge>> create(Options options, const DeviceEnv& env,
                                                                  const StateReader* saved);

  [[nodiscard]] std::string_view id() const override { return "host-bridge"; }
  void save(StateWriter& out) const override;
  void reset() override;
  void config_write(uint16_t offset, uint8_t size, uint32_t value) override;
  [[nodiscard]] ShadowMap shadow() const;

 private:
  HostBridge(Options options, const DeviceEnv& env);
  void set_registers(const HostBridgeState& state);
  void apply();

  Options options_;
  Mutex apply_mutex_;  // the hook sees the registers' values in their order
};

}  // namespace lodge
