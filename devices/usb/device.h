// UsbDevice: what is plugged into a USB port, whoever's port it is. It has endpoint 0 with the requests that all devices
// know (USB 2.0, 9.4; USB 3.0, 9.4); what derives from it has the rest.
//
// A device never waits. What it cannot do now it answers with `nak`, and it wakes its port when that may have changed; the
// controller then asks again. So a transfer under way is the controller's alone, and ends when the controller forgets it.
//
// The controller calls on its loop, one call at a time; quiesce, resume and save are for the same loop or while it is quiet.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "base/io/event_loop.h"
#include "base/state/record.h"
#include "devices/core/device.h"
#include "devices/usb/descriptors.h"

namespace lodge {

// Where a device is plugged in.
class UsbPort {
 public:
  virtual ~UsbPort() = default;
  // What was answered with `nak` may go on, or a host that sleeps shall hear of it. Any thread, any lock of the device held.
  virtual void wake() = 0;
  // The controller's.
  [[nodiscard]] virtual EventLoop& loop() = 0;
};

enum class UsbStatus : uint8_t {
  done,    // the transfer ends; to the host it may have had fewer bytes than there was room for
  more,    // these bytes were moved, and more follow
  nak,     // nothing now
  stall,   // refused; the endpoint stalls until the host clears that (endpoint 0: until its next request)
  babble,  // the device has more than there is room for
  none,    // there is no such endpoint
};

struct UsbAnswer {
  UsbStatus status = UsbStatus::none;
  size_t bytes = 0;
};

struct UsbDeviceState {
  uint8_t address = 0;
  uint8_t configuration = 0;
  bool remote_wakeup = false;
  uint32_t halted = 0;  // as UsbDescriptors::endpoints()
  friend bool operator==(const UsbDeviceState&, const UsbDeviceState&) = default;
};

template <>
struct Schema<UsbDeviceState> {
  using S = UsbDeviceState;
  static constexpr std::string_view name = "usb-device";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "address", &S::address), field(2, "configuration", &S::configuration),
                                            field(3, "remote-wakeup", &S::remote_wakeup), field(4, "halted", &S::halted)};
};

class UsbDevice {
 public:
  using Done = std::function<void()>;
  UsbDevice(std::string id, const UsbIdentity& identity);
  virtual ~UsbDevice() = default;
  UsbDevice(const UsbDevice&) = delete;
  UsbDevice& operator=(const UsbDevice&) = delete;

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] UsbSpeed speed() const { return speed_; }
  // Null: unplugged. `port` outlives the device, or takes it out before.
  void plug(UsbPort* port) { port_.store(port); }

  // `data`: what the host sends, or where its answer goes; as long as the request says at most.
  [[nodiscard]] UsbAnswer control(const UsbSetup& setup, std::span<std::byte> data);
  [[nodiscard]] UsbAnswer in(uint8_t endpoint, std::span<std::byte> room);
  // What is sent is taken whole, or `more` says how much of it was.
  [[nodiscard]] UsbAnswer out(uint8_t endpoint, std::span<const std::byte> data);
  void bus_reset();
  void set_address(uint8_t address) { s_.address = address; }
  [[nodiscard]] uint8_t address() const { return s_.address; }
  // The host wants to be woken by it.
  [[nodiscard]] bool wakes_host() const { return s_.remote_wakeup; }
  // The guest's driver has set it up. Any thread.
  [[nodiscard]] bool configured() const { return configured_.load(std::memory_order_acquire); }

  // `done` runs once nothing of it is in flight, on any thread.
  virtual void quiesce(Done done) { done(); }  // NOLINT(performance-unnecessary-value-param): who waits keeps it
  virtual void resume() {}
  virtual void save(StateWriter& out) const;
  [[nodiscard]] virtual std::vector<Counter> counters() const { return {}; }

 protected:
  // Checks what was saved as if a guest had written it.
  [[nodiscard]] Result<void> load_device(const StateReader& saved);
  [[nodiscard]] UsbPort* port() const { return port_.load(); }
  [[nodiscard]] std::span<const uint8_t> configuration() const {
    return descriptors_.find(usb::kConfigurationDescriptor, 0);
  }
  void wake_port() {
    if (UsbPort* const at = port()) {
      at->wake();
    }
  }
  // An endpoint stalls from the next transfer on. `in`: to the host.
  void halt(uint8_t endpoint, bool in) { s_.halted |= bit(endpoint, in); }
  [[nodiscard]] bool halted(uint8_t endpoint, bool in) const { return (s_.halted & bit(endpoint, in)) != 0; }

  // Only for endpoints that there are, while they do not stall.
  virtual UsbAnswer transfer_in(uint8_t endpoint, std::span<std::byte> room) = 0;
  virtual UsbAnswer transfer_out(uint8_t endpoint, std::span<const std::byte> data) = 0;
  // Requests that not all devices know.
  virtual UsbAnswer own_request(const UsbSetup& setup, std::span<std::byte> data) = 0;
  // Descriptors of the interface's class. Empty: there is none.
  [[nodiscard]] virtual std::span<const uint8_t> own_descriptor(uint8_t /*type*/) const { return {}; }
  // It was configured, anew too, or is no more.
  virtual void configuration_changed() {}
  // The host has cleared a stall.
  virtual void halt_cleared(uint8_t /*endpoint*/, bool /*in*/) {}

 private:
  static constexpr uint32_t bit(uint8_t endpoint, bool in) { return 1U << ((endpoint & 15) + (in ? 16 : 0)); }
  [[nodiscard]] bool has(uint8_t endpoint, bool in) const {
    return s_.configuration != 0 && (descriptors_.endpoints() & bit(endpoint, in)) != 0;
  }
  [[nodiscard]] UsbAnswer get_status(const UsbSetup& setup, std::span<std::byte> data) const;
  [[nodiscard]] UsbAnswer set_feature(const UsbSetup& setup, bool on);
  [[nodiscard]] UsbAnswer get_descriptor(const UsbSetup& setup, std::span<std::byte> data) const;
  [[nodiscard]] UsbAnswer set_configuration(uint16_t value);

  std::string id_;
  UsbSpeed speed_;
  UsbDescriptors descriptors_;
  UsbDeviceState s_;
  std::atomic<UsbPort*> port_{nullptr};
  std::atomic<bool> configured_{false};
};

// An answer of these bytes, as many as there is room for.
[[nodiscard]] UsbAnswer usb_answer(std::span<const uint8_t> bytes, std::span<std::byte> room);

}  // namespace lodge
