#include "devices/pci/function.h"

#include <algorithm>
#include <bit>
#include <cassert>

#include "devices/pci/registers.h"

namespace lodge {
namespace {

void put(std::array<uint8_t, 256>& config, size_t offset, uint32_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    config[offset + i] = static_cast<uint8_t>(value >> (8 * i));
  }
}

}  // namespace

// A vCPU may look at a bus as it was before the function left it, so what the bus has outlives the function, and closes.
class PciFunction::Gate final : public IoHandler {
 public:
  explicit Gate(std::shared_ptr<IoHandler> handler) : handler_(std::move(handler)) {}
  uint64_t io_read(IoAccess access) override {
    const Visit visit(*this);
    return visit.allowed ? handler_->io_read(access) : truncate_to(UINT64_MAX, access.size);
  }
  void io_write(IoAccess access, uint64_t value) override {
    const Visit visit(*this);
    if (visit.allowed) {
      handler_->io_write(access, value);
    }
  }
  void close() { closed_.store(true); }
  [[nodiscard]] bool in_use() const { return visitors_.load() != 0; }

 private:
  // Counted before it looks: whoever closes sees the visitor, or the visitor sees that it is closed.
  struct Visit {
    explicit Visit(Gate& entered) : gate(entered) {
      gate.visitors_.fetch_add(1);
      allowed = !gate.closed_.load();
    }
    ~Visit() { gate.visitors_.fetch_sub(1); }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    Gate& gate;
    bool allowed = false;
  };
  std::shared_ptr<IoHandler> handler_;
  std::atomic<uint32_t> visitors_{0};
  std::atomic<bool> closed_{false};
};

PciFunction::PciFunction(std::string id, const PciIdentity& identity, const DeviceEnv& env) : env_(env), id_(std::move(id)) {
  put(config_, pci::kVendor, identity.vendor, 2);
  put(config_, pci::kDevice, identity.device, 2);
  put(config_, pci::kRevision, identity.revision, 1);
  put(config_, pci::kClass, identity.class_code, 3);
  put(config_, pci::kSubsystemVendor, identity.subsystem_vendor, 2);
  put(config_, pci::kSubsystem, identity.subsystem, 2);
  put(writable_, pci::kCommand,
      pci::kCommandIo | pci::kCommandMemory | pci::kCommandMaster | pci::kCommandSerr | pci::kCommandIntxOff, 2);
  writable_[pci::kInterruptLine] = 0xFF;
  writable_[pci::kCacheLine] = 0xFF;
  writable_[pci::kLatency] = 0xFF;
}

void PciFunction::add_bar(uint8_t index, BarKind kind, uint64_t size, std::shared_ptr<IoHandler> handler) {
  assert(index < 6 && std::has_single_bit(size) && size >= 16 && (kind != BarKind::memory64 || index < 5));
  const Lock lock(mutex_);
  bars_[index].kind = kind;
  bars_[index].size = size;
  bars_[index].gate = std::make_shared<Gate>(std::move(handler));
}

uint8_t PciFunction::add_capability(uint8_t id, std::span<const uint8_t> body, std::span<const uint8_t> writable) {
  const uint8_t at = next_capability_;
  assert(at + 2U + body.size() <= config_.size());
  config_[at] = id;
  config_[last_capability_ == 0 ? size_t{pci::kCapabilities} : last_capability_ + 1U] = at;
  std::ranges::copy(body, config_.begin() + at + 2);
  std::ranges::copy(writable, writable_.begin() + at + 2);
  put(config_, pci::kStatus, pci::kStatusCapabilities, 2);
  last_capability_ = at;
  next_capability_ = static_cast<uint8_t>((at + 2 + body.size() + 3) & ~size_t{3});
  return at;
}

Result<void> PciFunction::add_msix(uint8_t bar, uint16_t vectors, const MsixState* saved) {
  msix_ = TRY(Msix::create(vectors, env_.msi, saved));
  std::array<uint8_t, 10> body{};
  body[0] = static_cast<uint8_t>((vectors - 1) & 0xFF);
  body[1] = static_cast<uint8_t>((vectors - 1) >> 8);
  body[2] = bar;  // table offset 0 | BAR number
  body[6] = static_cast<uint8_t>((Msix::kPbaOffset & 0xFF) | bar);
  body[7] = static_cast<uint8_t>(Msix::kPbaOffset >> 8);
  msix_capability_ = add_capability(pci::kCapMsix, body);
  add_bar(bar, BarKind::memory32, Msix::kBarSize, unowned(*msix_));
  return {};
}

