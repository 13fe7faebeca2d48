#include "devices/chipset/host_bridge/device.h"

#include <algorithm>

#include "base/units.h"
#include "devices/pci/chipset.h"
#include "devices/pci/registers.h"

namespace lodge {
namespace {

constexpr uint16_t kRowBoundaries = 0x60;
constexpr uint64_t kRowUnit = 8 * kMiB;
constexpr uint8_t kPamMask = 0x33;  // read and write enable of two segments
constexpr uint8_t kSmramOpen = 0x40;
constexpr uint8_t kSmramClosed = 0x20;
constexpr uint8_t kSmramLocked = 0x10;
constexpr uint8_t kSmramEnable = 0x08;
constexpr uint8_t kSmramMask = kSmramOpen | kSmramClosed | kSmramLocked | kSmramEnable;

}  // namespace

HostBridge::HostBridge(Options options, const DeviceEnv& env)
    : PciFunction("host-bridge", kHostBridge440fx, env), options_(std::move(options)) {
  std::array<uint8_t, 7> pam_mask{};
  pam_mask.fill(kPamMask);
  pam_mask[0] = kPamMask & 0xF0;
  allow_writes(kPam, pam_mask);
  std::array<uint8_t, 8> rows{};
  rows.fill(static_cast<uint8_t>(std::min<uint64_t>(options_.low_ram / kRowUnit, 0xFF)));
  set_config(kRowBoundaries, rows);
}

Result<std::shared_ptr<HostBridge>> HostBridge::create(Options options, const DeviceEnv& env, const StateReader* saved) {
  std::shared_ptr<HostBridge> self(new HostBridge(std::move(options), env));
  HostBridgeState state;
  if (saved != nullptr) {
    state = TRY(saved->get<HostBridgeState>("host-bridge"));
    PciState function;
    function.command = state.command;
    TRY_VOID(self->load_pci(function));
  }
  self->set_registers(state);
  return self;
}

void HostBridge::set_registers(const HostBridgeState& state) {
  std::array<uint8_t, 7> pam = state.pam;
  for (uint8_t& value : pam) {
    value &= kPamMask;
  }
  pam[0] &= 0xF0;
  set_config(kPam, pam);
  const uint8_t smram[1] = {static_cast<uint8_t>((state.smram & kSmramMask) | 0x02)};
  set_config(kSmram, smram);
  const uint8_t mask[1] = {(smram[0] & kSmramLocked) != 0 ? uint8_t{kSmramClosed} : kSmramMask};
  allow_writes(kSmram, mask);
  apply();
}

ShadowMap HostBridge::shadow() const {
  ShadowMap map;
  for (size_t i = 0; i < 6; ++i) {
    const uint8_t value = config_byte(static_cast<uint16_t>(kPam + 1 + i));
    map.segments[2 * i] = value & 3;
    map.segments[2 * i + 1] = (value >> 4) & 3;
  }
  map.segments[12] = (config_byte(kPam) >> 4) & 3;
  const uint8_t smram = config_byte(kSmram);
  map.smram_open = (smram & (kSmramOpen | kSmramClosed | kSmramEnable)) == (kSmramOpen | kSmramEnable);
  return map;
}

void HostBridge::apply() {
  if (options_.apply) {
    const Lock lock(apply_mutex_);
    options_.apply(shadow());
  }
}

void HostBridge::config_write(uint16_t offset, uint8_t size, uint32_t value) {
  PciFunction::config_write(offset, size, value);
  const auto touches = [&](uint16_t first, uint16_t last) { return offset <= last && offset + size > first; };
  if (touches(kSmram, kSmram) && (config_byte(kSmram) & kSmramLocked) != 0) {
    // Locked until reset: it cannot be opened any more (290549, SMRAM register).
    const uint8_t locked[1] = {static_cast<uint8_t>(config_byte(kSmram) & ~kSmramOpen)};
    set_config(kSmram, locked);
    const uint8_t mask[1] = {kSmramClosed};
    allow_writes(kSmram, mask);
  }
  if (touches(kPam, kPam + 6) || touches(kSmram, kSmram)) {
    apply();
  }
}

void HostBridge::save(StateWriter& out) const {
  HostBridgeState state;
  for (size_t i = 0; i < state.pam.size(); ++i) {
    state.pam[i] = config_byte(static_cast<uint16_t>(kPam + i));
  }
  state.smram = config_byte(kSmram);
  state.command = pci_state().command;
  out.put("host-bridge", state);
}

void HostBridge::reset() {
  reset_pci();
  set_registers({});
}

}  // namespace lodge
