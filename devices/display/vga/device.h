// VgaDisplay: the PCI display 1234:1111 ("stdvga"): a VGA with the Bochs display interface (adapter.h), which guests without
// a driver of their own use through the VGA BIOS, and Linux by its bochs driver.
#pragma once

#include <memory>

#include "devices/core/device.h"
#include "devices/display/vga/adapter.h"
#include "devices/pci/function.h"

namespace lodge {

class VgaDisplay final : public Device, public PciFunction, public Screen {
 public:
  using Options = VgaAdapter::Options;
  // Errors: no memory; the saved state does not fit.
  [[nodiscard]] static Result<std::shared_ptr<VgaDisplay>> create(Options options, const DeviceEnv& env,
                                                                  const StateReader* saved);
  ~VgaDisplay() override;

  [[nodiscard]] std::string_view id() const override { return adapter_->id(); }
  void save(StateWriter& out) const override;
  void reset() override;

  [[nodiscard]] std::optional<ChangedLines> refresh(Image& image) override { return adapter_->refresh(image); }

 protected:
  void bar_mapped(uint8_t index, uint64_t base) override { adapter_->bar_mapped(index, base); }
  void bar_unmapped(uint8_t index, uint64_t base) override { adapter_->bar_unmapped(index, base); }

 private:
  VgaDisplay(std::unique_ptr<VgaAdapter> adapter, const DeviceEnv& env);

  std::unique_ptr<VgaAdapter> adapter_;
};

}  // namespace lodge
