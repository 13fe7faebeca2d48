// The front-end's half of vhost-user: what is sent, what is agreed on, and answers that no honest back-end gives.
#include "devices/core/vhost_user.h"

#include <sys/un.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/support/vhost_user_backend.h"

namespace lodge::test {
namespace {

using Options = VhostUserBackend::Options;
using Header = VhostUserBackend::Header;
using namespace std::chrono_literals;

constexpr GuestMemory::Range kRanges[] = {{Gpa{0}, 1 * kMiB}, {Gpa{4 * kGiB}, 2 * kMiB}};

std::unique_ptr<GuestMemory> memory_of(MemoryBacking backing = MemoryBacking::memfd) {
  return must(GuestMemory::create(kRanges, {.backing = backing}));
}

Result<std::unique_ptr<VhostUser>> open(VhostUserBackend& backend, const GuestMemory& memory,
                                        std::chrono::milliseconds patience = 10s, unsigned rings = 2) {
  return VhostUser::open(backend.take_front(), "filesystem 'fs0'", memory, rings, patience);
}

std::string refusal(Options options, std::chrono::milliseconds patience = 10s) {
  VhostUserBackend backend(std::move(options));
  const auto memory = memory_of();
  const auto opened = open(backend, *memory, patience);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().message.starts_with("filesystem 'fs0': "));
  return opened.error().message;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// Changes the answer to one request.
VhostUserBackend::Twist with(uint32_t request, std::function<std::optional<std::string>(std::string)> change) {
  return [=](const Header& header, std::string answer) -> std::optional<std::string> {
    return header.request == request ? change(std::move(answer)) : std::optional(std::move(answer));
  };
}

std::string bytes(Header header, uint64_t value) {
  std::string text(reinterpret_cast<const char*>(&header), sizeof header);
  return text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

TEST_CASE("vhost_user_agrees_on_what_both_know_and_hands_over_the_memory") {
  VhostUserBackend backend({.protocol = ~uint64_t{0}});
  const auto memory = memory_of();
  const auto opened = open(backend, *memory);
  REQUIRE(opened);
  CHECK((*opened)->features() == (VhostUserBackend::kFeatures & ~VhostUser::kProtocolFeatures));
  CHECK(backend.log() == std::vector<std::string>{"1:0:0", "15:0:0", "16:8:0:9", "17:0:0", "3:0:0", "5:72:2:2"});
}

TEST_CASE("vhost_user_without_protocol_features_is_old_but_good") {
  VhostUserBackend backend({.features = 1ULL << 32});
  const auto memory = memory_of();
  auto opened = open(backend, *memory);
  REQUIRE(opened);
  must((*opened)->set_features(~uint64_t{0}));
  const EventFd kick = must(EventFd::create());
  must((*opened)->start_ring(0, {8, 0, 0x1000, 0x2000, 0x3000}, *memory, kick.get(), -1));
  must((*opened)->stop_ring(0));
  Result<std::optional<uint16_t>> at = std::nullopt;
  pollfd wait{(*opened)->fd(), POLLIN, 0};
  while (at && !*at) {
    REQUIRE(::poll(&wait, 1, 20'000) == 1);
    at = (*opened)->take_position(0);
  }
  REQUIRE(at);
  CHECK(**at == 0);
  // No REPLY_ACK, no SET_VRING_ENABLE; a ring without interrupts.
  CHECK(backend.log() == std::vector<std::string>{"1:0:0", "3:0:0", "5:72:2:2", "2:8:0:100000000", "8:8:0:800000000",
                                                  "10:8:0:0", "9:40:0:0", "13:8:0:100", "12:8:1:0", "11:8:0:0"});
}

TEST_CASE("vhost_user_refuses_memory_that_is_not_shared") {
  VhostUserBackend backend({});
  const auto memory = memory_of(MemoryBacking::anonymous);
  const auto opened = open(backend, *memory);
  REQUIRE_FALSE(opened);
  CHECK(has(opened.error().message, "backing=memfd"));
  CHECK(has(opened.error().message, "<source type='memfd'/><access mode='shared'/>"));
}

TEST_CASE("vhost_user_refuses_a_back_end_that_cannot_serve") {
  CHECK(has(refusal({.features = 1ULL << 30}), "does not know virtio 1.0"));
  CHECK(has(refusal({.queues = 1}), "serves 1 queues at most, 2 are wanted"));
  CHECK(has(refusal({.memory_outcome = 1}), "answer to SET_MEM_TABLE is that it failed"));
}

TEST_CASE("vhost_user_refuses_answers_that_break_the_protocol") {
  const auto answer = [](Header header) {
    return refusal({.twist = with(1, [header](std::string) { return bytes(header, 1ULL << 32); })});
  };
  CHECK(has(answer({2, 5, 8}), "answer to GET_FEATURES is of another request"));
  CHECK(has(answer({1, 4, 8}), "has wrong flags"));  // no version
  CHECK(has(answer({1, 6, 8}), "has wrong flags"));  // another one
  CHECK(has(answer({1, 1, 8}), "has wrong flags"));  // no reply
  CHECK(has(answer({1, 5, 4}), "has a wrong size"));
  CHECK(has(answer({1, 5, 0xFFFF'FFFF}), "has a wrong size"));
  for (const uint32_t request : {1U, 15U, 17U, 5U}) {
    CHECK(has(refusal({.twist = with(request, [](std::string) { return std::nullopt; })}), "closed the connection"));
  }
}

TEST_CASE("vhost_user_does_not_wait_without_end") {
  const auto silent = with(15, [](std::string) { return std::string(); });
  CHECK(has(refusal({.twist = silent}, 20ms), "answer to GET_PROTOCOL_FEATURES has not come in 20 ms"));
  const auto half = with(15, [](const std::string& answer) { return answer.substr(0, 13); });
  CHECK(has(refusal({.twist = half}, 20ms), "has not come in 20 ms"));
}

TEST_CASE("vhost_user_does_not_wait_for_one_who_does_not_read") {
  VhostUserBackend backend({});
  const auto memory = memory_of();
  const auto opened = open(backend, *memory);
  REQUIRE(opened);
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const Fd deaf(ends[1]);
  REQUIRE(::dup2(ends[0], (*opened)->fd()) >= 0);  // from now on nobody reads
  const Fd other(ends[0]);
  Result<void> sent;
  for (int i = 0; sent && i < 1'000'000; ++i) {
    sent = (*opened)->set_features(0);
  }
  REQUIRE_FALSE(sent);
  CHECK(has(sent.error().message, "takes"));
}

TEST_CASE("vhost_user_refuses_a_ring_that_is_not_in_memory_and_a_socket_that_is_not_there") {
  VhostUserBackend backend({});
  const auto memory = memory_of();
  const auto opened = open(backend, *memory);
  REQUIRE(opened);
  const EventFd kick = must(EventFd::create());
  const auto started = (*opened)->start_ring(1, {8, 0, 2 * kGiB, 0x2000, 0x3000}, *memory, kick.get(), -1);
  REQUIRE_FALSE(started);
  CHECK(has(started.error().message, "ring 1: it is not in guest RAM"));
  CHECK(has(VhostUser::connect("/nonexistent/socket").error().message, "back-end at '/nonexistent/socket'"));
  CHECK(has(VhostUser::connect(std::string(200, 'x')).error().message, "longer than 107 bytes"));
}

TEST_CASE("vhost_user_does_not_wait_for_one_who_does_not_accept") {
  std::string folder = "/tmp/lodge-vhost-user-XXXXXX";
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const std::string path = folder + "/socket";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(path, address.sun_path);
  const Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(listener.get(), 0) == 0);
  std::vector<Fd> taken;
  std::string error;
  while (error.empty() && taken.size() < 100) {
    auto connected = VhostUser::connect(path, 20ms);
    if (connected) {
      taken.push_back(std::move(*connected));
    } else {
      error = connected.error().message;
    }
  }
  CHECK(has(error, "connect to the vhost-user back-end at '/tmp/"));
  CHECK_FALSE(taken.empty());
  ::unlink(path.c_str());
  ::rmdir(folder.c_str());
}

}  // namespace lodge::test
