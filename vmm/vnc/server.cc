#include "vmm/vnc/server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <array>
#include <cstring>

namespace lodge::vnc {
namespace {

constexpr std::chrono::milliseconds kAcceptPause{200};

// "192.0.2.7:50123", "unix"
std::string address_of(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  std::array<char, INET6_ADDRSTRLEN> text{};
  // SAFETY: the socket interface gives every address through sockaddr.
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return "unknown";
  }
  if (address.ss_family == AF_INET) {
    const auto* in = reinterpret_cast<const sockaddr_in*>(&address);
    return fmt::format("{}:{}", ::inet_ntop(AF_INET, &in->sin_addr, text.data(), text.size()), ntohs(in->sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto* in = reinterpret_cast<const sockaddr_in6*>(&address);
    return fmt::format("[{}]:{}", ::inet_ntop(AF_INET6, &in->sin6_addr, text.data(), text.size()), ntohs(in->sin6_port));
  }
  return address.ss_family == AF_UNIX ? "unix" : "unknown";
}

}  // namespace

Result<std::unique_ptr<VncServer>> VncServer::create(EventLoop& loop, Options options, Fd display, Hooks hooks) {
  return std::unique_ptr<VncServer>(
      new VncServer(loop, std::move(options), TRY(SharedPicture::create()), std::move(display), std::move(hooks)));
}

VncServer::VncServer(EventLoop& loop, Options options, SharedPicture picture, Fd display, Hooks hooks)
    : loop_(loop),
      options_(std::move(options)),
      hooks_(std::move(hooks)),
      picture_(std::move(picture)),
      monitor_(loop, std::move(display),
               {.ready = [this] { ready(); },
                .frame = [this](const display::Frame& frame) { take_frame(frame); },
                .pointer =
                    [this](bool absolute) {
                      absolute_ = absolute;
                      for (auto& [number, client] : clients_) {
                        client.process->set_absolute(absolute);
                      }
                    },
                .gone = [this](std::string why) { hooks_.ended(std::move(why)); }}) {}

VncServer::~VncServer() {
  listeners_.clear();
  ready_ = false;  // what clients let up at their end is sent, and nothing asked for
  clients_.clear();
}

void VncServer::ready() {
  ready_ = true;
  for (const auto& listener : listeners_) {
    watch(*listener);
  }
  pace();
}

void VncServer::listen(Fd listener) {
  listeners_.push_back(std::make_unique<Listener>(std::move(listener), EventLoop::Watch()));
  if (ready_) {
    watch(*listeners_.back());
  }
}

void VncServer::watch(Listener& listener) {
  listener.watch = loop_.on_readable(listener.fd.get(), [this, &listener] { accept_client(listener); });
}

void VncServer::accept_client(Listener& listener) {
  const bool slow = !accepts_.admit(EventLoop::Clock::now());
  Fd socket(slow ? -1 : ::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (socket.valid()) {
    if (const auto outcome = add_client(std::move(socket), false); !outcome) {
      guest_warning(talk_, "vnc", "a client was turned away: {}", outcome.error().message);
    }
    return;
  }
  if (!slow && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)) {
    return;
  }
  // Clients come too fast, or no descriptor is left: they stay in line.
  for (const auto& each : listeners_) {
    each->watch.reset();
  }
  accept_again_ = loop_.after(kAcceptPause, [this] {
    for (const auto& each : listeners_) {
      watch(*each);
    }
  });
}

// Whoever has waited longest in the handshake goes first.
bool VncServer::make_room() {
  if (clients_.size() < kMaxClients) {
    return true;
  }
  for (const auto& [number, client] : clients_) {
    if (!client.process->entered()) {
      gone(number, "others wait, and it does not go on with the handshake");
      return true;
    }
  }
  return false;
}

Access VncServer::access(bool skip_auth) const {
  if (skip_auth || (!password_ && !options_.password_required)) {
    return {};
  }
  if (!password_ || password_->empty()) {
    return {.kind = Access::Kind::nobody, .password = {}};
  }
  return {.kind = Access::Kind::password, .password = *password_, .expires = expires_};
}

Result<void> VncServer::add_client(Fd socket, bool skip_auth) {
  int kind = 0;
  socklen_t size = sizeof kind;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &kind, &size) != 0 || kind != SOCK_STREAM) {
    return fail("this is no stream socket; a client speaks RFB over one");
  }
  if (!make_room()) {
    return fail("there are {} clients, and no more may", kMaxClients);
  }
  const uint64_t number = next_++;
  const std::string address = address_of(socket.get());
  ClientSetup setup;
  setup.socket = std::move(socket);
  setup.picture = &picture_;
  setup.guest = options_.guest;
  setup.number = number;
  setup.access = access(skip_auth);
  setup.credentials = options_.tls.get();
  setup.encrypted = options_.tls && !skip_auth;
  setup.absolute = absolute_;
  setup.takes_sizes = monitor_.takes_sizes();
  setup.seccomp = options_.seccomp;
  ClientProcess::Hooks hooks;
  hooks.want = [this] { pace(); };
  hooks.entered = [this, number] { entered(number); };
  hooks.input = [this](std::span<const std::byte> packet) { input(packet); };
  hooks.gone = [this, number](const std::string& why) { drop(number, why); };
  auto process = TRY(ClientProcess::start(loop_, std::move(setup), std::move(hooks)));
  hurry();
  auto handshake = loop_.after(kHandshake, [this, number] { drop(number, "it does not finish the handshake"); });
  clients_.emplace(number, Client{address, skip_auth, std::move(process), std::move(handshake)});
  if (talk_.admit()) {
    log_info("vnc", "client {} ({}) has connected", number, address);
  }
  hooks_.event("VNC_CONNECTED", number, address);
  return {};
}

