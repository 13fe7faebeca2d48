#include "devices/virtio/input/queries.h"

#include <linux/input-event-codes.h>
#include <algorithm>
#include <initializer_list>

#include "base/bytes.h"
#include "devices/input/input.h"

namespace lodge::virtio_input {
namespace {

struct Ids {  // struct virtio_input_devids
  uint16_t bus;
  uint16_t vendor;
  uint16_t product;
  uint16_t version;
};
struct AbsInfo {  // struct virtio_input_absinfo
  uint32_t least;
  uint32_t most;
  uint32_t fuzz;
  uint32_t flat;
  uint32_t resolution;
};

constexpr uint16_t kVirtualBus = 0x06;  // BUS_VIRTUAL of linux/input.h
constexpr uint16_t kVendor = 0x0627;    // as that of the USB devices
constexpr uint16_t kVersion = 1;

Answer text(std::string_view value) {
  Answer answer;
  answer.size = static_cast<uint8_t>(std::min(value.size(), kMaxAnswer));
  std::copy_n(value.begin(), answer.size, answer.bytes.begin());
  return answer;
}

template <GuestPod T>
Answer plain(const T& value) {
  Answer answer;
  answer.size = sizeof value;
  store_le(std::as_writable_bytes(std::span(answer.bytes)), 0, value);
  return answer;
}

void set_bit(Answer& answer, uint16_t bit) {
  const size_t byte = bit / 8;
  answer.bytes.at(byte) = static_cast<uint8_t>(answer.bytes.at(byte) | 1U << bit % 8);
  answer.size = std::max(answer.size, static_cast<uint8_t>(byte + 1));
}

Answer bits(std::initializer_list<uint16_t> set) {
  Answer answer;
  for (const uint16_t bit : set) {
    set_bit(answer, bit);
  }
  return answer;
}

Answer keyboard_events(uint8_t type) {
  switch (type) {
    case EV_KEY: {
      Answer keys;
      for (uint16_t code = 1; code <= kLastKey; ++code) {
        set_bit(keys, code);
      }
      return keys;
    }
    case EV_LED: return bits({LED_NUML, LED_CAPSL, LED_SCROLLL});
    case EV_REP: return bits({REP_DELAY, REP_PERIOD});  // the guest repeats keys that are held
    default: return {};
  }
}

Answer pointer_events(VirtioInputKind kind, uint8_t type) {
  switch (type) {
    case EV_KEY: return bits({BTN_LEFT, BTN_RIGHT, BTN_MIDDLE, BTN_SIDE, BTN_EXTRA});
    case EV_REL: return kind == VirtioInputKind::mouse ? bits({REL_X, REL_Y, REL_WHEEL}) : bits({REL_WHEEL});
    case EV_ABS: return kind == VirtioInputKind::tablet ? bits({ABS_X, ABS_Y}) : Answer();
    default: return {};
  }
}

std::string_view name_of(VirtioInputKind kind) {
  switch (kind) {
    case VirtioInputKind::tablet: return "Lodge Virtio Tablet";
    case VirtioInputKind::mouse: return "Lodge Virtio Mouse";
    case VirtioInputKind::keyboard: break;
  }
  return "Lodge Virtio Keyboard";
}

// 1 keyboard, 2 mouse, 3 tablet.
uint16_t product_of(VirtioInputKind kind) { return static_cast<uint16_t>(3 - static_cast<uint16_t>(kind)); }

}  // namespace

Answer answer(VirtioInputKind kind, std::string_view serial, uint8_t select, uint8_t subsel) {
  const bool whole = subsel == 0;  // of questions that have no parts
  switch (select) {
    case kIdName: return whole ? text(name_of(kind)) : Answer();
    case kIdSerial: return whole ? text(serial) : Answer();
    case kIdDevids: return whole ? plain(Ids{kVirtualBus, kVendor, product_of(kind), kVersion}) : Answer();
    case kPropBits: return whole && kind == VirtioInputKind::mouse ? bits({INPUT_PROP_POINTER}) : Answer();
    case kEvBits: return kind == VirtioInputKind::keyboard ? keyboard_events(subsel) : pointer_events(kind, subsel);
    case kAbsInfo:
      return kind == VirtioInputKind::tablet && (subsel == ABS_X || subsel == ABS_Y)
                 ? plain(AbsInfo{0, TabletSink::kLast, 0, 0, 0})
                 : Answer();
    default: return {};
  }
}

}  // namespace lodge::virtio_input
