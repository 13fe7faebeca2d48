#include "devices/rtl8139/device.h"

#include "devices/net/frame.h"
#include "devices/rtl8139/eeprom.h"

namespace lodge {

using namespace rtl8139;  // NOLINT(google-build-using-namespace): names of this chip only

namespace {

constexpr PciIdentity kIdentity{0x10EC, 0x8139, 0x020000, 0x20, 0x1AF4, 0x1100};
constexpr std::chrono::nanoseconds kTick(30);  // of the PCI clock
constexpr uint64_t kTimerTurn = uint64_t{1} << 32;
constexpr size_t kCrcBytes = 4;

}  // namespace

Rtl8139::Rtl8139(Options options, const DeviceEnv& env)
    : PciFunction(options.id, kIdentity, env),
      port_(std::move(options.port)),
      permanent_mac_(options.mac),
      loop_(env.loops.pick()),
      frames_(*port_.queues.front(), port_.capabilities, loop_, *this),
      packet_(net::kMaxUnsegmented),
      segment_(net::kMaxUnsegmented),
      received_(kMaxFrame + kCrcBytes) {
  add_bar(0, BarKind::io, kBarBytes, unowned(*this));
  add_bar(1, BarKind::memory32, kBarBytes, unowned(*this));
  const Lock lock(mutex_);
  s_.link_up = options.link_up;
  s_.registers.resize(kRegisterBytes);
  s_.eeprom.words = eeprom_words(permanent_mac_);
}

Result<std::shared_ptr<Rtl8139>> Rtl8139::create(Options options, const DeviceEnv& env, const StateReader* saved) {
  if (options.port.queues.empty()) {
    return fail("NIC '{}' has nothing behind it", options.id);
  }
  std::shared_ptr<Rtl8139> self(new Rtl8139(std::move(options), env));
  TRY_VOID(self->port_.queues.front()->set_offloads(0));
  self->port_.queues.front()->set_enabled(true);
  if (saved != nullptr) {
    TRY_VOID(self->load(*saved));
  } else {
    self->reset();
  }
  return self;
}

Result<void> Rtl8139::load(const StateReader& saved) {
  TRY_VOID(load_pci(TRY(saved.get<PciState>(name()))));
  auto state = TRY(saved.get<Rtl8139State>(name()));
  if (state.registers.size() != kRegisterBytes || !is_sound(state.eeprom)) {
    return fail("saved NIC '{}' is no rtl8139", name());
  }
  const Lock lock(mutex_);
  s_ = std::move(state);
  update_interrupt();
  return {};
}

void Rtl8139::save(StateWriter& out) const {
  out.put(name(), pci_state());
  const Lock lock(mutex_);
  out.put(name(), s_);
}

// What the EEPROM holds stays, as it does without power.
void Rtl8139::reset() {
  reset_pci();
  const Lock lock(mutex_);
  std::ranges::fill(s_.registers, uint8_t{0});
  s_.tally = {};
  reset_board();
  reset_controller();
  update_interrupt();
}

net::MacAddress Rtl8139::mac() const {
  const Lock lock(mutex_);
  net::MacAddress mac{};
  std::copy_n(s_.registers.begin() + kId, mac.size(), mac.begin());
  return mac;
}

bool Rtl8139::link_up() const {
  const Lock lock(mutex_);
  return s_.link_up;
}

void Rtl8139::set_link(bool up) {
  {
    const Lock lock(mutex_);
    if (s_.link_up == up) {
      return;
    }
    s_.link_up = up;
    show_link();
    raise(kIntLink);
  }
  wake();
}

void Rtl8139::quiesce(Done done) {
  {
    const Lock lock(mutex_);
    s_.timer = timer_now();
    running_ = false;
  }
  loop_.post([this, done = std::move(done)] {
    frames_.stop();
    timer_.reset();
    look_again_.reset();
    done();
  });
}

void Rtl8139::resume() {
  {
    const Lock lock(mutex_);
    if (!running_) {
      resumed_ = Clock::now();
    }
    running_ = true;
    woken_ = false;
    starved_.reset();
  }
  loop_.post([this] {
    {
      const Lock lock(mutex_);
      if (!running_) {
        return;
      }
    }
    frames_.start();
    arm_timer();
    transmit();
  });
}

// The loop looks at the rings, and at the timer.
void Rtl8139::wake() {
  {
    const Lock lock(mutex_);
    if (!running_ || woken_) {
      return;
    }
    woken_ = true;
  }
  loop_.post([this] { work(); });
}

void Rtl8139::work() {
  bool timer = false;
  {
    const Lock lock(mutex_);
    woken_ = false;
    if (!running_) {
      return;
    }
    timer = std::exchange(timer_changed_, false);
  }
  if (timer) {
    arm_timer();
  }
  transmit();
  frames_.poll();
}

// Bus mastering may have been switched on.
void Rtl8139::config_write(uint16_t offset, uint8_t size, uint32_t value) {
  PciFunction::config_write(offset, size, value);
  wake();
}

uint32_t Rtl8139::timer_now() const {
  return running_ ? s_.timer + static_cast<uint32_t>((Clock::now() - resumed_) / kTick) : s_.timer;
}

// For when the count comes to what the interrupt's register says, which it does once in each turn of its 32 bits.
void Rtl8139::arm_timer() {
  timer_.reset();
  uint64_t ticks = 0;
  {
    const Lock lock(mutex_);
    const uint32_t wanted = get(kTimerInt, 4);
    if (wanted == 0 || !running_) {
      return;
    }
    const uint32_t left = wanted - timer_now();
    ticks = left != 0 ? left : kTimerTurn;
  }
  timer_ = loop_.after(ticks * kTick, [this] {
    {
      const Lock lock(mutex_);
      if (!running_ || get(kTimerInt, 4) == 0) {
        return;
      }
      raise(kIntTimer);
    }
    arm_timer();
  });
}

std::vector<Counter> Rtl8139::counters() const {
  return {
      {"rx-packets", rx_packets_},          {"rx-bytes", rx_bytes_}, {"rx-dropped", rx_dropped_}, {"rx-errors", 0},
      {"tx-packets", tx_packets_},          {"tx-bytes", tx_bytes_}, {"tx-dropped", tx_dropped_}, {"tx-errors", tx_errors_},
      {"guest-mistakes", warnings_.count()}};
}

}  // namespace lodge