void PciFunction::connect_intx(uint8_t pin, std::unique_ptr<SharedIrq::Source> line, uint8_t gsi) {
  const Lock lock(mutex_);
  config_[pci::kInterruptPin] = pin;
  if (!restored_) {
    config_[pci::kInterruptLine] = gsi;
  }
  intx_ = std::move(line);
  update_intx();
}

void PciFunction::set_config(uint16_t offset, std::span<const uint8_t> bytes) {
  const Lock lock(mutex_);
  std::ranges::copy(bytes, config_.begin() + offset);
}

void PciFunction::allow_writes(uint16_t offset, std::span<const uint8_t> mask) {
  const Lock lock(mutex_);
  std::ranges::copy(mask, writable_.begin() + offset);
}

uint32_t PciFunction::read_bar_register(size_t index) const {
  if (index > 0 && bars_[index - 1].size != 0 && bars_[index - 1].kind == BarKind::memory64) {
    return static_cast<uint32_t>(bars_[index - 1].address >> 32);
  }
  const Bar& bar = bars_[index];
  if (bar.size == 0) {
    return 0;
  }
  const uint32_t low = static_cast<uint32_t>(bar.address);
  switch (bar.kind) {
    case BarKind::io: return low | 1;
    case BarKind::memory32: return low;
    case BarKind::memory64: return low | 0xC;  // 64-bit, prefetchable
  }
  return 0;
}

void PciFunction::write_bar_register(size_t index, uint32_t value, uint32_t mask) {
  const bool upper = index > 0 && bars_[index - 1].size != 0 && bars_[index - 1].kind == BarKind::memory64;
  Bar& bar = bars_[upper ? index - 1 : index];
  if (bar.size == 0) {
    return;
  }
  uint64_t address = bar.address;
  const unsigned shift = upper ? 32 : 0;
  address = (address & ~(uint64_t{mask} << shift)) | (uint64_t{value & mask} << shift);
  address &= ~(bar.size - 1);
  if (bar.kind == BarKind::io) {
    address &= 0xFFFF'FFFC;
  } else if (bar.kind == BarKind::memory32) {
    address &= UINT32_MAX;
  }
  if (address != bar.address) {
    unmap(upper ? index - 1 : index);
    bar.address = address;
  }
}

void PciFunction::unmap(size_t index) {
  Bar& bar = bars_[index];
  if (bar.mapping.active()) {
    bar_unmapped(static_cast<uint8_t>(index), bar.address);
    bar.mapping.reset();
  }
}

void PciFunction::update_mappings() {
  const unsigned command = config_[pci::kCommand];
  bus_master_.store((command & pci::kCommandMaster) != 0, std::memory_order_release);
  for (size_t i = 0; i < bars_.size(); ++i) {
    Bar& bar = bars_[i];
    const bool decode =
        !detached_ && bar.size != 0 && (command & (bar.kind == BarKind::io ? pci::kCommandIo : pci::kCommandMemory)) != 0;
    // Zero and the all-ones of sizing are not addresses; ports above 64 Ki do not exist.
    const bool sane = bar.address != 0 && (bar.kind != BarKind::io || bar.address + bar.size <= 0x10000);
    if (!decode || !sane) {
      unmap(i);
    } else if (!bar.mapping.active()) {
      Bus& bus = bar.kind == BarKind::io ? env_.pio : env_.mmio;
      auto mapping = bus.add(bar.address, bar.size, id_, bar.gate);
      if (!mapping) {
        guest_warning(warnings_, id_, "BAR {} is not mapped: {}", i, mapping.error().message);
        continue;
      }
      bar.mapping = std::move(*mapping);
      bar_mapped(static_cast<uint8_t>(i), bar.address);
    }
  }
}

void PciFunction::update_intx() {
  if (intx_) {
    const bool off = (config_[pci::kCommand + 1] & (pci::kCommandIntxOff >> 8)) != 0;
    intx_->set(intx_wanted_ && !off);
  }
}

void PciFunction::set_intx(bool asserted) {
  const Lock lock(mutex_);
  intx_wanted_ = asserted;
  if (asserted) {
    config_[pci::kStatus] |= pci::kStatusInterrupt;
  } else {
    config_[pci::kStatus] &= static_cast<uint8_t>(~pci::kStatusInterrupt);
  }
  update_intx();
}

