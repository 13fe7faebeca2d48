// What Lodge offers to guests today: the one table behind capabilities and domain capabilities, and what domains are checked
// against. A new machine, bus or device is entered here and nowhere else. Constants.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace lodge::offered {

inline constexpr std::string_view kOsType = "hvm";
inline constexpr std::string_view kArch = "x86_64";
inline constexpr std::string_view kDomainType = "kvm";
inline constexpr uint32_t kMaxVcpus = 255;  // APIC ids above 254 need interrupt remapping, which there is not yet

struct Machine {
  std::string_view name;
  std::string_view canonical;  // what the name stands for; empty: itself
  uint32_t max_vcpus;
  bool pc;  // has what a PC has: a BIOS, IDE, a screen
};
// The first is a domain's that names none: one that boots a disk, since tools that name no machine name no kernel either.
// Do not put "q35" into a name: virt-install then asks for that chipset's devices.
inline constexpr std::array kMachines{
    Machine{"pc", "", kMaxVcpus, true},
    Machine{"microvm", "", kMaxVcpus, false},
};
// Null: not offered.
[[nodiscard]] constexpr const Machine* machine(std::string_view name) {
  for (const Machine& candidate : kMachines) {
    if (candidate.name == name || (!candidate.canonical.empty() && candidate.canonical == name)) {
      return &candidate;
    }
  }
  return nullptr;
}

// <enum name=> with its values.
struct Enum {
  std::string_view name;
  std::array<std::string_view, 6> values;  // up to the first empty one
};
// An element with supported='yes' or 'no'.
struct Element {
  std::string_view name;
  bool supported;
  std::array<Enum, 4> enums;  // up to the first without a name
  std::string_view value;     // <value> before them; empty: none
};

// Files of Debian's packages seabios and ipxe-qemu.
inline constexpr std::string_view kBios = "/usr/share/seabios/bios-256k.bin";
inline constexpr std::string_view kVideoBios = "/usr/share/seabios/vgabios-stdvga.bin";
inline constexpr std::string_view kVirtioVideoBios = "/usr/share/seabios/vgabios-virtio.bin";

// Sizes of a virtio screen, pixels; as the monitor's schema has them.
inline constexpr uint32_t kLeastResolution = 64;
inline constexpr uint32_t kMostResolutionX = 3840;
inline constexpr uint32_t kMostResolutionY = 2400;

// Network cards by the models that domains name; the first is that of an interface which names none. Domain capabilities
// have no place for them.
struct Card {
  std::string_view model;
  std::string_view driver;  // the monitor's name for device_add
  bool virtio;
  std::string_view rom;  // with which a BIOS boots from it
};
inline constexpr std::string_view kVirtioNetBoot = "/usr/lib/ipxe/qemu/pxe-virtio.rom";
inline constexpr std::array kCards{
    Card{"virtio", "virtio-net", true, kVirtioNetBoot},
    Card{"virtio-transitional", "virtio-net", true, kVirtioNetBoot},
    Card{"virtio-non-transitional", "virtio-net", true, kVirtioNetBoot},
    Card{"e1000", "e1000", false, "/usr/lib/ipxe/qemu/pxe-e1000.rom"},
    Card{"rtl8139", "rtl8139", false, "/usr/lib/ipxe/qemu/pxe-rtl8139.rom"},
};
// Null: not offered.
[[nodiscard]] constexpr const Card* card(std::string_view model) {
  for (const Card& candidate : kCards) {
    if (candidate.model == model) {
      return &candidate;
    }
  }
  return nullptr;
}

// Guest features: name, default, and whether a domain may say otherwise.
struct GuestFeature {
  std::string_view name;
  bool on;
  bool toggle;
};
inline constexpr std::array kGuestFeatures{
    GuestFeature{"acpi", true, false},
    GuestFeature{"apic", true, false},
};

inline constexpr std::array<std::string_view, 0> kMigrationTransports{};  // none: no live migration

inline constexpr bool kIothreads = true;
// Of machines that are no PC there is none.
inline constexpr Element kLoader{
    "loader", true, {{{"type", {"rom", "pflash"}}, {"readonly", {"yes", "no"}}, {"secure", {"no"}}}}, kBios};
inline constexpr Element kNoLoader{"loader", false, {}, ""};
inline constexpr std::string_view kBiosFirmware = "bios";
inline constexpr std::string_view kUefiFirmware = "efi";  // when some is installed

// CPU modes; host-model and custom are offered when KVM's features are known.
inline constexpr Enum kPassthroughMigratable{"hostPassthroughMigratable", {"on", "off"}};
inline constexpr Enum kMaximumMigratable{"maximumMigratable", {"on", "off"}};

inline constexpr Element kMemoryBacking{"memoryBacking", true, {{{"sourceType", {"anonymous", "memfd"}}}}, ""};

// In the order of libvirt's document. Network interfaces, consoles, input devices and the balloon have no element there.
inline constexpr Enum kVirtioModels{"model", {"virtio", "virtio-transitional", "virtio-non-transitional"}};
inline constexpr Element kRng{"rng", true, {{kVirtioModels, {"backendModel", {"random"}}}}, ""};
inline constexpr Element kChannel{"channel", true, {{{"type", {"pty", "unix"}}}}, ""};
inline constexpr Element kFilesystem{"filesystem", true, {{{"driverType", {"virtiofs"}}}}, ""};
inline constexpr std::array kPcDevices{
    Element{"disk",
            true,
            {{{"diskDevice", {"disk", "cdrom", "floppy"}}, {"bus", {"ide", "fdc", "usb", "virtio"}}, kVirtioModels}},
            ""},
    Element{"graphics", true, {{{"type", {"vnc"}}}}, ""},
    Element{"video", true, {{{"modelType", {"vga", "virtio", "none"}}}}, ""},
    Element{"hostdev", false, {}, ""},
    kRng,
    kFilesystem,
    Element{"tpm", false, {}, ""},
    Element{"redirdev", false, {}, ""},
    kChannel,
};
inline constexpr std::array kMicrovmDevices{
    Element{"disk", true, {{{"diskDevice", {"disk"}}, {"bus", {"virtio"}}, kVirtioModels}}, ""},
    Element{"graphics", true, {{{"type", {"vnc"}}}}, ""},
    Element{"video", true, {{{"modelType", {"virtio", "none"}}}}, ""},
    Element{"hostdev", false, {}, ""},
    kRng,
    kFilesystem,
    Element{"tpm", false, {}, ""},
    Element{"redirdev", false, {}, ""},
    kChannel,
};

inline constexpr std::array kFeatures{
    Element{"gic", false, {}, ""},    Element{"vmcoreinfo", true, {}, ""},
    Element{"genid", true, {}, ""},   Element{"backingStoreInput", false, {}, ""},
    Element{"backup", false, {}, ""}, Element{"sev", false, {}, ""},
    Element{"sgx", false, {}, ""},
};

}  // namespace lodge::offered
