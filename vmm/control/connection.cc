#include "vmm/control/connection.h"

#include <sys/socket.h>
#include <array>
#include <cstring>

#include "base/log.h"

namespace lodge {

ControlConnection::ControlConnection(EventLoop& loop, Fd socket, Hooks hooks)
    : loop_(loop), socket_(std::move(socket)), hooks_(std::move(hooks)) {
  watch();
}

void ControlConnection::readable() {
  std::array<char, 16384> bytes;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxReceived)> control;
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t n = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) {
    if (errno != EAGAIN && errno != EINTR) {
      close(std::strerror(errno));
    }
    return;
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
      for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
        keep(fd);
      }
    }
  }
  if (n == 0) {
    close("");
    return;
  }
  splitter_.feed({bytes.data(), static_cast<size_t>(n)});
  take_requests();
}

void ControlConnection::keep(int fd) {
  Fd owned(fd);
  if (received_.size() < kMaxReceived) {
    received_.push_back(std::move(owned));
  } else {
    log_warning("control", "a client passed more than {} descriptors at once; the rest is closed", kMaxReceived);
  }
}

void ControlConnection::take_requests() {
  taking_ = true;
  bool more = true;
  while (may_read() && more) {
    const auto item = splitter_.next();
    more = item.has_value();
    if (item) {
      Request request;
      if (item->problem.empty()) {
        request = parse_request(item->text);
      } else {
        request.problem = item->problem;
      }
      ++running_;
      hooks_.request(request, received_);
    }
  }
  if (!more && splitter_.idle() && !received_.empty()) {
    log_warning("control", "{} descriptor(s) came without a getfd and are closed", received_.size());
    received_.clear();
  }
  taking_ = false;
  watch();
}

void ControlConnection::answer(std::string_view line) {
  --running_;
  send(line);
}

void ControlConnection::send(std::string_view line) {
  if (closed_) {
    return;
  }
  if (output_.size() + line.size() > kMaxOutput) {
    close("it does not read what it is sent");
    return;
  }
  const bool waiting = !output_.empty();
  output_ += line;
  if (!waiting) {
    write_output();
  }
  if (!taking_) {
    watch_soon();
  }
}

void ControlConnection::write_output() {
  size_t done = 0;
  while (done < output_.size()) {
    const ssize_t n = ::send(socket_.get(), output_.data() + done, output_.size() - done, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      if (errno != EAGAIN) {
        close(errno == EPIPE || errno == ECONNRESET ? "" : std::strerror(errno));
        return;
      }
      break;
    }
    done += static_cast<size_t>(n);
  }
  output_.erase(0, done);
}

// Requests may be waiting in the splitter: they are taken before more is read.
void ControlConnection::watch_soon() {
  if (!watch_deferred_) {
    watch_deferred_ = true;
    loop_.post([this, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) {
        watch_deferred_ = false;
        take_requests();
      }
    });
  }
}

// Waits for what is wanted now: requests if they may be taken, room if there is output.
void ControlConnection::watch() {
  if (closed_) {
    input_.reset();
    room_.reset();
    return;
  }
  if (!may_read()) {
    input_.reset();
  } else if (!input_.active()) {
    input_ = loop_.on_readable(socket_.get(), [this] { readable(); });
  }
  if (output_.empty()) {
    room_.reset();
  } else if (!room_.active()) {
    room_ = loop_.on_writable(socket_.get(), [this] {
      write_output();
      take_requests();
    });
  }
}

void ControlConnection::close(std::string_view why) {
  if (!closed_) {
    closed_ = true;
    output_.clear();
    hooks_.closed(why);
  }
}

}  // namespace lodge
