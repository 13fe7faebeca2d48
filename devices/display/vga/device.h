// VgaDisplay: the PCI display 1234:1111 ("stdvga"): a VGA with the Bochs display interface and video memory as BAR 0, which
// guests without a driver of their own use through the VGA BIOS, and Linux by its bochs driver.
//
// BAR 0: the memory, which the machine maps for the processors (Options::map). BAR 2 (4 KiB): 0x400 to 0x41F are ports 3C0
// to 3DF, 0x500 to 0x515 the Bochs registers, 0x600 its size and byte order. Registers from any vCPU thread, one mutex for
// each access; refresh() from any thread draws from a copy of the registers.
#pragma once

#include <functional>
#include <memory>

#include "devices/core/device.h"
#include "devices/display/screen.h"
#include "devices/display/vga/core.h"
#include "devices/pci/function.h"

namespace lodge {

class VgaDisplay final : public Device, public PciFunction, public Screen {
 public:
  struct Options {
    std::string id = "video0";
    uint32_t memory = 16U << 20;  // bytes, a power of two from 1 MiB to 256 MiB
    // The processors see `host` at `base` from here on; null: not any more. Any vCPU thread, one at a time.
    std::function<void(uint64_t base, uint64_t size, std::byte* host)> map;
  };
  // Errors: no memory; the saved state does not fit.
  [[nodiscard]] static Result<std::shared_ptr<VgaDisplay>> create(Options options, const DeviceEnv& env,
                                                                  const StateReader* saved);
  ~VgaDisplay() override;

  [[nodiscard]] std::string_view id() const override { return options_.id; }
  void save(StateWriter& out) const override;
  void reset() override;

  [[nodiscard]] std::optional<ChangedLines> refresh(Image& image) override;

 protected:
  void bar_mapped(uint8_t index, uint64_t base) override;
  void bar_unmapped(uint8_t index, uint64_t base) override;

 private:
  // A part of the device on a bus; every byte of an access by itself, unless the part says otherwise.
  class Part : public IoHandler {
   public:
    explicit Part(VgaDisplay& display) : display_(display) {}

   protected:
    VgaDisplay& display_;
  };
  class Ports;
  class VbePorts;
  class Window;
  class Frame;
  class Registers;

  VgaDisplay(Options options, const DeviceEnv& env, std::unique_ptr<VideoMemory> memory, const VgaState& state);
  [[nodiscard]] Result<void> add_to(const DeviceEnv& env);
  [[nodiscard]] Result<void> load_memory(const StateReader& saved);
  [[nodiscard]] uint64_t register_read(uint64_t offset, uint8_t size) REQUIRES(core_mutex_);
  void register_write(uint64_t offset, uint8_t size, uint64_t value) REQUIRES(core_mutex_);

  Options options_;
  std::unique_ptr<VideoMemory> memory_;
  mutable Mutex core_mutex_;
  VgaCore core_ GUARDED_BY(core_mutex_);
  std::vector<Bus::Registration> mappings_;
};

}  // namespace lodge
