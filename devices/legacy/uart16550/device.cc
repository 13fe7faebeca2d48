#include "devices/legacy/uart16550/device.h"

#include <algorithm>

namespace lodge {
namespace {

enum Register : uint64_t {
  kData = 0,
  kInterruptEnable = 1,
  kInterruptId = 2,
  kLineControl = 3,
  kModemControl = 4,
  kLineStatus = 5,
  kModemStatus = 6,
  kScratch = 7
};

constexpr uint8_t kIerReceive = 1;
constexpr uint8_t kIerTransmit = 2;
constexpr uint8_t kIerLine = 4;
constexpr uint8_t kIirNone = 1;
constexpr uint8_t kIirTransmit = 2;
constexpr uint8_t kIirReceive = 4;
constexpr uint8_t kIirLine = 6;
constexpr uint8_t kIirFifo = 0xC0;
constexpr uint8_t kLcrDivisor = 0x80;
constexpr uint8_t kMcrLoop = 0x10;
constexpr uint8_t kMcrOut2 = 0x08;  // gates the interrupt output on PCs
constexpr uint8_t kLsrData = 0x01;
constexpr uint8_t kLsrOverrun = 0x02;
constexpr uint8_t kLsrEmpty = 0x60;  // THR and shift register empty
constexpr uint8_t kFcrEnable = 1;
constexpr std::chrono::milliseconds kGather(2);         // output written within this time leaves in one piece
constexpr std::chrono::milliseconds kLastOutput(1000);  // how long the end of the machine waits for a slow other side
constexpr size_t kFifo = 16;
constexpr size_t kTransmitBuffer = 16384;  // how much output waits for a slow other side before the guest is held

}  // namespace

Uart16550::Uart16550(Options options, const DeviceEnv& env, IrqLine& irq)
    : options_(std::move(options)), env_(env), irq_(irq) {}

Result<std::unique_ptr<Uart16550>> Uart16550::create(Options options, const DeviceEnv& env, IrqLine& irq,
                                                     const StateReader* saved) {
  std::unique_ptr<Uart16550> self(new Uart16550(std::move(options), env, irq));
  if (saved != nullptr) {
    auto state = TRY(saved->get<Uart16550State>(self->options_.id));
    if (state.receive.size() > kFifo || state.transmit.size() > kTransmitBuffer) {
      return fail("saved serial port '{}' holds more bytes than it can", self->options_.id);
    }
    const Lock lock(self->mutex_);
    self->receive_.assign(state.receive.begin(), state.receive.end());
    self->transmit_ = std::move(state.transmit);
    state.receive.clear();
    state.transmit.clear();
    self->regs_ = state;
    self->update_irq();
  }
  self->mapping_ = TRY(env.pio.add(self->options_.port, kPorts, self->options_.id, unowned(*self)));
  self->options_.backend->attach(env.control, {.receive = [raw = self.get()](auto bytes) { return raw->receive(bytes); },
                                               .writable = [raw = self.get()] { raw->flush(); },
                                               .event = [](CharBackend::Event) {}});
  return self;
}

Uart16550::~Uart16550() {
  *alive_ = false;
  {
    const Lock lock(mutex_);
    if (!saved_) {  // else the restored guest's port writes it
      options_.backend->drain(std::as_bytes(std::span(transmit_)), kLastOutput);
    }
  }
  options_.backend->detach();
}

size_t Uart16550::receive_room() const {
  const size_t limit = (regs_.fcr & kFcrEnable) != 0 ? kFifo : 1;
  return receive_.size() < limit ? limit - receive_.size() : 0;
}

size_t Uart16550::receive(std::span<const std::byte> bytes) {
  const Lock lock(mutex_);
  if ((regs_.mcr & kMcrLoop) != 0) {
    return bytes.size();  // the line is cut off
  }
  const size_t take = std::min(bytes.size(), receive_room());
  for (size_t i = 0; i < take; ++i) {
    receive_.push_back(static_cast<uint8_t>(bytes[i]));
  }
  input_waits_ = take < bytes.size();
  update_irq();
  return take;
}

uint8_t Uart16550::line_status() const {
  uint8_t status = transmit_.size() < kTransmitBuffer ? kLsrEmpty : 0;
  if (!receive_.empty()) {
    status |= kLsrData;
  }
  if (regs_.overrun) {
    status |= kLsrOverrun;
  }
  return status;
}

uint8_t Uart16550::modem_status() const {
  if ((regs_.mcr & kMcrLoop) == 0) {
    return 0xB0;  // carrier, data set ready, clear to send
  }
  // Loopback: DTR, RTS, OUT1, OUT2 come back as DSR, CTS, RI, DCD.
  return static_cast<uint8_t>(((regs_.mcr & 1) << 5) | ((regs_.mcr & 2) << 3) | ((regs_.mcr & 0xC) << 4));
}

uint8_t Uart16550::interrupt_id() const {
  if ((regs_.ier & kIerLine) != 0 && regs_.overrun) {
    return kIirLine;
  }
  if ((regs_.ier & kIerReceive) != 0 && !receive_.empty()) {
    return kIirReceive;
  }
  if ((regs_.ier & kIerTransmit) != 0 && regs_.thre_pending) {
    return kIirTransmit;
  }
  return kIirNone;
}

void Uart16550::update_irq() {
  const bool gated = (regs_.mcr & kMcrOut2) != 0 && (regs_.mcr & kMcrLoop) == 0;
  irq_.set(gated && interrupt_id() != kIirNone);
}

uint64_t Uart16550::io_read(IoAccess access) {
  bool resume = false;
  uint8_t value = 0;
  {
    const Lock lock(mutex_);
    const bool divisor = (regs_.lcr & kLcrDivisor) != 0;
    switch (access.offset) {
      case kData:
        if (divisor) {
          value = static_cast<uint8_t>(regs_.divisor);
        } else if (!receive_.empty()) {
          value = receive_.front();
          receive_.pop_front();
          resume = input_waits_ && receive_.empty();
          update_irq();
        }
        break;
      case kInterruptEnable: value = divisor ? static_cast<uint8_t>(regs_.divisor >> 8) : regs_.ier; break;
      case kInterruptId:
        value = interrupt_id();
        if (value == kIirTransmit) {
          regs_.thre_pending = false;  // reading the cause clears it
          update_irq();
        }
        if ((regs_.fcr & kFcrEnable) != 0) {
          value |= kIirFifo;
        }
        break;
      case kLineControl: value = regs_.lcr; break;
      case kModemControl: value = regs_.mcr; break;
      case kLineStatus:
        value = line_status();
        regs_.overrun = false;
        update_irq();
        break;
      case kModemStatus: value = modem_status(); break;
      default: value = regs_.scratch; break;
    }
  }
  if (resume) {
    options_.backend->resume_input();
  }
  return value;
}

void Uart16550::io_write(IoAccess access, uint64_t value) {
  bool resume = false;
  {
    const Lock lock(mutex_);
    write_register(access.offset, static_cast<uint8_t>(value));
    resume = input_waits_ && receive_.empty();  // the FIFO was cleared, and nobody will read it empty
  }
  if (resume) {
    options_.backend->resume_input();
  }
}

void Uart16550::write_register(uint64_t offset, uint8_t value) {
  const bool divisor = (regs_.lcr & kLcrDivisor) != 0;
  switch (offset) {
    case kData:
      if (divisor) {
        regs_.divisor = static_cast<uint16_t>((regs_.divisor & 0xFF00) | value);
      } else {
        transmit(value);
      }
      break;
    case kInterruptEnable:
      if (divisor) {
        regs_.divisor = static_cast<uint16_t>((regs_.divisor & 0x00FF) | (value << 8));
      } else {
        const bool enables = (value & kIerTransmit) != 0 && (regs_.ier & kIerTransmit) == 0;
        regs_.ier = value & 0x0F;
        if (enables && transmit_.size() < kTransmitBuffer) {
          regs_.thre_pending = true;
        }
      }
      break;
    case kInterruptId:  // FIFO control
      regs_.fcr = value & 0xC9;
      if ((value & 0x02) != 0) {
        receive_.clear();
      }
      break;
    case kLineControl: regs_.lcr = value; break;
    case kModemControl: regs_.mcr = value & 0x1F; break;
    case kScratch: regs_.scratch = value; break;
    default: break;
  }
  update_irq();
}

void Uart16550::transmit(uint8_t value) {
  regs_.thre_pending = true;
  if ((regs_.mcr & kMcrLoop) != 0) {
    if (receive_room() == 0) {
      regs_.overrun = true;
    } else {
      receive_.push_back(value);
    }
    return;
  }
  if (transmit_.size() >= kTransmitBuffer) {
    return;  // the guest wrote although the transmitter said it was busy
  }
  transmit_.push_back(value);
  if (transmit_.size() >= kTransmitBuffer) {
    regs_.thre_pending = false;
  }
  if (!std::exchange(flush_posted_, true)) {
    env_.control.post([this, alive = alive_] {
      if (*alive) {
        timer_ = env_.control.after(kGather, [this] { flush(); });
      }
    });
  }
}

// On the loop: hands over what was gathered.
void Uart16550::flush() {
  std::vector<uint8_t> bytes;
  {
    const Lock lock(mutex_);
    flush_posted_ = false;
    saved_ = false;
    bytes.swap(transmit_);
  }
  const size_t taken = options_.backend->write(std::as_bytes(std::span(bytes)));
  const Lock lock(mutex_);
  const bool was_full = bytes.size() >= kTransmitBuffer;
  if (taken < bytes.size()) {  // the rest goes with the next `writable`
    transmit_.insert(transmit_.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(taken), bytes.end());
  }
  if (was_full && taken > 0) {
    regs_.thre_pending = true;
    update_irq();
  }
}

void Uart16550::quiesce(Done done) {
  flush();
  done();
}

void Uart16550::save(StateWriter& out) const {
  const Lock lock(mutex_);
  Uart16550State state = regs_;
  state.receive.assign(receive_.begin(), receive_.end());
  state.transmit = transmit_;
  saved_ = true;
  out.put(options_.id, state);
}

void Uart16550::reset() {
  {
    const Lock lock(mutex_);
    regs_ = Uart16550State{};
    receive_.clear();
    update_irq();
  }
  options_.backend->resume_input();
}

}  // namespace lodge
