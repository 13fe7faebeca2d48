// Cutting a stream of bytes into messages, and the table of procedures.
#include "libvirt-driver/rpc/frames.h"

#include <fcntl.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "libvirt-driver/calls/calls.h"

namespace lodge::rpc {
namespace {

using Bytes = std::vector<uint8_t>;

void feed(FrameReader& reader, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const auto space = reader.space();
    const size_t size = std::min(space.size(), bytes.size());
    std::ranges::copy(bytes.first(size), space.begin());
    reader.filled(size);
    bytes = bytes.subspan(size);
  }
}

Bytes message(int32_t procedure, std::span<const uint8_t> payload, MessageType type = MessageType::call) {
  MessageHeader header{.procedure = procedure};
  header.type = type;
  return *make_message(header, payload);
}

}  // namespace

TEST_CASE("messages are found however they arrive") {
  const Bytes first = message(1, Bytes(3, 7));
  const Bytes second = message(2, Bytes(100000, 8));
  Bytes both = first;
  both.insert(both.end(), second.begin(), second.end());
  FrameReader reader;
  for (size_t i = 0; i < first.size() + 3; ++i) {
    if (i < first.size()) {
      CHECK(!reader.next()->has_value());
    }
    feed(reader, std::span(both).subspan(i, 1));
    if (i + 1 == first.size()) {
      const auto frame = reader.next();
      REQUIRE(frame->has_value());
      CHECK((**frame).header.procedure == 1);
      CHECK((**frame).payload == Bytes(3, 7));
    }
  }
  feed(reader, std::span(both).subspan(first.size() + 3));
  const auto frame = reader.next();
  REQUIRE(frame->has_value());
  CHECK((**frame).payload.size() == 100000);
  CHECK(!reader.in_the_middle());
}

TEST_CASE("an announced length takes no memory before its bytes come") {
  FrameReader reader;
  feed(reader, Bytes{0x01, 0xFF, 0xFF, 0xFF, 0, 0});
  REQUIRE(reader.next().has_value());
  CHECK(reader.space().size() < 100000);
}

TEST_CASE("impossible lengths and types end it") {
  for (const Bytes& bad : {Bytes{0, 0, 0, 4}, Bytes{0xFF, 0xFF, 0xFF, 0xFF}, Bytes{0x7F, 0, 0, 0}}) {
    FrameReader reader;
    feed(reader, bad);
    CHECK(!reader.next().has_value());
  }
  Bytes bad = message(1, {});
  bad[19] = 99;  // the type
  FrameReader reader;
  feed(reader, bad);
  CHECK(!reader.next().has_value());
}

TEST_CASE("a client's limit ends what is longer, before it has come") {
  FrameReader reader;
  reader.set_limit(100);
  feed(reader, message(1, Bytes(60, 1)));
  CHECK(reader.next()->has_value());
  const Bytes longer = message(1, Bytes(80, 1));
  feed(reader, std::span(longer).first(4));
  CHECK(!reader.next().has_value());
}

TEST_CASE("what is filled goes through the decoder, which may keep bytes back or fail") {
  Bytes kept;
  bool broken = false;
  const auto decoder = [&](std::span<const uint8_t> bytes) -> Result<Bytes> {
    if (broken) {
      return fail("broken");
    }
    Bytes clear = std::exchange(kept, {});
    for (const uint8_t byte : bytes) {
      clear.push_back(byte ^ 0x55);
    }
    kept.push_back(clear.back());
    clear.pop_back();
    return clear;
  };
  FrameReader reader;
  const Bytes before = message(1, {});
  feed(reader, before);
  reader.set_decoder(decoder);
  Bytes coded = message(2, Bytes(5, 9));
  coded.push_back(0);
  for (uint8_t& byte : coded) {
    byte ^= 0x55;
  }
  feed(reader, coded);
  CHECK((**reader.next()).header.procedure == 1);
  CHECK((**reader.next()).payload == Bytes(5, 9));
  CHECK(!reader.in_the_middle());
  broken = true;
  feed(reader, Bytes{1});
  CHECK(!reader.next().has_value());
}

TEST_CASE("descriptors belong to the message that announces them") {
  FrameReader reader;
  Bytes bytes = message(343, encode(uint32_t{1}), MessageType::call_with_fds);
  bytes.push_back(0);
  feed(reader, std::span(bytes).first(bytes.size() - 1));
  CHECK(!reader.next()->has_value());
  REQUIRE(reader.received(Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC))));
  feed(reader, Bytes{0});
  const auto frame = reader.next();
  REQUIRE(frame->has_value());
  CHECK((**frame).fds.size() == 1);
  CHECK((**frame).payload.empty());
  feed(reader, message(343, encode(uint32_t{33}), MessageType::call_with_fds));
  CHECK(!reader.next().has_value());
}

TEST_CASE("a typed parameter has the bytes that libvirtd sends") {
  const Bytes sent = encode(TypedParam{"total_bytes_sec", uint64_t{1000000}});
  const Bytes expected{0,   0,   0,   15, 't', 'o', 't', 'a', 'l', '_', 'b', 'y', 't', 'e',  's',  '_',
                       's', 'e', 'c', 0,  0,   0,   0,   4,   0,   0,   0,   0,   0,   0x0F, 0x42, 0x40};
  CHECK(sent == expected);
  CHECK(*decode<TypedParam>(expected) == TypedParam{"total_bytes_sec", uint64_t{1000000}});
  Bytes bad = expected;
  bad[23] = 8;  // a type that there is not
  CHECK(!decode<TypedParam>(bad));
  bad[23] = 0;
  CHECK(!decode<TypedParam>(bad));
}

TEST_CASE("a domain's information has 32 bytes") {
  DomainGetInfoRet info;
  info.state = 1;
  info.max_mem = 65536;
  info.memory = 65536;
  info.nr_virt_cpu = 1;
  info.cpu_time = 0x4144df80;
  const Bytes expected{0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0,    0,    0,    0,
                       0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x41, 0x44, 0xdf, 0x80};
  CHECK(encode(info) == expected);
}

TEST_CASE("every handler has a row, each once, and what it must not be asked is marked") {
  const auto bindings = all_calls();
  const ProcedureTable table(bindings);
  CHECK(bindings.size() > 100);
  for (const Binding& binding : bindings) {
    const Procedure* procedure = table.find(binding.program, binding.number);
    REQUIRE(procedure != nullptr);
    CHECK(procedure->invoke == binding.invoke);
  }
  CHECK(table.find(Program::remote, 12)->row->deny);   // DOMAIN_DESTROY
  CHECK(!table.find(Program::remote, 16)->row->deny);  // DOMAIN_GET_INFO
  CHECK(table.find(Program::remote, 107) == nullptr);  // an event
  CHECK(table.find(Program::remote, 100000) == nullptr);
  CHECK(table.find(Program::remote, -1) == nullptr);
  CHECK(function_name("DOMAIN_GET_INFO") == "virDomainGetInfo");
}

}  // namespace lodge::rpc
