#include "devices/legacy/fw_cfg/device.h"

#include <algorithm>
#include <array>

#include "base/units.h"

namespace lodge {
namespace {

constexpr uint64_t kDmaSignature = 0x51454D5520434647;  // "QEMU CFG"
constexpr uint64_t kDmaLow = FwCfg::kDma + 4;

// A request: control, length, address, all big-endian.
constexpr uint64_t kRequestSize = 16;
constexpr uint32_t kError = 1;  // in control
constexpr uint32_t kRead = 2;
constexpr uint32_t kSkip = 4;
constexpr uint32_t kSelect = 8;
constexpr uint32_t kWrite = 16;
constexpr uint64_t kZerosBehind = kPageSize;  // past an item's end

uint64_t swap(uint64_t value, size_t size) { return __builtin_bswap64(value) >> (64 - 8 * size); }

// The bytes of an item. What may change meanwhile is copied.
class ItemBytes {
 public:
  ItemBytes(const FwCfgItems& items, uint16_t key) : bytes_(items.find(key)) {
    if (const FwCfgFile* const file = items.find_file(key)) {
      const auto whole = std::span(copy_).first(std::min(file->size(), copy_.size()));
      file->read(whole);
      bytes_ = whole;
    }
  }
  ItemBytes(const ItemBytes&) = delete;
  ItemBytes& operator=(const ItemBytes&) = delete;
  [[nodiscard]] std::span<const std::byte> get() const { return bytes_; }

 private:
  std::array<std::byte, FwCfgFile::kMaxSize> copy_{};
  std::span<const std::byte> bytes_;
};

}  // namespace

Result<std::unique_ptr<FwCfg>> FwCfg::create(const DeviceEnv& env, const StateReader* saved) {
  std::unique_ptr<FwCfg> self(new FwCfg(env));
  if (saved != nullptr) {
    const auto state = TRY(saved->get<FwCfgState>("fw-cfg"));
    const Lock lock(self->mutex_);
    self->state_ = state;
  }
  self->mapping_ = TRY(env.pio.add(kPort, kPorts, "fw-cfg", unowned(*self)));
  return self;
}

void FwCfg::offer(FwCfgItems items) {
  items.finish();
  const Lock lock(mutex_);
  items_ = std::make_shared<const FwCfgItems>(std::move(items));
}

uint64_t FwCfg::io_read(IoAccess access) {
  if (access.offset >= kDma) {  // the register shows that it is there
    const uint64_t shift = 8 * (access.offset - kDma);
    return access.size > 8 - (access.offset - kDma) ? 0
                                                    : swap((kDmaSignature << shift) >> (64 - 8 * access.size), access.size);
  }
  if (access.offset != kData || access.size != 1) {
    return 0;
  }
  const Lock lock(mutex_);
  const ItemBytes bytes(*items_, state_.selected);
  const auto item = bytes.get();
  return state_.offset < item.size() ? std::to_integer<uint64_t>(item[state_.offset++]) : 0;
}

void FwCfg::io_write(IoAccess access, uint64_t value) {
  uint64_t request = 0;
  {
    const Lock lock(mutex_);
    if (access.offset == 0 && access.size == 2) {
      state_.selected = static_cast<uint16_t>(value);
      state_.offset = 0;
      return;
    }
    if (access.offset == kDma && access.size == 8) {
      request = swap(value, 8);
    } else if (access.offset == kDma && access.size == 4) {
      state_.dma_high = static_cast<uint32_t>(swap(value, 4));
      return;
    } else if (access.offset == kDmaLow && access.size == 4) {
      request = uint64_t{state_.dma_high} << 32 | swap(value, 4);
    } else {
      return;
    }
    state_.dma_high = 0;
  }
  transfer(Gpa{request});
}

void FwCfg::transfer(Gpa request) {
  std::array<std::byte, kRequestSize> raw{};
  if (!memory_.read_bytes(request, raw)) {
    guest_warning(warnings_, "fw-cfg", "a request at {:#x} is not in memory", request.value);
    return;
  }
  const auto control = static_cast<uint32_t>(swap(load_le<uint32_t>(raw, 0), 4));
  const auto length = static_cast<uint32_t>(swap(load_le<uint32_t>(raw, 4), 4));
  const uint64_t address = swap(load_le<uint64_t>(raw, 8), 8);
  std::shared_ptr<const FwCfgItems> items;
  {
    const Lock lock(mutex_);
    items = items_;
    if ((control & kSelect) != 0) {
      state_.selected = static_cast<uint16_t>(control >> 16);
      state_.offset = 0;
    }
    if ((control & (kRead | kSkip | kWrite)) == kSkip) {
      const uint64_t end = ItemBytes(*items, state_.selected).get().size();
      state_.offset = static_cast<uint32_t>(std::min(end, uint64_t{state_.offset} + length));
    }
  }
  bool good = true;
  if ((control & kRead) != 0) {
    good = read_item(*items, address, length);
  } else if ((control & kWrite) != 0) {
    good = write_item(*items, address, length);
  }
  const auto answer = static_cast<uint32_t>(swap(good ? 0 : kError, 4));
  if (!memory_.write(request, answer)) {
    guest_warning(warnings_, "fw-cfg", "the answer at {:#x} cannot be written", request.value);
  }
}

bool FwCfg::read_item(const FwCfgItems& items, uint64_t to, uint32_t length) {
  uint16_t key = 0;
  {
    const Lock lock(mutex_);
    key = state_.selected;
  }
  const ItemBytes bytes(items, key);
  std::span<const std::byte> part;
  {
    const Lock lock(mutex_);
    const auto item = bytes.get();
    const size_t from = std::min<size_t>(state_.offset, item.size());
    part = item.subspan(from, std::min<size_t>(length, item.size() - from));
    state_.offset = static_cast<uint32_t>(from + part.size());
  }
  const uint64_t behind = length - part.size();
  if (behind > kZerosBehind || !checked_add(to, length)) {
    guest_warning(warnings_, "fw-cfg", "{} bytes are wanted of an item that has {} more", length, part.size());
    return false;
  }
  return (part.empty() || memory_.write_bytes(Gpa{to}, part)) &&
         (behind == 0 || memory_.fill(Gpa{to + part.size()}, behind, std::byte{0}));
}

// Only whole: what does not fit into the file is refused.
bool FwCfg::write_item(const FwCfgItems& items, uint64_t from, uint32_t length) {
  FwCfgFile* file = nullptr;
  size_t offset = 0;
  {
    const Lock lock(mutex_);
    file = items.find_file(state_.selected);
    offset = state_.offset;
    if (file == nullptr || !range_fits(offset, length, std::min(file->size(), FwCfgFile::kMaxSize))) {
      return false;
    }
    state_.offset = static_cast<uint32_t>(offset + length);
  }
  std::array<std::byte, FwCfgFile::kMaxSize> raw{};
  const auto part = std::span(raw).first(length);
  if (!memory_.read_bytes(Gpa{from}, part)) {
    guest_warning(warnings_, "fw-cfg", "{} bytes at {:#x}, which are to be written, are not in memory", length, from);
    return false;
  }
  file->write(offset, part);
  return true;
}

void FwCfg::save(StateWriter& out) const {
  const Lock lock(mutex_);
  out.put("fw-cfg", state_);
}

void FwCfg::reset() {
  const Lock lock(mutex_);
  state_ = {};
}

}  // namespace lodge