void VncServer::entered(uint64_t number) {
  Client& client = clients_.at(number);
  client.handshake.reset();
  const bool shared = client.process->shared();
  bool refused = options_.share == Share::force_shared && !shared;
  for (auto& [other, each] : clients_) {
    if (options_.share != Share::allow_exclusive || other == number || !each.process->entered()) {
      continue;
    }
    if (!shared) {
      drop(other, "another client wants to be alone");
    } else if (!each.process->shared()) {
      refused = true;
    }
  }
  if (refused) {
    drop(number, "it does not share the screen, or another client does not");
    return;
  }
  if (talk_.admit()) {
    log_info("vnc", "client {} ({}) sees the screen", number, client.address);
  }
  hooks_.event("VNC_INITIALIZED", number, client.address);
}

void VncServer::set_password(std::optional<std::string> password, int64_t expires) {
  password_ = std::move(password);
  expires_ = expires;
  for (const auto& [number, client] : clients_) {
    if (!client.process->entered() && !client.skip_auth) {
      drop(number, "the password has changed");
    }
  }
}

std::vector<VncServer::ClientInfo> VncServer::clients() const {
  std::vector<ClientInfo> all;
  all.reserve(clients_.size());
  for (const auto& [number, client] : clients_) {
    all.push_back({number, client.address, client.process->entered(), client.process->shared()});
  }
  return all;
}

// May be called from the client's own hooks.
void VncServer::drop(uint64_t number, std::string_view why) {
  loop_.post([this, number, why = std::string(why), alive = std::weak_ptr<bool>(alive_)] {
    if (!alive.expired() && clients_.contains(number)) {
      gone(number, why);
    }
  });
}

void VncServer::gone(uint64_t number, std::string_view why) {
  const auto node = clients_.extract(number);  // goes at the end, when the map is whole
  const std::string& address = node.mapped().address;
  if (talk_.admit()) {
    log_info("vnc", "client {} ({}) is gone{}{}", number, address, why.empty() ? "" : ": ", why);
  }
  hooks_.event("VNC_DISCONNECTED", number, address);
}

void VncServer::take_frame(const display::Frame& frame) {
  const bool changed =
      frame.first < frame.last || frame.resized != 0 || picture_.size() != SharedPicture::Size{frame.width, frame.height};
  const bool differs = changed && picture_.update({monitor_.picture(), frame.width, frame.height, frame.first, frame.last});
  // A cursor that blinks is no reason to hurry; a picture that moves is one soon.
  interval_ = differs ? std::max<std::chrono::nanoseconds>(interval_ / 4, kFastest)
                      : std::min<std::chrono::nanoseconds>(interval_ * 5 / 4, kSlowest);
  for (auto& [number, client] : clients_) {
    client.process->offer(picture_.serial(), true);
  }
  pace();
}

void VncServer::input(std::span<const std::byte> packet) {
  monitor_.send(packet);
  hurry();  // what is typed is to be seen
}

void VncServer::hurry() {
  if (interval_ > kFastest) {
    interval_ = kFastest;
    ask_.reset();
    pace();
  }
}

// Asks for the next picture when it is time, if somebody waits for one.
void VncServer::pace() {
  if (!ready_ || monitor_.refreshing() || ask_.active()) {
    return;
  }
  bool wanted = false;
  for (auto& [number, client] : clients_) {
    client.process->offer(picture_.serial(), false);
    wanted = wanted || client.process->wants();
  }
  if (!wanted) {
    return;
  }
  const auto wait = asked_at_ + interval_ - EventLoop::Clock::now();
  ask_ = loop_.after(std::max<std::chrono::nanoseconds>(wait, std::chrono::nanoseconds(0)), [this] {
    ask_.reset();
    asked_at_ = EventLoop::Clock::now();
    monitor_.refresh();
  });
}

}  // namespace lodge::vnc
