#include "devices/legacy/parallel/device.h"

#include <algorithm>

namespace lodge {
namespace {

enum Register : uint64_t { kData = 0, kStatus = 1, kControl = 2 };

constexpr uint8_t kNotBusy = 0x80;
constexpr uint8_t kNotAcknowledging = 0x40;
constexpr uint8_t kSelected = 0x10;
constexpr uint8_t kNoError = 0x08;
constexpr uint8_t kStatusAlways = 0x07;
constexpr uint8_t kStrobe = 0x01;
constexpr uint8_t kNotReset = 0x04;
constexpr uint8_t kInterrupt = 0x10;
constexpr uint8_t kControlMask = 0x1F;
constexpr uint8_t kControlAlways = 0xE0;
constexpr std::chrono::milliseconds kGather(2);         // output written within this time leaves in one piece
constexpr std::chrono::milliseconds kLastOutput(1000);  // how long the end of the machine waits for a slow other side
constexpr size_t kTransmitBuffer = 16384;               // how much waits for a slow other side before the printer is busy

}  // namespace

ParallelPort::ParallelPort(Options options, const DeviceEnv& env, IrqLine& irq)
    : options_(std::move(options)), env_(env), irq_(irq) {}

Result<std::unique_ptr<ParallelPort>> ParallelPort::create(Options options, const DeviceEnv& env, IrqLine& irq,
                                                           const StateReader* saved) {
  std::unique_ptr<ParallelPort> self(new ParallelPort(std::move(options), env, irq));
  if (saved != nullptr) {
    auto state = TRY(saved->get<ParallelState>(self->options_.id));
    if (state.transmit.size() > kTransmitBuffer || (state.control & ~kControlMask) != 0) {
      return fail("the saved parallel port '{}' has what no port can have", self->options_.id);
    }
    const Lock lock(self->mutex_);
    self->regs_ = std::move(state);
  }
  self->mapping_ = TRY(env.pio.add(self->options_.port, kPorts, self->options_.id, unowned(*self)));
  self->options_.backend->attach(env.control, {.receive = [](auto bytes) { return bytes.size(); },
                                               .writable = [raw = self.get()] { raw->flush(); },
                                               .event = [](CharBackend::Event) {}});
  return self;
}

ParallelPort::~ParallelPort() {
  *alive_ = false;
  {
    const Lock lock(mutex_);
    if (!saved_) {  // else the restored guest's port writes it
      options_.backend->drain(std::as_bytes(std::span(regs_.transmit)), kLastOutput);
    }
  }
  options_.backend->detach();
}

bool ParallelPort::has_room() const { return regs_.transmit.size() + in_hand_ < kTransmitBuffer; }

uint8_t ParallelPort::take_status() {
  uint8_t status = kSelected | kNoError | kStatusAlways;
  // Busy: in the strobe, while it is reset, and as long as nothing more can be taken.
  if ((regs_.control & kStrobe) == 0 && (regs_.control & kNotReset) != 0 && has_room()) {
    status |= kNotBusy;
  }
  if (!std::exchange(regs_.acknowledges, false)) {
    status |= kNotAcknowledging;
  }
  return status;
}

uint64_t ParallelPort::io_read(IoAccess access) {
  const Lock lock(mutex_);
  uint64_t value = 0;
  for (size_t i = 0; i < access.size; ++i) {
    uint8_t byte = 0;
    switch (access.offset + i) {
      case kData: byte = regs_.data; break;
      case kStatus: byte = take_status(); break;
      default: byte = regs_.control | kControlAlways; break;
    }
    value |= uint64_t{byte} << (8 * i);
  }
  return value;
}

void ParallelPort::io_write(IoAccess access, uint64_t value) {
  bool tell = false;
  {
    const Lock lock(mutex_);
    for (size_t i = 0; i < access.size; ++i) {
      const auto byte = static_cast<uint8_t>(value >> (8 * i));
      switch (access.offset + i) {
        case kData: regs_.data = byte; break;
        case kControl: tell = write_control(byte & kControlMask) || tell; break;
        default: break;  // the status is the printer's
      }
    }
  }
  if (tell) {
    interrupt();
  }
}

// The byte is taken where the strobe begins. True: the printer acknowledges, and that interrupts.
bool ParallelPort::write_control(uint8_t value) {
  const uint8_t before = std::exchange(regs_.control, value);
  if ((value & kNotReset) == 0) {
    regs_.owes = false;
    regs_.acknowledges = false;
    return false;
  }
  const bool strobe = (value & kStrobe) != 0;
  const bool strobed = (before & kStrobe) != 0;
  if (strobe && !strobed && has_room()) {
    take_byte();
    regs_.owes = true;
  }
  return !strobe && acknowledge();
}

// As soon as the strobe is over and another byte could be taken.
bool ParallelPort::acknowledge() {
  if (!regs_.owes || !has_room() || (regs_.control & kStrobe) != 0) {
    return false;
  }
  regs_.owes = false;
  regs_.acknowledges = true;
  return (regs_.control & kInterrupt) != 0;
}

void ParallelPort::take_byte() {
  regs_.transmit.push_back(regs_.data);
  if (!std::exchange(flush_posted_, true)) {
    env_.control.post([this, alive = alive_] {
      if (*alive) {
        timer_ = env_.control.after(kGather, [this] { flush(); });
      }
    });
  }
}

void ParallelPort::interrupt() {
  irq_.set(true);  // edge-triggered
  irq_.set(false);
}

// On the loop: hands over what was gathered.
void ParallelPort::flush() {
  std::vector<uint8_t> bytes;
  {
    const Lock lock(mutex_);
    flush_posted_ = false;
    saved_ = false;
    bytes.swap(regs_.transmit);
    in_hand_ = bytes.size();
  }
  const size_t taken = options_.backend->write(std::as_bytes(std::span(bytes)));
  bool tell = false;
  {
    const Lock lock(mutex_);
    in_hand_ = 0;
    if (taken < bytes.size()) {  // the rest goes with the next `writable`
      regs_.transmit.insert(regs_.transmit.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken), bytes.end());
    }
    tell = acknowledge();
  }
  if (tell) {
    interrupt();
  }
}

void ParallelPort::quiesce(Done done) {
  flush();
  done();
}

void ParallelPort::save(StateWriter& out) const {
  const Lock lock(mutex_);
  saved_ = true;
  out.put(options_.id, regs_);
}

// What was printed stays printed.
void ParallelPort::reset() {
  const Lock lock(mutex_);
  ParallelState fresh;
  fresh.transmit = std::move(regs_.transmit);
  regs_ = std::move(fresh);
}

}  // namespace lodge
