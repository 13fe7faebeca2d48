// The wire forms: bytes as stock clients and libvirtd send them, and what is refused.
#include "libvirt-driver/rpc/xdr.h"

#include <catch2/catch.hpp>
#include <random>

#include "base/hex.h"
#include "libvirt-driver/rpc/error.h"
#include "libvirt-driver/rpc/message.h"

namespace lodge::rpc {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes from_hex(std::string_view text) {
  Bytes bytes;
  std::string digits;
  for (const char c : text) {
    if (c != ' ') {
      digits.push_back(c);
    }
    if (digits.size() == 2) {
      bytes.push_back(static_cast<uint8_t>(std::stoul(digits, nullptr, 16)));
      digits.clear();
    }
  }
  return bytes;
}

struct OpenArgs {
  std::optional<std::string> name;
  uint32_t flags = 0;
  static constexpr auto xdr = std::tuple{&OpenArgs::name, &OpenArgs::flags};
  friend bool operator==(const OpenArgs&, const OpenArgs&) = default;
};

enum class Colour : uint32_t { red, green = 7 };

struct Everything {
  int32_t small = 0;
  int64_t large = 0;
  bool yes = false;
  double number = 0;
  Colour colour = Colour::red;
  std::string text;
  Uuid uuid{};
  Opaque<5> opaque;
  XdrChars<3> chars;
  List<DomainName, 2> list;
  std::array<uint32_t, 2> fixed{};
  std::optional<uint64_t> maybe;
  static constexpr auto xdr = std::tuple{&Everything::small,  &Everything::large, &Everything::yes,   &Everything::number,
                                         &Everything::colour, &Everything::text,  &Everything::uuid,  &Everything::opaque,
                                         &Everything::chars,  &Everything::list,  &Everything::fixed, &Everything::maybe};
  friend bool operator==(const Everything&, const Everything&) = default;
};

Everything sample() {
  Everything value;
  value.small = -2;
  value.large = -3;
  value.yes = true;
  value.number = 0.5;
  value.colour = Colour::green;
  value.text = "abcde";
  value.uuid[15] = 9;
  value.opaque = {1, 2, 3, 4, 5};
  value.chars = "a\xff";
  value.list.push_back({"g1", {}, 4});
  value.fixed = {1, 2};
  value.maybe = 1;
  return value;
}

}  // namespace

TEST_CASE("a message is what stock clients send") {
  const MessageHeader open{.procedure = 1, .serial = 2};
  const Bytes payload = encode(OpenArgs{"qemu:///system", 0});
  const Bytes expected = from_hex(
      "00000038 20008086 00000001 00000001 00000000 00000002 00000000"
      "00000001 0000000e 71656d753a2f2f2f73797374656d 0000 00000000");
  CHECK(*make_message(open, payload) == expected);
  const std::span<const uint8_t> message(expected);
  CHECK(*message_size(message.first<4>()) == expected.size());
  CHECK(*decode_header(message.subspan<4, 24>()) == open);
  CHECK(*decode<OpenArgs>(message.subspan(28)) == OpenArgs{"qemu:///system", 0});
  // Console data: six bytes and no padding.
  const MessageHeader data{.procedure = 201, .type = MessageType::stream, .serial = 8, .status = MessageStatus::more};
  CHECK(*make_message(data, from_hex("68656c6c6f0d")) ==
        from_hex("00000022 20008086 00000001 000000c9 00000003 00000008 00000002 68656c6c6f0d"));
}

TEST_CASE("an error is what libvirtd answers") {
  RemoteError error;
  error.code = 42;
  error.domain = 10;
  error.message = "Domain not found: no domain with matching name 'g1'";
  error.str1 = "Domain not found: %s";
  error.str2 = "no domain with matching name 'g1'";
  const Bytes bytes = encode(error);
  CHECK(bytes.size() == 0xc0 - 28);
  CHECK(Bytes(bytes.begin(), bytes.begin() + 16) == from_hex("0000002a 0000000a 00000001 00000033"));
  CHECK(Bytes(bytes.end() - 16, bytes.end()) == from_hex("00000000 ffffffff ffffffff 00000000"));
  CHECK(*decode<RemoteError>(bytes) == error);
}

TEST_CASE("every kind of value comes back") {
  const Bytes bytes = encode(sample());
  CHECK(bytes.size() % 4 == 0);
  CHECK(*decode<Everything>(bytes) == sample());
  CHECK(encode(XdrChars<3>("a\xff")) == from_hex("00000002 00000061 ffffffff"));
}

TEST_CASE("a value cut off anywhere, or with more behind it, is refused") {
  Bytes bytes = encode(sample());
  for (size_t size = 0; size < bytes.size(); ++size) {
    CHECK_FALSE(decode<Everything>(std::span(bytes).first(size)));
  }
  bytes.push_back(0);
  CHECK_FALSE(decode<Everything>(bytes));
}

TEST_CASE("lengths are checked before anything is allocated") {
  CHECK_FALSE(decode<std::string>(from_hex("ffffffff 61626364")));
  CHECK_FALSE(decode<std::string>(from_hex("00400001 61626364")));
  CHECK_FALSE(decode<Opaque<4>>(from_hex("00000005 0102030405000000")));
  CHECK((decode<List<DomainName, 10>>(from_hex("0000000b")).error().message == "11 elements are more than the 10 allowed"));
  CHECK_FALSE(decode<List<DomainName, 1000000>>(from_hex("000f4240 00000000")));
  CHECK_FALSE(decode<std::optional<uint32_t>>(from_hex("00000002 00000001")));
}

TEST_CASE("impossible sizes and headers are refused") {
  for (const std::string_view size : {"00000000", "0000001b", "02000005", "ffffffff"}) {
    const Bytes bytes = from_hex(size);
    CHECK_FALSE(message_size(std::span(bytes).first<4>()));
  }
  for (const std::string_view size : {"0000001c", "02000004"}) {
    const Bytes bytes = from_hex(size);
    CHECK(message_size(std::span(bytes).first<4>()));
  }
  const Bytes type = from_hex("20008086 00000001 00000001 00000007 00000000 00000000");
  CHECK_FALSE(decode_header(std::span(type).first<24>()));
  const Bytes status = from_hex("20008086 00000001 00000001 00000000 00000000 00000003");
  CHECK_FALSE(decode_header(std::span(status).first<24>()));
  CHECK_FALSE(make_message({}, Bytes(kMaxMessage)));
}

TEST_CASE("noise is refused or read, and what was read is written again as it was understood") {
  std::minstd_rand random(1);
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes = encode(sample());
    for (unsigned flips = random() % 4; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<uint8_t>(random());
    }
    if (const auto value = decode<Everything>(bytes)) {
      const auto again = decode<Everything>(encode(*value));
      REQUIRE(again);
      CHECK((again->text == value->text && again->list == value->list && again->opaque == value->opaque));
    }
  }
}

}  // namespace lodge::rpc
