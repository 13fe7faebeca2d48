// Boost.Asio as the daemon uses it: one thread, io_uring or epoll under it (CMakeLists.txt), coroutines. Only rpc/ and
// daemon/ include this; it is slow to compile. asio.cc has what is no template.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace lodge {
namespace asio = boost::asio;
// co_await op(kAwait) gives a tuple that begins with the error code: nothing throws.
inline constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
}  // namespace lodge