uint32_t PciFunction::config_read(uint16_t offset, uint8_t size) {
  uint32_t value = 0;
  if (special_config_read(offset, size, value)) {
    return value;
  }
  const Lock lock(mutex_);
  if (offset >= pci::kBar0 && offset < pci::kBar0 + 24) {
    value = read_bar_register((offset - pci::kBar0) / 4U) >> (8 * (offset & 3));
    return static_cast<uint32_t>(truncate_to(value, size));
  }
  for (unsigned i = 0; i < size && offset + i < config_.size(); ++i) {
    uint8_t byte = config_[offset + i];
    if (msix_ && offset + i == msix_capability_ + 3U) {
      byte = static_cast<uint8_t>(msix_->read_control() >> 8);
    }
    value |= uint32_t{byte} << (8 * i);
  }
  return value;
}

void PciFunction::config_write(uint16_t offset, uint8_t size, uint32_t value) {
  {
    const Lock lock(mutex_);
    if (offset >= pci::kBar0 && offset < pci::kBar0 + 24) {
      const auto mask = static_cast<uint32_t>(truncate_to(UINT32_MAX, size) << (8 * (offset & 3)));
      write_bar_register((offset - pci::kBar0) / 4U, value << (8 * (offset & 3)), mask);
      update_mappings();
      return;
    }
    for (unsigned i = 0; i < size && offset + i < config_.size(); ++i) {
      const uint8_t mask = writable_[offset + i];
      const auto byte = static_cast<uint8_t>(value >> (8 * i));
      config_[offset + i] = static_cast<uint8_t>((config_[offset + i] & ~mask) | (byte & mask));
      if (msix_ && offset + i == msix_capability_ + 3U) {
        msix_->write_control(static_cast<uint16_t>(uint16_t{byte} << 8));
      }
    }
    if (offset <= pci::kCommand + 1 && offset + size > pci::kCommand) {
      update_mappings();
      update_intx();
    }
  }
  special_config_write(offset, size);
}

void PciFunction::reset_pci() {
  {
    const Lock lock(mutex_);
    config_[pci::kCommand] = 0;
    config_[pci::kCommand + 1] = 0;
    update_mappings();
    for (Bar& bar : bars_) {
      bar.address = 0;
    }
    intx_wanted_ = false;
    update_intx();
  }
  if (msix_) {
    msix_->reset();
  }
}

void PciFunction::detach() {
  std::unique_ptr<SharedIrq::Source> line;
  {
    const Lock lock(mutex_);
    detached_ = true;
    for (const Bar& bar : bars_) {
      if (bar.gate) {
        bar.gate->close();
      }
    }
    line = std::move(intx_);  // lowered as it goes
  }
  reset_pci();
}

bool PciFunction::in_use() const {
  const Lock lock(mutex_);
  return std::ranges::any_of(bars_, [](const Bar& bar) { return bar.gate && bar.gate->in_use(); });
}

PciState PciFunction::pci_state() const {
  const Lock lock(mutex_);
  PciState state;
  state.command = static_cast<uint16_t>(config_[pci::kCommand] | (config_[pci::kCommand + 1] << 8));
  state.interrupt_line = config_[pci::kInterruptLine];
  for (size_t i = 0; i < bars_.size(); ++i) {
    state.bars[i] = bars_[i].address;
  }
  if (msix_) {
    state.msix = msix_->state();
  }
  return state;
}

Result<void> PciFunction::load_pci(const PciState& saved) {
  const Lock lock(mutex_);
  for (size_t i = 0; i < bars_.size(); ++i) {
    const Bar& bar = bars_[i];
    if (saved.bars[i] != 0 && (bar.size == 0 || !is_aligned(saved.bars[i], bar.size))) {
      return fail("saved address {:#x} of BAR {} is not possible", saved.bars[i], i);
    }
    bars_[i].address = saved.bars[i];
  }
  config_[pci::kCommand] = static_cast<uint8_t>(saved.command & writable_[pci::kCommand]);
  config_[pci::kCommand + 1] = static_cast<uint8_t>((saved.command >> 8) & writable_[pci::kCommand + 1]);
  config_[pci::kInterruptLine] = saved.interrupt_line;
  restored_ = true;
  update_mappings();
  return {};
}

}  // namespace lodge
