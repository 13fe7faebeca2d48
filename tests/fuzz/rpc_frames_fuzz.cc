// Bytes of a client, cut into messages (their payloads: rpc_shapes_fuzz).
#include <algorithm>

#include "libvirt-driver/rpc/frames.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge::rpc;
  std::span<const uint8_t> bytes(data, size);
  FrameReader reader;
  while (!bytes.empty()) {
    const auto space = reader.space();
    // Pieces of uneven sizes, as sockets give them.
    const size_t piece = std::min({space.size(), bytes.size(), size_t{1} + bytes.front() % 64U});
    std::ranges::copy(bytes.first(piece), space.begin());
    reader.filled(piece);
    bytes = bytes.subspan(piece);
    while (true) {
      const auto frame = reader.next();
      if (!frame) {
        return 0;
      }
      if (!frame->has_value()) {
        break;
      }
      // A frame, put together again, is the same to its reader.
      const auto message = make_message((**frame).header, (**frame).payload);
      if (!message || message->size() != kLengthSize + kHeaderSize + (**frame).payload.size()) {
        __builtin_trap();
      }
    }
  }
  return 0;
}
