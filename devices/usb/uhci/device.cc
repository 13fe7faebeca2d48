#include "devices/usb/uhci/device.h"

#include <algorithm>

namespace lodge {

using namespace uhci;  // NOLINT(google-build-using-namespace): the names of the document

namespace {

constexpr PciIdentity kIdentity{0x8086, 0x7020, 0x0C0300, 1, 0x1AF4, 0x1100};
constexpr uint16_t kReleaseNumber = 0x60;  // in configuration space
constexpr uint16_t kLegacySupport = 0xC0;
constexpr uint8_t kUsb10 = 0x10;
constexpr uint8_t kRegistersBar = 4;
constexpr size_t kMostControl = 0x10000;
constexpr uint32_t kQuiet = 64;       // frames, after which
constexpr uint32_t kQuietFrames = 8;  // are looked at together

}  // namespace

Uhci::Uhci(Options options, const DeviceEnv& env)
    : PciFunction(std::move(options.id), kIdentity, env), loop_(env.loops.pick()), now_(std::move(options.now)) {
  const std::array<uint8_t, 1> release{kUsb10};
  set_config(kReleaseNumber, release);
  const std::array<uint8_t, 2> legacy{0x00, 0x20};  // interrupts reach the PIRQ; ports 60h and 64h are no affair of USB's
  set_config(kLegacySupport, legacy);
  add_bar(kRegistersBar, BarKind::io, kBarSize, unowned(ports_));
}

Result<std::shared_ptr<Uhci>> Uhci::create(Options options, const DeviceEnv& env, const StateReader* saved) {
  const std::vector<UsbPlug> plugs = std::move(options.devices);
  std::shared_ptr<Uhci> self(new Uhci(std::move(options), env));
  for (const UsbPlug& plug : plugs) {
    TRY_VOID(self->plug_in(plug));
    self->devices_.at(plug.port - 1) = plug.device.get();
  }
  if (saved == nullptr) {
    self->reset();
    return self;
  }
  TRY_VOID(self->load_pci(TRY(saved->get<PciState>(self->name()))));
  auto state = TRY(saved->get<UhciState>(self->name()));
  TRY_VOID(self->check(state));
  const Lock lock(self->mutex_);
  self->s_ = std::move(state);
  self->update_interrupt();
  return self;
}

Result<void> Uhci::check(const UhciState& state) const {
  const auto bad_port = [](const UhciPortState& one) {
    return one.control.phase > UhciControlPhase::data_out || one.control.data.size() > kMostControl ||
           one.control.at > one.control.data.size() || one.part.size() > kMostPacket;
  };
  const bool halted = (state.status & kStsHalted) != 0;
  const bool runs = (state.command & kCmdRun) != 0;
  if (state.ports.size() != kPortCount || std::ranges::any_of(state.ports, bad_port) || halted == runs ||
      (state.command & ~kCmdMask) != 0 || (state.interrupts & ~kIntMask) != 0 || (state.frame & ~kFrameMask) != 0 ||
      (state.list & ~kListMask) != 0 || (state.sof & ~kSofMask) != 0 ||
      (state.status & ~(kStsClearable | kStsHalted)) != 0) {
    return lodge::fail("saved USB controller '{}' is damaged", name());
  }
  return {};
}

void Uhci::save(StateWriter& out) const {
  out.put(name(), pci_state());
  save_devices(out);
  const Lock lock(mutex_);
  out.put(name(), s_);
}

void Uhci::reset() {
  reset_pci();
  reset_devices();
  const Lock lock(mutex_);
  reset_controller();
  for (UhciPortState& port : s_.ports) {
    port.reset_due = false;  // it was done
  }
}

void Uhci::reset_controller() {
  s_ = {};
  s_.ports.resize(kPortCount);
  for (size_t i = 0; i < kPortCount; ++i) {
    s_.ports[i].connect_change = s_.ports[i].reset_due = devices_.at(i) != nullptr;
  }
  quiet_frames_ = 0;
  update_interrupt();
}

void Uhci::quiesce(Done done) {
  {
    const Lock lock(mutex_);
    machine_runs_ = false;
  }
  loop_.post([this, done = std::move(done)] {
    timer_.reset();
    quiesce_devices(done);
  });
}

void Uhci::resume() {
  {
    const Lock lock(mutex_);
    machine_runs_ = true;
    next_frame_ = now_();
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

void Uhci::wake() {
  if (!posted_.exchange(true)) {
    loop_.post([this] { work(); });
  }
}

void Uhci::Port::wake() {
  woken_.store(true);
  owner_.wake();
}

// All that the loop does: resets, news of devices, frames that are due, and then the time of the next ones.
void Uhci::work() {
  posted_.store(false);
  const Lock lock(mutex_);
  timer_.reset();
  if (!machine_runs_) {
    return;
  }
  finish_port_resets();
  take_wakes();
  if (!running() || !bus_master()) {
    return;
  }
  run_due_frames();
  if (running()) {
    const auto pause = kFrameTime * (quiet_frames_ >= kQuiet ? kQuietFrames - 1 : 0);
    timer_ = loop_.after(std::max<std::chrono::nanoseconds>(next_frame_ + pause - now_(), {}), [this] { work(); });
  }
}

void Uhci::fail(uint16_t status, std::string_view what) {
  guest_warning(warnings_, name(), "{}; the controller stops", what);
  s_.status |= status | kStsHalted;
  s_.command &= static_cast<uint16_t>(~kCmdRun);
  update_interrupt();
}

void Uhci::update_interrupt() {
  const bool transfer =
      (s_.completed && (s_.interrupts & kIntComplete) != 0) || (s_.was_short && (s_.interrupts & kIntShort) != 0);
  set_intx(((s_.status & kStsInterrupt) != 0 && transfer) ||
           ((s_.status & kStsError) != 0 && (s_.interrupts & kIntError) != 0) ||
           ((s_.status & kStsResume) != 0 && (s_.interrupts & kIntResume) != 0) ||
           (s_.status & (kStsSystemError | kStsProcessError)) != 0);
}

// Bus mastering may have been switched on.
void Uhci::config_write(uint16_t offset, uint8_t size, uint32_t value) {
  PciFunction::config_write(offset, size, value);
  wake();
}

std::vector<Counter> Uhci::counters() const {
  return {{"frames", frames_}, {"packets", packets_}, {"bytes", bytes_}, {"guest-mistakes", warnings_.count()}};
}

}  // namespace lodge
