// What the disk does with its medium: one request at a time.
#include <algorithm>

#include "devices/usb/storage/device.h"

namespace lodge {
namespace {

constexpr uint8_t kMediumError = 0x03;
constexpr uint8_t kUnrecoveredRead = 0x11;
constexpr uint8_t kWriteError = 0x0C;

BlockRequest::Kind kind_of(UsbStorageIo what) {
  switch (what) {
    case UsbStorageIo::read: return BlockRequest::Kind::read;
    case UsbStorageIo::write: return BlockRequest::Kind::write;
    default: return BlockRequest::Kind::flush;
  }
}

}  // namespace

void UsbStorage::want(UsbStorageIo what) {
  s_.wanted = what;
  start_io();
}

bool UsbStorage::open_queue() {
  UsbPort* const at = port();
  if (queue_ || at == nullptr) {
    return queue_ != nullptr;
  }
  auto queue = options_.backend->open_queue(at->loop());
  if (!queue) {
    log_error("block", "{}: {}", id(), queue.error().message);
    return false;
  }
  queue_ = std::move(*queue);
  return true;
}

void UsbStorage::start_io() {
  if (s_.wanted == UsbStorageIo::none || in_flight_ || quiet_ || halted_) {
    return;
  }
  if (!open_queue()) {
    s_.wanted = UsbStorageIo::none;
    fail_command({kMediumError, kUnrecoveredRead, 0});
    return;
  }
  request_.kind = kind_of(s_.wanted);
  request_.offset = s_.position;
  request_.length = 0;
  request_.durable = s_.durable && s_.wanted == UsbStorageIo::write;
  request_.iov.clear();
  if (s_.wanted == UsbStorageIo::read) {
    request_.length = std::min<uint64_t>(s_.bytes, kBuffer);
  } else if (s_.wanted == UsbStorageIo::write) {
    request_.length = s_.data.size();
    std::ranges::copy(std::as_bytes(std::span(s_.data)), buffer_.begin());
  }
  if (request_.length != 0) {
    request_.iov.push_back({buffer_.data(), request_.length});
  }
  request_.began = std::chrono::steady_clock::now();
  request_.done = [](BlockRequest& done, int error) { static_cast<Request&>(done).disk->completed(error); };
  in_flight_ = true;
  queue_->submit(request_);
}

void UsbStorage::completed(int error) {
  in_flight_ = false;
  counters_.count(request_.kind, error == 0 ? request_.length : 0, error != 0,
                  std::chrono::steady_clock::now() - request_.began);
  if (std::exchange(stale_, false)) {
    start_io();
  } else if (error == 0) {
    succeed();
  } else {
    const BlockErrorEvent event{id(), request_.kind, error, options_.errors.choose(request_.kind, error)};
    if (event.action == ErrorAction::ignore) {
      succeed();
    } else if (event.action == ErrorAction::report) {
      s_.wanted = UsbStorageIo::none;
      fail_command({kMediumError, request_.kind == BlockRequest::Kind::read ? kUnrecoveredRead : kWriteError, 0});
    } else {  // it is tried again when the guest goes on
      halted_ = true;
    }
    if (options_.on_io_error) {
      options_.on_io_error(event);
    }
  }
  settle();
  wake_port();
}

void UsbStorage::succeed() {
  if (s_.wanted == UsbStorageIo::read) {
    const auto bytes = std::as_bytes(std::span(buffer_)).first(request_.length);
    s_.data.resize(bytes.size());
    std::ranges::copy(bytes, std::as_writable_bytes(std::span(s_.data)).begin());
    s_.bytes -= bytes.size();
    s_.position += bytes.size();
  } else if (s_.wanted == UsbStorageIo::write) {
    s_.position += s_.data.size();
    s_.data.clear();
  }
  s_.wanted = UsbStorageIo::none;
}

void UsbStorage::settle() {
  if (!quiet_ || in_flight_) {
    return;
  }
  queue_.reset();
  for (const Done& done : std::exchange(on_quiet_, {})) {
    done();
  }
}

void UsbStorage::quiesce(Done done) {
  quiet_ = true;
  on_quiet_.push_back(std::move(done));
  settle();
}

void UsbStorage::resume() {
  quiet_ = false;
  halted_ = false;
  start_io();
}

}  // namespace lodge
