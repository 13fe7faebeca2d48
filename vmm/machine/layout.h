// Where the machine's own devices are in guest physical address space and on the interrupt inputs. RAM: vmm/boot/layout.h.
#pragma once

#include <cstdint>

#include "base/units.h"

namespace lodge {

// Both machines: the hole below 4 GiB. 0xC0000000 to 0xE0000000 is for the BARs of PCI functions.
inline constexpr uint64_t kPciWindow32 = 0xC000'0000;
inline constexpr uint64_t kPciWindow32Size = 0x2000'0000;
inline constexpr uint64_t kPciWindow32FirmwareSize = 0x3EC0'0000;  // a BIOS puts them below the IOAPIC
inline constexpr uint64_t kEcam = 0xE000'0000;                     // microvm
inline constexpr uint64_t kEcamSize = 256 * kMiB;
inline constexpr uint64_t kEcamMapped = kMiB;               // bus 0 is all there is
inline constexpr uint64_t kReducedPowerBase = 0xFEB0'0000;  // microvm
inline constexpr uint64_t kHotplugBase = 0xFEB0'1000;       // microvm: the registers of PCI hotplug
inline constexpr uint16_t kHotplugPort = 0xAE00;            // pc
inline constexpr uint64_t kCpuHotplugBase = 0xFEB0'2000;    // microvm: the registers of CPU hotplug
inline constexpr uint16_t kCpuHotplugPort = 0xAD00;         // pc; UEFI takes what is at 0xAF00 for QEMU's registers

// Above RAM: a window for 64-bit BARs, of this size and alignment.
inline constexpr uint64_t kPciWindow64Size = 64 * kGiB;

inline constexpr uint16_t kSerialPorts[] = {0x3F8, 0x2F8, 0x3E8, 0x2E8};
inline constexpr uint8_t kSerialIrqs[] = {4, 3, 4, 3};
inline constexpr uint16_t kParallelPorts[] = {0x378, 0x278};  // pc
inline constexpr uint8_t kParallelIrqs[] = {7, 5};

inline constexpr uint32_t kReducedEventGsi = 9;
inline constexpr uint32_t kSciGsi = 9;
// Memory slots of KVM beyond those of RAM and firmware.
inline constexpr uint32_t kVideoMemorySlot = 32;
inline constexpr uint32_t kFlashSlot = 33;

// UEFI places BARs itself: below 4 GiB from there or from the end of RAM on, above anywhere.
inline constexpr uint64_t kUefiPciWindow32 = 0x8000'0000;
// UEFI puts the PM block there, a BIOS where FixedPower::kPm1Event is.
inline constexpr uint16_t kUefiPmBase = 0xB000;

inline constexpr uint32_t kFirstPciGsi = 16;  // INTA to INTD spread over 16 to 23

}  // namespace lodge
