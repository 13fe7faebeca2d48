// A network that is not there: frames are swallowed, none arrive.
#pragma once

#include "devices/net/backend.h"

namespace lodge {

[[nodiscard]] Result<NetPort> open_none(uint16_t queue_pairs = 1);

}  // namespace lodge
