#include "devices/floppy/isa_dma.h"

#include <algorithm>

namespace lodge {
namespace {

constexpr size_t kChips = 2;
constexpr size_t kChipChannels = 4;
constexpr uint16_t kBytePorts = 0x00;
constexpr uint16_t kWordPorts = 0xC0;  // two apart
constexpr uint16_t kPagePorts = 0x81;
constexpr uint64_t kRegisters = 16;
constexpr uint64_t kPages = 15;
constexpr uint64_t kPageBytes = 0x10000;

// Registers of a chip beyond the channels' (8237A, figure 6).
enum Register : uint8_t {
  kCommand = 8,  // read: status
  kRequest = 9,
  kMask = 10,
  kMode = 11,
  kClearFlipFlop = 12,
  kMasterClear = 13,  // read: temporary
  kClearMask = 14,
  kAllMask = 15,
};

constexpr uint8_t kDisabled = 0x04;  // command
constexpr uint8_t kAutoInitialize = 0x10;
constexpr uint8_t kDecrement = 0x20;
constexpr uint8_t kCascade = 0xC0;
constexpr uint8_t kChannelsMask = 0x0F;

// Channel of each page register; 8: none.
constexpr std::array<uint8_t, kPages> kPageOwner{2, 3, 1, 8, 8, 8, 0, 8, 6, 7, 5, 8, 8, 8, 4};

constexpr uint8_t bit(size_t n) { return static_cast<uint8_t>(1U << n); }

uint16_t with_byte(uint16_t word, bool high, uint8_t value) {
  return high ? static_cast<uint16_t>((word & 0x00FF) | (value << 8)) : static_cast<uint16_t>((word & 0xFF00) | value);
}

}  // namespace

Result<std::unique_ptr<IsaDma>> IsaDma::create(const DeviceEnv& env, const IsaDmaState* saved) {
  std::unique_ptr<IsaDma> self(new IsaDma(env));
  if (saved != nullptr) {
    if (saved->channels.size() != kChips * kChipChannels) {
      return fail("saved DMA controllers have {} channels", saved->channels.size());
    }
    const Lock lock(self->mutex_);
    self->state_ = *saved;
  }
  self->mappings_[0] = TRY(env.pio.add(kBytePorts, kRegisters, "dma0", unowned(self->ports_[0])));
  self->mappings_[1] = TRY(env.pio.add(kWordPorts, 2 * kRegisters, "dma0", unowned(self->ports_[1])));
  self->mappings_[2] = TRY(env.pio.add(kPagePorts, kPages, "dma0", unowned(self->ports_[2])));
  return self;
}

IsaDmaState IsaDma::state() const {
  const Lock lock(mutex_);
  return state_;
}

void IsaDma::reset() {
  const Lock lock(mutex_);
  state_ = {};
}

bool IsaDma::moves(size_t channel) const {
  return (state_.command[0] & kDisabled) == 0 && (state_.masked[0] & bit(channel)) == 0 &&
         (state_.channels[channel].mode & kCascade) != kCascade;
}

uint32_t IsaDma::left(size_t channel) const {
  const Lock lock(mutex_);
  return moves(channel) ? uint32_t{state_.channels.at(channel).count} + 1 : 0;
}

// `copy(at, offset, bytes)` for each piece that is contiguous in memory: addresses stay within their page of 64 KiB.
template <class Copy>
IsaDma::Moved IsaDma::move(size_t channel, Way way, size_t bytes, const Copy& copy) {
  const Lock lock(mutex_);
  IsaDmaChannelState& c = state_.channels.at(channel);
  const auto programmed = static_cast<Way>((c.mode >> 2) & 3);
  if (!moves(channel) || (programmed != way && programmed != Way::verify)) {
    return {};
  }
  const bool down = (c.mode & kDecrement) != 0;
  Moved moved;
  while (moved.bytes < bytes && !moved.ended) {
    const uint64_t in_page = down ? 1 : kPageBytes - c.address;
    const auto take =
        static_cast<size_t>(std::min({static_cast<uint64_t>(bytes - moved.bytes), uint64_t{c.count} + 1, in_page}));
    if (programmed != Way::verify) {
      copy(Gpa{uint64_t{c.page} << 16 | c.address}, moved.bytes, take);
    }
    moved.bytes += take;
    c.address = static_cast<uint16_t>(down ? c.address - take : c.address + take);
    moved.ended = take == size_t{c.count} + 1;
    c.count = static_cast<uint16_t>(c.count - take);
  }
  if (moved.ended) {
    state_.reached[0] |= bit(channel);
    if ((c.mode & kAutoInitialize) != 0) {
      c.address = c.base_address;
      c.count = c.base_count;
    } else {
      state_.masked[0] |= bit(channel);
    }
  }
  return moved;
}

IsaDma::Moved IsaDma::to_memory(size_t channel, std::span<const std::byte> data) {
  return move(channel, Way::to_memory, data.size(), [this, data](Gpa at, size_t offset, size_t bytes) {
    (void)env_.memory.write_bytes(at, data.subspan(offset, bytes));
  });
}

IsaDma::Moved IsaDma::from_memory(size_t channel, std::span<std::byte> data) {
  return move(channel, Way::from_memory, data.size(), [this, data](Gpa at, size_t offset, size_t bytes) {
    const auto part = data.subspan(offset, bytes);
    if (!env_.memory.read_bytes(at, part)) {
      std::ranges::fill(part, std::byte{0xFF});
    }
  });
}

uint8_t IsaDma::read_chip(size_t chip, uint64_t reg) {
  const Lock lock(mutex_);
  if (reg < 2 * kChipChannels) {
    const IsaDmaChannelState& channel = state_.channels[chip * kChipChannels + reg / 2];
    const uint16_t word = (reg & 1) != 0 ? channel.count : channel.address;
    const bool high = std::exchange(state_.high_byte.at(chip), !state_.high_byte.at(chip));
    return static_cast<uint8_t>(high ? word >> 8 : word);
  }
  switch (reg) {
    case kCommand: return std::exchange(state_.reached.at(chip), 0);
    case kAllMask: return state_.masked.at(chip);
    default: return 0;
  }
}

void IsaDma::write_channel(size_t chip, uint64_t reg, uint8_t value) {
  IsaDmaChannelState& channel = state_.channels[chip * kChipChannels + reg / 2];
  const bool high = std::exchange(state_.high_byte.at(chip), !state_.high_byte.at(chip));
  if ((reg & 1) != 0) {
    channel.count = channel.base_count = with_byte(channel.base_count, high, value);
  } else {
    channel.address = channel.base_address = with_byte(channel.base_address, high, value);
  }
}

void IsaDma::clear(size_t chip) {
  state_.command.at(chip) = 0;
  state_.reached.at(chip) = 0;
  state_.high_byte.at(chip) = false;
  state_.masked.at(chip) = kChannelsMask;
}

void IsaDma::write_control(size_t chip, uint64_t reg, uint8_t value) {
  uint8_t& masked = state_.masked.at(chip);
  switch (reg) {
    case kCommand: state_.command.at(chip) = value; break;
    case kMask: masked = static_cast<uint8_t>((value & 4) != 0 ? masked | bit(value & 3) : masked & ~bit(value & 3)); break;
    case kMode: state_.channels[chip * kChipChannels + (value & 3)].mode = value; break;
    case kClearFlipFlop: state_.high_byte.at(chip) = false; break;
    case kMasterClear: clear(chip); break;
    case kClearMask: masked = 0; break;
    case kAllMask: masked = value & kChannelsMask; break;
    default: break;  // requests by software are for memory to memory
  }
}

void IsaDma::write_chip(size_t chip, uint64_t reg, uint8_t value) {
  std::array<bool, kChannels> now{};
  {
    const Lock lock(mutex_);
    std::array<bool, kChannels> before{};
    for (size_t i = 0; i < kChannels; ++i) {
      before[i] = moves(i);
    }
    if (reg < 2 * kChipChannels) {
      write_channel(chip, reg, value);
    } else {
      write_control(chip, reg, value);
    }
    for (size_t i = 0; i < kChannels; ++i) {
      now[i] = moves(i) && !before[i];
    }
  }
  for (size_t i = 0; i < kChannels; ++i) {
    if (now[i] && ready_[i]) {
      ready_[i]();
    }
  }
}

uint8_t& IsaDma::page(uint64_t port) {
  const uint8_t owner = kPageOwner.at(port);
  return owner < state_.channels.size() ? state_.channels[owner].page : state_.pages.at(port);
}

uint64_t IsaDma::Ports::io_read(IoAccess access) {
  uint64_t value = 0;
  for (size_t i = 0; i < access.size; ++i) {
    const uint64_t port = access.offset + i;
    uint8_t byte = 0;
    switch (row_) {
      case Row::bytes: byte = owner_.read_chip(0, port); break;
      case Row::words: byte = owner_.read_chip(1, port / 2); break;
      case Row::pages: {
        const Lock lock(owner_.mutex_);
        byte = owner_.page(port);
        break;
      }
    }
    value |= uint64_t{byte} << (8 * i);
  }
  return value;
}

void IsaDma::Ports::io_write(IoAccess access, uint64_t value) {
  for (size_t i = 0; i < access.size; ++i) {
    const uint64_t port = access.offset + i;
    const auto byte = static_cast<uint8_t>(value >> (8 * i));
    switch (row_) {
      case Row::bytes: owner_.write_chip(0, port, byte); break;
      case Row::words: owner_.write_chip(1, port / 2, byte); break;
      case Row::pages: {
        const Lock lock(owner_.mutex_);
        owner_.page(port) = byte;
        break;
      }
    }
  }
}

}  // namespace lodge
