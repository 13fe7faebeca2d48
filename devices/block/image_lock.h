// Locks that keep two guests from one image: open-file-description locks on the whole file. A writer excludes everyone,
// readers share. They belong to the open file, so a descriptor that is passed to another process takes its lock along, and
// they end when the last copy of the descriptor is closed. Other monitors that lock parts of the file collide with them too.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "base/result.h"

namespace lodge {

enum class ImageUse : uint8_t { shared, exclusive };

// Takes the lock, or changes the kind of one held, without waiting longer than `patience`: the kernel closes the files of a
// process that was killed a little after the process is gone, as io_uring's work in the background holds them.
// `what` names the image in the error: "disk 'vda' (PATH)". Storage that knows no locks is used without, with a warning.
[[nodiscard]] Result<void> lock_image(int fd, ImageUse use, std::string_view what, std::chrono::milliseconds patience = {});
void unlock_image(int fd);

}  // namespace lodge
