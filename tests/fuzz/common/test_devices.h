// For fuzz targets of devices behind buses: the machine double is made once, and each input gets a device of its own.
#pragma once

#include "tests/fuzz/common/virtio_harness.h"
#include "tests/support/test_machine.h"

namespace lodge::fuzz {

inline test::TestMachine& machine() {
  static auto* instance = [] {
    quiet();
    return new test::TestMachine;  // for the life of the process
  }();
  instance->power.clear();
  instance->msi.vectors.clear();  // each holds a descriptor
  return *instance;
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
