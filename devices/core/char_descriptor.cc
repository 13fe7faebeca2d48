#include "devices/core/char_descriptor.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

namespace lodge {

void set_nonblocking(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0) {
    ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  }
}

DescriptorChar::~DescriptorChar() {
  input_.reset();
  output_.reset();
  if (alive_) {
    *alive_ = false;
  }
}

void DescriptorChar::attach(EventLoop& loop, Client client) {
  loop_ = &loop;
  client_ = std::move(client);
  alive_ = std::make_shared<bool>(true);
  {
    const Lock lock(mutex_);
    post_to_ = &loop;
    waiting_output_ = false;
  }
  on_attached();
  watch_input();
  loop.post([this, alive = alive_] {
    if (*alive && is_open() && client_.event) {
      client_.event(Event::opened);
    }
    if (*alive) {
      continue_input();  // what the last client left
    }
  });
}

void DescriptorChar::detach() {
  if (loop_ == nullptr) {
    return;
  }
  on_detached();
  input_.reset();
  output_.reset();
  *alive_ = false;
  {
    const Lock lock(mutex_);
    post_to_ = nullptr;
    waiting_output_ = false;
  }
  client_ = {};
  loop_ = nullptr;
}

bool DescriptorChar::is_open() const {
  const Lock lock(mutex_);
  return open_;
}

void DescriptorChar::connect(int in, int out) {
  {
    const Lock lock(mutex_);
    out_ = out;
    open_ = true;
    waiting_output_ = false;
  }
  in_ = in;
  buffered_ = taken_ = 0;
  if (loop_ != nullptr) {
    watch_input();
    if (client_.event) {
      client_.event(Event::opened);
    }
  }
}

void DescriptorChar::disconnect() {
  bool waiting = false;
  {
    const Lock lock(mutex_);
    if (!open_) {
      return;
    }
    out_ = -1;
    open_ = false;
    waiting = std::exchange(waiting_output_, false);
  }
  in_ = -1;
  input_.reset();
  output_.reset();
  on_disconnected();
  if (client_.event) {
    client_.event(Event::closed);
  }
  if (waiting && client_.writable) {
    client_.writable();  // what waited is now accepted and dropped
  }
}

void DescriptorChar::on_input_end(int /*error*/) {
  // The output side of a pair may live on.
  in_ = -1;
  input_.reset();
}

size_t DescriptorChar::write(std::span<const std::byte> from) {
  const Lock lock(mutex_);
  if (!open_ || out_ < 0) {
    return from.size();
  }
  if (waiting_output_) {
    return 0;  // order: nothing overtakes what waits
  }
  size_t done = 0;
  while (done < from.size()) {
    size_t chunk = from.size() - done;
    if (blocking_ == Blocking::ask) {
      pollfd ready{.fd = out_, .events = POLLOUT, .revents = 0};
      if (::poll(&ready, 1, 0) == 0) {
        break;
      }
      chunk = std::min<size_t>(chunk, 512);
    }
    const ssize_t n = ::write(out_, from.data() + done, chunk);
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (n < 0 && errno == EINTR) {
      continue;
    } else if (n < 0 && errno == EAGAIN) {
      break;
    } else {
      return from.size();  // broken: the reading side notices the end; output is dropped meanwhile
    }
  }
  if (done < from.size() && post_to_ != nullptr) {
    waiting_output_ = true;
    post_to_->post([this, alive = alive_] {
      if (*alive) {
        watch_output();
      }
    });
  }
  return done;
}

void DescriptorChar::drain(std::span<const std::byte> from, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  const Lock lock(mutex_);
  while (open_ && out_ >= 0 && !from.empty()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd ready{.fd = out_, .events = POLLOUT, .revents = 0};
    if (::poll(&ready, 1, static_cast<int>(std::max<int64_t>(left.count(), 0))) <= 0) {
      return;
    }
    const ssize_t n = ::write(out_, from.data(), std::min<size_t>(from.size(), 512));
    if (n <= 0) {
      return;
    }
    from = from.subspan(static_cast<size_t>(n));
  }
}

void DescriptorChar::watch_output() {
  int fd = -1;
  {
    const Lock lock(mutex_);
    if (!waiting_output_) {
      return;
    }
    fd = out_;
  }
  if (!output_.active()) {
    output_ = loop_->on_writable(fd, [this] { output_ready(); });
  }
}

void DescriptorChar::output_ready() {
  output_.reset();
  {
    const Lock lock(mutex_);
    if (!std::exchange(waiting_output_, false)) {
      return;
    }
  }
  if (client_.writable) {
    client_.writable();
  }
}

void DescriptorChar::watch_input() {
  if (loop_ != nullptr && in_ >= 0 && !input_.active() && taken_ == buffered_) {
    input_ = loop_->on_readable(in_, [this] { read_input(); });
  }
}

void DescriptorChar::read_input() {
  const ssize_t n = ::read(in_, buffer_.data(), buffer_.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  if (n <= 0) {
    on_input_end(n == 0 ? 0 : errno);
    return;
  }
  buffered_ = static_cast<size_t>(n);
  taken_ = 0;
  if (!deliver()) {
    input_.reset();
  }
}

bool DescriptorChar::deliver() {
  while (taken_ < buffered_) {
    const size_t offered = buffered_ - taken_;
    const size_t took =
        client_.receive ? std::min(offered, client_.receive(std::span(buffer_).subspan(taken_, offered))) : offered;
    taken_ += took;
    if (took < offered) {
      return false;
    }
  }
  return true;
}

void DescriptorChar::continue_input() {
  if (deliver()) {
    watch_input();
  }
}

void DescriptorChar::resume_input() {
  const Lock lock(mutex_);
  if (post_to_ != nullptr) {
    post_to_->post([this, alive = alive_] {
      if (*alive) {
        continue_input();
      }
    });
  }
}

}  // namespace lodge
