// PciFunction: the configuration space of one function (PCI 3.0 chapter 6): header, BARs that map onto the buses,
// capabilities, INTx pin and MSI-X. Devices derive from it and supply BAR handlers.
//
// Configuration accesses come from any vCPU thread; one mutex holds for each. BAR handlers run without it.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tuple>

#include "base/log.h"
#include "base/mutex.h"
#include "base/state/record.h"
#include "devices/core/bus.h"
#include "devices/core/device.h"
#include "devices/pci/intx.h"
#include "devices/pci/msix.h"

namespace lodge {

// Where a function sits on bus 0.
struct PciAddress {
  uint8_t slot = 0;      // 0 to 31
  uint8_t function = 0;  // 0 to 7
  friend auto operator<=>(const PciAddress&, const PciAddress&) = default;
};

struct PciIdentity {
  uint16_t vendor = 0;
  uint16_t device = 0;
  uint32_t class_code = 0;  // 24 bits
  uint8_t revision = 0;
  uint16_t subsystem_vendor = 0;
  uint16_t subsystem = 0;
};

struct PciState {
  uint16_t command = 0;
  uint8_t interrupt_line = 0;
  std::array<uint64_t, 6> bars{};
  MsixState msix;
  friend bool operator==(const PciState&, const PciState&) = default;
};

template <>
struct Schema<PciState> {
  static constexpr std::string_view name = "pci";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "command", &PciState::command), field(2, "interrupt-line", &PciState::interrupt_line),
                 field(3, "bars", &PciState::bars), field(4, "msix", &PciState::msix)};
};

class PciFunction {
 public:
  enum class BarKind : uint8_t { io, memory32, memory64 };

  PciFunction(std::string id, const PciIdentity& identity, const DeviceEnv& env);
  virtual ~PciFunction() = default;
  PciFunction(const PciFunction&) = delete;
  PciFunction& operator=(const PciFunction&) = delete;

  // Accesses of 1, 2 or 4 bytes that do not cross a doubleword.
  [[nodiscard]] virtual uint32_t config_read(uint16_t offset, uint8_t size);
  virtual void config_write(uint16_t offset, uint8_t size, uint32_t value);
  [[nodiscard]] const std::string& name() const { return id_; }
  // The pin (1 = INTA) and the line it is wired to; by the root when it is plugged.
  void connect_intx(uint8_t pin, std::unique_ptr<SharedIrq::Source> line, uint8_t gsi);
  // Unmaps everything: before unplug and on reset.
  void reset_pci();
  // The function leaves its bus for good: it maps nothing and interrupts nobody any more, and accesses that are under way
  // come to an end. Any thread.
  void detach();
  // A vCPU is in one of its BARs. After detach(), and once this says no, none will be.
  [[nodiscard]] bool in_use() const;
  [[nodiscard]] PciState pci_state() const;

 protected:
  // Set-up, before the function is plugged. BAR sizes are powers of two, at least 16; memory64 takes two numbers.
  void add_bar(uint8_t index, BarKind kind, uint64_t size, std::shared_ptr<IoHandler> handler);
  // Returns the capability's offset; `body` follows the id and next bytes. `writable` masks the same bytes.
  uint8_t add_capability(uint8_t id, std::span<const uint8_t> body, std::span<const uint8_t> writable = {});
  [[nodiscard]] Result<void> add_msix(uint8_t bar, uint16_t vectors, const MsixState* saved);
  [[nodiscard]] Result<void> load_pci(const PciState& saved);

  // A BAR was mapped or unmapped (doorbells follow it). The config mutex is held: do not call back.
  virtual void bar_mapped(uint8_t /*index*/, uint64_t /*base*/) {}
  virtual void bar_unmapped(uint8_t /*index*/, uint64_t /*base*/) {}
  // Windows into capabilities (virtio's PCI configuration access): false when the offset is not special.
  virtual bool special_config_read(uint16_t /*offset*/, uint8_t /*size*/, uint32_t& /*value*/) { return false; }
  virtual void special_config_write(uint16_t /*offset*/, uint8_t /*size*/) {}

  void set_intx(bool asserted);
  [[nodiscard]] bool bus_master() const { return bus_master_.load(std::memory_order_acquire); }
  [[nodiscard]] Msix* msix() const { return msix_.get(); }
  [[nodiscard]] uint8_t config_byte(uint16_t offset) const {
    const Lock lock(mutex_);
    return config_[offset];
  }
  void set_config(uint16_t offset, std::span<const uint8_t> bytes);
  // Set-up: which bits of registers of the function's own a guest may change.
  void allow_writes(uint16_t offset, std::span<const uint8_t> mask);

  const DeviceEnv env_;
  GuestWarnings warnings_;

 private:
  class Gate;  // between a bus and a BAR's handler
  struct Bar {
    BarKind kind = BarKind::memory32;
    uint64_t size = 0;  // 0: none
    std::shared_ptr<Gate> gate;
    uint64_t address = 0;
    Bus::Registration mapping;
  };
  [[nodiscard]] uint32_t read_bar_register(size_t index) const REQUIRES(mutex_);
  void write_bar_register(size_t index, uint32_t value, uint32_t mask) REQUIRES(mutex_);
  void update_mappings() REQUIRES(mutex_);
  void unmap(size_t index) REQUIRES(mutex_);
  void update_intx() REQUIRES(mutex_);

  std::string id_;
  mutable Mutex mutex_;
  std::array<uint8_t, 256> config_{};
  std::array<uint8_t, 256> writable_{};
  std::array<Bar, 6> bars_;
  uint8_t next_capability_ = 0x40;
  uint8_t last_capability_ = 0;
  uint8_t msix_capability_ = 0;
  std::unique_ptr<Msix> msix_;
  std::unique_ptr<SharedIrq::Source> intx_ GUARDED_BY(mutex_);
  bool intx_wanted_ GUARDED_BY(mutex_) = false;
  bool detached_ GUARDED_BY(mutex_) = false;
  bool restored_ GUARDED_BY(mutex_) = false;  // from a saved state: the interrupt line register is the guest's
  std::atomic<bool> bus_master_{false};
};

}  // namespace lodge
