// virtlodged.conf and the <cpu> elements of clients: any text is refused or read, and what is read of a CPU prints and reads
// back.
#include <string_view>

#include "libvirt-driver/config/daemon_config.h"
#include "libvirt-driver/host/cpu_xml.h"
#include "tests/fuzz/common/virtio_harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  if (size == 0) {
    return 0;
  }
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if ((data[0] & 1) == 0) {
    (void)parse_daemon_config(text, "fuzz.conf");
    return 0;
  }
  if (const auto cpu = parse_cpu(text)) {
    const auto again = parse_cpu(print_cpu(*cpu));
    // A guest's element is printed; one that says too little of itself for that is refused when read back.
    fuzz::require(!again || again->features.size() == cpu->features.size());
  }
  return 0;
}
