#include "devices/virtio/input/device.h"

#include <linux/input-event-codes.h>
#include <algorithm>

#include "devices/virtio/input/keyboard.h"
#include "devices/virtio/input/pointer.h"

namespace lodge {
namespace {

constexpr uint8_t kLeds = 1U << LED_NUML | 1U << LED_CAPSL | 1U << LED_SCROLLL;
constexpr size_t kMostTold = 16;  // more than any of ours becomes at once

// struct virtio_input_config
struct Config {
  uint8_t select;
  uint8_t subsel;
  uint8_t size;
  std::array<uint8_t, 5> reserved;
  std::array<uint8_t, virtio_input::kMaxAnswer> answer;
};

Result<std::unique_ptr<VirtioInput>> make(VirtioInputOptions options) {
  switch (options.kind) {
    case VirtioInputKind::tablet: return std::make_unique<VirtioTablet>(std::move(options));
    case VirtioInputKind::mouse: return std::make_unique<VirtioMouse>(std::move(options));
    case VirtioInputKind::keyboard: break;
  }
  return std::make_unique<VirtioKeyboard>(std::move(options));
}

}  // namespace

Result<std::unique_ptr<VirtioInput>> VirtioInput::create(Options options, const StateReader* saved) {
  if (options.serial.size() > virtio_input::kMaxAnswer) {
    return fail("input device '{}': a serial number of {} bytes; it has at most {}", options.id, options.serial.size(),
                virtio_input::kMaxAnswer);
  }
  auto self = TRY(make(std::move(options)));
  if (saved != nullptr) {
    TRY_VOID(self->load(*saved));
  }
  return self;
}

Result<void> VirtioInput::load(const StateReader& saved) {
  auto state = TRY(saved.get<VirtioInputState>(options_.id));
  if (state.telling.size() > kMostTold || (state.leds & ~kLeds) != 0) {
    return fail("saved input device '{}' is damaged", options_.id);
  }
  const Lock lock(mutex_);
  telling_ = std::exchange(state.telling, {});
  s_ = std::move(state);
  return {};
}

void VirtioInput::save(std::string_view id, StateWriter& out) const {
  const Lock lock(mutex_);
  VirtioInputState state = s_;
  state.telling.assign(telling_.begin() + static_cast<ptrdiff_t>(told_), telling_.end());
  out.put(id, state);
}

uint32_t VirtioInput::pci_class() const {
  constexpr uint32_t kKeyboard = 0x090000;
  constexpr uint32_t kMouse = 0x090200;
  constexpr uint32_t kOther = 0x098000;
  switch (options_.kind) {
    case VirtioInputKind::keyboard: return kKeyboard;
    case VirtioInputKind::mouse: return kMouse;
    case VirtioInputKind::tablet: break;
  }
  return kOther;
}

void VirtioInput::read_config(uint32_t offset, std::span<std::byte> to) {
  Config config{};
  {
    const Lock lock(mutex_);
    config.select = s_.select;
    config.subsel = s_.subsel;
  }
  const auto answer = virtio_input::answer(options_.kind, options_.serial, config.select, config.subsel);
  config.size = answer.size;
  config.answer = answer.bytes;
  copy_config(bytes_of(config), offset, to);
}

void VirtioInput::write_config(uint32_t offset, std::span<const std::byte> from) {
  const Lock lock(mutex_);
  for (const std::byte value : from) {
    if (offset == offsetof(Config, select)) {
      s_.select = std::to_integer<uint8_t>(value);
    } else if (offset == offsetof(Config, subsel)) {
      s_.subsel = std::to_integer<uint8_t>(value);
    }
    ++offset;
  }
}

void VirtioInput::set_listening(bool on) {
  if (listening_.exchange(on, std::memory_order_acq_rel) != on && options_.on_listening) {
    options_.on_listening();
  }
}

void VirtioInput::activate(const Activation& /*activation*/) { set_listening(true); }

void VirtioInput::start_queue(Virtqueue& queue) {
  if (queue.index() == kEvents) {
    queue_ = &queue;
    const Lock lock(mutex_);
    loop_ = &queue.loop();
  }
}

void VirtioInput::kick(Virtqueue& queue) {
  if (queue.index() == kEvents) {
    pump();
  } else {
    take_status(queue);
  }
}

void VirtioInput::stop_queue(Virtqueue& queue, Done done) {
  if (queue.index() == kEvents) {
    again_.reset();
    queue_ = nullptr;
    const Lock lock(mutex_);
    loop_ = nullptr;
  } else {
    statuses_again_.reset();
  }
  done();
}

void VirtioInput::reset() {
  {
    const Lock lock(mutex_);
    s_ = {};
    telling_.clear();
    told_ = 0;
    forget();
  }
  set_listening(false);
}

void VirtioInput::wake() {
  const Lock lock(mutex_);
  if (loop_ == nullptr || posted_) {
    return;
  }
  posted_ = true;
  loop_->post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) {
      {
        const Lock mine(mutex_);
        posted_ = false;
      }
      pump();
    }
  });
}

