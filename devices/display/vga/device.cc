#include "devices/display/vga/device.h"

namespace lodge {
namespace {

PciIdentity identity_of(const VgaAdapter& adapter) { return {0x1234, 0x1111, adapter.class_code(), 2, 0x1AF4, 0x1100}; }

}  // namespace

VgaDisplay::VgaDisplay(std::unique_ptr<VgaAdapter> adapter, const DeviceEnv& env)
    : PciFunction(adapter->id(), identity_of(*adapter), env), adapter_(std::move(adapter)) {
  for (PciCompanion::Bar& bar : adapter_->bars()) {
    add_bar(bar.index, BarKind::memory32, bar.size, std::move(bar.handler));
  }
}

VgaDisplay::~VgaDisplay() { detach(); }

Result<std::shared_ptr<VgaDisplay>> VgaDisplay::create(Options options, const DeviceEnv& env, const StateReader* saved) {
  const std::string id = options.id;
  auto adapter = TRY(VgaAdapter::create(std::move(options), env, saved));
  std::shared_ptr<VgaDisplay> self(new VgaDisplay(std::move(adapter), env));
  if (saved != nullptr) {
    TRY_VOID(self->load_pci(TRY(saved->get<PciState>(id))));
  }
  return self;
}

void VgaDisplay::reset() {
  reset_pci();
  adapter_->reset();
}

void VgaDisplay::save(StateWriter& out) const {
  out.put(adapter_->id(), pci_state());
  adapter_->save(out);
}

}  // namespace lodge
