// UsbHid: what keyboards, mice and tablets have in common (HID 1.11): the requests of their class, one interrupt endpoint
// for reports, and how often one is repeated. Nothing of it runs while nobody moves or holds anything.
//
// Input comes from any thread, the rest on the controller's loop; one mutex, held for one call.
#pragma once

#include <functional>
#include <optional>

#include "base/mutex.h"
#include "devices/usb/device.h"
#include "devices/usb/hid/state.h"

namespace lodge {

enum class UsbHidKind : uint8_t { tablet, mouse, keyboard };

struct UsbHidOptions {
  std::string id;  // "tablet0"
  UsbHidKind kind = UsbHidKind::tablet;
  // The guest begins to listen or ceases. May be empty; on the controller's loop, which holds its lock.
  std::function<void()> on_listening;
};

// Error: the state is damaged.
[[nodiscard]] Result<std::shared_ptr<UsbDevice>> create_usb_hid(UsbHidOptions options, const StateReader* saved);

class UsbHid : public UsbDevice {
 public:
  static constexpr size_t kMaxReport = 8;

  void quiesce(Done done) override;
  void resume() override;
  void save(StateWriter& out) const override;

 protected:
  // What the three differ in.
  struct Kind {
    const char* product_name;
    uint16_t product;
    uint8_t boot_protocol;  // 0: none
    std::span<const uint8_t> report_descriptor;
  };
  UsbHid(UsbHidOptions options, const Kind& kind);
  [[nodiscard]] Result<void> load_hid(const StateReader& saved);
  [[nodiscard]] bool report_protocol() const REQUIRES(mutex_) { return hid_.report_protocol; }

  [[nodiscard]] virtual size_t report_size() const REQUIRES(mutex_) = 0;
  // Something has changed that the host was not told.
  [[nodiscard]] virtual bool has_news() const REQUIRES(mutex_) = 0;
  // The next change happens.
  virtual void take_news() REQUIRES(mutex_) = 0;
  // How things are, as the host was told last.
  virtual void put_report(std::span<uint8_t, kMaxReport> report) const REQUIRES(mutex_) = 0;
  // A key is held, so a report may have to be repeated.
  [[nodiscard]] virtual bool holds() const REQUIRES(mutex_) { return false; }
  virtual void forget() REQUIRES(mutex_) = 0;
  [[nodiscard]] virtual UsbAnswer set_report(std::span<const std::byte> /*data*/) REQUIRES(mutex_) {
    return {UsbStatus::stall};
  }

  mutable Mutex mutex_;

 private:
  UsbAnswer transfer_in(uint8_t endpoint, std::span<std::byte> room) override;
  UsbAnswer transfer_out(uint8_t /*endpoint*/, std::span<const std::byte> /*data*/) override { return {}; }
  UsbAnswer own_request(const UsbSetup& setup, std::span<std::byte> data) override;
  [[nodiscard]] std::span<const uint8_t> own_descriptor(uint8_t type) const override;
  void configuration_changed() override;
  void repeat_later();

  std::span<const uint8_t> report_descriptor_;
  bool boot_;
  std::function<void()> on_listening_;
  UsbHidState hid_ GUARDED_BY(mutex_);
  bool repeat_due_ GUARDED_BY(mutex_) = false;
  bool listened_ = false;  // the loop's, as the next
  EventLoop::Timer repetition_;
};

}  // namespace lodge
