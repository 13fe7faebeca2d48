#include "vmm/display/viewer_thread.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include <array>
#include <cstring>

namespace lodge {
namespace {

Result<void> check_socket(int socket) {
  int kind = 0;
  socklen_t size = sizeof kind;
  if (::getsockopt(socket, SOL_SOCKET, SO_TYPE, &kind, &size) != 0 || kind != SOCK_SEQPACKET) {
    return fail("this is no socket that keeps packets apart; pass one of an AF_UNIX SOCK_SEQPACKET pair");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<ViewerThread>> ViewerThread::start(Fd socket, DisplaySinks sinks, Hooks hooks) {
  TRY_VOID(check_socket(socket.get()));
  std::unique_ptr<ViewerThread> viewer(new ViewerThread(std::move(socket), TRY(EventFd::create()), TRY(EventFd::create())));
  TRY_VOID(viewer->make_picture());
  viewer->thread_ = std::thread([self = viewer.get(), sinks, hooks = std::move(hooks)] { self->run(sinks, hooks); });
  return viewer;
}

ViewerThread::~ViewerThread() {
  stop_.signal();
  if (thread_.joinable()) {
    thread_.join();
  }
}

Result<void> ViewerThread::make_picture() {
  file_ = Fd(::memfd_create("lodge-picture", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file_.valid() || ::ftruncate(file_.get(), display::kPictureBytes) != 0) {
    return fail_errno(errno, "make a picture of {} MiB", display::kPictureBytes >> 20);
  }
  void* const at = ::mmap(nullptr, display::kPictureBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (at == MAP_FAILED) {
    return fail_errno(errno, "map a picture of {} MiB", display::kPictureBytes >> 20);
  }
  picture_.reset(static_cast<std::byte*>(at));
  // Ours is the only mapping that writes.
  if (::fcntl(file_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) {
    return fail_errno(errno, "seal the picture");
  }
  return {};
}

std::span<uint32_t> ViewerThread::pixels() const {
  // SAFETY: a mapping is aligned to pages and has this many pixels.
  return {reinterpret_cast<uint32_t*>(picture_.get()), display::kMaxPixels};
}

void ViewerThread::run(const DisplaySinks& sinks, const Hooks& hooks) {
  ::pthread_setname_np(::pthread_self(), "viewer");
  Result<void> outcome = hooks.on_thread ? hooks.on_thread() : Result<void>();
  if (outcome) {
    outcome = serve(sinks);
  }
  const bool closed = !outcome && (outcome.error().code == EPIPE || outcome.error().code == ECONNRESET);
  hooks.on_gone(outcome || closed ? "" : outcome.error().message);
}

Result<void> ViewerThread::serve(const DisplaySinks& sinks) {
  ViewerSession session(sinks, pixels());
  const display::Hello hello{.features = sinks.screen->takes_sizes() ? display::kTakesSizes : 0};
  TRY_VOID(display::send_packet(socket_.get(), display::bytes_of(hello), file_.get()));
  file_.reset();
  while (true) {
    if (const auto pointer = session.pointer_news()) {
      TRY_VOID_CONTEXT(display::send_packet(socket_.get(), display::bytes_of(*pointer)), "it does not read");
    }
    std::array<pollfd, 3> waiting{pollfd{socket_.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0},
                                  pollfd{pointer_.get(), POLLIN, 0}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) {
      return fail_errno(errno, "wait for packets");
    }
    if (waiting[1].revents != 0) {
      return {};
    }
    if (waiting[2].revents != 0) {
      (void)pointer_.drain();
    }
    std::array<std::byte, display::kMaxPacket> buffer;
    const auto received = TRY(display::receive_packet(socket_.get(), buffer));
    if (!received) {
      continue;
    }
    if (received->size == 0) {
      return {};
    }
    if (received->size > buffer.size()) {
      return fail("a packet of {} bytes is too long", received->size);
    }
    const auto answer = TRY(session.handle(std::span(buffer).first(received->size), std::chrono::steady_clock::now()));
    if (answer) {
      TRY_VOID_CONTEXT(display::send_packet(socket_.get(), display::bytes_of(*answer)), "it does not read");
    }
  }
}

}  // namespace lodge
