#include "devices/virtio/input/keyboard.h"

#include <linux/input-event-codes.h>
#include <algorithm>

namespace lodge {
namespace {

constexpr uint16_t kDown = 0x8000;
// One more release for each key that is down.
constexpr size_t kMaxWaiting = VirtioKeyboard::kRoomToPress + virtio_input::kLastKey + 1;

bool is_key(uint16_t code) { return code != 0 && code <= virtio_input::kLastKey; }

}  // namespace

void VirtioKeyboard::key(uint16_t code, bool down) {
  if (!is_key(code) || !listening()) {
    return;
  }
  {
    const Lock lock(mutex_);
    if (down_.test(code) == down || (down && waiting_.size() >= kRoomToPress)) {
      return;
    }
    down_.set(code, down);
    waiting_.push_back(static_cast<uint16_t>(code | (down ? kDown : 0)));
  }
  wake();
}

bool VirtioKeyboard::take_next(std::vector<VirtioInputEvent>& out) {
  if (waiting_.empty()) {
    return false;
  }
  const uint16_t next = waiting_.front();
  waiting_.pop_front();
  out.push_back({EV_KEY, static_cast<uint16_t>(next & ~kDown), (next & kDown) != 0 ? 1U : 0U});
  out.push_back({EV_SYN, SYN_REPORT, 0});
  return true;
}

void VirtioKeyboard::forget() {
  waiting_.clear();
  down_.reset();
}

Result<void> VirtioKeyboard::load(const StateReader& saved) {
  TRY_VOID(VirtioInput::load(saved));
  const auto state = TRY(saved.get<VirtioKeyboardState>(id()));
  const auto waits = [](uint16_t one) { return is_key(one & static_cast<uint16_t>(~kDown)); };
  if (state.waiting.size() > kMaxWaiting || !std::ranges::all_of(state.keys, is_key) ||
      !std::ranges::all_of(state.waiting, waits)) {
    return fail("saved virtio keyboard '{}' is damaged", id());
  }
  const Lock lock(mutex_);
  waiting_.assign(state.waiting.begin(), state.waiting.end());
  for (const uint16_t code : state.keys) {
    down_.set(code);
  }
  return {};
}

void VirtioKeyboard::save(std::string_view id, StateWriter& out) const {
  VirtioInput::save(id, out);
  const Lock lock(mutex_);
  VirtioKeyboardState state;
  state.waiting.assign(waiting_.begin(), waiting_.end());
  for (uint16_t code = 1; code <= virtio_input::kLastKey; ++code) {
    if (down_.test(code)) {
      state.keys.push_back(code);
    }
  }
  out.put(id, state);
}

}  // namespace lodge
