// NorFlash: a parallel NOR flash of Intel's command set (Intel 28F008SA and 28F128J3 data sheets; JESD68.01), eight data
// lines, on the memory bus. README.md says what is kept when.
//
//   0xFF read array          0x70 read status      0x50 clear status     0x90 read identifier     0x98 CFI query
//   0x10, 0x40 program byte  0x20 0xD0 erase block 0xE8 n data... 0xD0 buffered program            0x60 locks
//
// Registers from any vCPU thread, one mutex; create(), reset(), save() and quiesce() on control.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/mutex.h"
#include "devices/core/device.h"
#include "devices/flash/cfi.h"
#include "devices/flash/flusher.h"
#include "devices/flash/state.h"
#include "devices/flash/store.h"

namespace lodge {

class NorFlash final : public Device, public IoHandler {
 public:
  struct Options {
    std::string id = "flash0";
    uint64_t base = 0;
    std::unique_ptr<FlashStore> store;
    // Shows the guest these bytes at the flash's place as memory that it cannot write; none: takes them away. Writes, and
    // reads while nothing is shown, come to the bus. Called with the device's mutex held.
    std::function<void(std::span<const std::byte>)> show;
  };
  // Bits of the status register.
  static constexpr uint8_t kReady = 0x80;
  static constexpr uint8_t kEraseFailed = 0x20;
  static constexpr uint8_t kProgramFailed = 0x10;  // with the other: a command that makes no sense

  [[nodiscard]] static Result<std::unique_ptr<NorFlash>> create(Options options, const DeviceEnv& env,
                                                                const StateReader* saved);

  [[nodiscard]] std::string_view id() const override { return options_.id; }
  void quiesce(Done done) override;
  void save(StateWriter& out) const override;
  void reset() override;
  [[nodiscard]] std::vector<Counter> counters() const override;
  uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;

 private:
  explicit NorFlash(Options options);
  [[nodiscard]] Result<void> load(const NorFlashState& state) REQUIRES(mutex_);
  [[nodiscard]] uint8_t read_byte(uint32_t offset) const REQUIRES(mutex_);
  void write_byte(uint32_t offset, uint8_t value) REQUIRES(mutex_);
  void command(uint32_t offset, uint8_t value) REQUIRES(mutex_);
  void await(FlashAwaits what, uint32_t offset) REQUIRES(mutex_);
  void finish(uint8_t errors) REQUIRES(mutex_);
  void buffer_byte(uint32_t offset, uint8_t value) REQUIRES(mutex_);
  void program(uint32_t offset, std::span<const uint8_t> bytes) REQUIRES(mutex_);
  void erase() REQUIRES(mutex_);
  void update_shown() REQUIRES(mutex_);
  void flush() REQUIRES(mutex_);

  Options options_;
  const uint32_t size_;
  const std::array<uint8_t, kCfiSize> cfi_;
  std::shared_ptr<FlashFlusher> flusher_;  // null: no file is written
  Bus::Registration mapping_;
  GuestWarnings warnings_;
  mutable Mutex mutex_;
  NorFlashState state_ GUARDED_BY(mutex_);
  bool shown_ GUARDED_BY(mutex_) = false;
  bool unflushed_ GUARDED_BY(mutex_) = false;
  uint64_t programs_ GUARDED_BY(mutex_) = 0;
  uint64_t erases_ GUARDED_BY(mutex_) = 0;
};

}  // namespace lodge
