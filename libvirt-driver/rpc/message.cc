#include "libvirt-driver/rpc/message.h"

namespace lodge::rpc {

Result<uint32_t> message_size(std::span<const uint8_t, kLengthSize> length) {
  const uint32_t size = TRY(XdrReader(length).get32());
  if (size < kLengthSize + kHeaderSize || size > kMaxMessage) {
    return fail("a message of {} bytes is announced; {} to {} are possible", size, kLengthSize + kHeaderSize, kMaxMessage);
  }
  return size;
}

Result<MessageHeader> decode_header(std::span<const uint8_t, kHeaderSize> bytes) {
  const auto header = TRY(decode<MessageHeader>(bytes));
  if (header.type > MessageType::stream_hole) {
    return fail("there is no message type {}", static_cast<uint32_t>(header.type));
  }
  if (header.status > MessageStatus::more) {
    return fail("there is no message status {}", static_cast<uint32_t>(header.status));
  }
  return header;
}

Result<std::vector<uint8_t>> make_message(const MessageHeader& header, std::span<const uint8_t> payload) {
  const uint64_t size = uint64_t{kLengthSize} + kHeaderSize + payload.size();
  if (size > kMaxMessage) {
    return fail("a message of {} bytes is too long; {} are possible", size, kMaxMessage);
  }
  XdrWriter out;
  out.put32(static_cast<uint32_t>(size));
  Xdr<MessageHeader>::put(out, header);
  std::vector<uint8_t> message = out.take();
  message.insert(message.end(), payload.begin(), payload.end());  // no padding: stream data has any length
  return message;
}

}  // namespace lodge::rpc
