// The two ports of the root hub (UHCI 1.1, 2.1.7).
#include "devices/usb/uhci/device.h"

namespace lodge {

using namespace uhci;  // NOLINT(google-build-using-namespace): the names of the document

namespace {

void forget_transfers(UhciPortState& port) {
  port.control = {};
  port.part.clear();
  port.part_endpoint = 0;
}

}  // namespace

Result<UsbPort*> Uhci::side_of(const UsbPlug& plug) {
  if (plug.device->speed() != UsbSpeed::full) {
    return lodge::fail("USB device '{}' is not one of full speed", plug.device->id());
  }
  return &port_sides_.at(plug.port - 1);
}

void Uhci::connect(const UsbPlug& plug) {
  {
    const Lock lock(mutex_);
    devices_.at(plug.port - 1) = plug.device.get();
    connection_changed(s_.ports[plug.port - 1]);
  }
  loop_.post([this, device = plug.device] {
    {
      const Lock lock(mutex_);
      if (!machine_runs_) {
        return;
      }
    }
    device->resume();
    work();
  });
}

// The port is disabled, of which the guest is told apart; packets find nobody from here on.
void Uhci::disconnect(const UsbPlug& plug) {
  {
    const Lock lock(mutex_);
    devices_.at(plug.port - 1) = nullptr;
    UhciPortState& port = s_.ports[plug.port - 1];
    port.enable_change = port.enable_change || port.enabled;
    port.enabled = port.suspended = port.resume = port.reset_due = false;
    forget_transfers(port);
    connection_changed(port);
  }
  wake();
}

// A bus that sleeps wakes by it (2.1.1, global resume; 2.1.2, resume detect).
void Uhci::connection_changed(UhciPortState& port) {
  port.connect_change = true;
  quiet_frames_ = 0;
  if ((s_.command & kCmdGlobalSuspend) != 0) {
    s_.command |= kCmdGlobalResume;
    s_.status |= kStsResume;
    update_interrupt();
  }
}

uint16_t Uhci::read_port(size_t port) const {
  const UhciPortState& state = s_.ports[port];
  uint32_t value = kPortAlwaysOne;
  value |= devices_.at(port) != nullptr ? kPortConnected | (state.reset ? 0U : uint32_t{kPortLineIdle}) : 0U;
  value |= state.connect_change ? kPortConnectChange : 0U;
  value |= state.enabled ? kPortEnabled : 0U;
  value |= state.enable_change ? kPortEnableChange : 0U;
  value |= state.resume ? kPortResume : 0U;
  value |= state.reset ? kPortReset : 0U;
  value |= state.suspended ? kPortSuspended : 0U;
  return static_cast<uint16_t>(value);
}

void Uhci::write_port(size_t port, uint16_t value) {
  UhciPortState& state = s_.ports[port];
  state.connect_change = state.connect_change && (value & kPortConnectChange) == 0;
  state.enable_change = state.enable_change && (value & kPortEnableChange) == 0;
  const bool reset = (value & kPortReset) != 0;
  if (reset && !state.reset) {
    begin_port_reset(state);
  }
  state.reset = reset;
  state.enabled = (value & kPortEnabled) != 0 && !reset && devices_.at(port) != nullptr;
  const bool resume = (value & kPortResume) != 0;
  state.suspended = (value & kPortSuspended) != 0 && !(state.resume && !resume);  // the end of a resume
  state.resume = resume;
}

void Uhci::begin_port_reset(UhciPortState& port) {
  port.enabled = port.suspended = port.resume = false;
  port.reset_due = true;
}

// On the loop, where devices are called.
void Uhci::finish_port_resets() {
  for (size_t i = 0; i < kPortCount; ++i) {
    UhciPortState& port = s_.ports[i];
    if (!port.reset_due) {
      continue;
    }
    port.reset_due = false;
    forget_transfers(port);
    if (UsbDevice* const device = devices_.at(i)) {
      device->bus_reset();
    }
  }
}

// Devices have news: frames are looked at one by one again, and a bus that sleeps wakes (2.1.7, resume detect).
void Uhci::take_wakes() {
  for (size_t i = 0; i < kPortCount; ++i) {
    if (!port_sides_.at(i).woken_.exchange(false) || devices_.at(i) == nullptr) {
      continue;
    }
    quiet_frames_ = 0;
    UhciPortState& port = s_.ports[i];
    const bool sleeps = port.suspended || (s_.command & kCmdGlobalSuspend) != 0;
    if (sleeps && port.enabled && devices_.at(i)->wakes_host()) {
      port.resume = true;
      s_.status |= kStsResume;
      update_interrupt();
    }
  }
}

}  // namespace lodge
