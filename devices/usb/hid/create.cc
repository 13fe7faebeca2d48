#include "devices/usb/hid/keyboard.h"
#include "devices/usb/hid/pointer.h"

namespace lodge {

Result<std::shared_ptr<UsbDevice>> create_usb_hid(UsbHidOptions options, const StateReader* saved) {
  switch (options.kind) {
    case UsbHidKind::tablet: return UsbTablet::create(std::move(options), saved);
    case UsbHidKind::mouse: return UsbMouse::create(std::move(options), saved);
    case UsbHidKind::keyboard: return UsbKeyboard::create(std::move(options), saved);
  }
  return fail("there is no such USB device");
}

}  // namespace lodge
