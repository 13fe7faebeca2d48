#include "devices/virtio/net/tx.h"

#include "devices/net/frame.h"
#include "devices/virtio/net/device.h"
#include "devices/virtio/net/header.h"

namespace lodge {

void NetTx::start(Virtqueue& queue) { queue_ = &queue; }

void NetTx::kick() {
  if (queue_ != nullptr && !waiting_.active() && !again_.active()) {
    pump();
  }
}

void NetTx::stop(const VirtioDevice::Done& done) {
  writable_.reset();
  again_.reset();
  if (waiting_.active()) {
    waiting_.give_back();
  }
  queue_ = nullptr;
  done();
}

void NetTx::pump() {
  queue_->disable_kicks();
  for (int count = 0;; ++count) {
    if (count == kBatch) {
      again_ = queue_->loop().after(std::chrono::nanoseconds(0), [this] {
        again_.reset();
        pump();
      });
      return;
    }
    auto chain = queue_->pop();
    if (!chain) {
      if (!queue_->enable_kicks()) {
        return;
      }
      queue_->disable_kicks();
      continue;
    }
    if (!send(std::move(*chain))) {
      return;
    }
  }
}

bool NetTx::send(Chain chain) {
  using net::Counters;
  const uint32_t guest_header = device_.header_size();
  header_ = {};
  const uint64_t bytes = chain.readable_bytes();
  const auto window = std::as_writable_bytes(std::span(&header_, 1)).first(guest_header);
  if (bytes < guest_header || chain.read(0, window) != guest_header ||
      !net::check_tx_header(header_, device_.negotiated(), bytes - guest_header)) {
    device_.guest_mistake("a frame to send has a bad header or length");
    Counters::add(counters_.errors, 1);
    return true;
  }
  const uint64_t frame = bytes - guest_header;
  if (!device_.link_up()) {
    Counters::add(counters_.dropped, 1);
    return true;
  }
  iov_.assign(1, iovec{&header_, kVnetHeader});
  chain.readable_iov(guest_header, frame, iov_);
  if (iov_.size() > 1024) {  // the kernel's limit a call
    Counters::add(counters_.errors, 1);
    return true;
  }
  switch (backend_.send(iov_)) {
    case NetBackend::Io::done:
      Counters::add(counters_.packets, 1);
      Counters::add(counters_.bytes, frame);
      return true;
    case NetBackend::Io::gone: Counters::add(counters_.dropped, 1); return true;
    case NetBackend::Io::would_block: break;
  }
  waiting_ = std::move(chain);
  writable_ = queue_->loop().on_writable(backend_.poll_fd(), [this] {
    writable_.reset();
    if (send(std::move(waiting_))) {
      pump();
    }
  });
  return false;
}

}  // namespace lodge
