// What a disk does when its storage fails: the same for every disk controller.
#pragma once

#include <cerrno>
#include <cstdint>
#include <functional>
#include <string_view>

#include "devices/block/backend.h"

namespace lodge {

enum class ErrorAction : uint8_t {
  report,  // the guest sees the error
  ignore,  // the guest is told that all went well
  stop,    // the guest is paused; the request is tried again when it goes on
  enospc,  // as stop when the storage is full, else as report (only in a policy, never in an event)
};

struct ErrorPolicy {
  ErrorAction read = ErrorAction::report;
  ErrorAction write = ErrorAction::enospc;  // also flush, discard and write-zeroes
  [[nodiscard]] ErrorAction choose(BlockRequest::Kind kind, int error) const {
    const ErrorAction action = kind == BlockRequest::Kind::read ? read : write;
    if (action != ErrorAction::enospc) {
      return action;
    }
    return error == ENOSPC || error == EDQUOT ? ErrorAction::stop : ErrorAction::report;
  }
};

struct BlockErrorEvent {
  std::string_view device;  // the device's id
  BlockRequest::Kind operation = BlockRequest::Kind::read;
  int error = 0;                             // errno value
  ErrorAction action = ErrorAction::report;  // what was done
};
// Called on an I/O loop. With action stop the machine must pause the guest, and stop and later start the device's queues.
using OnBlockError = std::function<void(const BlockErrorEvent&)>;

}  // namespace lodge
