#include "devices/legacy/vmgenid/device.h"

#include <algorithm>

#include "base/bytes.h"

namespace lodge {

Result<std::unique_ptr<VmGenId>> VmGenId::create(Options options, const DeviceEnv& env, const StateReader* saved) {
  std::unique_ptr<VmGenId> self(new VmGenId(std::move(options), env));
  if (saved == nullptr) {
    return self;
  }
  const auto state = TRY(saved->get<VmGenIdState>("vmgenid0"));
  const bool changed = state.id != self->options_.id;
  const Lock lock(self->mutex_);
  self->address_ = state.address;
  self->untold_ = state.untold || changed;
  if (self->placed() && changed) {
    TRY_VOID(env.memory.write_bytes(Gpa{state.address}, std::as_bytes(std::span(self->options_.id))));
  }
  return self;
}

bool VmGenId::fits(uint64_t address) const {
  constexpr uint64_t kAlignment = 8;
  return address % kAlignment == 0 && memory_.iovec_for(Gpa{address}, sizeof(Id)).iov_base != nullptr;
}

bool VmGenId::placed() const { return address_ != 0 && fits(address_); }

Result<void> VmGenId::place(Gpa address) {
  if (!fits(address.value)) {
    return fail("the generation ID cannot lie at {:#x}: that is no RAM", address.value);
  }
  const Lock lock(mutex_);
  address_ = address.value;
  return memory_.write_bytes(address, std::as_bytes(std::span(options_.id)));
}

uint64_t VmGenId::address() const {
  const Lock lock(mutex_);
  return placed() ? address_ : 0;
}

void VmGenId::resume() {
  bool tell = false;
  {
    const Lock lock(mutex_);
    tell = std::exchange(untold_, false) && placed();
  }
  if (tell) {
    options_.announce();
  }
}

void VmGenId::save(StateWriter& out) const {
  const Lock lock(mutex_);
  out.put("vmgenid0", VmGenIdState{options_.id, address_, untold_});
}

void VmGenId::reset() {
  const Lock lock(mutex_);
  address_ = 0;
  untold_ = false;
}

void VmGenId::read(std::span<std::byte> whole) const {
  const Lock lock(mutex_);
  std::ranges::copy(bytes_of(address_).first(whole.size()), whole.begin());
}

// Firmware has copied the ID itself.
void VmGenId::write(size_t offset, std::span<const std::byte> part) {
  const Lock lock(mutex_);
  std::ranges::copy(part, writable_bytes_of(address_).subspan(offset).begin());
  if (address_ != 0 && !placed()) {
    guest_warning(warnings_, "vmgenid0", "the guest says that its generation ID is at {:#x}, where it cannot be", address_);
  }
}

}  // namespace lodge
