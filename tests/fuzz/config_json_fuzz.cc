// The machine configuration: any text is refused or read; what was read prints and reads back equal.
#include <string_view>

#include "tests/fuzz/common/virtio_harness.h"
#include "vmm/config/command_line.h"
#include "vmm/config/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  fuzz::quiet();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  MachineConfig config;
  if (apply_json(config, text)) {
    const std::string printed = to_json(config);
    MachineConfig again;
    fuzz::require(apply_json(again, printed).has_value());
    fuzz::require(to_json(again) == printed);
    (void)validate(config);
  }
  return 0;
}
