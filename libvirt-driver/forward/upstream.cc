#include "libvirt-driver/forward/upstream.h"

#include <algorithm>

#include "base/log.h"
#include "libvirt-driver/rpc/connection.h"
#include "libvirt-driver/rpc/procedure_rows.h"

namespace lodge::forward {
namespace {

using rpc::MessageHeader;
using rpc::MessageStatus;
using rpc::MessageType;
using rpc::Proc;
using rpc::Program;

constexpr int32_t kPing = 1;
constexpr int32_t kPong = 2;
constexpr uint32_t kReadOnly = 1;  // VIR_CONNECT_RO

bool opens_stream(int32_t procedure) {
  return procedure == static_cast<int32_t>(Proc::storage_vol_upload) ||
         procedure == static_cast<int32_t>(Proc::storage_vol_download);
}

bool is_event_of(int32_t procedure, std::string_view family) {
  return std::ranges::any_of(rpc::kRemoteRows, [&](const rpc::ProcedureRow& row) {
    return row.number == procedure && row.event && row.forward == family;
  });
}

std::string error_text(std::span<const uint8_t> payload) {
  const auto error = rpc::decode<rpc::RemoteError>(payload);
  return error && error->message ? *error->message : "an error without a text";
}

}  // namespace

std::shared_ptr<Upstream> Upstream::create(asio::io_context& network, Fd socket, UpstreamOptions options,
                                           UpstreamUser& user) {
  asio::local::stream_protocol::socket connected(network);
  boost::system::error_code ignored;
  connected.assign(asio::local::stream_protocol(), socket.release(), ignored);
  auto upstream =
      std::make_shared<Upstream>(network, rpc::make_unix_transport(std::move(connected)), std::move(options), user);
  upstream->send({.procedure = static_cast<int32_t>(Proc::auth_list), .serial = upstream->next_serial()}, {});
  asio::co_spawn(network, upstream->read_loop(upstream), asio::detached);
  asio::co_spawn(network, upstream->write_loop(upstream), asio::detached);
  asio::co_spawn(network, upstream->keepalive_loop(upstream), asio::detached);
  return upstream;
}

Upstream::Upstream(asio::io_context& network, std::unique_ptr<rpc::Transport> transport, UpstreamOptions options,
                   UpstreamUser& user)
    : network_(network),
      transport_(std::move(transport)),
      options_(std::move(options)),
      user_(&user),
      out_signal_(network),
      room_signal_(network),
      keepalive_timer_(network),
      last_life_(std::chrono::steady_clock::now()) {}

std::string Upstream::name() const { return fmt::format("the host's {} service ('{}')", options_.family, options_.path); }

uint32_t Upstream::next_serial() {
  do {
    ++last_serial_;
  } while (pending_.contains(last_serial_));
  return last_serial_;
}

Upstream::PendingMap::iterator Upstream::find_stream(uint32_t serial) {
  return std::ranges::find_if(pending_,
                              [serial](const auto& entry) { return entry.second.stream && entry.second.serial == serial; });
}

std::optional<CallError> Upstream::call(int32_t procedure, uint32_t serial, std::span<const uint8_t> payload) {
  const bool stream = opens_stream(procedure);
  if (pending_.size() >= kMost || phase_ == Phase::over) {
    return CallError(VIR_ERR_RPC, fmt::format("{} streams and calls to {} are open", pending_.size(), name()), VIR_FROM_RPC);
  }
  if (stream && std::ranges::any_of(pending_, [&](const auto& entry) {
        return entry.second.serial == serial && opens_stream(entry.second.procedure);
      })) {
    return CallError(VIR_ERR_RPC, fmt::format("a stream with the number {} is open already", serial), VIR_FROM_RPC);
  }
  const uint32_t number = next_serial();
  auto message = rpc::make_message({.procedure = procedure, .serial = number}, payload);
  if (!message) {
    return CallError(std::move(message).error());
  }
  pending_.emplace(number, Pending{.procedure = procedure, .serial = serial});
  if (phase_ == Phase::open) {
    push(std::move(*message));
  } else {
    out_bytes_ += message->size();
    waiting_.push_back(std::move(*message));
  }
  return std::nullopt;
}

bool Upstream::stream(const MessageHeader& header, std::span<const uint8_t> payload) {
  const auto found = find_stream(header.serial);
  if (found == pending_.end() || found->second.procedure != header.procedure) {
    return false;
  }
  auto& [number, pending] = *found;
  if (!pending.finishing) {
    pending.finishing = header.status != MessageStatus::more;
    MessageHeader onward = header;
    onward.serial = number;
    send(onward, payload);
  }
  return true;
}

void Upstream::send(const MessageHeader& header, std::span<const uint8_t> payload) {
  if (auto message = rpc::make_message(header, payload)) {  // else it did not arrive here
    push(std::move(*message));
  }
}

void Upstream::push(std::vector<uint8_t> message) {
  out_bytes_ += message.size();
  out_.push_back(std::move(message));
  out_signal_.cancel();
}

void Upstream::close() {
  user_ = nullptr;
  phase_ = Phase::over;
  pending_.clear();
  transport_->close();
  out_signal_.cancel();
  room_signal_.cancel();
  keepalive_timer_.cancel();
}

void Upstream::lose(std::string_view what) {
  if (phase_ == Phase::over) {
    return;
  }
  const CallError error =
      phase_ == Phase::open
          ? CallError(VIR_ERR_OPERATION_FAILED,
                      fmt::format("the connection to {} is lost: {}; what was asked may have been done or not: look at "
                                  "it, and try again once {} runs (systemctl status {})",
                                  name(), what, options_.daemon, options_.daemon),
                      VIR_FROM_RPC)
          : CallError(VIR_ERR_NO_SUPPORT,
                      fmt::format("{} cannot be used: {}; look at the log of {} (journalctl -u {})", name(), what,
                                  options_.daemon, options_.daemon),
                      VIR_FROM_RPC);
  static GuestWarnings warnings;  // each client has connections of its own, and all of them end together
  guest_warning(warnings, "forward", "{}", error.message());
  UpstreamUser* const user = user_;
  const auto pending = std::move(pending_);
  close();
  if (user == nullptr) {
    return;
  }
  user->on_lost();
  const auto bytes = rpc::encode(rpc::to_remote(error));
  for (const auto& [number, due] : pending) {
    MessageHeader header{.procedure = due.procedure, .serial = due.serial};
    header.type = due.stream ? MessageType::stream : MessageType::reply;
    header.status = MessageStatus::error;
    user->on_message(header, bytes);
  }
}

asio::awaitable<void> Upstream::read_loop([[maybe_unused]] std::shared_ptr<Upstream> self) {
  while (phase_ != Phase::over) {
    (void)co_await asio::post(network_, kAwait);  // one that sends without pause leaves others their turn
    while (phase_ != Phase::over && !user_->takes_more()) {
      room_signal_.expires_at(std::chrono::steady_clock::time_point::max());
      (void)co_await room_signal_.async_wait(kAwait);
    }
    if (phase_ == Phase::over) {
      co_return;
    }
    const auto more = co_await transport_->read(reader_);
    if (phase_ == Phase::over) {
      co_return;
    }
    if (!more || !*more) {
      lose(!more ? std::string_view(more.error().message) : "the other side has closed it");
      co_return;
    }
    last_life_ = std::chrono::steady_clock::now();
    while (phase_ != Phase::over) {
      const auto frame = reader_.next();
      if (frame && !*frame) {
        break;
      }
      const auto taken = frame ? take(**frame) : Result<void>(std::unexpected(frame.error()));
      if (!taken) {
        lose(taken.error().message);
        co_return;
      }
    }
  }
}

asio::awaitable<void> Upstream::write_loop([[maybe_unused]] std::shared_ptr<Upstream> self) {
  while (phase_ != Phase::over) {
    if (out_.empty()) {
      out_signal_.expires_at(std::chrono::steady_clock::time_point::max());
      (void)co_await out_signal_.async_wait(kAwait);
      continue;
    }
    const std::vector<uint8_t> message = std::move(out_.front());
    out_.pop_front();
    const auto written = co_await transport_->write(message);
    if (phase_ == Phase::over) {
      co_return;
    }
    const bool was_congested = congested();
    out_bytes_ -= message.size();
    if (!written) {
      lose(written.error().message);
      co_return;
    }
    if (was_congested && !congested()) {
      user_->on_room();
    }
  }
}

// It is asked rather than trusted to have a closed socket: a daemon that hangs has none.
asio::awaitable<void> Upstream::keepalive_loop([[maybe_unused]] std::shared_ptr<Upstream> self) {
  unsigned unanswered = 0;
  while (phase_ != Phase::over) {
    keepalive_timer_.expires_after(options_.keepalive_interval);
    (void)co_await keepalive_timer_.async_wait(kAwait);
    if (phase_ == Phase::over) {
      co_return;
    }
    const bool heard = std::chrono::steady_clock::now() - last_life_ < options_.keepalive_interval;
    if (heard || !user_->takes_more()) {  // what it says is not read then
      unanswered = 0;
      continue;
    }
    if (unanswered >= options_.keepalive_count) {
      lose(fmt::format(
          "it has not answered for {} s",
          std::chrono::duration_cast<std::chrono::seconds>(options_.keepalive_interval * (unanswered + 1)).count()));
      co_return;
    }
    ++unanswered;
    MessageHeader header{.program = static_cast<uint32_t>(Program::keepalive), .procedure = kPing};
    header.type = MessageType::message;
    send(header, {});
  }
}

Result<void> Upstream::take(const rpc::Frame& frame) {
  const MessageHeader& header = frame.header;
  if (header.program == static_cast<uint32_t>(Program::keepalive) && header.type == MessageType::message) {
    if (header.procedure == kPing) {
      MessageHeader answer = header;
      answer.procedure = kPong;
      send(answer, {});
    }
    return {};
  }
  if (header.program != static_cast<uint32_t>(Program::remote) || header.version != rpc::kVersion) {
    return fail("it sent a message of the program {:#x}, version {}", header.program, header.version);
  }
  switch (header.type) {
    case MessageType::reply: return phase_ == Phase::open ? take_reply(frame) : take_handshake(frame);
    case MessageType::stream:
    case MessageType::stream_hole: return take_stream(frame);
    case MessageType::message: take_event(frame); return {};
    default: return fail("it sent a message of the type {}", static_cast<uint32_t>(header.type));
  }
}

Result<void> Upstream::take_handshake(const rpc::Frame& frame) {
  const MessageHeader& header = frame.header;
  const bool asked_who = phase_ == Phase::authenticating;
  const Proc expected = asked_who ? Proc::auth_list : Proc::connect_open;
  if (header.procedure != static_cast<int32_t>(expected) || header.status == MessageStatus::more) {
    return fail("it answered {} with procedure {}", asked_who ? "AUTH_LIST" : "CONNECT_OPEN", header.procedure);
  }
  if (header.status == MessageStatus::error) {
    return fail("{}", error_text(frame.payload));
  }
  if (asked_who) {
    const auto kinds = TRY(rpc::decode<rpc::AuthListRet>(frame.payload));
    if (!kinds.types.empty() && kinds.types.front() != 0) {
      return fail("it wants a login; set auth_unix_rw and auth_unix_ro to \"none\" or \"polkit\" in {}.conf",
                  options_.daemon);
    }
    phase_ = Phase::opening;
    send({.procedure = static_cast<int32_t>(Proc::connect_open), .serial = next_serial()},
         rpc::encode(rpc::ConnectOpenArgs{.name = options_.uri, .flags = options_.read_only ? kReadOnly : 0}));
    return {};
  }
  phase_ = Phase::open;
  log_debug("forward", "{} is open as {}", name(), options_.uri);
  out_.insert(out_.end(), std::make_move_iterator(waiting_.begin()), std::make_move_iterator(waiting_.end()));
  waiting_.clear();
  out_signal_.cancel();
  return {};
}

Result<void> Upstream::take_reply(const rpc::Frame& frame) {
  const MessageHeader& header = frame.header;
  const auto found = pending_.find(header.serial);
  if (found == pending_.end() || found->second.stream || found->second.procedure != header.procedure) {
    return fail("it answered a call that was not made (procedure {})", header.procedure);
  }
  if (header.status == MessageStatus::more) {
    return fail("its answer to procedure {} is neither a success nor an error", header.procedure);
  }
  const uint32_t serial = found->second.serial;
  if (header.status == MessageStatus::ok && opens_stream(header.procedure)) {
    found->second.stream = true;
  } else {
    pending_.erase(found);
  }
  pass(header, serial, frame.payload);
  return {};
}

Result<void> Upstream::take_stream(const rpc::Frame& frame) {
  const MessageHeader& header = frame.header;
  const auto found = pending_.find(header.serial);
  if (found == pending_.end()) {
    return {};  // late
  }
  const Pending pending = found->second;
  if (!pending.stream || pending.procedure != header.procedure ||
      (header.type == MessageType::stream_hole && header.status != MessageStatus::more) ||
      (header.status == MessageStatus::ok && !pending.finishing)) {  // clients take it for a broken connection
    return fail("it sent a part of a stream that cannot come now (procedure {})", header.procedure);
  }
  if (header.status != MessageStatus::more) {
    pending_.erase(found);
  }
  pass(header, pending.serial, frame.payload);
  return {};
}

void Upstream::take_event(const rpc::Frame& frame) {
  if (phase_ == Phase::open && is_event_of(frame.header.procedure, options_.family)) {
    pass(frame.header, 0, frame.payload);
  }
}

void Upstream::pass(MessageHeader header, uint32_t serial, std::span<const uint8_t> payload) {
  header.serial = serial;
  user_->on_message(header, payload);
}

}  // namespace lodge::forward
