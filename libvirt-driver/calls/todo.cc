#include "libvirt-driver/calls/calls.h"
namespace lodge {
Bindings metadata_calls() { return {}; }
Bindings vcpu_calls() { return {}; }
Bindings memory_calls() { return {}; }
Bindings tuning_calls() { return {}; }
Bindings device_calls() { return {}; }
Bindings block_calls() { return {}; }
Bindings interface_calls() { return {}; }
Bindings stats_calls() { return {}; }
Bindings job_calls() { return {}; }
Bindings agent_calls() { return {}; }
Bindings monitor_calls() { return {}; }
}  // namespace lodge
