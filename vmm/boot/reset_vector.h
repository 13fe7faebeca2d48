// What stands where a BIOS has its entry point, in a machine that has none.
#pragma once

#include "base/memory/guest_memory.h"
#include "base/result.h"

namespace lodge {

// Writes code that resets the machine. Linux jumps there to reboot when ACPI says hardware-reduced; without the code the
// processor would run through whatever the memory holds.
[[nodiscard]] Result<void> write_reset_vector(const GuestMemory& memory);

}  // namespace lodge
