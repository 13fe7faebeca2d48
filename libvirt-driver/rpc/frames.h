// FrameReader: cuts a stream of bytes, with the descriptors that came along, into messages. Pure; one thread at a time.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "base/fd.h"
#include "libvirt-driver/rpc/message.h"

namespace lodge::rpc {

// A message that arrived whole.
struct Frame {
  MessageHeader header;
  std::vector<uint8_t> payload;  // without the count of descriptors
  std::vector<Fd> fds;
};

class FrameReader {
 public:
  // Where the next bytes go: room for at least 4 KiB, and no more than the announced message needs plus a read ahead.
  [[nodiscard]] std::span<uint8_t> space();
  // That many bytes of it were filled.
  void filled(size_t size);
  // Longer messages are refused.
  void set_limit(uint32_t size) { limit_ = size; }
  // All that is filled from now on goes through it first.
  using Decoder = std::function<Result<std::vector<uint8_t>>(std::span<const uint8_t>)>;
  void set_decoder(Decoder decoder) { decoder_ = std::move(decoder); }
  // Descriptors, in the order in which they came. Error: more than a message may carry are waiting.
  [[nodiscard]] Result<void> received(Fd fd);
  // The next whole message, or nothing yet. Error: the bytes are no messages, or fewer descriptors came than were announced.
  [[nodiscard]] Result<std::optional<Frame>> next();
  // Whether a part of a message has arrived.
  [[nodiscard]] bool in_the_middle() const { return filled_ > used_; }

 private:
  std::vector<uint8_t> bytes_;
  size_t used_ = 0;    // of bytes_: taken by messages
  size_t filled_ = 0;  // of bytes_: received
  uint32_t limit_ = kMaxMessage;
  Decoder decoder_;
  Result<void> decoded_;  // the first error of the decoder
  std::deque<Fd> fds_;
};

}  // namespace lodge::rpc
