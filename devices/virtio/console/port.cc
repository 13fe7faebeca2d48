#include "devices/virtio/console/port.h"

#include <algorithm>
#include <array>

#include "devices/virtio/console/device.h"

namespace lodge {

void ConsolePort::attach(EventLoop& loop) {
  loop_ = &loop;
  blocked_ = false;
  backend_->attach(loop, CharBackend::Client{
                             .receive = [this](std::span<const std::byte> bytes) { return receive(bytes); },
                             .writable =
                                 [this] {
                                   blocked_ = false;
                                   pump_output();
                                 },
                             .event = [this](CharBackend::Event) { tell_open(); },
                         });
  tell_open();  // it may have changed while nobody listened
}

void ConsolePort::detach() {
  again_.reset();
  backend_->detach();
  loop_ = nullptr;
}

void ConsolePort::stop_output() {
  again_.reset();
  if (sending_.active()) {
    sending_.give_back();  // state_.sent tells where to go on
  }
  output_ = nullptr;
}

void ConsolePort::resume_input() { backend_->resume_input(); }

size_t ConsolePort::receive(std::span<const std::byte> bytes) {
  if (input_ == nullptr || !device_.guest_reads(*this)) {
    return 0;
  }
  size_t taken = 0;
  while (taken < bytes.size()) {
    auto chain = input_->pop();
    if (!chain) {
      if (input_->enable_kicks()) {
        continue;
      }
      break;
    }
    const size_t n = chain->write(0, bytes.subspan(taken));
    chain->set_written(n);
    taken += n;
  }
  return taken;
}

void ConsolePort::pump_output() {
  if (output_ == nullptr || blocked_ || again_.active()) {
    return;
  }
  uint64_t budget = kPerTurn;
  output_->disable_kicks();
  for (;;) {
    if (!sending_.active()) {
      auto chain = output_->pop();
      if (!chain) {
        if (!output_->enable_kicks()) {
          return;
        }
        output_->disable_kicks();
        continue;
      }
      sending_ = std::move(*chain);
    }
    if (!send(sending_, budget)) {
      return;
    }
    state_.sent = 0;
    sending_.finish();
  }
}

// False: not all could go out now.
bool ConsolePort::send(Chain& chain, uint64_t& budget) {
  std::array<std::byte, 4096> piece;
  budget -= std::min<uint64_t>(budget, 64);  // empty requests count too
  for (;;) {
    const size_t n = chain.read(state_.sent, piece);
    if (n == 0) {
      return true;
    }
    if (budget == 0) {
      again_ = loop_->after(std::chrono::nanoseconds(0), [this] {
        again_.reset();
        pump_output();
      });
      return false;
    }
    const size_t took = backend_->write(std::span(piece).first(n));
    state_.sent += static_cast<uint32_t>(took);
    budget -= std::min<uint64_t>(budget, took);
    if (took < n) {
      blocked_ = true;
      return false;
    }
  }
}

void ConsolePort::tell_open() {
  const bool open = console_ || backend_->is_open();  // a console's output is worth having with nobody there
  if (state_.ready && open != state_.host_open && device_.multiport()) {
    state_.host_open = open;
    device_.send_message({number_, VirtioConsole::kPortOpen, static_cast<uint16_t>(open ? 1 : 0)});
  }
}

}  // namespace lodge
