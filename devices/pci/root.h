// PciRoot: bus 0 and the two ways to its configuration space: ports 0xCF8/0xCFC (mechanism 1) and a memory window (ECAM).
//
// Accesses from any vCPU thread; plug on the control thread.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>

#include "devices/core/bus.h"
#include "devices/core/device.h"
#include "devices/pci/function.h"

namespace lodge {

class PciRoot final : public Device {
 public:
  // `gsi_of(slot, pin)` is the machine's wiring of INTA..INTD (pin 1 to 4); `line(gsi)` the inputs themselves.
  struct Wiring {
    std::function<uint32_t(uint8_t slot, uint8_t pin)> gsi_of;
    std::function<IrqLine&(uint32_t gsi)> line;
  };
  [[nodiscard]] static Result<std::unique_ptr<PciRoot>> create(Wiring wiring, const StateReader* saved);

  // Puts the configuration window at ports 0xCF8..0xCFF. Port 0xCF9 lies in the middle of it: byte accesses there go to
  // `reset_port` (the chipset's reset register), when there is one.
  [[nodiscard]] Result<void> map_ports(Bus& pio, IoHandler* reset_port);
  // Puts it at `ecam` (1 MiB for bus 0) in memory.
  [[nodiscard]] Result<void> map_ecam(Bus& mmio, uint64_t ecam);

  // Error: the address is taken.
  [[nodiscard]] Result<void> plug(PciAddress at, std::shared_ptr<PciFunction> function, bool wants_intx);
  // Takes the function away and detaches it. Returns it; null: there was none. Any thread.
  std::shared_ptr<PciFunction> unplug(PciAddress at);

  [[nodiscard]] std::string_view id() const override { return "pci0"; }
  void save(StateWriter& out) const override;
  void reset() override;

 private:
  class Ports final : public IoHandler {
   public:
    explicit Ports(PciRoot& root) : root_(root) {}
    uint64_t io_read(IoAccess access) override;
    void io_write(IoAccess access, uint64_t value) override;
    std::atomic<uint32_t> address{0};
    IoHandler* reset_port = nullptr;

   private:
    PciRoot& root_;
  };
  class Ecam final : public IoHandler {
   public:
    explicit Ecam(PciRoot& root) : root_(root) {}
    uint64_t io_read(IoAccess access) override;
    void io_write(IoAccess access, uint64_t value) override;

   private:
    PciRoot& root_;
  };
  explicit PciRoot(Wiring wiring) : wiring_(std::move(wiring)), ports_(*this), ecam_(*this) {}
  [[nodiscard]] std::shared_ptr<PciFunction> at(uint8_t devfn) const;
  [[nodiscard]] uint32_t read(uint8_t devfn, uint16_t offset, uint8_t size);
  void write(uint8_t devfn, uint16_t offset, uint8_t size, uint32_t value);

  Wiring wiring_;
  Ports ports_;
  Ecam ecam_;
  std::map<uint32_t, std::unique_ptr<SharedIrq>> lines_;  // outlive the functions, whose sources point here
  mutable Mutex mutex_;
  std::array<std::shared_ptr<PciFunction>, 256> functions_ GUARDED_BY(mutex_);
  Bus::Registration ports_mapping_;
  Bus::Registration ecam_mapping_;
};

}  // namespace lodge
