// The wire form of every struct, pinned by messages of libvirt 9.0's own client, daemon and drivers (golden/README.md).
#include <algorithm>
#include <catch2/catch.hpp>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/rpc/shape_checks.h"

namespace lodge::rpc {
namespace {

using Bytes = std::vector<uint8_t>;

struct Line {
  std::string program;
  std::string procedure;
  std::string kind;  // call, reply, error, event
  Bytes bytes;
};

Bytes bytes_of(const std::string& hex) {
  Bytes bytes;
  for (size_t i = 0; hex != "-" && i < hex.size(); i += 2) {
    uint8_t byte = 0;
    const char* end = hex.data() + std::min(i + 2, hex.size());
    const auto parsed = std::from_chars(hex.data() + i, end, byte, 16);
    REQUIRE((parsed.ec == std::errc() && parsed.ptr == end && end == hex.data() + i + 2));
    bytes.push_back(byte);
  }
  return bytes;
}

// With the source as its fourth word, or without.
std::vector<Line> read_lines(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<Line> lines;
  for (std::string text; std::getline(file, text);) {
    std::istringstream words(text);
    Line line;
    words >> line.program >> line.procedure >> line.kind;
    if (line.program == "#") {
      continue;
    }
    std::string hex;
    for (std::string word; words >> word;) {
      hex = word;
    }
    line.bytes = bytes_of(hex);
    lines.push_back(std::move(line));
  }
  REQUIRE(!lines.empty());
  return lines;
}

std::vector<Line> golden_lines() {
  return read_lines(std::filesystem::path(LODGE_TREE) / "tests/unit/libvirt-driver/rpc/golden/messages.txt");
}

const ShapeCheck* shape_of(std::string_view program, std::string_view procedure) {
  const Program number = program == "qemu" ? Program::qemu : Program::remote;
  const auto* found = std::ranges::find_if(
      kShapeChecks, [&](const ShapeCheck& shape) { return shape.program == number && shape.name == procedure; });
  return found == std::end(kShapeChecks) ? nullptr : found;
}

void check(const Line& line) {
  INFO(line.program << ' ' << line.procedure << ' ' << line.kind);
  const ShapeCheck* shape = shape_of(line.program, line.procedure);
  REQUIRE(shape != nullptr);
  REQUIRE((shape->results == nullptr) == (line.kind == "event"));
  const ShapeCheck::Recode again = line.kind == "error"   ? &lodge::rpc::recode<RemoteError>
                                   : line.kind == "reply" ? shape->results
                                                          : shape->arguments;
  const auto bytes = again(line.bytes);
  INFO((bytes ? "" : bytes.error().message));
  REQUIRE(bytes.has_value());
  REQUIRE(*bytes == line.bytes);
}

}  // namespace

TEST_CASE("what stock clients and libvirt's daemon send reads, and prints the same to the byte") {
  for (const Line& line : golden_lines()) {
    check(line);
  }
}

TEST_CASE("every procedure that is offered and every event that is sent has golden bytes") {
  std::set<std::tuple<std::string, std::string, std::string>> have;
  for (const Line& line : golden_lines()) {
    have.emplace(line.program, line.procedure, line.kind);
  }
  for (const Binding& binding : all_calls()) {
    const auto* shape = std::ranges::find_if(kShapeChecks, [&](const ShapeCheck& candidate) {
      return candidate.program == binding.program && candidate.number == binding.number;
    });
    REQUIRE(shape != std::end(kShapeChecks));
    const std::string program = binding.program == Program::qemu ? "qemu" : "remote";
    const std::string name(shape->name);
    INFO(name);
    CHECK(!shape->arguments(Bytes(3, 0xff)));  // nothing looks like this
    // What reads from no bytes at all has no members.
    CHECK((shape->arguments({}).has_value() || have.contains({program, name, "call"})));
    CHECK((shape->results({}).has_value() || have.contains({program, name, "reply"})));
  }
  for (const std::string event : {"LIFECYCLE", "REBOOT", "BALLOON_CHANGE", "IO_ERROR", "IO_ERROR_REASON", "TRAY_CHANGE",
                                  "DEVICE_ADDED", "DEVICE_REMOVED", "DEVICE_REMOVAL_FAILED", "METADATA_CHANGE", "TUNABLE"}) {
    INFO(event);
    CHECK(have.contains({"remote", "DOMAIN_EVENT_CALLBACK_" + event, "event"}));
  }
  CHECK(have.contains({"remote", "DOMAIN_EVENT_LIFECYCLE", "event"}));
  CHECK(have.contains({"qemu", "DOMAIN_MONITOR_EVENT", "event"}));
}

// What tests/integration/wire_test.py has heard of the client that is installed there.
TEST_CASE("what a recorder has heard reads, and prints the same to the byte", "[.recorded]") {
  const char* path = std::getenv("LODGE_RECORDED");
  REQUIRE(path != nullptr);
  for (const Line& line : read_lines(path)) {
    check(line);
  }
}

}  // namespace lodge::rpc
