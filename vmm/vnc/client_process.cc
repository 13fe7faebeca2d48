#include "vmm/vnc/client_process.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <csignal>
#include <utility>

namespace lodge::vnc {

namespace {

std::string_view text_of(uint32_t reason) {
  switch (reason) {
    case Leaving::no_rfb: return "it does not speak RFB";
    case Leaving::input_flood: return "it floods the guest with keys or steps";
    case Leaving::message_flood: return "it sends too many messages";
    case Leaving::no_tls: return "it does not want TLS with X.509 certificates";
    case Leaving::tls_failed: return "its TLS handshake fails; --log-level debug says more";
    case Leaving::certificate: return "its certificate is not accepted";
    case Leaving::password: return "its password is wrong or has expired";
    case Leaving::trouble: return "its process is in trouble; --log-level debug says more";
    default: return "";
  }
}

}  // namespace

ChildProcess::~ChildProcess() {
  if (pid_ <= 0) {
    return;
  }
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<ChildProcess> ChildProcess::fork() {
  const pid_t pid = ::fork();
  if (pid < 0) {
    return fail_errno(errno, "a process for a client");
  }
  return ChildProcess(pid);
}

Result<std::unique_ptr<ClientProcess>> ClientProcess::start(EventLoop& loop, ClientSetup setup, Hooks hooks) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail_errno(errno, "a link to a client's process");
  }
  Fd ours(ends[0]);
  setup.link = Fd(ends[1]);
  ChildProcess tls = setup.encrypted ? TRY(start_tls(setup)) : ChildProcess();
  ChildProcess process = TRY(ChildProcess::fork());
  if (process.is_here()) {
    client_main(std::move(setup));
  }
  return std::unique_ptr<ClientProcess>(
      new ClientProcess(loop, std::move(ours), std::move(process), std::move(tls), std::move(hooks)));
}

// Both processes have the link: it ends when both do, and each ends when the other closes what is between them.
Result<ChildProcess> ClientProcess::start_tls(ClientSetup& setup) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail_errno(errno, "a connection to a client's TLS process");
  }
  Fd outer(ends[0]);
  TlsSetup tls{.socket = std::move(setup.socket),
               .link = TRY(setup.link.duplicate()),
               .inner = Fd(ends[1]),
               .picture = setup.picture,
               .credentials = setup.credentials,
               .access = std::exchange(setup.access, {}),
               .seccomp = setup.seccomp};
  ChildProcess process = TRY(ChildProcess::fork());
  if (process.is_here()) {
    tls_main(std::move(tls));
  }
  setup.socket = std::move(outer);
  return process;
}

ClientProcess::ClientProcess(EventLoop& loop, Fd link, ChildProcess process, ChildProcess tls, Hooks hooks)
    : loop_(loop), link_(std::move(link)), process_(std::move(process)), tls_(std::move(tls)), hooks_(std::move(hooks)) {
  input_ = loop_.on_readable(link_.get(), [this] { readable(); });
}

ClientProcess::~ClientProcess() {
  input_.reset();
  process_ = {};
  tls_ = {};
  for (uint16_t code = 0; code <= display::kMaxKey; ++code) {
    if (held_[code]) {
      hooks_.input(display::bytes_of(display::Key{.code = code, .down = 0}));
    }
  }
  if (buttons_ != 0) {
    hooks_.input(display::bytes_of(display::Move{}));
  }
}

void ClientProcess::offer(uint32_t serial, bool asked) {
  if (ended_ || !want_ || (want_->kind == Want::fresh ? !asked : want_->seen == serial)) {
    return;
  }
  want_.reset();
  if (const auto outcome = display::send_packet(link_.get(), display::bytes_of(Changed{})); !outcome) {
    end("its process does not read");
  }
}

void ClientProcess::set_absolute(bool absolute) {
  if (!ended_) {
    (void)display::send_packet(link_.get(), display::bytes_of(display::Pointer{.absolute = absolute}));
  }
}

void ClientProcess::readable() {
  for (int i = 0; i < 16 && !ended_; ++i) {  // then it is others' turn
    const Result<bool> outcome = take_packet();
    if (!outcome) {
      end(outcome.error().message);
    } else if (!*outcome) {
      return;
    }
  }
}

Result<bool> ClientProcess::take_packet() {
  std::array<std::byte, display::kMaxPacket> buffer;
  const auto received = TRY(display::receive_packet(link_.get(), buffer));
  if (!received) {
    return false;
  }
  if (received->size == 0) {
    end("");
    return false;
  }
  if (received->size > buffer.size()) {
    return fail("its process sends a packet of {} bytes", received->size);
  }
  const auto packet = std::span(buffer).first(received->size);
  const FromClient message = TRY(parse_from_client(packet));
  TRY_VOID(take(message, packet));
  return true;
}

Result<void> ClientProcess::take(const FromClient& message, std::span<const std::byte> packet) {
  if (const auto* want = std::get_if<Want>(&message)) {
    want_ = want->kind != Want::nothing ? std::optional(*want) : std::nullopt;
    hooks_.want();
  } else if (const auto* entered = std::get_if<Entered>(&message)) {
    shared_ = entered->shared != 0;
    if (!entered_) {
      entered_ = true;
      hooks_.entered();
    }
  } else if (const auto* leaving = std::get_if<Leaving>(&message)) {
    end(std::string(text_of(leaving->reason)));
  } else if (!entered_) {
    return fail("its process types before it may");
  } else if (!inputs_.admit(std::chrono::steady_clock::now())) {
    return fail("its process floods the guest");
  } else {
    if (const auto* key = std::get_if<display::Key>(&message)) {
      held_[key->code] = key->down != 0;
    } else if (const auto* move = std::get_if<display::Move>(&message)) {
      buttons_ = move->buttons;
    }
    hooks_.input(packet);
  }
  return {};
}

void ClientProcess::end(std::string why) {
  if (!ended_) {
    ended_ = true;
    input_.reset();
    hooks_.gone(std::move(why));
  }
}

}  // namespace lodge::vnc
