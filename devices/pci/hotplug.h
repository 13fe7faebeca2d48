// PciHotplug: the registers through which a guest learns, by ACPI, that functions of bus 0 came or shall go, and by which it
// lets them go. One bit a slot. The tables (vmm/boot/acpi_hotplug.cc) have the code that a guest runs on them.
//
//   0x00 up      R   slots with a new function; reading takes the news
//   0x04 down    R   slots whose function shall go; reading takes the news
//   0x08 eject   W   slots whose function the guest has let go
//   0x0C event, 0x0D status, 0x0E slot   W   bytes: what became of a request (ACPI 6.5 section 6.3.5); slot comes last
//
// Registers from any vCPU thread, one mutex, which is not held while a hook runs; everything else from control.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <tuple>

#include "base/mutex.h"
#include "devices/core/bus.h"
#include "devices/core/device.h"

namespace lodge {

struct PciHotplugState {
  uint32_t up = 0;
  uint32_t down = 0;
  uint32_t leaving = 0;  // slots that were asked to let go and have not
  friend bool operator==(const PciHotplugState&, const PciHotplugState&) = default;
};

template <>
struct Schema<PciHotplugState> {
  static constexpr std::string_view name = "pci-hotplug";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "up", &PciHotplugState::up), field(2, "down", &PciHotplugState::down),
                                            field(3, "leaving", &PciHotplugState::leaving)};
};

class PciHotplug final : public Device, public IoHandler {
 public:
  static constexpr uint64_t kSize = 16;
  static constexpr uint64_t kUp = 0x00;
  static constexpr uint64_t kDown = 0x04;
  static constexpr uint64_t kEject = 0x08;
  static constexpr uint64_t kEvent = 0x0C;
  static constexpr uint64_t kStatus = 0x0D;
  static constexpr uint64_t kSlot = 0x0E;

  // On a vCPU thread, with the registers' access still under way: nobody may be waited for.
  struct Hooks {
    std::function<void()> interrupt;            // there is news (on control)
    std::function<void(uint8_t slot)> ejected;  // the guest let go of the slot, asked or not
    std::function<void(uint8_t slot)> refused;  // it said that it does not
  };
  // `bus`: ports or memory.
  [[nodiscard]] static Result<std::unique_ptr<PciHotplug>> create(Bus& bus, uint64_t base, Hooks hooks,
                                                                  const StateReader* saved);

  void added(uint8_t slot);
  // Asks the guest to let go; may be asked again.
  void ask_to_leave(uint8_t slot);
  // The slot is empty now.
  void gone(uint8_t slot);
  [[nodiscard]] uint32_t leaving() const;

  [[nodiscard]] std::string_view id() const override { return "hotplug0"; }
  void save(StateWriter& out) const override;
  void reset() override;  // what was asked to leave stays asked: the machine lets it go then
  uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;

 private:
  explicit PciHotplug(Hooks hooks) : hooks_(std::move(hooks)) {}
  void told(uint8_t slot);

  Hooks hooks_;
  Bus::Registration mapping_;
  mutable Mutex mutex_;
  PciHotplugState state_ GUARDED_BY(mutex_);
  std::array<uint8_t, 2> outcome_ GUARDED_BY(mutex_){};  // event, status
};

}  // namespace lodge
