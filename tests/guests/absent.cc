// What the machine was not given is not there: the ports and registers of absent devices read as all ones and keep nothing,
// those of devices that the command line names answer. Words: the devices that are present.
#include "lib/check.h"
#include "lib/multiboot.h"
#include "lib/pci.h"

namespace {

struct Ports {
  const char* device;
  uint16_t first, last;
};

// Writing to a present device could do anything (port 64h resets); absent ones are written to.
constexpr Ports kPorts[] = {
    {"ps2", 0x60, 0x60},       {"ps2", 0x64, 0x64},      {"rtc", 0x71, 0x71},         {"com2", 0x2f8, 0x2ff},
    {"com3", 0x3e8, 0x3ef},    {"com4", 0x2e8, 0x2ef},   {"fw_cfg", 0x511, 0x511},    {"fw_cfg", 0x514, 0x51b},
    {"pvpanic", 0x505, 0x505}, {"ide", 0x1f0, 0x1f7},    {"ide", 0x3f6, 0x3f6},       {"ide", 0x170, 0x177},
    {"ide", 0x376, 0x376},     {"floppy", 0x3f0, 0x3f5}, {"floppy", 0x3f7, 0x3f7},    {"floppy", 0x00, 0x0f},
    {"floppy", 0x81, 0x83},    {"vga", 0x3b4, 0x3b5},    {"vga", 0x3c0, 0x3cf},       {"vga", 0x3d4, 0x3da},
    {"vga", 0x1ce, 0x1d1},     {"pci", 0xcf8, 0xcff},    {"hotplug", 0xae00, 0xae0f}, {"debug", 0x402, 0x402},
    {"lpt", 0x378, 0x37a},     {"lpt2", 0x278, 0x27a},   {"cpus", 0xad00, 0xad0f},
};

// PCI functions by class: base and sub-class.
struct Function {
  const char* device;
  uint32_t kind;
};
constexpr Function kFunctions[] = {
    {"ide", 0x0101}, {"vga", 0x0300}, {"usb", 0x0c03}, {"net", 0x0200}, {"disk", 0x0100},
};

bool silent(const Ports& range) {
  for (uint32_t port = range.first; port <= range.last; ++port) {
    if (inb(static_cast<uint16_t>(port)) != 0xff) {
      return false;
    }
  }
  return true;
}

void absent_ports(const Ports& range) {
  if (!silent(range)) {
    print("device ", range.device, " answers at ", range.first, "\n");
    CHECK(false);
  }
  for (uint32_t port = range.first; port <= range.last; ++port) {
    const auto at = static_cast<uint16_t>(port);
    for (uint32_t value = 0; value < 256; value += 0x11) {
      outb(at, static_cast<uint8_t>(value));
      if (port < range.last) {  // the next port may be another device's
        outw(at, static_cast<uint16_t>(value * 0x101));
        CHECK_EQ(inw(at), 0xffff);
      }
    }
  }
  CHECK(silent(range));
}

// A device with several ranges answers in one of them at least.
bool answers(const char* device) {
  for (const Ports& range : kPorts) {
    if (same_text(range.device, device) && !silent(range)) {
      return true;
    }
  }
  return false;
}

bool has_function(uint32_t kind) {
  for (unsigned devfn = 0; devfn < 256; ++devfn) {
    if (pci_read<uint32_t>(static_cast<uint8_t>(devfn), 8) >> 16 == kind) {
      return true;
    }
  }
  return false;
}

// What firmware does: every function decodes its ports and memory.
void enable_functions() {
  for (unsigned devfn = 0; devfn < 256; ++devfn) {
    const auto at = static_cast<uint8_t>(devfn);
    if (pci_read<uint32_t>(at, 0) != 0xffffffff) {
      pci_write<uint16_t>(at, 4, 3);
    }
  }
}

}  // namespace

extern "C" void guest_main(uint32_t, const MultibootInfo* info) {
  const char* present = info->command_line;
  pci_by_ports = has_word(present, "pci");
  enable_functions();
  for (const Ports& range : kPorts) {
    if (has_word(present, range.device)) {
      if (!answers(range.device)) {
        print("device ", range.device, " does not answer\n");
        CHECK(false);
      }
    } else {
      absent_ports(range);
    }
  }
  for (const Function& function : kFunctions) {
    if (has_function(function.kind) != has_word(present, function.device)) {
      print("PCI class ", function.kind, ": ", function.device, " is wrong\n");
      CHECK(false);
    }
  }
  constexpr uint32_t kHpet = 0xfed00000;
  if ((mmio_read<uint32_t>(kHpet) != 0xffffffff) != has_word(present, "hpet")) {
    print("the HPET is wrong\n");
    CHECK(false);
  }
  pass();
}
