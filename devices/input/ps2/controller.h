// I8042: the keyboard controller at ports 0x60 and 0x64 (IBM PS/2 Hardware Interface Technical Reference, keyboard and
// auxiliary device controller) with a keyboard on IRQ 1 and a mouse on IRQ 12.
//
// Registers from any vCPU thread and input from any thread, one mutex for each access; the lines are set under it, so that
// they follow the registers.
#pragma once

#include <deque>
#include <memory>

#include "base/mutex.h"
#include "devices/core/device.h"
#include "devices/input/input.h"
#include "devices/input/ps2/keyboard.h"
#include "devices/input/ps2/mouse.h"

namespace lodge {

class I8042 final : public Device, public IoHandler, public InputSink, public PointerSink {
 public:
  static constexpr uint16_t kData = 0x60;
  static constexpr uint16_t kCommand = 0x64;
  static constexpr uint32_t kKeyboardIrq = 1;
  static constexpr uint32_t kMouseIrq = 12;

  // `env.power` hears when the guest pulls the processor's reset line. Errors: the ports are taken; the state is damaged.
  [[nodiscard]] static Result<std::unique_ptr<I8042>> create(const DeviceEnv& env, const StateReader* saved);

  [[nodiscard]] std::string_view id() const override { return "i8042"; }
  void save(StateWriter& out) const override;
  void reset() override;

  uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;
  void key(uint16_t code, bool down) override;
  void move(int32_t right, int32_t down, int32_t wheel, uint8_t buttons) override;

 private:
  // Port 0x64; port 0x60 is the object itself.
  class CommandPort final : public IoHandler {
   public:
    explicit CommandPort(I8042& controller) : controller_(controller) {}
    uint64_t io_read(IoAccess access) override;
    void io_write(IoAccess access, uint64_t value) override;

   private:
    I8042& controller_;
  };
  enum class Source : uint8_t { none, keyboard, mouse };

  I8042(const DeviceEnv& env, const I8042State& state, const Ps2KeyboardState& keyboard, const Ps2MouseState& mouse);
  [[nodiscard]] uint8_t status() const REQUIRES(mutex_);
  void command(uint8_t byte) REQUIRES(mutex_);
  void data(uint8_t byte) REQUIRES(mutex_);
  void answer(uint8_t byte, Source as = Source::keyboard) REQUIRES(mutex_);
  // Puts the next byte, if there is one and room for it, where the guest reads it.
  void fill() REQUIRES(mutex_);
  void show(uint8_t byte, Source from) REQUIRES(mutex_);
  [[nodiscard]] bool translated(uint8_t& byte) REQUIRES(mutex_);
  void set_lines() REQUIRES(mutex_);
  void write_output_port(uint8_t value) REQUIRES(mutex_);

  PowerFn power_;
  IrqLine& keyboard_line_;
  IrqLine& mouse_line_;
  CommandPort command_port_;
  mutable Mutex mutex_;
  I8042State s_ GUARDED_BY(mutex_);  // without `answers`, which follow
  std::deque<std::pair<uint8_t, Source>> answers_ GUARDED_BY(mutex_);
  Ps2Keyboard keyboard_ GUARDED_BY(mutex_);
  Ps2Mouse mouse_ GUARDED_BY(mutex_);
  bool reset_asked_ GUARDED_BY(mutex_) = false;
  Bus::Registration data_mapping_;
  Bus::Registration command_mapping_;
};

}  // namespace lodge
