// The commands of an ATA disk (ATA/ATAPI-6).
#include <algorithm>

#include "base/units.h"
#include "devices/ide/drive.h"

namespace lodge {

using namespace ide;  // NOLINT(google-build-using-namespace): the names of the documents

namespace {

constexpr uint64_t kLba28Sectors = 1U << 28;
constexpr uint8_t kAddressMask = 0x0F;
constexpr uint8_t kPowerActive = 0xFF;
constexpr uint8_t kSmartMid = 0x4F;
constexpr uint8_t kSmartHigh = 0xC2;

void seal(std::vector<uint8_t>& page) {
  unsigned sum = 0;
  for (size_t i = 0; i + 1 < page.size(); ++i) {
    sum += page[i];
  }
  page.back() = static_cast<uint8_t>(0x100 - (sum & 0xFF));
}

}  // namespace

std::optional<IdeDrive::Transfer> IdeDrive::transfer_of(uint8_t code) {
  switch (code) {
    case kCmdReadSectors:
    case kCmdReadSectorsNoRetry: return Transfer{.to_host = true};
    case kCmdReadSectorsExt: return Transfer{.to_host = true, .ext = true};
    case kCmdReadMultiple: return Transfer{.to_host = true, .multiple = true};
    case kCmdReadMultipleExt: return Transfer{.to_host = true, .ext = true, .multiple = true};
    case kCmdReadDma:
    case kCmdReadDmaNoRetry: return Transfer{.to_host = true, .dma = true};
    case kCmdReadDmaExt: return Transfer{.to_host = true, .dma = true, .ext = true};
    case kCmdWriteSectors:
    case kCmdWriteSectorsNoRetry: return Transfer{.to_host = false};
    case kCmdWriteSectorsExt: return Transfer{.to_host = false, .ext = true};
    case kCmdWriteMultiple: return Transfer{.to_host = false, .multiple = true};
    case kCmdWriteMultipleExt: return Transfer{.to_host = false, .ext = true, .multiple = true};
    case kCmdWriteMultipleFuaExt: return Transfer{.to_host = false, .ext = true, .multiple = true, .durable = true};
    case kCmdWriteDma:
    case kCmdWriteDmaNoRetry: return Transfer{.to_host = false, .dma = true};
    case kCmdWriteDmaExt: return Transfer{.to_host = false, .dma = true, .ext = true};
    case kCmdWriteDmaFuaExt: return Transfer{.to_host = false, .dma = true, .ext = true, .durable = true};
    default: return std::nullopt;
  }
}

void IdeDrive::ata_command(uint8_t code) {
  if (const auto what = transfer_of(code)) {
    transfer(*what);
    return;
  }
  if ((code & 0xF0) == 0x10 || (code & 0xF0) == 0x70) {  // recalibrate, seek
    succeed();
    return;
  }
  switch (code) {
    case kCmdReadVerify:
    case kCmdReadVerifyNoRetry: verify(false); return;
    case kCmdReadVerifyExt: verify(true); return;
    case kCmdInitializeParameters:
      s_.heads = static_cast<uint8_t>((s_.device & kAddressMask) + 1);
      s_.sectors = s_.task.count != 0 ? s_.task.count : uint8_t{63};
      succeed();
      return;
    case kCmdSmart: smart(); return;
    case kCmdSetMultiple: set_multiple(); return;
    case kCmdCheckPower: s_.task.count = kPowerActive; [[fallthrough]];
    case kCmdStandbyImmediate:
    case kCmdIdleImmediate:
    case kCmdStandby:
    case kCmdIdle:
    case kCmdSleep: succeed(); return;
    case kCmdFlush:
    case kCmdFlushExt:
      s_.phase = IdePhase::flush;
      s_.status = kBsy;
      return;
    case kCmdIdentify:
      s_.block = kSector;
      present(identify_disk());
      return;
    case kCmdSetFeatures: set_features(); return;
    case kCmdReadNativeMax:
      set_address(std::min(sectors(), kLba28Sectors) - 1, false);
      succeed();
      return;
    case kCmdReadNativeMaxExt:
      set_address(sectors() - 1, true);
      succeed();
      return;
    default: abort(kAborted); return;
  }
}

void IdeDrive::transfer(const Transfer& what) {
  if (what.multiple && s_.multiple == 0) {
    abort(kAborted);
    return;
  }
  const auto where = extent(what.ext);
  if (!where) {
    abort(kIdNotFound);
    return;
  }
  s_.block = what.multiple ? s_.multiple * kSector : kSector;
  s_.durable = what.durable;
  move_sectors(what.to_host, what.dma, where->position, where->count);
}

void IdeDrive::verify(bool ext) {
  if (extent(ext)) {
    succeed();
  } else {
    abort(kIdNotFound);
  }
}

// What the registers say; nothing when it goes beyond the disk.
std::optional<IdeDrive::Extent> IdeDrive::extent(bool ext) const {
  Extent where;
  const auto high = [](uint8_t low, uint8_t mid, uint8_t top) { return low | uint64_t{mid} << 8 | uint64_t{top} << 16; };
  where.position = high(s_.task.low, s_.task.mid, s_.task.high);
  if (ext) {
    where.position |= high(s_.previous.low, s_.previous.mid, s_.previous.high) << 24;
    where.count = s_.task.count | uint32_t{s_.previous.count} << 8;
    where.count = where.count != 0 ? where.count : kMaxSectors;
  } else {
    where.count = s_.task.count != 0 ? s_.task.count : 256;
    if ((s_.device & kDeviceLba) != 0) {
      where.position |= static_cast<uint64_t>(s_.device & kAddressMask) << 24;
    } else {
      const uint64_t cylinder = s_.task.mid | unsigned{s_.task.high} << 8;
      const uint64_t head = static_cast<uint8_t>(s_.device & kAddressMask);
      if (s_.task.low == 0 || s_.task.low > s_.sectors || head >= s_.heads) {
        return std::nullopt;
      }
      where.position = (cylinder * s_.heads + head) * s_.sectors + s_.task.low - 1;
    }
  }
  if (!range_fits(where.position, where.count, sectors())) {
    return std::nullopt;
  }
  return where;
}

void IdeDrive::set_address(uint64_t position, bool ext) {
  s_.task.low = static_cast<uint8_t>(position);
  s_.task.mid = static_cast<uint8_t>(position >> 8);
  s_.task.high = static_cast<uint8_t>(position >> 16);
  if (ext) {
    s_.previous.low = static_cast<uint8_t>(position >> 24);
    s_.previous.mid = static_cast<uint8_t>(position >> 32);
    s_.previous.high = static_cast<uint8_t>(position >> 40);
  } else {
    s_.device = static_cast<uint8_t>((s_.device & 0xF0) | ((position >> 24) & kAddressMask));
  }
}

void IdeDrive::set_features() {
  enum Feature : uint8_t {
    kWriteCacheOn = 0x02,
    kTransferMode = 0x03,
    kNoLookAhead = 0x55,
    kKeepSettings = 0x66,
    kWriteCacheOff = 0x82,
    kLookAhead = 0xAA,
    kRevertSettings = 0xCC,
  };
  switch (s_.task.feature) {
    case kWriteCacheOn:
      s_.write_cache = true;
      succeed();
      return;
    case kWriteCacheOff:
      s_.write_cache = false;
      if (options_.cdrom) {
        succeed();
        return;
      }
      s_.phase = IdePhase::flush;
      s_.status = kBsy;
      return;
    case kTransferMode: {
      const uint8_t kind = s_.task.count >> 3;  // 0, 1: PIO; 4: multiword DMA; 8: Ultra DMA
      const uint8_t mode = s_.task.count & 7;
      const bool known =
          kind == 0 ? mode <= 1 : (kind == 1 && mode <= 4) || (kind == 4 && mode <= 2) || (kind == 8 && mode <= 5);
      if (!known) {
        abort(kAborted);
        return;
      }
      s_.transfer_mode = s_.task.count;
      succeed();
      return;
    }
    case kNoLookAhead:
    case kKeepSettings:
    case kLookAhead:
    case kRevertSettings: succeed(); return;
    default: abort(kAborted); return;
  }
}

void IdeDrive::set_multiple() {
  const uint8_t count = s_.task.count;
  if (count > kMostMultiple || (count & (count - 1)) != 0) {
    abort(kAborted);
    return;
  }
  s_.multiple = count;
  succeed();
}

// A disk that is well and has nothing to report.
void IdeDrive::smart() {
  enum Subcommand : uint8_t {
    kReadData = 0xD0,
    kReadThresholds = 0xD1,
    kAutosave = 0xD2,
    kSave = 0xD3,
    kOffline = 0xD4,
    kReadLog = 0xD5,
    kEnable = 0xD8,
    kDisable = 0xD9,
    kStatusAsked = 0xDA,
  };
  const uint8_t what = s_.task.feature;
  if (s_.task.mid != kSmartMid || s_.task.high != kSmartHigh || (!s_.smart && what != kEnable)) {
    abort(kAborted);
    return;
  }
  std::vector<uint8_t> page(kSector);
  switch (what) {
    case kReadData:
      page[0] = 0x10;    // revision
      page[362] = 0x02;  // the last offline collection completed
      page[368] = 0x03;  // what can be executed: SMART READ DATA and autosave
      page[372] = 1;     // minutes that a short self-test is said to take
      break;
    case kReadThresholds: page[0] = 0x10; break;
    case kReadLog:
      if (s_.task.low > 1) {
        abort(kAborted);
        return;
      }
      page[0] = 1;  // directory: version; error log: no entries
      break;
    case kEnable:
    case kDisable: s_.smart = what == kEnable; [[fallthrough]];
    case kAutosave:
    case kSave:
    case kOffline:
    case kStatusAsked:  // the address stays as it is: no threshold was passed
      succeed();
      return;
    default: abort(kAborted); return;
  }
  if (what != kReadLog || s_.task.low != 0) {
    seal(page);
  }
  s_.block = kSector;
  present(std::move(page));
}

}  // namespace lodge
