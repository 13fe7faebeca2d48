// The ports of the root hub (xHCI 1.0, 4.15, 4.19, 5.4.8). What is plugged in is at the register of its kind.
#include <utility>

#include "devices/usb/xhci/device.h"

namespace lodge {

using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document

uint32_t Xhci::read_port(size_t port) const {
  const XhciPortState& state = s_.ports[port];
  const UsbDevice* const device = device_at(port);
  uint32_t value = kPortPower | state.link << kPortLinkShift | state.changes | state.wakes;
  if (device != nullptr) {
    value |= kPortConnected | static_cast<uint32_t>(device->speed()) << kPortSpeedShift;
  }
  value |= state.enabled ? kPortEnabled : 0;
  value |= state.resetting ? kPortReset : 0;
  return value;
}

void Xhci::connect(const UsbPlug& plug) {
  {
    const Lock lock(mutex_);
    const size_t at = register_of(plug);
    devices_[at] = plug.device.get();
    connect_port(at);
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

void Xhci::disconnect(const UsbPlug& plug) {
  {
    const Lock lock(mutex_);
    const size_t at = register_of(plug);
    devices_[at] = nullptr;
    disconnect_port(at);
  }
  wake();
}

// The port goes to the state without a device (4.19.1); a reset under way is over. Slots stay until the guest disables them,
// and what waits in their rings ends with a transaction error (4.10.2.3).
void Xhci::disconnect_port(size_t port) {
  XhciPortState& state = s_.ports[port];
  const bool resetting = std::exchange(state.resetting, false);
  state.enabled = state.warm = false;
  state.link = kLinkDetect;
  change_port(port, kPortConnectChange | (resetting ? kPortResetChange : 0));
  for (Slot& slot : s_.slots) {
    if (slot.port == port + 1) {
      slot.detached = true;
      waiting_[slot.id] = 0;
    }
  }
}

// After a reset of the controller, or when a device comes.
void Xhci::connect_port(size_t port) {
  XhciPortState& state = s_.ports[port];
  if (device_at(port) == nullptr) {
    state.link = kLinkDetect;
    return;
  }
  // A USB 3.0 link trains by itself; the other kind waits for a reset.
  state.enabled = is_usb3(port);
  state.link = is_usb3(port) ? kLinkU0 : kLinkPolling;
  change_port(port, kPortConnectChange);
}

void Xhci::change_port(size_t port, uint32_t change) {
  XhciPortState& state = s_.ports[port];
  const bool news = (state.changes & change) != change;
  state.changes |= change;
  if (!news || !running()) {
    return;
  }
  s_.status |= kStsPort;
  post_event({.parameter = uint64_t{port + 1} << 24,
              .status = static_cast<uint32_t>(Code::success) << 24,
              .control = static_cast<uint32_t>(TrbType::port_event) << 10});
}

void Xhci::write_port(size_t port, uint32_t value) {
  XhciPortState& state = s_.ports[port];
  state.changes &= ~(value & kPortChanges);
  state.wakes = value & kPortWakes;
  if (device_at(port) == nullptr) {
    return;
  }
  if ((value & kPortEnabled) != 0 && state.enabled) {  // a one disables
    state.enabled = false;
    state.link = is_usb3(port) ? kLinkDisabled : kLinkPolling;
  }
  const bool warm = (value & kPortWarmReset) != 0 && is_usb3(port);
  if ((value & kPortReset) != 0 || warm) {  // on the loop; until then it reads as one
    state.resetting = true;
    state.warm = warm;
  } else if ((value & kPortLinkWrite) != 0) {
    write_link(port, (value & kPortLinkMask) >> kPortLinkShift);
  }
}

void Xhci::write_link(size_t port, uint32_t link) {
  XhciPortState& state = s_.ports[port];
  if (link == kLinkDisabled && is_usb3(port)) {
    state.enabled = false;
    state.link = kLinkDisabled;
  } else if (link == kLinkDetect && is_usb3(port) && state.link == kLinkDisabled) {
    state.enabled = true;
    state.link = kLinkU0;
  } else if (!state.enabled) {
    return;
  } else if (link == kLinkU3) {
    state.link = kLinkU3;
  } else if (link == kLinkResume && !is_usb3(port) && state.link == kLinkU3) {
    state.link = kLinkResume;
  } else if (link == kLinkU0 && state.link != kLinkU0) {
    state.link = kLinkU0;
    change_port(port, kPortLinkChange);
    woken_.fetch_or(1U << port);  // what waits for it goes on
  }
}

void Xhci::finish_port_reset(size_t port) {
  XhciPortState& state = s_.ports[port];
  state.resetting = false;
  if (UsbDevice* const device = device_at(port)) {
    device->bus_reset();
    state.enabled = true;
    state.link = kLinkU0;
  }
  change_port(port, kPortResetChange | (state.warm ? kPortWarmChange : 0));
  state.warm = false;
}

// Devices have news: endpoints that found them without are asked again, and a port that sleeps wakes (4.15.2.2).
void Xhci::take_wakes() {
  const uint32_t woken = woken_.exchange(0);
  for (size_t port = 0; port < s_.ports.size() && woken != 0; ++port) {
    if ((woken >> port & 1) == 0 || device_at(port) == nullptr) {
      continue;
    }
    if (s_.ports[port].link == kLinkU3 && device_at(port)->wakes_host()) {
      s_.ports[port].link = kLinkResume;
      change_port(port, kPortLinkChange);
    }
    for (const Slot& slot : s_.slots) {
      if (slot.port == port + 1) {
        waiting_[slot.id] = 0;
      }
    }
  }
}

}  // namespace lodge
