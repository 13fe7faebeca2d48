// Every decoder of the protocol: arguments, results, events. What was read has one encoding, which reads as the same.
//
// Input: 'q' or another byte (program), 'r' (results) or another byte (arguments, an event's message), the procedure's
// number in two bytes, its payload. tests/fuzz/seeds makes such of golden bytes.
#include "libvirt-driver/rpc/shape_checks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge::rpc;
  if (size < 4) {
    return 0;
  }
  const Program program = data[0] == 'q' ? Program::qemu : Program::remote;
  const int32_t number = data[2] << 8 | data[3];
  const auto payload = std::span(data, size).subspan(4);
  for (const ShapeCheck& shape : kShapeChecks) {
    const ShapeCheck::Recode recode = data[1] == 'r' ? shape.results : shape.arguments;
    if (shape.program != program || shape.number != number || recode == nullptr) {
      continue;
    }
    if (const auto once = recode(payload)) {
      const auto twice = recode(*once);
      if (!twice || *twice != *once) {
        __builtin_trap();
      }
    }
  }
  return 0;
}
