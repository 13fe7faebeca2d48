// Devices of running guests that come, go and change. Under the domain's job; workers.
#pragma once

#include "libvirt-driver/domains/driver.h"
#include "libvirt-driver/xml/domain_devices.h"

namespace lodge {

// CONFIG_UNSUPPORTED for what cannot be plugged in live.
[[nodiscard]] Answer<void> attach_live(Driver& driver, const DomainPtr& domain, const Device& device);
// Asks the guest to let go and waits a few seconds; a guest that takes longer is told of by the event.
[[nodiscard]] Answer<void> detach_live(Driver& driver, const DomainPtr& domain, const Device& device);
// An interface's link, a CD drive's medium, the password of a screen. `force`: as of change_medium().
[[nodiscard]] Answer<void> update_live(Driver& driver, const DomainPtr& domain, const Device& device, bool force);

}  // namespace lodge
