// A domain's <clock>: what the guest's battery-backed clock shows, and what the guest makes of it.
#pragma once

#include "libvirt-driver/domains/driver.h"

namespace lodge {

// The guest's clock minus UTC at a start at `now` (seconds since 1970), by offset, basis, zone and adjustment.
// Errors: VIR_ERR_CONFIG_UNSUPPORTED for a zone that the host does not know.
[[nodiscard]] Answer<int64_t> clock_offset(const Clock& clock, int64_t now);

// The guest has set its clock to `offset` from UTC: clients are told, and a variable clock takes it as its adjustment.
// Network thread.
void clock_changed(Driver& driver, const DomainPtr& domain, int64_t offset);
// The running domain's adjustment becomes that of later starts. A worker's thread; takes the job.
void keep_adjustment(Driver& driver, const DomainPtr& domain);

}  // namespace lodge
