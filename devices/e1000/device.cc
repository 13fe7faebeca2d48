#include "devices/e1000/device.h"

#include <algorithm>

#include "devices/net/frame.h"

namespace lodge {

using namespace e1000;  // NOLINT(google-build-using-namespace): names of this chip only

namespace {

constexpr PciIdentity kIdentity{0x8086, 0x100E, 0x020000, 3, 0x1AF4, 0x1100};
constexpr uint32_t kRingAlignment = 16;
constexpr uint32_t kRingUnit = 128;
constexpr uint32_t kMaxRing = 0x100000;
constexpr uint32_t kPacketBuffer = 0x00100030;  // KiB for each direction

bool between(uint32_t offset, uint32_t first, uint32_t last) { return offset >= first && offset <= last; }

// Those that a guest may write and read back as they are.
bool is_plain(uint32_t offset) {
  static constexpr std::array kPlain{kCtrlExt, kFlowLow, kFlowHigh, kFlowType, kVet,    kItr,  kRctl,   kFlowTimer,
                                     kTxcw,    kTctl,    kTipg,     kAit,      kLedctl, kPba,  kFcrtl,  kFcrth,
                                     kRdbah,   kRdtr,    kRxdctl,   kRadv,     kTdbah,  kTidv, kTxdctl, kTadv,
                                     kTspmt,   kRxcsum,  kWuc,      kWufc,     kManc};
  return std::ranges::find(kPlain, static_cast<Register>(offset)) != kPlain.end() ||
         between(offset, kMta, kMta + 4 * kTableRegisters - 4) || between(offset, kRal, kRal + 8 * kAddresses - 4) ||
         between(offset, kVfta, kVfta + 4 * kTableRegisters - 4);
}

uint32_t as_word(const net::MacAddress& mac, size_t at, size_t bytes) {
  uint32_t word = 0;
  for (size_t i = 0; i < bytes; ++i) {
    word |= uint32_t{mac.at(at + i)} << (8 * i);
  }
  return word;
}

}  // namespace

E1000::E1000(Options options, const DeviceEnv& env)
    : PciFunction(options.id, kIdentity, env),
      port_(std::move(options.port)),
      permanent_mac_(options.mac),
      loop_(env.loops.pick()),
      frames_(*port_.queues.front(), port_.capabilities, loop_, *this),
      packet_(net::kMaxUnsegmented),
      stored_(kMaxFrame + 4) {
  add_bar(0, BarKind::memory32, kMemoryBar, unowned(memory_));
  add_bar(1, BarKind::io, kPortBar, unowned(ports_));
  const Lock lock(mutex_);
  s_.link_up = options.link_up;
}

Result<std::shared_ptr<E1000>> E1000::create(Options options, const DeviceEnv& env, const StateReader* saved) {
  if (options.port.queues.empty()) {
    return fail("NIC '{}' has nothing behind it", options.id);
  }
  std::shared_ptr<E1000> self(new E1000(std::move(options), env));
  TRY_VOID(self->port_.queues.front()->set_offloads(0));
  self->port_.queues.front()->set_enabled(true);
  if (saved != nullptr) {
    TRY_VOID(self->load(*saved));
  } else {
    self->reset();
  }
  return self;
}

Result<void> E1000::load(const StateReader& saved) {
  TRY_VOID(load_pci(TRY(saved.get<PciState>(name()))));
  auto state = TRY(saved.get<E1000State>(name()));
  if (state.registers.size() != kRegisterBytes / 4 || state.contexts.size() != 2 || state.eeprom_left > 16) {
    return fail("saved NIC '{}' is no e1000", name());
  }
  const Lock lock(mutex_);
  s_ = std::move(state);
  update_interrupt();
  return {};
}

void E1000::save(StateWriter& out) const {
  out.put(name(), pci_state());
  const Lock lock(mutex_);
  out.put(name(), s_);
}

void E1000::reset() {
  reset_pci();
  const Lock lock(mutex_);
  reset_registers();
  reset_phy();
  update_interrupt();
}

void E1000::reset_registers() {
  const bool link = s_.link_up;
  const auto phy = s_.phy;
  s_ = {};
  s_.link_up = link;
  s_.phy = phy;
  s_.registers.assign(kRegisterBytes / 4, 0);
  reg(kPba) = kPacketBuffer;
  reg(kEecd) = kEePresent;
  reg(kRal) = as_word(permanent_mac_, 0, 4);
  reg(kRal + 4) = as_word(permanent_mac_, 4, 2) | kAddressValid;
  reg(kLedctl) = 0x07068302;  // as the EEPROM of such cards sets it
  reg(kManc) = 0x2000;
}

net::MacAddress E1000::mac() const {
  const Lock lock(mutex_);
  net::MacAddress mac{};
  for (size_t i = 0; i < mac.size(); ++i) {
    mac.at(i) = static_cast<uint8_t>(get(kRal + (i < 4 ? 0 : 4)) >> (8 * (i % 4)));
  }
  return mac;
}

bool E1000::link_up() const {
  const Lock lock(mutex_);
  return s_.link_up;
}

void E1000::set_link(bool up) {
  {
    const Lock lock(mutex_);
    if (s_.link_up == up) {
      return;
    }
    s_.link_up = up;
    show_link();
    raise(kIntLink);
  }
  wake();
}

void E1000::raise(uint32_t cause) {
  reg(kIcr) |= cause;
  update_interrupt();
}

void E1000::update_interrupt() { set_intx((get(kIcr) & get(kIms)) != 0); }

void E1000::quiesce(Done done) {
  {
    const Lock lock(mutex_);
    running_ = false;
  }
  loop_.post([this, done = std::move(done)] {
    frames_.stop();
    done();
  });
}

void E1000::resume() {
  {
    const Lock lock(mutex_);
    running_ = true;
    woken_ = false;
  }
  loop_.post([this] {
    {
      const Lock lock(mutex_);
      if (!running_) {
        return;
      }
    }
    frames_.start();
    transmit();
  });
}

// The loop looks at both rings.
void E1000::wake() {
  {
    const Lock lock(mutex_);
    if (!running_ || woken_) {
      return;
    }
    woken_ = true;
  }
  loop_.post([this] { work(); });
}

void E1000::work() {
  {
    const Lock lock(mutex_);
    woken_ = false;
    if (!running_) {
      return;
    }
  }
  transmit();
  frames_.poll();
}

// Bus mastering may have been switched on.
void E1000::config_write(uint16_t offset, uint8_t size, uint32_t value) {
  PciFunction::config_write(offset, size, value);
  wake();
}

E1000::Ring E1000::ring(uint32_t base_register, uint32_t length_register) const {
  const uint64_t base = uint64_t{get(base_register + 4)} << 32 | get(base_register);
  return {base, get(length_register) / static_cast<uint32_t>(kDescriptorBytes)};
}

uint32_t E1000::read_register(uint32_t offset) {
  const Lock lock(mutex_);
  return offset < kRegisterBytes ? read_locked(offset) : 0;
}

uint32_t E1000::read_locked(uint32_t offset) {
  if (between(offset, kFirstCounter, kLastCounter)) {
    return std::exchange(reg(offset), 0);
  }
  switch (offset) {
    case kCtrlCopy: return get(kCtrl);
    case kStatus: return kStatusFixed | (s_.link_up ? kStatusLinkUp : 0);
    case kIcr: {
      const uint32_t causes = std::exchange(reg(kIcr), 0);
      update_interrupt();
      return causes | ((causes & get(kIms)) != 0 ? 1U << 31 : 0);
    }
    case kIcs: return get(kIcr);
    case kImc: return get(kIms);
    default: return get(offset);
  }
}

void E1000::write_register(uint32_t offset, uint32_t value) {
  if (offset >= kRegisterBytes) {
    return;
  }
  {
    const Lock lock(mutex_);
    write_locked(offset, value);
  }
  if (offset == kTdt || offset == kRdt || offset == kRctl || offset == kTctl) {
    wake();
  }
}

void E1000::write_locked(uint32_t offset, uint32_t value) {
  switch (offset) {
    case kCtrl:
    case kCtrlCopy:
      if ((value & kReset) != 0) {
        reset_registers();
      } else {
        reg(kCtrl) = value & ~kPhyReset;
      }
      if ((value & kPhyReset) != 0) {
        reset_phy();
      }
      update_interrupt();
      break;
    case kEecd: write_eecd(value); break;
    case kEerd: write_eerd(value); break;
    case kMdic: write_mdic(value); break;
    case kIcr:
      reg(kIcr) &= ~value;
      update_interrupt();
      break;
    case kIcs: raise(value & kIntAll); break;
    case kIms:
      reg(kIms) |= value & kIntAll;
      update_interrupt();
      break;
    case kImc:
      reg(kIms) &= ~value;
      update_interrupt();
      break;
    case kRdbal:
    case kTdbal: reg(offset) = value & ~(kRingAlignment - 1); break;
    case kRdlen:
    case kTdlen: reg(offset) = value & (kMaxRing - kRingUnit); break;
    case kRdh:
    case kTdh:
    case kRdt:
    case kTdt: reg(offset) = value & 0xFFFF; break;
    case kWus: reg(kWus) &= ~value; break;
    default:
      if (is_plain(offset)) {
        reg(offset) = value;
      }
      break;
  }
}

std::vector<Counter> E1000::counters() const {
  return {{"rx-packets", rx_packets_},          {"rx-bytes", rx_bytes_}, {"rx-dropped", rx_dropped_}, {"rx-errors", 0},
          {"tx-packets", tx_packets_},          {"tx-bytes", tx_bytes_}, {"tx-dropped", tx_dropped_}, {"tx-errors", 0},
          {"guest-mistakes", warnings_.count()}};
}

// Registers are doublewords; parts of them can be read.
uint64_t E1000::Memory::io_read(IoAccess access) {
  const auto offset = static_cast<uint32_t>(access.offset & ~uint64_t{3});
  if (access.size == 8) {
    const uint64_t low = owner_.read_register(offset);
    return low | uint64_t{owner_.read_register(offset + 4)} << 32;
  }
  return truncate_to(uint64_t{owner_.read_register(offset)} >> (8 * (access.offset & 3)), access.size);
}

void E1000::Memory::io_write(IoAccess access, uint64_t value) {
  if ((access.offset & 3) != 0 || access.size < 4) {
    return;
  }
  owner_.write_register(static_cast<uint32_t>(access.offset), static_cast<uint32_t>(value));
  if (access.size == 8) {
    owner_.write_register(static_cast<uint32_t>(access.offset) + 4, static_cast<uint32_t>(value >> 32));
  }
}

uint64_t E1000::Ports::io_read(IoAccess access) {
  uint32_t address = 0;
  {
    const Lock lock(owner_.mutex_);
    address = owner_.s_.port_address;
  }
  if (access.offset == 0) {
    return truncate_to(address, access.size);
  }
  return access.offset == 4 && access.size == 4 ? owner_.read_register(address & ~3U) : 0;
}

void E1000::Ports::io_write(IoAccess access, uint64_t value) {
  if (access.size != 4) {
    return;
  }
  uint32_t address = 0;
  {
    const Lock lock(owner_.mutex_);
    if (access.offset == 0) {
      owner_.s_.port_address = static_cast<uint32_t>(value);
    }
    address = owner_.s_.port_address;
  }
  if (access.offset == 4) {
    owner_.write_register(address & ~3U, static_cast<uint32_t>(value));
  }
}

}  // namespace lodge
