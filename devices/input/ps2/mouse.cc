#include "devices/input/ps2/mouse.h"

#include <algorithm>

namespace lodge {
namespace {

constexpr uint8_t kScaling1 = 0xE6;
constexpr uint8_t kScaling2 = 0xE7;
constexpr uint8_t kResolution = 0xE8;
constexpr uint8_t kStatus = 0xE9;
constexpr uint8_t kStream = 0xEA;
constexpr uint8_t kRead = 0xEB;
constexpr uint8_t kWrapOff = 0xEC;
constexpr uint8_t kWrap = 0xEE;
constexpr uint8_t kRemote = 0xF0;
constexpr uint8_t kIdentify = 0xF2;
constexpr uint8_t kRate = 0xF3;
constexpr uint8_t kEnable = 0xF4;
constexpr uint8_t kDisable = 0xF5;
constexpr uint8_t kDefaults = 0xF6;
constexpr uint8_t kResend = 0xFE;
constexpr uint8_t kReset = 0xFF;
constexpr uint8_t kAcknowledge = 0xFA;
constexpr uint8_t kError = 0xFC;
constexpr uint8_t kPassed = 0xAA;

constexpr uint8_t kWheelMouse = 3;
constexpr uint8_t kFiveButtons = 4;
constexpr std::array<uint8_t, 3> kToWheel = {200, 100, 80};
constexpr std::array<uint8_t, 3> kToFiveButtons = {200, 200, 80};

constexpr size_t kRoom = 64;
constexpr size_t kRoomToReport = 16;
constexpr int32_t kMost = 1 << 16;   // steps that add up
constexpr int32_t kMostWheel = 128;  // a packet of the five-button mouse carries only eight of them

}  // namespace

Ps2Mouse::Ps2Mouse(const Ps2MouseState& saved) : s_(saved) {
  for (const uint8_t byte : saved.out) {
    send(byte);
  }
  s_.out.clear();
  if (s_.type != kWheelMouse && s_.type != kFiveButtons) {
    s_.type = 0;
  }
  s_.right = std::clamp(s_.right, -kMost, kMost);
  s_.down = std::clamp(s_.down, -kMost, kMost);
  s_.wheel = std::clamp(s_.wheel, -kMostWheel, kMostWheel);
}

void Ps2Mouse::send(uint8_t byte) {
  if (out_.size() < kRoom) {
    out_.push_back(byte);
  }
}

void Ps2Mouse::defaults() {
  const Ps2MouseState fresh;
  s_.reporting = fresh.reporting;
  s_.remote = fresh.remote;
  s_.scaling = fresh.scaling;
  s_.resolution = fresh.resolution;
  s_.rate = fresh.rate;
}

void Ps2Mouse::reset() {
  s_ = {};
  out_.clear();
}

void Ps2Mouse::set_rate(uint8_t rate) {
  s_.rate = rate;
  s_.rates = {s_.rates[1], s_.rates[2], rate};
  if (s_.rates == kToWheel) {
    s_.type = kWheelMouse;
  } else if (s_.rates == kToFiveButtons && s_.type == kWheelMouse) {
    s_.type = kFiveButtons;
  }
}

void Ps2Mouse::argument(uint8_t byte) {
  if (s_.command == kRate) {
    set_rate(byte);
  } else {
    s_.resolution = byte & 3;
  }
  s_.command = 0;
  send(kAcknowledge);
}

void Ps2Mouse::command(uint8_t byte) {
  if (s_.command != 0) {
    argument(byte);
    return;
  }
  if (s_.wrap != 0 && byte != kReset && byte != kWrapOff) {
    send(byte);
    return;
  }
  if (byte == kResend) {
    out_.push_front(s_.last_sent);
    return;
  }
  out_.clear();  // a command ends what was being sent
  if (byte == kReset) {
    reset();
    send(kAcknowledge);
    send(kPassed);
    send(0);
    return;
  }
  send(kAcknowledge);
  switch (byte) {
    case kScaling1:
    case kScaling2: s_.scaling = byte == kScaling2 ? 1 : 0; break;
    case kResolution:
    case kRate: s_.command = byte; break;
    case kStatus: {
      const uint8_t buttons = s_.buttons;
      send(static_cast<uint8_t>((s_.remote != 0 ? 0x40 : 0) | (s_.reporting != 0 ? 0x20 : 0) | (s_.scaling != 0 ? 0x10 : 0) |
                                (buttons & 1) << 2 | (buttons & 4) >> 1 | (buttons & 2) >> 1));
      send(s_.resolution);
      send(s_.rate);
      break;
    }
    case kStream: s_.remote = 0; break;
    case kRemote: s_.remote = 1; break;
    case kRead: report(); break;
    case kWrap: s_.wrap = 1; break;
    case kWrapOff: s_.wrap = 0; break;
    case kIdentify: send(s_.type); break;
    case kEnable: s_.reporting = 1; break;
    case kDisable: s_.reporting = 0; break;
    case kDefaults: defaults(); break;
    default: out_.back() = kError; break;
  }
}

// One packet of what has been gathered, as much as fits into it.
void Ps2Mouse::report() {
  const int32_t right = std::clamp(s_.right, -256, 255);
  const int32_t up = std::clamp(-s_.down, -256, 255);
  s_.right -= right;
  s_.down += up;
  send(static_cast<uint8_t>(0x08 | (s_.buttons & 7) | (right < 0 ? 0x10 : 0) | (up < 0 ? 0x20 : 0)));
  send(static_cast<uint8_t>(right));
  send(static_cast<uint8_t>(up));
  if (s_.type == kWheelMouse) {
    const int32_t wheel = std::clamp(s_.wheel, -128, 127);
    s_.wheel -= wheel;
    send(static_cast<uint8_t>(wheel));
  } else if (s_.type == kFiveButtons) {
    const int32_t wheel = std::clamp(s_.wheel, -8, 7);
    s_.wheel -= wheel;
    send(static_cast<uint8_t>((wheel & 15) | (s_.buttons & 0x18) << 1));
  } else {
    s_.wheel = 0;
  }
  s_.changed = s_.right != 0 || s_.down != 0 || s_.wheel != 0;
}

void Ps2Mouse::stream() {
  while (s_.changed && s_.reporting != 0 && s_.remote == 0 && s_.wrap == 0 && out_.size() < kRoomToReport) {
    report();
  }
}

std::optional<uint8_t> Ps2Mouse::take() {
  stream();
  if (out_.empty()) {
    return std::nullopt;
  }
  s_.last_sent = out_.front();
  out_.pop_front();
  return s_.last_sent;
}

void Ps2Mouse::move(int32_t right, int32_t down, int32_t wheel, uint8_t buttons) {
  const auto gather = [](int32_t& sum, int32_t more, int32_t most = kMost) {
    sum = static_cast<int32_t>(std::clamp<int64_t>(int64_t{sum} + more, -most, most));
  };
  if (s_.reporting == 0) {  // nobody will want to know where it has been
    s_.buttons = buttons;
    return;
  }
  gather(s_.right, right);
  gather(s_.down, down);
  gather(s_.wheel, wheel, kMostWheel);
  s_.buttons = buttons;
  s_.changed = true;
  stream();  // a click must not be lost behind the next one
}

Ps2MouseState Ps2Mouse::state() const {
  Ps2MouseState state = s_;
  state.out.assign(out_.begin(), out_.end());
  return state;
}

}  // namespace lodge
