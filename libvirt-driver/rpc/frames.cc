#include "libvirt-driver/rpc/frames.h"

#include <algorithm>
#include <cstring>

namespace lodge::rpc {
namespace {

constexpr size_t kReadAhead = size_t{16} << 10;
constexpr size_t kKeep = size_t{256} << 10;  // a buffer that one long message made larger is given back

}  // namespace

std::span<uint8_t> FrameReader::space() {
  if (used_ > 0) {
    std::memmove(bytes_.data(), bytes_.data() + used_, filled_ - used_);
    filled_ -= used_;
    used_ = 0;
    if (bytes_.size() > kKeep && filled_ < kReadAhead) {
      bytes_.resize(kReadAhead);
      bytes_.shrink_to_fit();
    }
  }
  // Grows with what arrives, not with what is announced.
  if (bytes_.size() - filled_ < kReadAhead / 4) {
    bytes_.resize(std::max(bytes_.size() + bytes_.size() / 2, filled_ + kReadAhead));
  }
  return std::span(bytes_).subspan(filled_);
}

void FrameReader::filled(size_t size) {
  if (!decoder_ || size == 0) {
    filled_ += size;
    return;
  }
  const auto clear = decoder_(std::span<const uint8_t>(bytes_).subspan(filled_, size));
  if (!clear) {
    decoded_ = std::unexpected(clear.error());
    return;
  }
  bytes_.resize(std::max(bytes_.size(), filled_ + clear->size()));
  std::ranges::copy(*clear, bytes_.begin() + static_cast<std::ptrdiff_t>(filled_));
  filled_ += clear->size();
}

Result<void> FrameReader::received(Fd fd) {
  if (fds_.size() >= kMaxDescriptors) {
    return fail("more than {} descriptors came that no message announced", kMaxDescriptors);
  }
  fds_.push_back(std::move(fd));
  return {};
}

Result<std::optional<Frame>> FrameReader::next() {
  TRY_VOID(decoded_);
  const std::span<const uint8_t> rest(bytes_.data() + used_, filled_ - used_);
  if (rest.size() < kLengthSize) {
    return std::nullopt;
  }
  const uint32_t size = TRY(message_size(rest.first<kLengthSize>()));
  if (size > limit_) {
    return fail("a message of {} bytes came; this client may send {}", size, limit_);
  }
  if (rest.size() < size) {
    return std::nullopt;
  }
  Frame frame;
  frame.header = TRY(decode_header(rest.subspan<kLengthSize, kHeaderSize>()));
  std::span<const uint8_t> payload = rest.subspan(kLengthSize + kHeaderSize, size - kLengthSize - kHeaderSize);
  const bool with_fds = frame.header.type == MessageType::call_with_fds || frame.header.type == MessageType::reply_with_fds;
  size_t trailer = 0;  // a byte for each descriptor, behind the message
  if (with_fds) {
    XdrReader reader(payload);
    trailer = TRY(reader.get32());
    if (trailer > kMaxDescriptors) {
      return fail("a message announces {} descriptors; {} are possible", trailer, kMaxDescriptors);
    }
    payload = payload.subspan(4);
    if (rest.size() < size + trailer) {
      return std::nullopt;
    }
    if (fds_.size() < trailer) {
      return fail("a message announced {} descriptors, {} came", trailer, fds_.size());
    }
  }
  for (size_t i = 0; i < trailer; ++i) {
    frame.fds.push_back(std::move(fds_.front()));
    fds_.pop_front();
  }
  frame.payload.assign(payload.begin(), payload.end());
  used_ += size + trailer;
  return frame;
}

}  // namespace lodge::rpc
