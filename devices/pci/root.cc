#include "devices/pci/root.h"

#include <algorithm>

#include "devices/pci/registers.h"

namespace lodge {

struct PciRootState {
  uint32_t address = 0;  // the last value of port 0xCF8
};

template <>
struct Schema<PciRootState> {
  static constexpr std::string_view name = "pci-root";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "address", &PciRootState::address)};
};

namespace {
constexpr uint16_t kAddressPort = 0xCF8;
constexpr uint64_t kResetOffset = 1;  // 0xCF9
constexpr uint64_t kDataOffset = 4;   // 0xCFC
constexpr uint32_t kEnable = 1U << 31;
constexpr uint64_t kEcamSize = 256ULL * 4096;  // bus 0
}  // namespace

Result<std::unique_ptr<PciRoot>> PciRoot::create(Wiring wiring, const StateReader* saved) {
  std::unique_ptr<PciRoot> root(new PciRoot(std::move(wiring)));
  if (saved != nullptr) {
    root->ports_.address = TRY(saved->get<PciRootState>("pci0")).address;
  }
  return root;
}

Result<void> PciRoot::map_ports(Bus& pio, IoHandler* reset_port) {
  ports_.reset_port = reset_port;
  ports_mapping_ = TRY(pio.add(kAddressPort, 8, "pci configuration", unowned(ports_)));
  return {};
}

Result<void> PciRoot::map_ecam(Bus& mmio, uint64_t ecam) {
  ecam_mapping_ = TRY(mmio.add(ecam, kEcamSize, "pci configuration", unowned(ecam_)));
  return {};
}

Result<void> PciRoot::plug(PciAddress at, std::shared_ptr<PciFunction> function, bool wants_intx) {
  if (at.slot > 31 || at.function > 7) {
    return fail("PCI address {:02x}.{:x} does not exist (slots 0 to 1f, functions 0 to 7)", at.slot, at.function);
  }
  const auto devfn = static_cast<size_t>(at.slot * 8 + at.function);
  const Lock lock(mutex_);
  if (functions_[devfn] != nullptr) {
    return fail("PCI address {:02x}.{:x} of '{}' is taken by '{}'", at.slot, at.function, function->name(),
                functions_[devfn]->name());
  }
  if (wants_intx) {
    const auto pin = static_cast<uint8_t>(at.function % 4 + 1);
    const uint32_t gsi = wiring_.gsi_of(at.slot, pin);
    auto& shared = lines_[gsi];
    if (!shared) {
      shared = std::make_unique<SharedIrq>(wiring_.line(gsi));
    }
    function->connect_intx(pin, std::make_unique<SharedIrq::Source>(*shared), static_cast<uint8_t>(gsi));
  }
  functions_[devfn] = std::move(function);
  return {};
}

std::shared_ptr<PciFunction> PciRoot::unplug(PciAddress at) {
  std::shared_ptr<PciFunction> gone;
  {
    const Lock lock(mutex_);
    gone = std::move(functions_.at(static_cast<size_t>(at.slot * 8 + at.function)));
  }
  if (gone) {
    gone->detach();
  }
  return gone;
}

std::shared_ptr<PciFunction> PciRoot::at(uint8_t devfn) const {
  const Lock lock(mutex_);
  return functions_[devfn];
}

uint32_t PciRoot::read(uint8_t devfn, uint16_t offset, uint8_t size) {
  const auto function = at(devfn);
  if (function == nullptr) {
    return static_cast<uint32_t>(truncate_to(UINT32_MAX, size));
  }
  uint32_t value = function->config_read(offset, size);
  if (offset <= pci::kHeaderType && offset + size > pci::kHeaderType && (devfn & 7) == 0) {
    for (uint8_t other = 1; other < 8; ++other) {  // the multi-function bit follows what is plugged
      if (at(static_cast<uint8_t>(devfn + other)) != nullptr) {
        value |= 0x80U << (8 * (pci::kHeaderType - offset));
        break;
      }
    }
  }
  return value;
}

void PciRoot::write(uint8_t devfn, uint16_t offset, uint8_t size, uint32_t value) {
  if (const auto function = at(devfn)) {
    function->config_write(offset, size, value);
  }
}

uint64_t PciRoot::Ports::io_read(IoAccess access) {
  if (access.offset == kResetOffset && access.size == 1 && reset_port != nullptr) {
    return reset_port->io_read({0, 1, access.vcpu});
  }
  if (access.offset < kDataOffset) {
    return access.offset == 0 && access.size == 4 ? address.load() : truncate_to(UINT64_MAX, access.size);
  }
  const uint32_t target = address.load();
  const uint64_t byte = access.offset - kDataOffset;
  if ((target & kEnable) == 0 || ((target >> 16) & 0xFF) != 0 || byte + access.size > 4) {
    return truncate_to(UINT64_MAX, access.size);
  }
  return root_.read(static_cast<uint8_t>(target >> 8), static_cast<uint16_t>((target & 0xFC) + byte), access.size);
}

void PciRoot::Ports::io_write(IoAccess access, uint64_t value) {
  if (access.offset == kResetOffset && access.size == 1 && reset_port != nullptr) {
    reset_port->io_write({0, 1, access.vcpu}, value);
    return;
  }
  if (access.offset < kDataOffset) {
    if (access.offset == 0 && access.size == 4) {
      address.store(static_cast<uint32_t>(value));
    }
    return;
  }
  const uint32_t target = address.load();
  const uint64_t byte = access.offset - kDataOffset;
  if ((target & kEnable) == 0 || ((target >> 16) & 0xFF) != 0 || byte + access.size > 4) {
    return;
  }
  root_.write(static_cast<uint8_t>(target >> 8), static_cast<uint16_t>((target & 0xFC) + byte), access.size,
              static_cast<uint32_t>(value));
}

uint64_t PciRoot::Ecam::io_read(IoAccess access) {
  const auto devfn = static_cast<uint8_t>(access.offset >> 12);
  const auto offset = static_cast<uint16_t>(access.offset & 0xFFF);
  if (access.size == 8 && (offset & 3) == 0) {
    return root_.read(devfn, offset, 4) | uint64_t{root_.read(devfn, static_cast<uint16_t>(offset + 4), 4)} << 32;
  }
  if ((offset & 3) + access.size > 4) {
    return truncate_to(UINT64_MAX, access.size);
  }
  return root_.read(devfn, offset, access.size);
}

void PciRoot::Ecam::io_write(IoAccess access, uint64_t value) {
  const auto devfn = static_cast<uint8_t>(access.offset >> 12);
  const auto offset = static_cast<uint16_t>(access.offset & 0xFFF);
  if (access.size == 8 && (offset & 3) == 0) {
    root_.write(devfn, offset, 4, static_cast<uint32_t>(value));
    root_.write(devfn, static_cast<uint16_t>(offset + 4), 4, static_cast<uint32_t>(value >> 32));
  } else if ((offset & 3) + access.size <= 4) {
    root_.write(devfn, offset, access.size, static_cast<uint32_t>(value));
  }
}

void PciRoot::save(StateWriter& out) const { out.put("pci0", PciRootState{ports_.address.load()}); }

void PciRoot::reset() { ports_.address = 0; }

}  // namespace lodge
