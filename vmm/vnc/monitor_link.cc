#include "vmm/vnc/monitor_link.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <array>

namespace lodge::vnc {

MonitorLink::MonitorLink(EventLoop& loop, Fd socket, Hooks hooks)
    : loop_(loop), socket_(std::move(socket)), hooks_(std::move(hooks)) {
  input_ = loop_.on_readable(socket_.get(), [this] { readable(); });
}

std::span<const uint32_t> MonitorLink::picture() const {
  // SAFETY: a mapping is aligned to pages and has this many pixels.
  return {reinterpret_cast<const uint32_t*>(picture_.get()), display::kMaxPixels};
}

void MonitorLink::refresh() {
  refreshing_ = true;
  send(display::bytes_of(display::Refresh{.serial = ++serial_}));
}

void MonitorLink::send(std::span<const std::byte> packet) {
  if (!ended_ && queue_.size() < kMaxQueue) {
    queue_.emplace_back(packet.begin(), packet.end());
    flush();
  }
}

void MonitorLink::flush() {
  while (!queue_.empty()) {
    if (const auto outcome = display::send_packet(socket_.get(), queue_.front()); !outcome) {
      if (outcome.error().code != EAGAIN) {
        end("");  // what is wrong shows where it is read
        return;
      }
      if (!room_.active()) {
        room_ = loop_.on_writable(socket_.get(), [this] { flush(); });
      }
      return;
    }
    queue_.pop_front();
  }
  room_.reset();
}

void MonitorLink::readable() {
  while (!ended_) {
    const Result<bool> outcome = take_packet();
    if (!outcome) {
      end(outcome.error().message);
    } else if (!*outcome) {
      return;
    }
  }
}

Result<bool> MonitorLink::take_packet() {
  std::array<std::byte, display::kMaxPacket> buffer;
  auto received = TRY(display::receive_packet(socket_.get(), buffer));
  if (!received) {
    return false;
  }
  if (received->size == 0) {
    end("");
    return false;
  }
  if (received->size > buffer.size()) {
    return fail("a packet of {} bytes is too long", received->size);
  }
  const auto message = TRY(display::parse_from_monitor(std::span(buffer).first(received->size)));
  TRY_VOID(take(message, std::move(received->descriptor)));
  return true;
}

Result<void> MonitorLink::take(const display::FromMonitor& message, Fd file) {
  if (const auto* hello = std::get_if<display::Hello>(&message)) {
    if (picture_) {
      return fail("it says hello again");
    }
    TRY_VOID(take_picture(file));
    takes_sizes_ = (hello->features & display::kTakesSizes) != 0;
    hooks_.ready();
  } else if (const auto* pointer = std::get_if<display::Pointer>(&message)) {
    hooks_.pointer(pointer->absolute != 0);
  } else if (const auto& frame = std::get<display::Frame>(message); !refreshing_ || frame.serial != serial_) {
    return fail("it shows a picture that nobody asked for");
  } else {
    refreshing_ = false;
    hooks_.frame(frame);
  }
  return {};
}

Result<void> MonitorLink::take_picture(const Fd& file) {
  struct stat info{};
  const int seals = file.valid() ? ::fcntl(file.get(), F_GET_SEALS) : -1;
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || ::fstat(file.get(), &info) != 0 ||
      static_cast<uint64_t>(info.st_size) < display::kPictureBytes) {
    return fail("it passes no memory file of {} MiB that cannot shrink", display::kPictureBytes >> 20);
  }
  void* const at = ::mmap(nullptr, display::kPictureBytes, PROT_READ, MAP_SHARED, file.get(), 0);
  if (at == MAP_FAILED) {
    return fail_errno(errno, "map the picture");
  }
  picture_.reset(static_cast<std::byte*>(at));
  return {};
}

void MonitorLink::end(std::string why) {
  if (!ended_) {
    ended_ = true;
    input_.reset();
    room_.reset();
    hooks_.gone(std::move(why));
  }
}

}  // namespace lodge::vnc
