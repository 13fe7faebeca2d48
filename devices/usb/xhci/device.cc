#include "devices/usb/xhci/device.h"

#include <algorithm>
#include <bit>

#include "base/units.h"

namespace lodge {

using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document

namespace {

constexpr PciIdentity kIdentity{0x1B36, 0x000D, 0x0C0330, 1, 0x1AF4, 0x1100};
constexpr uint16_t kReleaseNumber = 0x60;  // in configuration space (5.2.3)
constexpr uint8_t kUsb30 = 0x30;
constexpr uint8_t kFrameLength = 0x20;
constexpr uint8_t kMsixBar = 2;
constexpr int kBatch = 64;  // steps before it is others' turn
constexpr size_t kPieceBytes = 64 * 1024;
constexpr uint32_t kMaxOffset = 0x1FFFF;

}  // namespace

Xhci::Xhci(Options options, const DeviceEnv& env)
    : PciFunction(std::move(options.id), kIdentity, env),
      ports_(options.ports),
      loop_(env.loops.pick()),
      devices_(2 * size_t{options.ports}, nullptr),
      data_(kPieceBytes) {
  const std::array<uint8_t, 2> release{kUsb30, kFrameLength};
  set_config(kReleaseNumber, release);
  add_bar(0, BarKind::memory32, kBarSize, unowned(memory_));
  for (size_t i = 0; i < devices_.size(); ++i) {
    port_sides_.push_back(std::make_unique<Port>(*this, i));
  }
}

Result<std::shared_ptr<Xhci>> Xhci::create(Options options, const DeviceEnv& env, const StateReader* saved) {
  if (options.ports == 0 || options.ports > kMaxPorts) {
    return fail("a USB controller cannot have {} ports; give it 1 to {}", options.ports, kMaxPorts);
  }
  const std::vector<UsbPlug> plugs = std::move(options.devices);
  std::shared_ptr<Xhci> self(new Xhci(std::move(options), env));
  for (const UsbPlug& plug : plugs) {
    TRY_VOID(self->plug_in(plug));
    self->devices_[self->register_of(plug)] = plug.device.get();
  }
  PciState pci;
  if (saved != nullptr) {
    pci = TRY(saved->get<PciState>(self->name()));
  }
  TRY_VOID(self->add_msix(kMsixBar, 1, saved != nullptr ? &pci.msix : nullptr));
  if (saved != nullptr) {
    TRY_VOID(self->load_pci(pci));
    TRY_VOID(self->load(*saved));
  } else {
    self->reset();
  }
  return self;
}

// Whatever indexes something here, or is added up, is in bounds; addresses are checked when they are used.
Result<void> Xhci::check(const XhciState& state) const {
  const auto bad_endpoint = [](const Endpoint& one) {
    return one.id == 0 || one.id >= kContexts || one.phase > EndpointPhase::error || one.offset > kMaxOffset ||
           one.context[1] >> 16 == 0;
  };
  const auto bad_slot = [&](const Slot& one) {
    return one.id == 0 || one.id > kSlots || one.phase > SlotPhase::configured || one.port > devices_.size() ||
           one.endpoints.size() >= kContexts || std::ranges::any_of(one.endpoints, bad_endpoint);
  };
  if (state.ports.size() != devices_.size() || state.slots.size() > kSlots || state.events.size() > kMaxEvents ||
      std::ranges::any_of(state.slots, bad_slot) || state.segment_at > kMaxSegment || state.segment_size > kMaxSegment ||
      std::ranges::any_of(state.ports, [](const XhciPortState& one) { return one.link > kLinkResume; })) {
    return fail("saved USB controller '{}' is damaged, or had another number of ports", name());
  }
  for (size_t i = 0; i < state.slots.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (state.slots[i].id == state.slots[j].id) {
        return fail("saved USB controller '{}' has slot {} twice", name(), state.slots[i].id);
      }
    }
  }
  return {};
}

