// How a device tells the machine that the guest wants to be off, restarted or is done.
#pragma once

#include <cstdint>
#include <functional>

namespace lodge {

enum class PowerEvent : uint8_t {
  shutdown,      // the guest powered itself off
  reset,         // the guest asked for a reset
  exit,          // the debug exit port: `code` is the process's exit status
  panicked,      // the guest reported its end by a crash; `code` is the vCPU that calls
  crash_loaded,  // it reported a crash and goes on with its crash kernel; `code` as above
};

// Called on a vCPU thread; returns at once. No guest instruction of this vCPU follows, but after crash_loaded.
using PowerFn = std::function<void(PowerEvent event, int code)>;

}  // namespace lodge
