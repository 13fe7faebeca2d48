#include "devices/legacy/vmcoreinfo/device.h"

#include <algorithm>
#include <array>

#include "base/bytes.h"

namespace lodge {
namespace {

constexpr size_t kGuestFormat = 2;  // offsets in the file
constexpr size_t kNoteSize = 4;
constexpr size_t kNoteAddress = 8;

using File = std::array<std::byte, VmCoreInfo::kFileSize>;

void put(File& file, size_t at, auto value) { std::ranges::copy(bytes_of(value), std::span(file).subspan(at).begin()); }

File file_of(const VmCoreInfoState& state) {
  File file{};
  put(file, 0, state.host_format);
  put(file, kGuestFormat, state.guest_format);
  put(file, kNoteSize, state.size);
  put(file, kNoteAddress, state.address);
  return file;
}

}  // namespace

Result<std::unique_ptr<VmCoreInfo>> VmCoreInfo::create(const DeviceEnv& env, const StateReader* saved) {
  std::unique_ptr<VmCoreInfo> self(new VmCoreInfo(env));
  if (saved != nullptr) {
    const auto state = TRY(saved->get<VmCoreInfoState>("vmcoreinfo0"));
    const Lock lock(self->mutex_);
    self->state_ = state;  // note() checks it
  }
  return self;
}

std::optional<VmCoreInfo::Note> VmCoreInfo::note() const {
  VmCoreInfoState state;
  {
    const Lock lock(mutex_);
    state = state_;
  }
  const bool good = state.guest_format == kElf && state.size != 0 && state.size <= kMaxNote &&
                    memory_.iovec_for(Gpa{state.address}, state.size).iov_base != nullptr;
  return good ? std::optional(Note{state.address, state.size}) : std::nullopt;
}

void VmCoreInfo::save(StateWriter& out) const {
  const Lock lock(mutex_);
  out.put("vmcoreinfo0", state_);
}

void VmCoreInfo::reset() {
  const Lock lock(mutex_);
  state_ = {};
}

void VmCoreInfo::read(std::span<std::byte> whole) const {
  File file{};
  {
    const Lock lock(mutex_);
    file = file_of(state_);
  }
  std::ranges::copy(std::span(file).first(whole.size()), whole.begin());
}

void VmCoreInfo::write(size_t offset, std::span<const std::byte> part) {
  VmCoreInfoState state;
  {
    const Lock lock(mutex_);
    File file = file_of(state_);
    std::ranges::copy(part, std::span(file).subspan(offset).begin());
    state_.host_format = load_le<uint16_t>(file, 0);
    state_.guest_format = load_le<uint16_t>(file, kGuestFormat);
    state_.size = load_le<uint32_t>(file, kNoteSize);
    state_.address = load_le<uint64_t>(file, kNoteAddress);
    state = state_;
  }
  if (state.guest_format != 0 && !note()) {
    guest_warning(warnings_, "vmcoreinfo0", "the guest's note of format {}, {} bytes at {:#x}, is no ELF note in its memory",
                  state.guest_format, state.size, state.address);
  }
}

}  // namespace lodge
