// MSI-X (PCI 3.0 section 6.8.2): the vector table and pending bits of one function, and their two MMIO windows.
//
// Register accesses from any vCPU thread, trigger() from any thread: its usual path is one atomic load and a write to an
// event counter, without a lock.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <tuple>
#include <vector>

#include "base/mutex.h"
#include "base/state/schema.h"
#include "devices/core/bus.h"
#include "devices/core/irq.h"

namespace lodge {

struct MsixEntry {
  uint64_t address = 0;
  uint32_t data = 0;
  bool masked = true;
  bool pending = false;
  friend bool operator==(const MsixEntry&, const MsixEntry&) = default;
};

struct MsixState {
  bool enabled = false;
  bool function_masked = false;
  std::vector<MsixEntry> entries;
  friend bool operator==(const MsixState&, const MsixState&) = default;
};

template <>
struct Schema<MsixEntry> {
  static constexpr std::string_view name = "msix-entry";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "address", &MsixEntry::address), field(2, "data", &MsixEntry::data),
                 field(3, "masked", &MsixEntry::masked), field(4, "pending", &MsixEntry::pending)};
};

template <>
struct Schema<MsixState> {
  static constexpr std::string_view name = "msix";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "enabled", &MsixState::enabled), field(2, "function-masked", &MsixState::function_masked),
                 field(3, "entries", &MsixState::entries)};
};

class Msix final : public IoHandler {
 public:
  static constexpr uint64_t kTableOffset = 0;
  static constexpr uint64_t kPbaOffset = 0x8000;
  static constexpr uint64_t kBarSize = 0x10000;
  static constexpr uint16_t kMaxVectors = 2048;

  // `saved` is validated against `vectors`.
  [[nodiscard]] static Result<std::unique_ptr<Msix>> create(uint16_t vectors, MsiFactory& factory, const MsixState* saved);

  // The BAR that holds table (at kTableOffset) and pending bits (at kPbaOffset).
  uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;

  // Message control, bits 15 (enable) and 14 (function mask).
  void write_control(uint16_t control);
  [[nodiscard]] uint16_t read_control() const;

  [[nodiscard]] bool enabled() const { return enabled_.load(std::memory_order_acquire); }
  [[nodiscard]] uint16_t vectors() const { return static_cast<uint16_t>(slots_.size()); }
  // Signals a vector; when it is masked, it is remembered. An unknown vector is ignored.
  void trigger(uint16_t vector);
  // The descriptor that signals `vector`, or -1.
  [[nodiscard]] int event_fd(uint16_t vector) const;

  void reset();
  [[nodiscard]] MsixState state() const;

 private:
  Msix() = default;
  struct Slot {
    MsixEntry entry;
    std::unique_ptr<MsiVector> vector;
    std::atomic<bool> armed{false};  // trigger() may signal without looking further
  };
  void apply(Slot& slot) REQUIRES(mutex_);
  [[nodiscard]] uint32_t read_table(uint64_t offset) const REQUIRES(mutex_);
  void write_table(uint64_t offset, uint32_t value) REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::vector<std::unique_ptr<Slot>> slots_;
  std::atomic<bool> enabled_{false};
  bool function_masked_ GUARDED_BY(mutex_) = false;
};

}  // namespace lodge
