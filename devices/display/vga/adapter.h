// VgaAdapter: a VGA with the Bochs display interface, without the PCI function that carries it: the ports and the window at
// 0xA0000 on the buses, two BARs for the carrier, and the picture.
//
// BAR 0: the memory, which the machine maps for the processors (Options::map). BAR 2 (4 KiB): 0x400 to 0x41F are ports 3C0
// to 3DF, 0x500 to 0x515 the Bochs registers, 0x600 its size and byte order. Registers from any vCPU thread, one mutex for
// each access; refresh() from any thread draws from a copy of the registers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "devices/core/device.h"
#include "devices/display/screen.h"
#include "devices/display/vga/core.h"
#include "devices/pci/companion.h"

namespace lodge {

class VgaAdapter final : public PciCompanion, public Screen {
 public:
  struct Options {
    std::string id = "video0";
    uint32_t memory = 16U << 20;  // bytes, a power of two from 1 MiB to 256 MiB
    // The processors see `host` at `base` from here on; null: not any more. Any vCPU thread, one at a time.
    std::function<void(uint64_t base, uint64_t size, std::byte* host)> map;
    // Brings what the guest has written to the window and the machine still keeps; null: it keeps nothing. Before each
    // picture, on its thread.
    std::function<void()> bring_writes;
  };
  // The window in memory, where text and the old modes are.
  static constexpr uint64_t kWindow = 0xA0000;
  static constexpr uint32_t kWindowSize = 0x20000;

  // Errors: no memory; the saved state does not fit.
  [[nodiscard]] static Result<std::unique_ptr<VgaAdapter>> create(Options options, const DeviceEnv& env,
                                                                  const StateReader* saved);

  [[nodiscard]] const std::string& id() const { return options_.id; }
  [[nodiscard]] uint32_t class_code() const override { return 0x030000; }
  [[nodiscard]] std::vector<Bar> bars() override;
  void bar_mapped(uint8_t index, uint64_t base) override;
  void bar_unmapped(uint8_t index, uint64_t base) override;
  void save(StateWriter& out) const override;
  void reset() override;
  [[nodiscard]] std::optional<ChangedLines> refresh(Image& image) override;

 private:
  // A part of the device on a bus; every byte of an access by itself, unless the part says otherwise.
  class Part : public IoHandler {
   public:
    explicit Part(VgaAdapter& adapter) : adapter_(adapter) {}

   protected:
    VgaAdapter& adapter_;
  };
  class Ports;
  class VbePorts;
  class Window;
  class Frame;
  class Registers;

  VgaAdapter(Options options, std::unique_ptr<VideoMemory> memory, const VgaState& state)
      : options_(std::move(options)), memory_(std::move(memory)), core_(*memory_, state) {}
  [[nodiscard]] Result<void> add_to(const DeviceEnv& env);
  [[nodiscard]] uint64_t register_read(uint64_t offset, uint8_t size) REQUIRES(core_mutex_);
  void register_write(uint64_t offset, uint8_t size, uint64_t value) REQUIRES(core_mutex_);

  Options options_;
  std::unique_ptr<VideoMemory> memory_;
  mutable Mutex core_mutex_;
  VgaCore core_ GUARDED_BY(core_mutex_);
  std::vector<Bus::Registration> mappings_;
};

}  // namespace lodge
