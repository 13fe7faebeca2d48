// Reads and writes of descriptors that do not block, by waiting until they can be done.
//
// Not by Asio's own reads and writes: with its io_uring backend those may, after close(), still read from the closed
// descriptor's number, which by then is another client's (seen with Boost 1.81: io_uring_socket_recv_op_base::do_perform()
// on cancellation). Waiting only polls. Network thread.
#pragma once

#include <unistd.h>

#include <span>

#include "base/result.h"
#include "libvirt-driver/rpc/asio.h"

namespace lodge::rpc {

// What is there, at least a byte; 0: the other end has closed. `From` is a socket or a stream_descriptor of Asio's.
template <class From>
asio::awaitable<Result<size_t>> read_some(From& from, std::span<uint8_t> into) {
  while (true) {
    const ssize_t got = ::read(from.native_handle(), into.data(), into.size());
    if (got >= 0) {
      co_return static_cast<size_t>(got);
    }
    if (errno != EAGAIN && errno != EINTR) {
      co_return fail_errno(errno, "read");
    }
    const auto [error] = co_await from.async_wait(From::wait_read, kAwait);
    if (error) {
      co_return fail_errno(error.value(), "wait to read");
    }
  }
}

// All of it.
template <class To>
asio::awaitable<Result<void>> write_whole(To& to, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::write(to.native_handle(), bytes.data(), bytes.size());
    if (sent >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(sent));
      continue;
    }
    if (errno != EAGAIN && errno != EINTR) {
      co_return fail_errno(errno, "write");
    }
    const auto [error] = co_await to.async_wait(To::wait_write, kAwait);
    if (error) {
      co_return fail_errno(error.value(), "wait to write");
    }
  }
  co_return Result<void>();
}

}  // namespace lodge::rpc
