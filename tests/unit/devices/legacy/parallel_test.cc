// The parallel port by IEEE 1284's compatibility mode and the registers of IBM's parallel adapter.
#include <catch2/catch.hpp>

#include "devices/legacy/parallel/device.h"
#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

constexpr uint16_t kData = 0x378, kStatus = 0x379, kControl = 0x37A;
constexpr uint8_t kIdle = 0xDF;    // not busy, no acknowledgement, selected, no error
constexpr uint8_t kSelect = 0x0C;  // selected, not reset
constexpr uint8_t kStrobe = 0x0D;

// Takes as much as it is told to.
class Printer final : public CharBackend {
 public:
  explicit Printer(std::string& paper, size_t& room) : paper_(paper), room_(room) {}
  void attach(EventLoop&, Client client) override { client_ = std::move(client); }
  void detach() override { client_ = {}; }
  [[nodiscard]] bool is_open() const override { return true; }
  size_t write(std::span<const std::byte> from) override {
    const size_t take = std::min(from.size(), room_);
    for (const std::byte b : from.first(take)) {
      paper_.push_back(static_cast<char>(b));
    }
    room_ -= take;
    return take;
  }
  void resume_input() override {}
  void writable() const { client_.writable(); }

 private:
  std::string& paper_;
  size_t& room_;
  Client client_;
};

struct Bench {
  explicit Bench(const StateReader* saved = nullptr) {
    auto printer = std::make_unique<Printer>(paper, room);
    backend = printer.get();
    ParallelPort::Options options;
    options.id = "parallel0";
    options.backend = std::move(printer);
    port = must(ParallelPort::create(std::move(options), *machine.env, machine.lines[7], saved));
    if (saved == nullptr) {
      machine.out(kControl, kSelect);
    }
  }
  void print(std::string_view text) {
    for (const char c : text) {
      machine.out(kData, static_cast<uint8_t>(c));
      machine.out(kControl, kStrobe | interrupts);
      machine.out(kControl, kSelect | interrupts);
    }
  }
  TestMachine machine;
  std::string paper;
  size_t room = SIZE_MAX;
  uint8_t interrupts = 0;
  Printer* backend = nullptr;
  std::unique_ptr<ParallelPort> port;
};

}  // namespace

TEST_CASE("parallel_registers_are_those_of_a_standard_port") {
  Bench bench;
  for (const unsigned value : {0xAAU, 0x55U, 0x00U, 0xFFU}) {
    bench.machine.out(kData, value);
    CHECK(bench.machine.in(kData) == value);
  }
  CHECK(bench.machine.in(kStatus) == kIdle);
  bench.machine.out(kStatus, 0);
  CHECK(bench.machine.in(kStatus) == kIdle);
  bench.machine.out(kControl, 0x2E);  // no direction: it only gives
  CHECK(bench.machine.in(kControl) == 0xEE);
  bench.machine.out(kData, 0x12);
  CHECK(bench.machine.in(kData) == 0x12);
  CHECK(bench.machine.in(kData, 2) == 0xDF12);
}

TEST_CASE("parallel_takes_a_byte_for_each_strobe") {
  Bench bench;
  bench.print("Lodge\n");
  CHECK((bench.machine.in(kStatus) & 0xC0) == 0x80);  // it acknowledges,
  CHECK(bench.machine.in(kStatus) == kIdle);          // once
  bench.machine.out(kControl, kStrobe);
  bench.machine.out(kControl, kStrobe);            // no new edge
  CHECK((bench.machine.in(kStatus) & 0x80) == 0);  // busy while it lasts
  bench.machine.out(kControl, kSelect);
  CHECK(bench.machine.run_until([&] { return bench.paper == "Lodge\n\n"; }));
  CHECK(bench.machine.lines[7].raised == 0);
}

TEST_CASE("parallel_interrupts_at_the_acknowledgement_when_asked_to") {
  Bench bench;
  bench.interrupts = 0x10;
  bench.print("a");
  CHECK(bench.machine.lines[7].raised == 1);
  CHECK_FALSE(bench.machine.lines[7].level);
  bench.print("bc");
  CHECK(bench.machine.lines[7].raised == 3);
  bench.machine.out(kControl, kSelect | 0x10);
  CHECK(bench.machine.lines[7].raised == 3);
}

TEST_CASE("parallel_printer_that_is_reset_takes_nothing") {
  Bench bench;
  bench.machine.out(kControl, 0x08);
  CHECK((bench.machine.in(kStatus) & 0x80) == 0);
  bench.machine.out(kControl, 0x09);
  bench.machine.out(kControl, 0x08);
  bench.machine.out(kControl, kSelect);
  bench.print("x");
  CHECK(bench.machine.run_until([&] { return !bench.paper.empty(); }));
  CHECK(bench.paper == "x");
}

TEST_CASE("parallel_printer_is_busy_while_the_other_side_is_slow") {
  Bench bench;
  bench.room = 0;
  size_t sent = 0;
  while ((bench.machine.in(kStatus) & 0x80) != 0 && sent < 100'000) {
    bench.print("z");
    ++sent;
    bench.machine.turn(1);
  }
  CHECK(sent == 16384);
  bench.print("lost");  // by a guest that does not look
  bench.machine.out(kControl, kSelect | 0x10);
  CHECK(bench.machine.lines[7].raised == 0);
  bench.room = SIZE_MAX;
  bench.backend->writable();
  CHECK(bench.paper == std::string(sent, 'z'));
  CHECK(bench.machine.lines[7].raised == 1);  // the last byte's acknowledgement
  CHECK((bench.machine.in(kStatus) & 0x80) != 0);
}

TEST_CASE("parallel_goes_on_after_a_restore_in_mid_strobe") {
  Bench first;
  first.room = 2;
  first.interrupts = 0x10;
  first.print("abcd");
  first.machine.out(kData, 'e');
  first.machine.out(kControl, kStrobe | 0x10);
  first.port->quiesce([] {});
  CHECK(first.paper == "ab");
  StateWriter out;
  first.port->save(out);
  const StateReader reader = must(StateReader::parse(out.bytes()));
  Bench second(&reader);
  CHECK(second.machine.in(kData) == 'e');
  second.machine.out(kControl, kSelect | 0x10);
  CHECK(second.machine.lines[7].raised == 1);
  second.port->quiesce([] {});
  CHECK(second.paper == "cde");
  first.port.reset();
  CHECK(first.paper == "ab");  // the restored guest's port has printed the rest

  StateWriter bad;
  bad.put("parallel0", ParallelState{.control = 0x20});
  const StateReader refused = must(StateReader::parse(bad.bytes()));
  TestMachine machine;
  ParallelPort::Options options;
  options.id = "parallel0";
  options.backend = make_null_char();
  CHECK_FALSE(ParallelPort::create(std::move(options), *machine.env, machine.lines[7], &refused));
}

TEST_CASE("parallel_prints_its_last_bytes_when_the_machine_ends") {
  Bench bench;
  bench.print("end");
  bench.port.reset();
  CHECK(bench.paper == "end");
}

}  // namespace lodge::test
