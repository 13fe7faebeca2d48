// What changes of a running guest's <graphics>.
#pragma once

#include "libvirt-driver/domains/driver.h"

namespace lodge {

// The password and until when it is valid; under the domain's job. Errors: CONFIG_UNSUPPORTED for anything else.
[[nodiscard]] Answer<void> change_graphics(Driver& driver, const DomainPtr& domain, const DomainGraphics& wanted);

}  // namespace lodge
