#include "libvirt-driver/rpc/connection.h"

#include <algorithm>
#include <array>

namespace lodge::rpc {
namespace {

constexpr int32_t kFirstAuth = 66;  // AUTH_LIST to AUTH_POLKIT: all that a client may call before it is known
constexpr int32_t kLastAuth = 70;
// Looks at memory under a lock that nobody keeps: answered on the network thread itself, since handing them to a worker and
// back costs more than they do, and clients ask them for each domain of a list.
constexpr std::array kAtOnce{Proc::connect_supports_feature, Proc::domain_get_state,      Proc::domain_is_active,
                             Proc::domain_is_persistent,     Proc::domain_is_updated,     Proc::domain_lookup_by_id,
                             Proc::domain_lookup_by_name,    Proc::domain_lookup_by_uuid, Proc::domain_get_os_type};
constexpr int32_t kPing = 1;
constexpr int32_t kPong = 2;

bool is_auth(const MessageHeader& header) {
  return header.program == static_cast<uint32_t>(Program::remote) && header.procedure >= kFirstAuth &&
         header.procedure <= kLastAuth;
}

// Whether it may wait for people or directories.
bool logs_in(const MessageHeader& header) { return is_auth(header) && header.procedure != kFirstAuth; }

bool is_at_once(const MessageHeader& header) {
  return header.program == static_cast<uint32_t>(Program::remote) &&
         std::ranges::find(kAtOnce, static_cast<Proc>(header.procedure)) != kAtOnce.end();
}

CallError rpc_error(std::string text) { return {VIR_ERR_RPC, std::move(text), VIR_FROM_RPC}; }

}  // namespace

RemoteError to_remote(const CallError& error) {
  RemoteError remote;
  remote.code = error.code;
  remote.domain = error.domain;
  remote.message = error.message();
  const std::string_view prefix = message_prefix(error.code);
  remote.str1 = prefix.empty() ? "%s" : fmt::format("{}: %s", prefix);
  remote.str2 = error.detail;
  if (error.code == VIR_ERR_SYSTEM_ERROR) {
    remote.int1 = error.system_error;
  }
  return remote;
}

Connection::Connection(ConnectionEnv& env, uint64_t id, std::unique_ptr<Transport> transport,
                       std::shared_ptr<const access::AccessRule> rule, std::function<void()> on_end)
    : Session(id, transport->peer(), std::move(rule)),
      env_(env),
      transport_(std::move(transport)),
      on_end_(std::move(on_end)),
      out_signal_(env.network),
      room_signal_(env.network),
      login_timer_(env.network),
      keepalive_timer_(env.network),
      last_life_(std::chrono::steady_clock::now()) {
  reader_.set_limit(kLoginMessage);
  // With TLS nothing is known before the handshake.
  if (peer().transport != TransportKind::tls && login().trusted(peer())) {
    let_in();
  }
}

Connection::~Connection() = default;

void Connection::run() {
  const auto self = std::static_pointer_cast<Connection>(shared_from_this());
  asio::co_spawn(env_.network, read_loop(self), asio::detached);
  asio::co_spawn(env_.network, write_loop(self), asio::detached);
  if (!authenticated()) {
    asio::co_spawn(env_.network, login_watch(self), asio::detached);
  }
}

void Connection::let_in() {
  set_authenticated();
  reader_.set_limit(read_only() ? kReadOnlyMessage : kMaxMessage);
  login_timer_.cancel();
}

void Connection::complain(std::string_view about) {
  if (env_.complaints.admit()) {
    log_warning("rpc", "client {} ({}) is disconnected: {}", id(), peer_text(peer()), about);
  }
}

void Connection::drop(std::string_view reason) {
  if (ended_) {
    return;
  }
  ended_ = true;
  set_gone();
  log_debug("rpc", "client {} leaves: {}", id(), reason);
  transport_->close();
  login_timer_.cancel();
  keepalive_timer_.cancel();
  out_signal_.cancel();
  room_signal_.cancel();
  queued_.clear();
  const auto streams = std::move(streams_);
  streams_.clear();
  for (const auto& [serial, stream] : streams) {
    stream->drop();
  }
  // Not at once: it may be what called.
  asio::post(env_.network, [gone = std::shared_ptr<Forwarder>(std::move(forwarder_))] {});
  // Guests that were to live as long as this client end here: not work for this thread.
  asio::post(env_.workers, [self = std::static_pointer_cast<Connection>(shared_from_this())] { self->run_on_close(); });
  on_end_();
}

asio::awaitable<void> Connection::login_watch([[maybe_unused]] std::shared_ptr<Connection> self) {
  auto time = env_.login_time;
  while (!ended_ && !authenticated()) {
    login_timer_.expires_after(time);
    (void)co_await login_timer_.async_wait(kAwait);
    if (ended_ || authenticated()) {
      co_return;
    }
    if (!busy()) {
      complain(fmt::format("it did not authenticate within {} s", env_.login_time.count()));
      drop("not authenticated in time");
    }
    time = std::chrono::seconds(1);  // polkit asks somebody for a password, and has a limit of its own
  }
}

asio::awaitable<void> Connection::read_loop([[maybe_unused]] std::shared_ptr<Connection> self) {
  if (const auto started = co_await transport_->start(); !started) {
    if (!ended_) {
      complain(started.error().message);
      drop(started.error().message);
    }
    co_return;
  }
  if (peer().transport == TransportKind::tls) {
    set_peer(transport_->peer());
    if (login().trusted(peer())) {
      let_in();
    }
  }
  while (!ended_) {
    (void)co_await asio::post(env_.network, kAwait);  // a client that sends without pause leaves others their turn
    while (!ended_ && !may_read()) {
      room_signal_.expires_at(std::chrono::steady_clock::time_point::max());
      (void)co_await room_signal_.async_wait(kAwait);
    }
    if (ended_) {
      co_return;
    }
    const auto more = co_await transport_->read(reader_);
    if (ended_) {
      co_return;
    }
    if (!more || !*more) {
      drop(!more ? std::string_view(more.error().message) : "closed");
      co_return;
    }
    last_life_ = std::chrono::steady_clock::now();
    while (!ended_) {
      auto frame = reader_.next();
      if (!frame) {
        complain(frame.error().message);
        drop("malformed message");
        co_return;
      }
      if (!*frame) {
        break;
      }
      handle(std::move(**frame));
    }
  }
}

asio::awaitable<void> Connection::write_loop([[maybe_unused]] std::shared_ptr<Connection> self) {
  while (!ended_) {
    if (out_.empty()) {
      out_signal_.expires_at(std::chrono::steady_clock::time_point::max());
      (void)co_await out_signal_.async_wait(kAwait);
      continue;
    }
    const Outgoing outgoing = std::move(out_.front());
    out_.pop_front();
    auto written = co_await transport_->write(outgoing.bytes);
    if (written && !outgoing.fds.empty()) {
      written = co_await transport_->write_fds(outgoing.fds);
    }
    out_bytes_ -= outgoing.bytes.size();
    if (!written) {
      drop(written.error().message);
      co_return;
    }
    if (forwarder_ && !congested()) {
      forwarder_->client_reads();
    }
    start_queued();
    maybe_end();
  }
}

asio::awaitable<void> Connection::keepalive_loop([[maybe_unused]] std::shared_ptr<Connection> self) {
  const auto interval = env_.keepalive_interval;
  unsigned unanswered = 0;
  while (!ended_) {
    keepalive_timer_.expires_after(interval);
    (void)co_await keepalive_timer_.async_wait(kAwait);
    if (ended_) {
      co_return;
    }
    // While its upload waits for the storage daemon, what it says is not read.
    const bool unread = forwarder_ && !forwarder_->has_room();
    if (unread || std::chrono::steady_clock::now() - last_life_ < interval) {
      unanswered = 0;
      continue;
    }
    if (unanswered >= env_.keepalive_count) {
      complain(fmt::format("it has not answered for {} s", (interval * (unanswered + 1)).count()));
      drop("keepalive");
      co_return;
    }
    ++unanswered;
    MessageHeader header{.program = static_cast<uint32_t>(Program::keepalive), .procedure = kPing};
    header.type = MessageType::message;
    send(header, {});
  }
}

void Connection::start_keepalive() {
  asio::post(env_.network, [self = std::static_pointer_cast<Connection>(shared_from_this())] {
    if (!self->keepalive_ && self->env_.keepalive_interval.count() > 0) {
      self->keepalive_ = true;
      asio::co_spawn(self->env_.network, self->keepalive_loop(self), asio::detached);
    }
  });
}

void Connection::close_when_replied() {
  asio::post(env_.network, [self = std::static_pointer_cast<Connection>(shared_from_this())] {
    self->closing_ = true;
    if (!self->authenticated()) {
      self->queued_.clear();  // its login failed
    }
    self->maybe_end();
  });
}

void Connection::maybe_end() {
  if (closing_ && !ended_ && out_.empty() && out_bytes_ == 0 && running_ == 0 && queued_.empty()) {
    drop("bade farewell");
  }
}

void Connection::send_event(Program program, int32_t procedure, std::vector<uint8_t> payload) {
  asio::post(env_.network, [self = std::static_pointer_cast<Connection>(shared_from_this()), program, procedure,
                            payload = std::move(payload)] {
    if (self->out_bytes_ > kHopeless) {
      self->complain(fmt::format("it does not read its events; {} bytes wait", self->out_bytes_));
      self->drop("does not read");
      return;
    }
    MessageHeader header{.program = static_cast<uint32_t>(program), .procedure = procedure};
    header.type = MessageType::message;
    self->send(header, payload);
  });
}

void Connection::push(Outgoing outgoing) {
  if (ended_) {
    return;
  }
  if (layer_) {
    auto encoded = layer_->encode(outgoing.bytes);
    if (!encoded) {
      complain(encoded.error().message);
      drop("no encryption");
      return;
    }
    outgoing.bytes = std::move(*encoded);
  }
  out_bytes_ += outgoing.bytes.size();
  out_.push_back(std::move(outgoing));
  out_signal_.cancel();
}

void Connection::send(const MessageHeader& header, std::span<const uint8_t> payload, std::vector<Fd> fds) {
  std::vector<uint8_t> counted;
  if (header.type == MessageType::reply_with_fds) {
    counted = encode(static_cast<uint32_t>(fds.size()));
    counted.insert(counted.end(), payload.begin(), payload.end());
    payload = counted;
  }
  auto message = make_message(header, payload);
  if (!message) {
    send_error(header, header.type, CallError(std::move(message).error()));
    return;
  }
  push({std::move(*message), std::move(fds)});
}

void Connection::send_error(MessageHeader header, MessageType type, const CallError& error) {
  header.type = type;
  header.status = MessageStatus::error;
  send(header, encode(to_remote(error)));
}

void Connection::handle(Frame frame) {
  switch (frame.header.type) {
    case MessageType::message:
      if (frame.header.program == static_cast<uint32_t>(Program::keepalive) && frame.header.procedure == kPing) {
        MessageHeader header = frame.header;
        header.procedure = kPong;
        send(header, {});
      }
      break;
    case MessageType::stream:
    case MessageType::stream_hole: handle_stream(frame); break;
    case MessageType::call:
    case MessageType::call_with_fds: handle_call(std::move(frame)); break;
    case MessageType::reply:
    case MessageType::reply_with_fds:
      complain("it sent a reply");
      drop("sent a reply");
      break;
  }
}

void Connection::handle_stream(const Frame& frame) {
  const auto it = streams_.find(frame.header.serial);
  if (it != streams_.end()) {
    const auto stream = it->second;
    stream->receive(frame);
  } else if (forwarder_) {
    forwarder_->stream(frame);
  }
  // Else it is late: its stream is closed already.
}

void Connection::forget_stream(uint32_t serial, const Stream* stream) {
  const auto it = streams_.find(serial);
  if (it != streams_.end() && it->second.get() == stream) {
    streams_.erase(it);
  }
}

namespace {

// We throw nothing, but libraries may: then it is this call that fails, not the daemon.
Answer<std::vector<uint8_t>> invoke(const Procedure& procedure, Call& call, std::span<const uint8_t> arguments) {
  try {
    return procedure.invoke(call, arguments);
  } catch (const std::exception& error) {
    log_error("rpc", "{}: {}", procedure.row->name, error.what());
    return call_error(VIR_ERR_INTERNAL_ERROR, "{}: {}", function_name(procedure.row->name), error.what());
  }
}

}  // namespace

std::optional<CallError> Connection::refusal(const Frame& frame, const Procedure*& procedure) const {
  const MessageHeader& header = frame.header;
  if (header.version != kVersion ||
      (header.program != static_cast<uint32_t>(Program::remote) && header.program != static_cast<uint32_t>(Program::qemu))) {
    return rpc_error(fmt::format("Cannot find program {} version {}", header.program, header.version));
  }
  if (header.status != MessageStatus::ok) {
    return rpc_error(fmt::format("Unexpected message status {}", static_cast<uint32_t>(header.status)));
  }
  if (!authenticated() && !is_auth(header)) {
    return rpc_error("authentication required");
  }
  procedure = env_.procedures.find(static_cast<Program>(header.program), header.procedure);
  if (procedure == nullptr) {
    return rpc_error(fmt::format("unknown procedure: {}", header.procedure));
  }
  const bool open = opened() || is_auth(header) ||
                    (header.program == static_cast<uint32_t>(Program::remote) &&
                     (header.procedure == static_cast<int32_t>(Proc::connect_open) ||
                      header.procedure == static_cast<int32_t>(Proc::connect_supports_feature) ||
                      header.procedure == static_cast<int32_t>(Proc::connect_close)));
  if (!open) {
    return CallError(VIR_ERR_INTERNAL_ERROR, "hypervisor connection not open");
  }
  if (read_only() && procedure->row->deny) {
    return read_only_error(procedure->row->name);
  }
  const bool forwarded = !procedure->row->forward.empty() && env_.make_forwarder;
  if (procedure->invoke == nullptr && !forwarded) {
    return CallError(VIR_ERR_NO_SUPPORT, function_name(procedure->row->name));
  }
  return std::nullopt;
}

void Connection::handle_call(Frame frame) {
  if (closing_) {
    return;
  }
  if (!queued_.empty() || !may_start()) {
    queued_bytes_ += frame.payload.size();
    queued_.push_back(std::move(frame));
    return;
  }
  start_call(std::move(frame));
}

// One call at a time until it has authenticated and opened; none while it does not read its replies.
bool Connection::may_start() const {
  return !congested() && running_ < (authenticated() && opened() ? env_.max_running : 1);
}

bool Connection::may_read() const {
  return !congested() && queued_.size() < env_.max_queued && queued_bytes_ < env_.max_queued_bytes &&
         (!forwarder_ || forwarder_->has_room());
}

void Connection::start_queued() {
  while (!ended_ && !queued_.empty() && may_start()) {
    Frame next = std::move(queued_.front());
    queued_.pop_front();
    queued_bytes_ -= next.payload.size();
    start_call(std::move(next));
  }
  if (may_read()) {
    room_signal_.cancel();
  }
}

void Connection::start_call(Frame frame) {
  const Procedure* procedure = nullptr;
  if (const auto error = refusal(frame, procedure)) {
    send_error(frame.header, MessageType::reply, *error);
    return;
  }
  if (!procedure->row->forward.empty()) {
    forward_call(procedure->row->forward, frame);
    return;
  }
  if (is_at_once(frame.header)) {
    Call call{.driver = *env_.driver,
              .session = shared_from_this(),
              .row = procedure->row,
              .fds = std::move(frame.fds),
              .reply_fds = {},
              .proof = {},
              .stream = {}};
    reply(frame.header, invoke(*procedure, call, frame.payload), {});
    return;
  }
  ++running_;
  auto& pool = logs_in(frame.header)              ? env_.login_workers
               : procedure->row->high             ? env_.high_workers
               : procedure->row->group == "agent" ? env_.agent_workers
                                                  : env_.workers;
  asio::post(pool, [self = std::static_pointer_cast<Connection>(shared_from_this()), procedure,
                    frame = std::make_shared<Frame>(std::move(frame))] {
    Call call{.driver = *self->env_.driver,
              .session = self,
              .row = procedure->row,
              .fds = std::move(frame->fds),
              .reply_fds = {},
              .proof = {},
              .stream = {}};
    auto answer = invoke(*procedure, call, frame->payload);
    // std::function must be copyable; the descriptors are not
    auto fds = std::make_shared<std::vector<Fd>>(std::move(call.reply_fds));
    auto stream = std::make_shared<std::optional<StreamRequest>>(std::move(call.stream));
    asio::post(self->env_.network, [self, header = frame->header, answer = std::move(answer), fds, stream,
                                    proof = std::move(call.proof)]() mutable {
      self->finish_call(header, std::move(answer), std::move(*fds), std::move(*stream), proof.get());
    });
  });
}

void Connection::forward_call(std::string_view family, const Frame& frame) {
  if (!forwarder_) {
    forwarder_ = env_.make_forwarder(env_.network, *this);
  }
  std::optional<CallError> error;
  if (frame.header.type == MessageType::call_with_fds) {
    error = rpc_error("this call takes no descriptors");
  } else {
    error = forwarder_->call(family, frame);
  }
  if (error) {
    send_error(frame.header, MessageType::reply, *error);
    return;
  }
  ++running_;
}

void Connection::pass(const MessageHeader& header, std::span<const uint8_t> payload) {
  if (ended_) {
    return;
  }
  send(header, payload);
  if (header.type == MessageType::reply) {
    --running_;
    start_queued();
    maybe_end();
  }
}

void Connection::reply(MessageHeader header, const Answer<std::vector<uint8_t>>& answer, std::vector<Fd> fds) {
  if (!answer) {
    send_error(header, MessageType::reply, answer.error());
    return;
  }
  header.type = fds.empty() ? MessageType::reply : MessageType::reply_with_fds;
  header.status = MessageStatus::ok;
  send(header, *answer, std::move(fds));
}

void Connection::finish_call(const MessageHeader& header, Answer<std::vector<uint8_t>> answer, std::vector<Fd> fds,
                             std::optional<StreamRequest> stream, const access::Proof* proof) {
  --running_;
  if (ended_) {
    if (stream && stream->on_closed) {
      stream->on_closed();
    }
    return;
  }
  reply(header, answer, std::move(fds));
  if (answer && stream) {
    const auto joined =
        std::make_shared<Stream>(std::static_pointer_cast<Connection>(shared_from_this()), header, std::move(*stream));
    if (const auto former = std::exchange(streams_[header.serial], joined)) {
      former->drop();  // a client that gives a number twice
    }
    joined->start();
  }
  if (proof && answer) {
    protect(proof->layer);
    let_in();
  }
  start_queued();
  maybe_end();
}

// From here on, behind the reply that was sent last.
void Connection::protect(std::shared_ptr<access::SecurityLayer> layer) {
  if (!layer || ended_) {
    return;
  }
  if (!queued_.empty() || reader_.in_the_middle()) {
    complain("it sent more in the clear before its login was over");  // whoever it was: not necessarily the client
    drop("mixed clear and encrypted");
    return;
  }
  layer_ = std::move(layer);
  set_encrypted();
  reader_.set_decoder([layer = layer_](std::span<const uint8_t> bytes) { return layer->decode(bytes); });
}

}  // namespace lodge::rpc