bool VirtioInput::next_event(VirtioInputEvent& event) {
  const Lock lock(mutex_);
  while (told_ == telling_.size()) {
    telling_.clear();
    told_ = 0;
    if (!take_next(telling_)) {
      return false;
    }
  }
  event = telling_[told_++];
  return true;
}

void VirtioInput::put_back() {
  const Lock lock(mutex_);
  --told_;
}

// Kicks are wanted only while there is something to tell and no buffer for it.
void VirtioInput::pump() {
  if (queue_ == nullptr) {
    return;
  }
  queue_->disable_kicks();
  VirtioInputEvent event;
  for (uint32_t buffers = 0; next_event(event); ++buffers) {
    if (buffers == kPerTurn) {
      put_back();
      again_ = queue_->loop().after(std::chrono::nanoseconds(0), [this] {
        again_.reset();
        pump();
      });
      return;
    }
    std::optional<Chain> chain = queue_->pop();
    if (!chain && queue_->enable_kicks()) {
      queue_->disable_kicks();
      chain = queue_->pop();
    }
    if (!chain) {
      put_back();
      return;
    }
    if (chain->writable_bytes() < sizeof event) {
      guest_warning(warnings_, options_.id, "a buffer for events has {} bytes; an event has {}", chain->writable_bytes(),
                    sizeof event);
      put_back();
      continue;
    }
    chain->set_written(chain->write(0, bytes_of(event)));
    events_.fetch_add(1, std::memory_order_relaxed);
  }
}

void VirtioInput::take_status(Virtqueue& queue) {
  uint32_t buffers = 0;
  queue.process([&](Chain chain) {
    VirtioInputEvent event;
    if (chain.read(0, writable_bytes_of(event)) != sizeof event || chain.readable_bytes() != sizeof event) {
      guest_warning(warnings_, options_.id, "a status of {} bytes; it has {}", chain.readable_bytes(), sizeof event);
    } else if (event.type == EV_LED && event.code < LED_CNT) {
      const Lock lock(mutex_);
      const auto bit = static_cast<uint8_t>((event.code < 8 ? 1U << event.code : 0U) & kLeds);
      s_.leds = static_cast<uint8_t>(event.value != 0 ? s_.leds | bit : s_.leds & ~bit);
    }
    statuses_.fetch_add(1, std::memory_order_relaxed);
    return ++buffers < kPerTurn;
  });
  if (buffers == kPerTurn) {
    statuses_again_ = queue.loop().after(std::chrono::nanoseconds(0), [this, &queue] {
      statuses_again_.reset();
      take_status(queue);
    });
  }
}

uint8_t VirtioInput::leds() const {
  const Lock lock(mutex_);
  return s_.leds;
}

std::vector<Counter> VirtioInput::counters() const {
  return {{"events", events_.load(std::memory_order_relaxed)},
          {"statuses", statuses_.load(std::memory_order_relaxed)},
          {"guest-mistakes", warnings_.count()}};
}

}  // namespace lodge
