#include "devices/chipset/isa_bridge/device.h"

#include "devices/pci/chipset.h"

namespace lodge {
namespace {

constexpr uint16_t kRecovery = 0x4C;
constexpr uint16_t kBiosSelect = 0x4E;
constexpr uint8_t kRouteMask = 0x8F;
constexpr std::array<uint8_t, 2> kBiosSelectMask{0xFF, 0x03};
constexpr uint8_t kRecoveryMask = 0xFF;
constexpr uint8_t kFastReset = 0x01;
constexpr uint8_t kA20 = 0x02;

}  // namespace

IsaBridge::IsaBridge(PirqRouter& router, const DeviceEnv& env)
    : PciFunction("isa-bridge", kIsaBridgePiix3, env), router_(router) {
  constexpr std::array<uint8_t, 4> kRouteMasks{kRouteMask, kRouteMask, kRouteMask, kRouteMask};
  constexpr std::array<uint8_t, 1> kRecoveryMasks{kRecoveryMask};
  allow_writes(kRoutes, kRouteMasks);
  allow_writes(kBiosSelect, kBiosSelectMask);
  allow_writes(kRecovery, kRecoveryMasks);
}

Result<std::shared_ptr<IsaBridge>> IsaBridge::create(PirqRouter& router, const DeviceEnv& env, const StateReader* saved) {
  std::shared_ptr<IsaBridge> self(new IsaBridge(router, env));
  IsaBridgeState state;
  if (saved != nullptr) {
    state = TRY(saved->get<IsaBridgeState>("isa-bridge"));
    PciState function;
    function.command = state.command;
    TRY_VOID(self->load_pci(function));
  }
  self->set_registers(state);
  self->mapping_ = TRY(env.pio.add(kPort92, 1, "isa-bridge", unowned(*self)));
  return self;
}

void IsaBridge::set_registers(const IsaBridgeState& state) {
  std::array<uint8_t, 4> routes = state.routes;
  for (uint8_t& route : routes) {
    route &= kRouteMask;
  }
  set_config(kRoutes, routes);
  const uint8_t select[2] = {static_cast<uint8_t>(state.bios_select[0] & kBiosSelectMask[0]),
                             static_cast<uint8_t>(state.bios_select[1] & kBiosSelectMask[1])};
  set_config(kBiosSelect, select);
  const uint8_t recovery[1] = {state.recovery};
  set_config(kRecovery, recovery);
  port92_ = state.port92 & kA20;
  route_all();
}

void IsaBridge::route_all() {
  const Lock lock(route_mutex_);
  for (uint16_t i = 0; i < 4; ++i) {
    router_.route(i, config_byte(static_cast<uint16_t>(kRoutes + i)));
  }
}

void IsaBridge::config_write(uint16_t offset, uint8_t size, uint32_t value) {
  PciFunction::config_write(offset, size, value);
  if (offset <= kRoutes + 3 && offset + size > kRoutes) {
    route_all();
  }
}

void IsaBridge::io_write(IoAccess, uint64_t value) {
  // A20 is only remembered: the processors of a virtual machine have no such gate.
  port92_ = static_cast<uint8_t>(value & kA20);
  if ((value & kFastReset) != 0) {
    env_.power(PowerEvent::reset, 0);
  }
}

void IsaBridge::save(StateWriter& out) const {
  IsaBridgeState state;
  for (size_t i = 0; i < state.routes.size(); ++i) {
    state.routes[i] = config_byte(static_cast<uint16_t>(kRoutes + i));
  }
  state.bios_select = {config_byte(kBiosSelect), config_byte(kBiosSelect + 1)};
  state.recovery = config_byte(kRecovery);
  state.port92 = port92_.load();
  state.command = pci_state().command;
  out.put("isa-bridge", state);
}

void IsaBridge::reset() {
  reset_pci();
  set_registers({});
}

}  // namespace lodge
