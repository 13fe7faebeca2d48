// For fuzz targets of devices behind buses: the machine double is made once, and each input gets a device of its own.
#pragma once

#include "tests/fuzz/common/virtio_harness.h"
#include "tests/support/test_machine.h"

namespace lodge::fuzz {

inline test::TestMachine& the_machine() {
  static auto* instance = [] {
    quiet();
    return new test::TestMachine;  // for the life of the process
  }();
  return *instance;
}

// As the next input finds it.
inline test::TestMachine& machine() {
  the_machine().power.clear();
  the_machine().msi.vectors.clear();  // each holds a descriptor
  return the_machine();
}

// Lets the loops run until `done`, which callbacks set.
inline void turn_until(const bool& done) {
  for (int turns = 0; turns < 20000; ++turns) {
    if (done) {
      return;
    }
    the_machine().control->run_once(std::chrono::milliseconds(1));
  }
  require(false);  // it hangs
}

// Quiesces the device.
inline void come_to_rest(Device& device) {
  bool done = false;
  device.quiesce([&done] { done = true; });
  turn_until(done);
}

// What the device saved, parsed again.
inline StateReader saved(const Device& device) {
  StateWriter out;
  device.save(out);
  auto reader = StateReader::parse(out.bytes());
  require(reader.has_value());
  return std::move(*reader);
}

template <class T>
StateBytes bytes(const T& device) {
  StateWriter out;
  device.save(out);
  return out.bytes();
}

}  // namespace lodge::fuzz
