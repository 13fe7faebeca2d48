// How fast a guest's interface may be: queueing disciplines on its tap, set with tc as libvirt does. Workers; waits for tc.
#pragma once

#include <string>

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/xml/domain_interface.h"

namespace lodge {

// Brings the limits of an interface to its tap; those it had before go. Errors: CONFIG_UNSUPPORTED for what no tap can do,
// OPERATION_FAILED with what tc says.
[[nodiscard]] Answer<void> apply_bandwidth(const DomainInterface& interface);
// The lines that tc is told.
[[nodiscard]] std::string bandwidth_script(const std::string& tap, const BandwidthRate& inbound,
                                           const BandwidthRate& outbound);

}  // namespace lodge
