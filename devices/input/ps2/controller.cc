#include "devices/input/ps2/controller.h"

#include "devices/input/ps2/scancodes.h"

namespace lodge {
namespace {

// Status, port 0x64
constexpr uint8_t kOutputFull = 0x01;
constexpr uint8_t kSystem = 0x04;
constexpr uint8_t kCommandLast = 0x08;
constexpr uint8_t kNotLocked = 0x10;
constexpr uint8_t kFromMouse = 0x20;

// Command byte
constexpr uint8_t kKeyboardInterrupt = 0x01;
constexpr uint8_t kMouseInterrupt = 0x02;
constexpr uint8_t kSelfTested = 0x04;
constexpr uint8_t kKeyboardOff = 0x10;
constexpr uint8_t kMouseOff = 0x20;
constexpr uint8_t kTranslate = 0x40;

// Output port
constexpr uint8_t kNoReset = 0x01;
constexpr uint8_t kKeyboardFull = 0x10;
constexpr uint8_t kMouseFull = 0x20;

// Commands
constexpr uint8_t kReadMemory = 0x20;
constexpr uint8_t kWriteMemory = 0x60;
constexpr uint8_t kMouseDisable = 0xA7;
constexpr uint8_t kMouseEnable = 0xA8;
constexpr uint8_t kMouseTest = 0xA9;
constexpr uint8_t kSelfTest = 0xAA;
constexpr uint8_t kKeyboardTest = 0xAB;
constexpr uint8_t kKeyboardDisable = 0xAD;
constexpr uint8_t kKeyboardEnable = 0xAE;
constexpr uint8_t kReadInputPort = 0xC0;
constexpr uint8_t kReadOutputPort = 0xD0;
constexpr uint8_t kWriteOutputPort = 0xD1;
constexpr uint8_t kAsKeyboard = 0xD2;
constexpr uint8_t kAsMouse = 0xD3;
constexpr uint8_t kToMouse = 0xD4;
constexpr uint8_t kA20Off = 0xDD;
constexpr uint8_t kA20On = 0xDF;
constexpr uint8_t kReadTests = 0xE0;
constexpr uint8_t kPulse = 0xF0;  // to FF: bits that are 0 go down for a moment
constexpr uint8_t kA20 = 0x02;

constexpr uint8_t kBreak = 0xF0;
constexpr size_t kMaxAnswers = 16;

}  // namespace

I8042::I8042(const DeviceEnv& env, const I8042State& state, const Ps2KeyboardState& keyboard, const Ps2MouseState& mouse)
    : power_(env.power),
      keyboard_line_(env.line(kKeyboardIrq)),
      mouse_line_(env.line(kMouseIrq)),
      command_port_(*this),
      s_(state),
      keyboard_(keyboard),
      mouse_(mouse) {
  for (size_t i = 0; i + 1 < state.answers.size(); i += 2) {
    answer(state.answers[i], state.answers[i + 1] == 2 ? Source::mouse : Source::keyboard);
  }
  s_.answers.clear();
  if (s_.output_full > 2) {
    s_.output_full = 0;
  }
  set_lines();
}

Result<std::unique_ptr<I8042>> I8042::create(const DeviceEnv& env, const StateReader* saved) {
  I8042State state;
  Ps2KeyboardState keyboard;
  Ps2MouseState mouse;
  if (saved != nullptr) {
    state = TRY(saved->get<I8042State>("i8042"));
    keyboard = TRY(saved->get<Ps2KeyboardState>("i8042"));
    mouse = TRY(saved->get<Ps2MouseState>("i8042"));
  }
  std::unique_ptr<I8042> self(new I8042(env, state, keyboard, mouse));
  self->data_mapping_ = TRY(env.pio.add(kData, 1, "i8042", unowned(*self)));
  self->command_mapping_ = TRY(env.pio.add(kCommand, 1, "i8042", unowned(self->command_port_)));
  return self;
}

void I8042::save(StateWriter& out) const {
  const Lock lock(mutex_);
  I8042State state = s_;
  for (const auto& [byte, from] : answers_) {
    state.answers.push_back(byte);
    state.answers.push_back(from == Source::mouse ? 2 : 1);
  }
  out.put("i8042", state);
  out.put("i8042", keyboard_.state());
  out.put("i8042", mouse_.state());
}

void I8042::reset() {
  const Lock lock(mutex_);
  s_ = {};
  answers_.clear();
  keyboard_.reset();
  mouse_.reset();
  reset_asked_ = false;
  set_lines();
}

void I8042::set_lines() {
  keyboard_line_.set(s_.output_full == 1 && (s_.command_byte & kKeyboardInterrupt) != 0);
  mouse_line_.set(s_.output_full == 2 && (s_.command_byte & kMouseInterrupt) != 0);
}

void I8042::show(uint8_t byte, Source from) {
  s_.output = byte;
  s_.output_full = from == Source::mouse ? 2 : 1;
  set_lines();
}

// False: the byte is only a prefix, which goes into the one that follows.
bool I8042::translated(uint8_t& byte) {
  if ((s_.command_byte & kTranslate) == 0) {
    return true;
  }
  if (byte == kBreak) {
    s_.after_break = 1;
    return false;
  }
  byte = static_cast<uint8_t>(ps2::to_set1(byte) | (s_.after_break != 0 ? 0x80 : 0));
  s_.after_break = 0;
  return true;
}

void I8042::fill() {
  while (s_.output_full == 0) {
    if (!answers_.empty()) {
      const auto [byte, from] = answers_.front();
      answers_.pop_front();
      show(byte, from);
      return;
    }
    if (auto byte = (s_.command_byte & kKeyboardOff) == 0 ? keyboard_.take() : std::nullopt) {
      if (translated(*byte)) {
        show(*byte, Source::keyboard);
      }
      continue;
    }
    const auto byte = (s_.command_byte & kMouseOff) == 0 ? mouse_.take() : std::nullopt;
    if (!byte) {
      return;
    }
    show(*byte, Source::mouse);
  }
}

void I8042::answer(uint8_t byte, Source as) {
  if (answers_.size() < kMaxAnswers) {
    answers_.emplace_back(byte, as);
  }
}

void I8042::write_output_port(uint8_t value) {
  s_.output_port = value & (kNoReset | kA20);
  reset_asked_ = reset_asked_ || (value & kNoReset) == 0;
}

void I8042::command(uint8_t byte) {
  s_.command = 0;
  if (byte >= kReadMemory && byte < kReadMemory + 32) {
    answer(byte == kReadMemory ? s_.command_byte : s_.memory[byte - kReadMemory]);
    return;
  }
  if (byte >= kPulse) {
    reset_asked_ = reset_asked_ || (byte & kNoReset) == 0;
    return;
  }
  switch (byte) {
    case kMouseDisable: s_.command_byte |= kMouseOff; break;
    case kMouseEnable: s_.command_byte &= static_cast<uint8_t>(~kMouseOff); break;
    case kMouseTest:
    case kKeyboardTest: answer(0); break;
    case kSelfTest:
      s_.command_byte |= kSelfTested;
      answer(0x55);
      break;
    case kKeyboardDisable: s_.command_byte |= kKeyboardOff; break;
    case kKeyboardEnable: s_.command_byte &= static_cast<uint8_t>(~kKeyboardOff); break;
    case kReadInputPort: answer(0x80); break;  // the keyboard is not locked
    case kReadOutputPort:
      answer(static_cast<uint8_t>(s_.output_port | (s_.output_full == 1 ? kKeyboardFull : 0) |
                                  (s_.output_full == 2 ? kMouseFull : 0)));
      break;
    case kA20Off:
    case kA20On: write_output_port(byte); break;
    case kReadTests: answer(0); break;
    case kWriteOutputPort:
    case kAsKeyboard:
    case kAsMouse:
    case kToMouse: s_.command = byte; break;
    default:
      if (byte >= kWriteMemory && byte < kWriteMemory + 32) {
        s_.command = byte;
      }
      break;
  }
}

void I8042::data(uint8_t byte) {
  const uint8_t command = s_.command;
  s_.command = 0;
  switch (command) {
    case 0:
      s_.command_byte &= static_cast<uint8_t>(~kKeyboardOff);  // writing to it turns it on
      s_.after_break = 0;
      keyboard_.command(byte);
      break;
    case kWriteMemory:
      s_.command_byte = byte;
      set_lines();
      break;
    case kWriteOutputPort: write_output_port(byte); break;
    case kAsKeyboard: answer(byte); break;
    case kAsMouse: answer(byte, Source::mouse); break;
    case kToMouse:
      s_.command_byte &= static_cast<uint8_t>(~kMouseOff);
      mouse_.command(byte);
      break;
    default: s_.memory[(command - kWriteMemory) & 31] = byte; break;
  }
}

uint64_t I8042::io_read(IoAccess /*access*/) {
  const Lock lock(mutex_);
  const uint8_t byte = s_.output;
  s_.output_full = 0;
  set_lines();
  fill();
  return byte;
}

void I8042::io_write(IoAccess /*access*/, uint64_t value) {
  bool reset_now = false;
  {
    const Lock lock(mutex_);
    s_.last_written = 0;
    data(static_cast<uint8_t>(value));
    fill();
    reset_now = std::exchange(reset_asked_, false);
  }
  if (reset_now) {
    power_(PowerEvent::reset, 0);
  }
}

uint8_t I8042::status() const {
  return static_cast<uint8_t>(kNotLocked | (s_.output_full != 0 ? kOutputFull : 0) | (s_.output_full == 2 ? kFromMouse : 0) |
                              ((s_.command_byte & kSelfTested) != 0 ? kSystem : 0) |
                              (s_.last_written != 0 ? kCommandLast : 0));
}

uint64_t I8042::CommandPort::io_read(IoAccess /*access*/) {
  const Lock lock(controller_.mutex_);
  return controller_.status();
}

void I8042::CommandPort::io_write(IoAccess /*access*/, uint64_t value) {
  bool reset_now = false;
  {
    const Lock lock(controller_.mutex_);
    controller_.s_.last_written = 1;
    controller_.command(static_cast<uint8_t>(value));
    controller_.fill();
    reset_now = std::exchange(controller_.reset_asked_, false);
  }
  if (reset_now) {
    controller_.power_(PowerEvent::reset, 0);
  }
}

void I8042::key(uint16_t code, bool down) {
  const Lock lock(mutex_);
  keyboard_.key(code, down);
  fill();
}

void I8042::move(int32_t right, int32_t down, int32_t wheel, uint8_t buttons) {
  const Lock lock(mutex_);
  mouse_.move(right, down, wheel, buttons);
  fill();
}

}  // namespace lodge
