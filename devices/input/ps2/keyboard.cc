#include "devices/input/ps2/keyboard.h"

#include "devices/input/ps2/scancodes.h"

namespace lodge {
namespace {

constexpr uint8_t kSetLeds = 0xED;
constexpr uint8_t kEcho = 0xEE;
constexpr uint8_t kScancodeSet = 0xF0;
constexpr uint8_t kIdentify = 0xF2;
constexpr uint8_t kTypematic = 0xF3;
constexpr uint8_t kEnable = 0xF4;
constexpr uint8_t kDisable = 0xF5;
constexpr uint8_t kDefaults = 0xF6;
constexpr uint8_t kFirstKeyTypes = 0xF7;  // to FD: set 3's ways of keys
constexpr uint8_t kLastKeyTypes = 0xFD;
constexpr uint8_t kResend = 0xFE;
constexpr uint8_t kReset = 0xFF;
constexpr uint8_t kAcknowledge = 0xFA;
constexpr uint8_t kPassed = 0xAA;

constexpr size_t kRoom = 256;         // for all
constexpr size_t kRoomToPress = 128;  // the rest is for keys that go up and for answers
constexpr size_t kRoomForKeys = 224;

}  // namespace

Ps2Keyboard::Ps2Keyboard(const Ps2KeyboardState& saved) : s_(saved) {
  for (const uint8_t byte : saved.out) {
    send(byte);
  }
  s_.out.clear();
  if (s_.scancode_set != 1) {
    s_.scancode_set = 2;
  }
}

void Ps2Keyboard::send(uint8_t byte) {
  if (out_.size() < kRoom) {
    out_.push_back(byte);
  }
}

void Ps2Keyboard::defaults() {
  const Ps2KeyboardState fresh;
  s_.scancode_set = fresh.scancode_set;
  s_.typematic = fresh.typematic;
}

void Ps2Keyboard::reset() {
  s_ = {};
  out_.clear();
}

void Ps2Keyboard::argument(uint8_t byte) {
  const uint8_t command = s_.command;
  s_.command = 0;
  send(kAcknowledge);
  switch (command) {
    case kSetLeds: s_.leds = byte & 7; break;
    case kTypematic: s_.typematic = byte & 0x7F; break;
    default:  // the scan code set
      if (byte == 0) {
        send(s_.scancode_set);
      } else {
        s_.scancode_set = byte == 1 ? 1 : 2;  // set 3 is not offered
      }
      break;
  }
}

void Ps2Keyboard::command(uint8_t byte) {
  if (s_.command != 0 && byte < kSetLeds) {
    argument(byte);
    return;
  }
  s_.command = 0;
  if (byte != kResend) {
    out_.clear();  // a command ends what was being sent
  }
  switch (byte) {
    case kEcho: send(kEcho); return;
    case kResend: out_.push_front(s_.last_sent); return;
    case kSetLeds:
    case kScancodeSet:
    case kTypematic:
      s_.command = byte;
      send(kAcknowledge);
      return;
    case kIdentify:
      send(kAcknowledge);
      send(0xAB);
      send(0x83);
      return;
    case kEnable:
      s_.scanning = 1;
      send(kAcknowledge);
      return;
    case kDisable:
    case kDefaults:
      defaults();
      s_.scanning = byte == kDefaults ? 1 : 0;
      send(kAcknowledge);
      return;
    case kReset:
      reset();
      send(kAcknowledge);
      send(kPassed);
      return;
    default: send(byte >= kFirstKeyTypes && byte <= kLastKeyTypes ? kAcknowledge : kResend); return;
  }
}

std::optional<uint8_t> Ps2Keyboard::take() {
  if (out_.empty()) {
    return std::nullopt;
  }
  s_.last_sent = out_.front();
  out_.pop_front();
  return s_.last_sent;
}

void Ps2Keyboard::key(uint16_t code, bool down) {
  const ps2::Sequence sequence = ps2::scancodes(code, down, s_.scancode_set);
  if (s_.scanning == 0 || out_.size() + sequence.size > (down ? kRoomToPress : kRoomForKeys)) {
    return;
  }
  for (uint8_t i = 0; i < sequence.size; ++i) {
    send(sequence.bytes[i]);
  }
}

Ps2KeyboardState Ps2Keyboard::state() const {
  Ps2KeyboardState state = s_;
  state.out.assign(out_.begin(), out_.end());
  return state;
}

}  // namespace lodge
