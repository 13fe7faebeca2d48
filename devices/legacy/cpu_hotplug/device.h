// CpuHotplug: the registers through which a guest learns, by ACPI, that processors came or shall go, and by which it lets
// them go. The tables (vmm/boot/acpi_cpus.cc) have the code that a guest runs on them. 32-bit accesses only.
//
//   0x00 select   RW  the processor that status, eject and outcome are about
//   0x04 status   R   0x0F: it is there (as _STA says it), 0: it is not, or there is no such processor
//   0x08 news     R   one piece of news: the processor, and in the highest byte what to notify it of (1: it came, 3: it
//                     shall go); 0: none. Reading takes it.
//   0x0C eject    W   the guest has let go of the selected processor
//   0x10 event, 0x14 outcome   W   what became of a request (ACPI 6.5 section 6.3.5); outcome comes last
//
// Registers from any vCPU thread, one mutex, which is not held while a hook runs; everything else from control.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "devices/core/bus.h"
#include "devices/core/device.h"
#include "devices/legacy/cpu_hotplug/state.h"

namespace lodge {

class CpuHotplug final : public Device, public IoHandler {
 public:
  static constexpr uint64_t kSize = 0x18;
  static constexpr uint64_t kSelect = 0x00;
  static constexpr uint64_t kStatus = 0x04;
  static constexpr uint64_t kNews = 0x08;
  static constexpr uint64_t kEject = 0x0C;
  static constexpr uint64_t kEvent = 0x10;
  static constexpr uint64_t kOutcome = 0x14;
  static constexpr uint32_t kPresent = 0x0F;
  static constexpr uint32_t kCame = 1;
  static constexpr uint32_t kShallGo = 3;
  static constexpr unsigned kNoticeShift = 24;

  // On a vCPU thread, with the registers' access still under way: nobody may be waited for.
  struct Hooks {
    std::function<void()> interrupt;            // there is news (on control)
    std::function<void(uint32_t cpu)> ejected;  // the guest let go of the processor, asked or not; it is not there now
    std::function<void(uint32_t cpu)> refused;  // it said that it does not
  };
  // `bus`: ports or memory. `present`: for each processor that is possible, whether it is there. The first one stays.
  [[nodiscard]] static Result<std::unique_ptr<CpuHotplug>> create(Bus& bus, uint64_t base, std::vector<bool> present,
                                                                  Hooks hooks, const StateReader* saved);

  void added(uint32_t cpu);
  // Asks the guest to let go; may be asked again.
  void ask_to_leave(uint32_t cpu);
  // The processor is not there (any more).
  void gone(uint32_t cpu);
  [[nodiscard]] std::vector<uint32_t> leaving() const;

  [[nodiscard]] std::string_view id() const override { return "cpu-hotplug0"; }
  void save(StateWriter& out) const override;
  void reset() override;  // what was asked to leave stays asked: the machine lets it go then
  uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;

 private:
  CpuHotplug(std::vector<bool> present, Hooks hooks) : hooks_(std::move(hooks)), cpus_(present.size()) {
    for (size_t i = 0; i < present.size(); ++i) {
      cpus_[i].present = present[i];
    }
  }
  struct Cpu {
    bool present = false;
    bool came = false;
    bool to_leave = false;
    bool leaving = false;
  };
  [[nodiscard]] Result<void> load(const CpuHotplugState& state);
  [[nodiscard]] uint32_t take_news() REQUIRES(mutex_);
  void eject();
  void told(uint32_t outcome);

  Hooks hooks_;
  Bus::Registration mapping_;
  mutable Mutex mutex_;
  std::vector<Cpu> cpus_ GUARDED_BY(mutex_);
  uint32_t selected_ GUARDED_BY(mutex_) = 0;
  uint32_t event_ GUARDED_BY(mutex_) = 0;
};

}  // namespace lodge
