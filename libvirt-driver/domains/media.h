// Media of CD drives: changed and ejected by clients, trays that guests move.
#pragma once

#include "libvirt-driver/domains/driver.h"

namespace lodge {

// Puts the medium of `wanted` into the drive that has its target, or takes out what is there; under the domain's job.
// `force`: also when the guest has locked the tray. Errors: OPERATION_UNSUPPORTED, more than the medium is to change;
// OPERATION_FAILED, the guest has locked it.
[[nodiscard]] Answer<void> change_medium(Driver& driver, const DomainPtr& domain, const DomainDisk& wanted, bool force);

// The drive's tray, as its guest left it: kept, written down, and told.
void tray_moved(Driver& driver, const DomainPtr& domain, const std::string& alias, bool open);
// The same for a guest that was found again: only kept.
void take_trays(DomainConfig& live, const Json& block);

}  // namespace lodge
