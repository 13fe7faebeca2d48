// The command device_add: arguments into settings of a disk, NIC or input device, and descriptors by the names that getfd
// gave them.
#pragma once

namespace lodge {

struct CommandCall;

void device_add(CommandCall& call);

}  // namespace lodge
