// The fixed PCI functions of the machines: who they say they are. A pc with firmware has devices for them (chipset/, ide/);
// where a kernel is booted directly, host and ISA bridge are there to be read only.
#pragma once

#include <memory>

#include "devices/pci/function.h"

namespace lodge {

// A function with an identity and no BARs.
class PlainFunction final : public PciFunction {
 public:
  using PciFunction::PciFunction;
  PlainFunction(std::string id, const PciIdentity& identity, const DeviceEnv& env, uint8_t header_type)
      : PciFunction(std::move(id), identity, env) {
    const uint8_t type[1] = {header_type};
    set_config(0x0E, type);
  }
};

inline constexpr PciIdentity kHostBridge440fx{0x8086, 0x1237, 0x060000, 2, 0x1AF4, 0x1100};
inline constexpr PciIdentity kIsaBridgePiix3{0x8086, 0x7000, 0x060100, 0, 0x1AF4, 0x1100};
inline constexpr PciIdentity kIdePiix3{0x8086, 0x7010, 0x010180, 0, 0x1AF4, 0x1100};
inline constexpr PciIdentity kPowerPiix4{0x8086, 0x7113, 0x068000, 3, 0x1AF4, 0x1100};
inline constexpr PciIdentity kHostBridgePcie{0x1B36, 0x0008, 0x060000, 0, 0x1AF4, 0x1100};

}  // namespace lodge
