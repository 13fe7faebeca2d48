#include "vmm/vnc/relay.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <ctime>

namespace lodge::vnc {
namespace {

constexpr std::array<uint8_t, 12> kVersion{'R', 'F', 'B', ' ', '0', '0', '3', '.', '0', '0', '8', '\n'};
constexpr uint8_t kSecurityNone = 1;

// An entry without events is left out: the end of a connection would be told again and again.
pollfd entry(int fd, short events) { return {events != 0 ? fd : -1, events, 0}; }

void wait_for(int fd, short events) {
  pollfd waiting = entry(fd, events);
  (void)::poll(&waiting, 1, -1);
}

Result<void> inner_send(int fd, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
      return fail_errno(errno, "send to the client's process");
    }
    if (n < 0) {
      wait_for(fd, POLLOUT);
    } else {
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
  }
  return {};
}

Result<void> inner_receive(int fd, std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
      return fail_errno(n == 0 ? ECONNRESET : errno, "receive from the client's process");
    }
    if (n < 0) {
      wait_for(fd, POLLIN);
    } else {
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
  }
  return {};
}

Relay::End end_of(SecurityHandshake::Refusal refusal) {
  switch (refusal) {
    case SecurityHandshake::Refusal::no_tls: return Relay::End::no_tls;
    case SecurityHandshake::Refusal::password: return Relay::End::password;
    default: return Relay::End::no_rfb;
  }
}

}  // namespace

Relay::Outcome Relay::run() {
  Outcome outcome = secure();
  if (outcome.end != End::closed || !outcome.detail.empty()) {
    stream_.close();
    return outcome;
  }
  Result<void> end = enter_inner();
  if (end) {
    end = pump();
  }
  stream_.close();
  return {End::closed, end ? std::string() : end.error().message};
}

// No detail: the client may come in.
Relay::Outcome Relay::secure() {
  using State = SecurityHandshake::State;
  std::array<uint8_t, SecurityHandshake::kMostWanted> bytes{};
  for (;;) {
    if (const auto sent = send(security_.output()); !sent) {
      return {End::closed, sent.error().message};
    }
    switch (security_.state()) {
      case State::reads: {
        const auto part = std::span(bytes).first(security_.wants());
        if (const auto received = receive(part); !received) {
          return {End::closed, received.error().message};
        }
        security_.take(part, std::time(nullptr));
        break;
      }
      case State::starts_tls:
        if (const auto started = start_tls(); !started) {
          return {End::tls_failed, started.error().message};
        }
        if (const auto checked = stream_.check_client(); !checked) {
          return {End::certificate, checked.error().message};
        }
        security_.tls_established();
        break;
      case State::done: return {};
      case State::refused: return {end_of(security_.refusal()), "the client is refused"};
    }
  }
}

Result<void> Relay::start_tls() {
  for (;;) {
    const auto progress = TRY(stream_.handshake());
    if (progress.size != 0) {
      return {};
    }
    wait_for(client_, progress.waits_for);
  }
}

Result<void> Relay::send(std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const auto progress = TRY(stream_.write(bytes));
    bytes = bytes.subspan(progress.size);
    if (progress.size == 0) {
      wait_for(client_, progress.waits_for);
    }
  }
  return {};
}

Result<void> Relay::receive(std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const auto progress = TRY(stream_.read(bytes));
    if (progress.closed) {
      return fail("the client has closed the connection");
    }
    bytes = bytes.subspan(progress.size);
    if (progress.size == 0) {
      wait_for(client_, progress.waits_for);
    }
  }
  return {};
}

// RFB 3.8's handshake with libvncserver, which has no password for this client.
Result<void> Relay::enter_inner() {
  std::array<uint8_t, kVersion.size()> version{};
  TRY_VOID(inner_receive(inner_, version));
  TRY_VOID(inner_send(inner_, kVersion));
  std::array<uint8_t, 1> count{};
  TRY_VOID(inner_receive(inner_, count));
  std::array<uint8_t, 255> types{};
  TRY_VOID(inner_receive(inner_, std::span(types).first(count[0])));
  TRY_VOID(inner_send(inner_, std::span(&kSecurityNone, 1)));
  std::array<uint8_t, 4> result{};
  TRY_VOID(inner_receive(inner_, result));
  if (result != std::array<uint8_t, 4>{}) {
    return fail("the client's process does not let its only client in");
  }
  return {};
}

Result<void> Relay::pump() {
  for (;;) {
    const Step up = TRY(upwards());
    const Result<Step> down = downwards();
    if (!down) {  // it has gone; what it typed before counts
      Result<Step> last = upwards();
      while (last && last->moved) {
        last = upwards();
      }
      return std::unexpected(down.error());
    }
    if (up.over || down->over) {
      return {};
    }
    if (up.moved || down->moved) {
      continue;
    }
    std::array<pollfd, 2> waiting{entry(client_, static_cast<short>(up.client_event | down->client_event)),
                                  entry(inner_, static_cast<short>(up.inner_event | down->inner_event))};
    (void)::poll(waiting.data(), waiting.size(), -1);
  }
}

Result<Relay::Step> Relay::upwards() {
  if (up_.empty()) {
    const auto progress = TRY(stream_.read(up_.bytes));
    if (progress.size == 0) {
      return Step{.over = progress.closed, .client_event = progress.waits_for};
    }
    up_.begin = 0;
    up_.end = progress.size;
  }
  const ssize_t n = ::send(inner_, up_.rest().data(), up_.rest().size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n >= 0) {
    up_.begin += static_cast<size_t>(n);
    return Step{.moved = true};
  }
  if (errno == EAGAIN || errno == EINTR) {
    return Step{.inner_event = POLLOUT};
  }
  return Step{.over = true};  // its process is gone
}

Result<Relay::Step> Relay::downwards() {
  if (down_.empty()) {
    const ssize_t n = ::recv(inner_, down_.bytes.data(), down_.bytes.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
      return Step{.inner_event = POLLIN};
    }
    if (n <= 0) {
      return Step{.over = true};
    }
    down_.begin = 0;
    down_.end = static_cast<size_t>(n);
  }
  const auto progress = TRY(stream_.write(down_.rest()));
  down_.begin += progress.size;
  return Step{.moved = progress.size != 0, .client_event = progress.waits_for};
}

}  // namespace lodge::vnc
