// IsaBridge: function 0 of the PIIX3 (Intel 290550) at 00:01.0 of a machine with firmware: interrupt steering, and the fast
// A20 and reset of port 0x92. Its other parts are elsewhere: interrupt controllers (with their ELCR), timer and port 0x61 in
// the kernel, port 0xCF9 in power/.
//
// Registers from any vCPU thread, one mutex.
#pragma once

#include <atomic>
#include <memory>

#include "devices/chipset/isa_bridge/pirq.h"
#include "devices/chipset/isa_bridge/state.h"
#include "devices/core/device.h"
#include "devices/pci/function.h"

namespace lodge {

class IsaBridge final : public Device, public PciFunction, public IoHandler {
 public:
  static constexpr uint16_t kRoutes = 0x60;
  static constexpr uint16_t kPort92 = 0x92;
  [[nodiscard]] static Result<std::shared_ptr<IsaBridge>> create(PirqRouter& router, const DeviceEnv& env,
                                                                 const StateReader* saved);

  [[nodiscard]] std::string_view id() const override { return "isa-bridge"; }
  void save(StateWriter& out) const override;
  void reset() override;
  void config_write(uint16_t offset, uint8_t size, uint32_t value) override;
  uint64_t io_read(IoAccess) override { return port92_.load(); }
  void io_write(IoAccess access, uint64_t value) override;

 private:
  IsaBridge(PirqRouter& router, const DeviceEnv& env);
  void set_registers(const IsaBridgeState& state);
  void route_all();

  PirqRouter& router_;
  Bus::Registration mapping_;
  Mutex route_mutex_;
  std::atomic<uint8_t> port92_{0x02};
};

}  // namespace lodge
