#include "vmm/machine/firmware_map.h"

#include <algorithm>

#include "base/log.h"
#include "vmm/boot/layout.h"

namespace lodge {
namespace {

constexpr uint64_t kScreen = 0xA'0000;
constexpr uint64_t kShadow = 0xC'0000;  // what the PAM registers are about begins here
constexpr uint64_t kLastSegment = 0xF'0000;
constexpr uint64_t kSegment = 16 * kKiB;
constexpr uint64_t kEnd = kHighMemoryStart;
constexpr uint64_t kBiosWindow = 128 * kKiB;
constexpr uint64_t kBiosUnit = 64 * kKiB;
constexpr uint64_t kUefiUnit = 4 * kKiB;
constexpr uint64_t kMaxRom = 8 * kMiB;
constexpr uint32_t kFirstPieceSlot = 8;  // the first ones are RAM and ROM
constexpr uint32_t kPieceSlots = 16;
constexpr uint64_t kEntryBeforeEnd = 16;  // where a processor starts

size_t segment_at(uint64_t address) {
  return address >= kLastSegment ? ShadowMap::kSegments - 1 : (address - kShadow) / kSegment;
}

}  // namespace

Result<std::unique_ptr<FirmwareMap>> FirmwareMap::create(FirmwareKind kind, MappedFile rom, KvmVm& vm,
                                                         const GuestMemory& memory, Bus& mmio) {
  const bool uefi = kind == FirmwareKind::uefi;
  const uint64_t unit = uefi ? kUefiUnit : kBiosUnit;
  const auto bytes = rom.bytes();
  if (bytes.size() < kBiosWindow || bytes.size() > kMaxRom || bytes.size() % unit != 0) {
    return fail("it has {} bytes, which is no size of {} image; give one of 128 KiB to 8 MiB in steps of {} KiB",
                bytes.size(), uefi ? "a UEFI" : "a BIOS", unit / kKiB);
  }
  const auto entry = std::to_integer<uint8_t>(bytes[bytes.size() - kEntryBeforeEnd]);
  constexpr uint8_t kFarJump = 0xEA;
  constexpr uint8_t kNearJump = 0xE9;
  constexpr uint8_t kNop = 0x90;
  if (entry != kFarJump && entry != kNearJump && entry != kNop) {
    return fail("there is no code where a processor starts (16 bytes before its end); it is not {} image",
                uefi ? "a UEFI" : "a BIOS");
  }
  if (vm.kvm().capability(KVM_CAP_READONLY_MEM) <= 0) {
    return fail("this host's KVM has no read-only memory; a newer kernel has");
  }
  std::unique_ptr<FirmwareMap> self(new FirmwareMap(uefi ? 0 : kBiosWindow, std::move(rom), vm, memory));
  for (uint32_t i = 0; i < kPieceSlots; ++i) {
    self->free_slots_.push_back(kFirstPieceSlot + i);
  }
  self->mapping_ = TRY(mmio.add(kShadow, kEnd - kShadow, "firmware", unowned(*self)));
  return self;
}

Result<void> FirmwareMap::map() {
  uint32_t slot = 0;
  for (const MemoryRegion& region : memory_.regions()) {
    if (region.base.value != 0) {
      TRY_VOID(vm_.set_slot({slot++, region.base, region.size, region.host, false}));
      continue;
    }
    TRY_VOID(vm_.set_slot({slot++, region.base, kScreen, region.host, false}));
    TRY_VOID(vm_.set_slot({slot++, Gpa{kEnd}, region.size - kEnd, region.host + kEnd, false}));
  }
  const auto bytes = rom_.bytes();
  return vm_.set_slot({slot, Gpa{4 * kGiB - bytes.size()}, bytes.size(), bytes.data(), true});
}

// Neighbours with the same backing make one piece.
std::vector<FirmwareMap::Piece> FirmwareMap::pieces_of(const ShadowMap& shadow) const {
  std::vector<Piece> pieces;
  const auto add = [&pieces](uint64_t base, uint64_t size, Backing backing) {
    if (backing == Backing::none) {
      return;
    }
    if (!pieces.empty() && pieces.back().backing == backing && pieces.back().base + pieces.back().size == base) {
      pieces.back().size += size;
    } else {
      pieces.push_back({base, size, backing});
    }
  };
  add(kScreen, kShadow - kScreen, shadow.smram_open ? Backing::ram : Backing::none);
  for (uint64_t base = kShadow; base < kEnd; base += base < kLastSegment ? kSegment : kEnd - kLastSegment) {
    const uint8_t segment = shadow.segments[segment_at(base)];
    Backing backing = base >= kEnd - window_ ? Backing::rom : Backing::none;
    if ((segment & ShadowMap::kRead) != 0) {
      backing = (segment & ShadowMap::kWrite) != 0 ? Backing::ram : Backing::ram_read_only;
    }
    add(base, base < kLastSegment ? kSegment : kEnd - kLastSegment, backing);
  }
  return pieces;
}

void* FirmwareMap::host_of(const Piece& piece) const {
  if (piece.backing == Backing::rom) {
    const auto bytes = rom_.bytes();
    return const_cast<std::byte*>(bytes.data() + (bytes.size() - (kEnd - piece.base)));  // mapped read-only
  }
  return memory_.regions().front().host + piece.base;
}

bool FirmwareMap::map(Piece& piece) {
  if (free_slots_.empty()) {
    log_error("firmware", "no memory slot is left for {:#x}", piece.base);
    return false;
  }
  piece.slot = free_slots_.back();
  free_slots_.pop_back();
  const bool read_only = piece.backing != Backing::ram;
  if (const auto outcome = vm_.set_slot({piece.slot, Gpa{piece.base}, piece.size, host_of(piece), read_only}); !outcome) {
    log_error("firmware", "{}", outcome.error().message);
    free_slots_.push_back(piece.slot);
    return false;
  }
  return true;
}

void FirmwareMap::unmap(const Piece& piece) const {
  if (const auto outcome = vm_.set_slot({piece.slot, Gpa{piece.base}, 0, nullptr, false}); !outcome) {
    log_error("firmware", "{}", outcome.error().message);
  }
}

void FirmwareMap::apply(const ShadowMap& shadow) {
  for (size_t i = 0; i < segments_.size(); ++i) {
    segments_[i].store(shadow.segments[i], std::memory_order_relaxed);
  }
  std::vector<Piece> wanted = pieces_of(shadow);
  for (const Piece& piece : pieces_) {
    const auto it = std::ranges::find_if(wanted, [&piece](const Piece& other) { return other.same(piece); });
    if (it != wanted.end()) {
      it->slot = piece.slot;
    } else {
      unmap(piece);
      free_slots_.push_back(piece.slot);
    }
  }
  std::erase_if(wanted, [this](Piece& piece) { return piece.slot == 0 && !map(piece); });
  pieces_ = std::move(wanted);
}

// Here come accesses to what no slot has, and writes to what is read-only.
uint64_t FirmwareMap::io_read(IoAccess access) {
  uint64_t value = truncate_to(UINT64_MAX, access.size);
  const uint64_t address = kShadow + access.offset;
  if (address >= kEnd - window_ && (segments_[segment_at(address)].load() & ShadowMap::kRead) == 0) {
    value = 0;
    const auto bytes = rom_.bytes();
    for (uint64_t i = 0; i < access.size; ++i) {  // between two maps
      value |= std::to_integer<uint64_t>(bytes[bytes.size() - (kEnd - address) + i]) << (8 * i);
    }
  }
  return value;
}

void FirmwareMap::io_write(IoAccess access, uint64_t value) {
  for (uint64_t i = 0; i < access.size; ++i) {
    const uint64_t address = kShadow + access.offset + i;
    if ((segments_[segment_at(address)].load() & ShadowMap::kWrite) != 0) {
      (void)memory_.write(Gpa{address}, static_cast<uint8_t>(value >> (8 * i)));
    }
  }
}

}  // namespace lodge