Result<void> Xhci::load(const StateReader& saved) {
  auto state = TRY(saved.get<XhciState>(name()));
  TRY_VOID(check(state));
  const Lock lock(mutex_);
  s_ = std::move(state);
  s_.status &= kStsHalted | kStsClearable;
  update_interrupt();
  return {};
}

void Xhci::save(StateWriter& out) const {
  out.put(name(), pci_state());
  save_devices(out);
  const Lock lock(mutex_);
  out.put(name(), s_);
}

void Xhci::reset() {
  reset_pci();
  const Lock lock(mutex_);
  reset_controller();
}

void Xhci::reset_controller() {
  s_ = {};
  s_.ports.resize(devices_.size());
  waiting_ = {};
  reset_devices();
  for (size_t i = 0; i < devices_.size(); ++i) {
    connect_port(i);
  }
  update_interrupt();
}

void Xhci::quiesce(Done done) {
  {
    const Lock lock(mutex_);
    machine_runs_ = false;
  }
  loop_.post([this, done = std::move(done)] { quiesce_devices(done); });
}

void Xhci::resume() {
  {
    const Lock lock(mutex_);
    machine_runs_ = true;
    waiting_ = {};
    for (auto& slot : budget_) {
      slot.fill(kAllBudget);
    }
  }
  loop_.post([this] {
    {
      const Lock lock(mutex_);
      if (!machine_runs_) {
        return;
      }
    }
    resume_devices();
    work();
  });
}

void Xhci::wake() {
  if (!posted_.exchange(true)) {
    loop_.post([this] { work(); });
  }
}

void Xhci::Port::wake() {
  owner_.woken_.fetch_or(1U << index_);
  owner_.wake();
}

void Xhci::work() {
  posted_.store(false);
  for (int i = 0; i < kBatch; ++i) {
    const Lock lock(mutex_);
    if (!machine_runs_ || !step()) {
      return;
    }
  }
  wake();
}

bool Xhci::step() {
  if ((s_.command & kCmdReset) != 0) {
    reset_controller();
    return true;
  }
  for (size_t i = 0; i < s_.ports.size(); ++i) {
    if (s_.ports[i].resetting) {
      finish_port_reset(i);
      return true;
    }
  }
  if (!running() || !bus_master()) {
    return false;
  }
  take_wakes();
  flush_events();
  if (!s_.events.empty()) {  // until the guest makes room
    return false;
  }
  if (s_.commands_run && s_.command_armed) {
    step_command();
    flush_events();
    return true;
  }
  // Slots in turn, so that none waits for the others.
  for (size_t i = 0; i < s_.slots.size(); ++i) {
    Slot& slot = s_.slots[(next_slot_ + i) % s_.slots.size()];
    for (Endpoint& endpoint : slot.endpoints) {
      if (endpoint.armed && endpoint.phase == EndpointPhase::running && (waiting_[slot.id] >> endpoint.id & 1) == 0) {
        next_slot_ = (next_slot_ + i + 1) % s_.slots.size();
        step_endpoint(slot, endpoint);
        flush_events();
        return true;
      }
    }
  }
  return false;
}

void Xhci::fail_system(std::string_view what) {
  guest_warning(warnings_, name(), "{}; the controller stops", what);
  s_.status |= kStsSystemError | kStsHalted;
  s_.command &= ~kCmdRun;
  s_.commands_run = false;
}

// Bus mastering may have been switched on, or MSI-X.
void Xhci::config_write(uint16_t offset, uint8_t size, uint32_t value) {
  PciFunction::config_write(offset, size, value);
  {
    const Lock lock(mutex_);
    update_interrupt();
  }
  wake();
}

std::vector<Counter> Xhci::counters() const {
  return {{"commands", commands_}, {"transfers", transfers_}, {"bytes", bytes_}, {"guest-mistakes", warnings_.count()}};
}

}  // namespace lodge
