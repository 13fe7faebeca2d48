// Compressed clusters of qcow2: raw deflate streams, or zstd frames. Pure; any thread.
#pragma once

#include <span>

#include "devices/block/qcow2/format.h"

namespace lodge::qcow2 {

// Fills all of `to`; the compressed bytes may be followed by others. False: they are damaged.
[[nodiscard]] bool decompress(Compression kind, std::span<const std::byte> from, std::span<std::byte> to);

}  // namespace lodge::qcow2
