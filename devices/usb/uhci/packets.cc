// Packets between the schedule and the devices (USB 1.1, chapter 8). Devices know whole transfers of the control endpoint,
// and may move a packet in parts.
#include <algorithm>

#include "devices/usb/uhci/device.h"

namespace lodge {

using namespace uhci;  // NOLINT(google-build-using-namespace): the names of the document

namespace {

constexpr UsbAnswer kNothing{UsbStatus::done, 0};
constexpr UsbAnswer kStall{UsbStatus::stall, 0};

UsbSetup setup_of(const UhciControlState& control) { return std::bit_cast<UsbSetup>(control.setup); }

}  // namespace

// Of data_; a packet for nobody has no answer.
UsbAnswer Uhci::packet(const Td& td) {
  size_t at = 0;
  while (at < kPortCount && (devices_.at(at) == nullptr || !s_.ports[at].enabled || s_.ports[at].suspended ||
                             s_.ports[at].reset_due || devices_.at(at)->address() != td.address())) {
    ++at;
  }
  if (at == kPortCount) {
    return {};
  }
  UhciPortState& port = s_.ports[at];
  UsbDevice& device = *devices_.at(at);
  const auto data = std::span(data_).first(td.length());
  if (td.pid() == kPidSetup) {
    return td.endpoint() == 0 ? setup_packet(port, data) : kStall;
  }
  if (td.endpoint() == 0) {
    return td.pid() == kPidIn ? control_in(port, device, data) : control_out(port, data);
  }
  return td.pid() == kPidIn ? data_in(port, device, td.endpoint(), data) : data_out(port, device, td.endpoint(), data);
}

// A new request, whatever became of the last one.
UsbAnswer Uhci::setup_packet(UhciPortState& port, std::span<const std::byte> data) {
  port.control = {};
  if (data.size() != sizeof(UsbSetup)) {
    return kStall;
  }
  std::ranges::transform(data, port.control.setup.begin(), [](std::byte one) { return std::to_integer<uint8_t>(one); });
  const UsbSetup setup = setup_of(port.control);
  port.control.phase = setup.in() && setup.length != 0 ? UhciControlPhase::data_in : UhciControlPhase::data_out;
  return {UsbStatus::done, data.size()};
}

UsbAnswer Uhci::control_in(UhciPortState& port, UsbDevice& device, std::span<std::byte> room) {
  UhciControlState& control = port.control;
  const UsbSetup setup = setup_of(control);
  if (control.phase == UhciControlPhase::data_out) {  // how it went
    if (!setup.in() && control.data.size() < setup.length) {
      return kStall;
    }
    const UsbAnswer answer = device.control(setup, std::as_writable_bytes(std::span(control.data)));
    if (answer.status == UsbStatus::nak) {
      return answer;
    }
    control = {};
    return answer.status == UsbStatus::done ? kNothing : kStall;
  }
  if (control.phase != UhciControlPhase::data_in) {
    return kStall;
  }
  if (!control.asked) {
    control.data.resize(setup.length);
    const UsbAnswer answer = device.control(setup, std::as_writable_bytes(std::span(control.data)));
    if (answer.status == UsbStatus::nak) {
      control.data.clear();
      return answer;
    }
    if (answer.status != UsbStatus::done) {
      control = {};
      return kStall;
    }
    control.data.resize(std::min<size_t>(answer.bytes, control.data.size()));
    control.asked = true;
  }
  const auto rest = std::as_bytes(std::span(control.data)).subspan(control.at);
  const auto now = rest.first(std::min(rest.size(), room.size()));
  std::ranges::copy(now, room.begin());
  control.at += static_cast<uint32_t>(now.size());
  return {UsbStatus::done, now.size()};
}

UsbAnswer Uhci::control_out(UhciPortState& port, std::span<const std::byte> data) {
  UhciControlState& control = port.control;
  const UsbSetup setup = setup_of(control);
  if (control.phase == UhciControlPhase::data_in) {  // the host has what it wants
    control = {};
    return {UsbStatus::done, data.size()};
  }
  if (control.phase != UhciControlPhase::data_out || setup.in() || data.size() > setup.length - control.data.size()) {
    control = {};
    return kStall;
  }
  for (const std::byte one : data) {
    control.data.push_back(std::to_integer<uint8_t>(one));
  }
  return {UsbStatus::done, data.size()};
}

UsbAnswer Uhci::data_in(UhciPortState& port, UsbDevice& device, uint8_t endpoint, std::span<std::byte> room) {
  const uint8_t whose = endpoint | usb::kIn;
  if (port.part_endpoint != whose) {
    port.part.clear();
    port.part_endpoint = 0;
  }
  if (port.part.size() > room.size()) {
    port.part.clear();
    return {UsbStatus::babble};
  }
  size_t have = port.part.size();
  std::ranges::copy(std::as_bytes(std::span(port.part)), room.begin());
  UsbAnswer answer = device.in(endpoint, room.subspan(have));
  have += answer.status == UsbStatus::done || answer.status == UsbStatus::more ? answer.bytes : 0;
  if (answer.status == UsbStatus::more && have < room.size()) {  // the rest of this packet comes later
    port.part_endpoint = whose;
    port.part.resize(have);
    std::ranges::transform(room.first(have), port.part.begin(), [](std::byte one) { return std::to_integer<uint8_t>(one); });
    return {UsbStatus::nak};
  }
  if (answer.status != UsbStatus::nak) {
    port.part.clear();
    port.part_endpoint = 0;
  }
  answer.bytes = have;
  if (answer.status == UsbStatus::more) {
    answer.status = UsbStatus::done;
  }
  return answer;
}

UsbAnswer Uhci::data_out(UhciPortState& port, UsbDevice& device, uint8_t endpoint, std::span<const std::byte> data) {
  if (port.part_endpoint != endpoint || port.part.size() > data.size()) {
    port.part.clear();
    port.part_endpoint = 0;
  }
  const size_t taken = port.part.size();
  const UsbAnswer answer = device.out(endpoint, data.subspan(taken));
  if (answer.status == UsbStatus::nak) {
    return answer;
  }
  if (answer.status == UsbStatus::more && taken + answer.bytes < data.size()) {
    port.part_endpoint = endpoint;
    port.part.resize(taken + answer.bytes);
    return {UsbStatus::nak};
  }
  port.part.clear();
  port.part_endpoint = 0;
  const bool moved = answer.status == UsbStatus::done || answer.status == UsbStatus::more;
  return moved ? UsbAnswer{UsbStatus::done, data.size()} : answer;
}

}  // namespace lodge
