#include "devices/virtio/console/device.h"

#include <algorithm>

namespace lodge {
namespace {

constexpr uint64_t kSize = 1U << 0;
constexpr uint64_t kMultiport = 1U << 1;
constexpr uint64_t kEmergencyWrite = 1U << 2;
constexpr uint16_t kControlIn = 2;
constexpr uint16_t kControlOut = 3;

struct Config {
  uint16_t columns;
  uint16_t rows;
  uint32_t max_ports;
  uint32_t emergency_write;
};

struct WireMessage {
  uint32_t port;
  uint16_t event;
  uint16_t value;
};

}  // namespace

VirtioConsole::VirtioConsole(Options options)
    : id_(std::move(options.id)), on_port_change_(std::move(options.on_port_change)) {
  window_.store(options.columns | uint32_t{options.rows} << 16);
  for (Port& port : options.ports) {
    if (port.backend == nullptr) {
      port.backend = make_null_char();
    }
    ports_.push_back(std::make_unique<ConsolePort>(*this, static_cast<uint32_t>(ports_.size()), std::move(port.name),
                                                   port.console, std::move(port.backend)));
  }
  for (size_t i = 0; i < 2 * ports_.size() + 2; ++i) {
    queue_sizes_.push_back(i == kControlIn || i == kControlOut ? uint16_t{32} : uint16_t{128});
  }
}

VirtioConsole::~VirtioConsole() = default;

Result<std::unique_ptr<VirtioConsole>> VirtioConsole::create(Options options, const StateReader* saved) {
  if (options.ports.empty() || options.ports.size() > kMaxPorts) {
    return fail("console '{}' has {} ports; choose 1 to {}", options.id, options.ports.size(), kMaxPorts);
  }
  for (size_t i = 0; i < options.ports.size(); ++i) {
    const std::string& name = options.ports[i].name;
    if (name.size() > 200 || name.find('\0') != std::string::npos) {
      return fail("console '{}': the name of port {} is too long or not text", options.id, i);
    }
    for (size_t j = 0; j < i; ++j) {
      if (!name.empty() && options.ports[j].name == name) {
        return fail("console '{}': two ports have the name '{}'", options.id, name);
      }
    }
  }
  std::unique_ptr<VirtioConsole> self(new VirtioConsole(std::move(options)));
  if (saved != nullptr) {
    TRY_VOID(self->load(*saved));
  }
  return self;
}

Result<void> VirtioConsole::load(const StateReader& saved) {
  const ConsoleState state = TRY(saved.get<ConsoleState>(id_));
  if (state.ports.size() != ports_.size()) {
    return fail("console '{}' has {} ports, but its saved state has {}", id_, ports_.size(), state.ports.size());
  }
  for (const ConsoleMessageState& message : state.messages) {
    if (message.port >= ports_.size() || message.event > kPortName) {
      return fail("console '{}': its saved state has a message for a port that does not exist", id_);
    }
  }
  ready_ = state.ready;
  window_.store(state.columns | uint32_t{state.rows} << 16);
  messages_.assign(state.messages.begin(), state.messages.end());
  for (size_t i = 0; i < ports_.size(); ++i) {
    ports_[i]->state() = state.ports[i];
  }
  return {};
}

void VirtioConsole::save(std::string_view id, StateWriter& out) const {
  ConsoleState state;
  state.ready = ready_;
  state.columns = static_cast<uint16_t>(window_.load());
  state.rows = static_cast<uint16_t>(window_.load() >> 16);
  state.messages.assign(messages_.begin(), messages_.end());
  for (const auto& port : ports_) {
    state.ports.push_back(port->state());
  }
  out.put(id, state);
}

uint64_t VirtioConsole::offered_features() const { return kMultiport | kEmergencyWrite | kSize; }

bool VirtioConsole::multiport() const { return (negotiated_.load(std::memory_order_relaxed) & kMultiport) != 0; }

void VirtioConsole::read_config(uint32_t offset, std::span<std::byte> to) {
  const uint32_t window = window_.load();
  const Config config{static_cast<uint16_t>(window), static_cast<uint16_t>(window >> 16),
                      static_cast<uint32_t>(ports_.size()), 0};
  copy_config(bytes_of(config), offset, to);
}

void VirtioConsole::write_config(uint32_t offset, std::span<const std::byte> from) {
  if (offset == offsetof(Config, emergency_write) && !from.empty()) {
    static_cast<void>(
        ports_[0]->backend().write(from.first(1)));  // a byte that does not fit is lost: an emergency has no queue
  }
}

// Queue 0, 1: port 0; 2, 3: control; then two for each further port.
ConsolePort* VirtioConsole::port_of(uint16_t queue) {
  const size_t number = queue < 2 ? 0 : queue / 2U - 1;
  if (queue == kControlIn || queue == kControlOut || number >= ports_.size() || (number > 0 && !multiport())) {
    return nullptr;
  }
  return ports_[number].get();
}

void VirtioConsole::start_queue(Virtqueue& queue) {
  const uint16_t index = queue.index();
  if (index == kControlIn) {
    control_in_ = &queue;
  } else if (index == kControlOut) {
    control_out_ = &queue;
  } else if (ConsolePort* port = port_of(index)) {
    index % 2 == 0 ? port->set_input(&queue) : port->set_output(&queue);
  }
  if (running_++ == 0) {
    for (const auto& port : ports_) {
      port->attach(queue.loop());
    }
    const Lock lock(mutex_);
    loop_ = &queue.loop();
  }
}

void VirtioConsole::kick(Virtqueue& queue) {
  const uint16_t index = queue.index();
  if (index == kControlIn) {
    flush_messages();
  } else if (index == kControlOut) {
    take_messages();
  } else if (ConsolePort* port = port_of(index)) {
    index % 2 == 0 ? port->resume_input() : port->pump_output();
  }
}

void VirtioConsole::stop_queue(Virtqueue& queue, Done done) {
  const uint16_t index = queue.index();
  if (index == kControlIn) {
    control_in_ = nullptr;
  } else if (index == kControlOut) {
    control_out_ = nullptr;
  } else if (ConsolePort* port = port_of(index)) {
    index % 2 == 0 ? port->set_input(nullptr) : port->stop_output();
  }
  if (--running_ == 0) {
    for (const auto& port : ports_) {
      port->detach();
    }
    const Lock lock(mutex_);
    loop_ = nullptr;
  }
  done();
}

void VirtioConsole::reset() {
  negotiated_.store(0);
  ready_ = false;
  messages_.clear();
  for (const auto& port : ports_) {
    port->state() = {};
  }
}

void VirtioConsole::take_messages() {
  if (control_out_ == nullptr) {
    return;
  }
  control_out_->process([this](Chain chain) {
    WireMessage wire{};
    if (chain.read(0, writable_bytes_of(wire)) != sizeof wire) {
      guest_warning(warnings_, id_, "a control message is too short");
      return true;
    }
    chain.finish();
    take_message({wire.port, wire.event, wire.value});
    return true;
  });
}

void VirtioConsole::take_message(const ConsoleMessageState& message) {
  if (message.event == kDeviceReady) {
    ready_ = message.value == 1;
    for (uint32_t i = 0; ready_ && i < ports_.size(); ++i) {
      send_message({i, kPortAdd, 1});
    }
    return;
  }
  if (message.port >= ports_.size()) {
    guest_warning(warnings_, id_, "a control message names port {}, which does not exist", message.port);
    return;
  }
  ConsolePort& port = *ports_[message.port];
  switch (message.event) {
    case kPortReady:
      port.state().ready = message.value == 1;
      if (!port.state().ready) {
        return;
      }
      if (port.console()) {
        send_message({message.port, kConsolePort, 1});
      }
      if (!port.name().empty()) {
        send_message({message.port, kPortName, 1});
      }
      if (port.console() && message.port == 0 && window_.load() != 0) {
        send_message({0, kResize, 0});
      }
      port.state().host_open = false;
      port.tell_open();
      return;
    case kPortOpen:
      if (port.state().open != (message.value != 0) && on_port_change_) {
        on_port_change_(port.name(), message.value != 0);
      }
      port.state().open = message.value != 0;
      if (port.state().open) {
        port.resume_input();
      }
      return;
    default: guest_warning(warnings_, id_, "control message {} is unknown", message.event); return;
  }
}

void VirtioConsole::send_message(const ConsoleMessageState& message) {
  if (messages_.size() >= 8 * ports_.size() + 32) {
    guest_warning(warnings_, id_, "the driver takes no control messages; one is lost");
    return;
  }
  messages_.push_back(message);
  flush_messages();
}

void VirtioConsole::flush_messages() {
  while (control_in_ != nullptr && !messages_.empty()) {
    auto chain = control_in_->pop();
    if (!chain) {
      return;
    }
    const ConsoleMessageState message = messages_.front();
    messages_.pop_front();
    std::array<std::byte, 256> wire{};
    const WireMessage head{message.port, message.event, message.value};
    store_le(wire, 0, head);
    size_t size = sizeof head;
    if (message.event == kPortName) {
      const std::string& name = ports_[message.port]->name();
      std::ranges::copy(bytes_of(std::string_view(name)), wire.begin() + sizeof head);
      size += name.size() + 1;  // with the terminating zero
    } else if (message.event == kResize) {
      store_le(wire, size, static_cast<uint16_t>(window_.load() >> 16));  // rows first here
      store_le(wire, size + 2, static_cast<uint16_t>(window_.load()));
      size += 4;
    }
    const size_t written = chain->write(0, std::span(wire).first(size));
    chain->set_written(written);
    if (written < size) {
      guest_warning(warnings_, id_, "a buffer for control messages is too small");
    }
  }
}

void VirtioConsole::set_window(uint16_t columns, uint16_t rows) {
  window_.store(columns | uint32_t{rows} << 16);
  if (transport_ != nullptr) {
    transport_->notify_config();
  }
  const Lock lock(mutex_);
  if (loop_ != nullptr) {
    loop_->post([this, alive = std::weak_ptr(alive_)] {
      if (!alive.expired() && multiport() && ports_[0]->console() && ports_[0]->state().ready) {
        send_message({0, kResize, 0});
      }
    });
  }
}

std::vector<Counter> VirtioConsole::counters() const { return {{"guest-mistakes", warnings_.count()}}; }

}  // namespace lodge
