#include "libvirt-driver/rpc/stream.h"

#include "libvirt-driver/rpc/connection.h"
#include "libvirt-driver/rpc/io.h"

namespace lodge::rpc {
namespace {

constexpr size_t kChunk = size_t{64} << 10;
constexpr size_t kKeep = 64;                    // what a waiting message costs besides its bytes
constexpr std::chrono::milliseconds kPace(20);  // between looks whether a slow client has taken what waits

}  // namespace

Stream::Stream(const std::shared_ptr<Connection>& connection, const MessageHeader& header, StreamRequest request)
    : connection_(connection),
      header_(header),
      request_(std::move(request)),
      descriptor_(connection->network(), request_.fd.release()),
      pace_(connection->network()) {
  header_.type = MessageType::stream;
}

void Stream::start() {
  if (request_.on_open) {
    request_.on_open(shared_from_this());
  }
  asio::co_spawn(descriptor_.get_executor(), read_loop(shared_from_this()), asio::detached);
}

void Stream::send(MessageStatus status, std::span<const uint8_t> payload) {
  if (const auto connection = connection_.lock()) {
    MessageHeader header = header_;
    header.status = status;
    connection->send(header, payload);
  }
}

asio::awaitable<void> Stream::read_loop([[maybe_unused]] std::shared_ptr<Stream> self) {
  std::vector<uint8_t> buffer(kChunk);
  while (!ended_) {
    const auto connection = connection_.lock();
    if (connection && connection->congested()) {
      pace_.expires_after(kPace);
      (void)co_await pace_.async_wait(kAwait);
      continue;
    }
    (void)co_await asio::post(descriptor_.get_executor(),
                              kAwait);  // a guest that writes without pause leaves others their turn
    if (ended_) {
      break;
    }
    const auto size = co_await read_some(descriptor_, buffer);
    if (ended_) {
      break;
    }
    if (!size || *size == 0) {
      send(MessageStatus::more, {});  // the end of what the guest writes; the client may still finish
      break;
    }
    send(MessageStatus::more, std::span(buffer).first(*size));
  }
}

asio::awaitable<void> Stream::write_loop([[maybe_unused]] std::shared_ptr<Stream> self) {
  writing_ = true;
  while (!ended_ && !waiting_.empty()) {
    const std::vector<uint8_t> chunk = std::move(waiting_.front());
    waiting_.pop_front();
    const auto written = co_await write_whole(descriptor_, chunk);
    waiting_bytes_ -= chunk.size() + kKeep;
    if (!written && !ended_) {
      CallError error(written.error());
      error.domain = VIR_FROM_STREAMS;
      error.detail = fmt::format("{}: {}", request_.what, error.detail);
      fail(std::move(error));
    }
  }
  writing_ = false;
  if (finishing_ && !ended_) {
    send(MessageStatus::ok, {});
    end();
  }
}

void Stream::receive(const Frame& frame) {
  if (ended_) {
    return;  // late
  }
  switch (frame.header.status) {
    case MessageStatus::more:
      if (frame.header.type == MessageType::stream_hole) {
        fail(CallError(VIR_ERR_RPC, fmt::format("{} takes no holes", request_.what), VIR_FROM_STREAMS));
        return;
      }
      if (frame.payload.empty() || finishing_) {
        return;
      }
      if (waiting_bytes_ + frame.payload.size() + kKeep > kMaxWaiting) {
        fail(CallError(VIR_ERR_OPERATION_FAILED,
                       fmt::format("{} does not read what is sent to it; {} bytes wait", request_.what, waiting_bytes_),
                       VIR_FROM_STREAMS));
        return;
      }
      waiting_bytes_ += frame.payload.size() + kKeep;
      waiting_.push_back(frame.payload);
      if (!writing_) {
        writing_ = true;
        asio::co_spawn(descriptor_.get_executor(), write_loop(shared_from_this()), asio::detached);
      }
      break;
    case MessageStatus::ok:
      finishing_ = true;
      if (!writing_) {
        send(MessageStatus::ok, {});
        end();
      }
      break;
    case MessageStatus::error:
      send(MessageStatus::ok, {});
      end();
      break;
  }
}

void Stream::fail(CallError error) {
  asio::post(descriptor_.get_executor(), [self = shared_from_this(), error = std::move(error)] {
    if (!self->ended_) {
      self->send(MessageStatus::error, encode(to_remote(error)));
      self->end();
    }
  });
}

void Stream::drop() { end(); }

void Stream::end() {
  if (ended_) {
    return;
  }
  ended_ = true;
  boost::system::error_code ignored;
  descriptor_.close(ignored);
  pace_.cancel();
  if (request_.on_closed) {
    request_.on_closed();
  }
  if (const auto connection = connection_.lock()) {
    // Not at once: whoever called may be walking over the streams.
    asio::post(connection->network(), [connection, serial = header_.serial, self = shared_from_this()] {
      connection->forget_stream(serial, self.get());
    });
  }
}

}  // namespace lodge::rpc
