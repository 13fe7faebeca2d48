// A message of libvirt's RPC protocol: length, header, payload (libvirt's src/rpc/virnetprotocol.x). Both directions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "libvirt-driver/rpc/xdr.h"

namespace lodge::rpc {

enum class Program : uint32_t {
  remote = 0x20008086,
  qemu = 0x20008087,  // raw monitor and agent commands
  keepalive = 0x6b656570,
  admin = 0x06900690,
};
inline constexpr uint32_t kVersion = 1;  // of all programs

enum class MessageType : uint32_t { call, reply, message, stream, call_with_fds, reply_with_fds, stream_hole };
enum class MessageStatus : uint32_t { ok, error, more };  // more: a stream goes on

struct MessageHeader {
  uint32_t program = static_cast<uint32_t>(Program::remote);
  uint32_t version = kVersion;
  int32_t procedure = 0;
  MessageType type = MessageType::call;
  uint32_t serial = 0;  // a reply and all of a stream have their call's
  MessageStatus status = MessageStatus::ok;
  static constexpr auto xdr = std::tuple{&MessageHeader::program, &MessageHeader::version, &MessageHeader::procedure,
                                         &MessageHeader::type,    &MessageHeader::serial,  &MessageHeader::status};
  friend bool operator==(const MessageHeader&, const MessageHeader&) = default;
};

inline constexpr uint32_t kLengthSize = 4;  // the length counts itself
inline constexpr uint32_t kHeaderSize = 24;
inline constexpr uint32_t kMaxMessage = (32U << 20) + kLengthSize;
inline constexpr uint32_t kMaxDescriptors = 32;  // that a message may carry

// The whole message's size in bytes, from its first four. Error: no message can have it, the connection is of no more use.
[[nodiscard]] Result<uint32_t> message_size(std::span<const uint8_t, kLengthSize> length);

// The header behind the length. Error: a type or status that there is not.
[[nodiscard]] Result<MessageHeader> decode_header(std::span<const uint8_t, kHeaderSize> bytes);

// A complete message. Error: longer than kMaxMessage.
[[nodiscard]] Result<std::vector<uint8_t>> make_message(const MessageHeader& header, std::span<const uint8_t> payload);

}  // namespace lodge::rpc
