// PciCompanion: a device that shares a PCI function with another one, as the VGA of virtio-vga does: it brings BARs and a
// class, the other one has the configuration space.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/state/record.h"
#include "devices/core/bus.h"

namespace lodge {

class PciCompanion {
 public:
  struct Bar {
    uint8_t index = 0;
    uint64_t size = 0;  // of 32-bit memory
    std::shared_ptr<IoHandler> handler;
  };
  virtual ~PciCompanion() = default;
  [[nodiscard]] virtual uint32_t class_code() const = 0;  // 24 bits
  // Set-up. The handlers do not outlive the companion.
  [[nodiscard]] virtual std::vector<Bar> bars() = 0;
  // As those of PciFunction; also for BARs of the other device.
  virtual void bar_mapped(uint8_t index, uint64_t base) = 0;
  virtual void bar_unmapped(uint8_t index, uint64_t base) = 0;
  // As those of Device.
  virtual void save(StateWriter& out) const = 0;
  virtual void reset() = 0;
};

}  // namespace lodge
