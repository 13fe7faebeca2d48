#include "vmm/vnc/client_process.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <csignal>

namespace lodge::vnc {

namespace {

std::string_view text_of(uint32_t reason) {
  switch (reason) {
    case Leaving::no_rfb: return "it does not speak RFB";
    case Leaving::input_flood: return "it floods the guest with keys or steps";
    case Leaving::message_flood: return "it sends too many messages";
    case Leaving::trouble: return "its process is in trouble; --log-level debug says more";
    default: return "";
  }
}

}  // namespace

Result<std::unique_ptr<ClientProcess>> ClientProcess::start(EventLoop& loop, ClientSetup setup, Hooks hooks) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail_errno(errno, "a link to a client's process");
  }
  Fd ours(ends[0]);
  setup.link = Fd(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) {
    return fail_errno(errno, "a process for a client");
  }
  if (pid == 0) {
    client_main(std::move(setup));
  }
  return std::unique_ptr<ClientProcess>(new ClientProcess(loop, std::move(ours), pid, std::move(hooks)));
}

ClientProcess::ClientProcess(EventLoop& loop, Fd link, pid_t pid, Hooks hooks)
    : loop_(loop), link_(std::move(link)), pid_(pid), hooks_(std::move(hooks)) {
  input_ = loop_.on_readable(link_.get(), [this] { readable(); });
}

ClientProcess::~ClientProcess() {
  input_.reset();
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
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
