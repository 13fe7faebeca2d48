// The HPET by the IA-PC HPET specification 1.0a: registers (2.3), one-shot and periodic mode (2.3.9.2), legacy replacement
// (2.4), both kinds of interrupts.
#include <catch2/catch.hpp>

#include "devices/chipset/hpet/device.h"
#include "devices/chipset/hpet/legacy_line.h"
#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

constexpr uint64_t kConfig = 0x10, kStatus = 0x20, kCounter = 0xF0;
constexpr int64_t kMs = 1'000'000;
constexpr uint64_t kTicks = 100'000;  // of a millisecond
constexpr uint64_t kLevel = 2, kInterrupts = 4, kPeriodic = 8, kSetsValue = 0x40, kAs32Bits = 0x100;
constexpr uint64_t kRoute2 = 2 << 9, kRoute8 = 8 << 9;

constexpr uint64_t timer_config(unsigned timer) { return 0x100 + 0x20 * timer; }
constexpr uint64_t comparator(unsigned timer) { return 0x108 + 0x20 * timer; }

// An HPET on a clock of its own.
struct Bench {
  explicit Bench(const StateReader* saved = nullptr, int64_t begin = 1) : now(begin), device(make(saved)) {
    device->resume();
  }
  std::unique_ptr<Hpet> make(const StateReader* saved) {
    return must(Hpet::create({.line = [this](uint32_t gsi) -> IrqLine& { return machine.lines[gsi]; },
                              .legacy = [this](bool on) { legacy.push_back(on); },
                              .now = [this] { return now; }},
                             *machine.env, saved));
  }
  uint64_t in(uint64_t offset, uint8_t size = 8) { return machine.read(Hpet::kBase + offset, size); }
  void out(uint64_t offset, uint64_t value, uint8_t size = 8) { machine.write(Hpet::kBase + offset, value, size); }
  // Time that passes is looked at by what the loop does with it.
  void pass(int64_t nanoseconds) {
    now += nanoseconds;
    device->quiesce([] {});
    device->resume();
    machine.turn();
  }
  int raised(uint32_t gsi = 0) { return machine.lines[gsi].raised; }
  StateBytes save() {
    device->quiesce([] {});
    StateWriter state;
    device->save(state);
    return state.bytes();
  }
  TestMachine machine;
  std::vector<bool> legacy;
  int64_t now;
  std::unique_ptr<Hpet> device;
};

}  // namespace

TEST_CASE("hpet_says_what_it_is") {
  Bench bench;
  CHECK(bench.in(0) == 0x0098'9680'8086'A201);  // 10,000,000 fs, three timers, 64 bits
  CHECK(bench.in(4, 4) == 10'000'000);
  bench.out(0, 0);
  CHECK(bench.in(0, 4) == 0x8086'A201);
  for (unsigned timer = 0; timer < 3; ++timer) {
    CHECK(bench.in(timer_config(timer)) == 0x0000'0104'0000'0030);  // periodic, 64 bits, inputs 2 and 8, no messages
    CHECK(bench.in(comparator(timer)) == UINT64_MAX);
    bench.out(timer_config(timer), ~uint64_t{0} & ~(kInterrupts | kSetsValue));
    CHECK(bench.in(timer_config(timer), 4) == (0x30 | kLevel | kPeriodic | kAs32Bits));  // no such input, no messages
  }
  CHECK(bench.in(0x160) == 0);  // a fourth
  CHECK(bench.in(0x3F8) == 0);
  CHECK(bench.in(0xF2, 2) == 0);
  CHECK(bench.in(6, 4) == 0x0000'0098);  // across registers
}

TEST_CASE("hpet_counts_while_it_is_on") {
  Bench bench;
  bench.pass(kMs);
  CHECK(bench.in(kCounter) == 0);
  bench.out(kConfig, 1);
  bench.pass(kMs);
  CHECK(bench.in(kCounter) == kTicks);
  bench.out(kConfig, 0, 4);
  bench.pass(kMs);
  CHECK(bench.in(kCounter) == kTicks);
  bench.out(kCounter, 0xFFFF'FFFF'FFFF'FFFF);
  bench.out(kConfig, 1);
  bench.pass(30);
  CHECK(bench.in(kCounter) == 2);
  bench.out(kConfig, 0);
  bench.out(kCounter, 7, 4);
  bench.out(kCounter + 4, 9, 4);
  CHECK(bench.in(kCounter) == 0x9'0000'0007);
  bench.out(kCounter, 0, 1);  // accesses that there are not
  bench.out(kCounter + 2, 0, 4);
  CHECK(bench.in(kCounter, 4) == 7);
  bench.device->reset();
  CHECK(bench.in(kCounter) == 0);
}

TEST_CASE("hpet_one_shot_interrupts_once_when_the_counter_arrives") {
  Bench bench;
  bench.out(kConfig, 1);
  bench.out(timer_config(2), kInterrupts | kRoute2);
  bench.out(comparator(2), 5 * kTicks);
  bench.pass(5 * kMs - 10);
  CHECK(bench.raised() == 0);
  bench.pass(10);
  CHECK(bench.raised() == 1);
  CHECK_FALSE(bench.machine.lines[0].level);
  CHECK(bench.in(kStatus) == 0);  // of edges it tells nothing
  bench.pass(1000 * kMs);
  CHECK(bench.raised() == 1);
  bench.out(comparator(2), 5 * kTicks);  // in the past: not before the counter has gone round
  bench.pass(1000 * kMs);
  CHECK(bench.raised() == 1);
}

TEST_CASE("hpet_timers_without_interrupt_route_or_main_switch_are_silent") {
  Bench bench;
  bench.out(timer_config(0), kRoute2);
  bench.out(comparator(0), 1000);
  bench.out(timer_config(1), kInterrupts);  // to input 0, which there is not
  bench.out(comparator(1), 1000);
  bench.out(timer_config(2), kInterrupts | kRoute8);
  bench.out(comparator(2), 1000);
  bench.pass(kMs);
  CHECK(bench.raised(8) == 0);
  bench.out(kConfig, 1);
  bench.pass(kMs);
  CHECK(bench.raised(0) == 0);
  CHECK(bench.raised(8) == 1);
}

TEST_CASE("hpet_periodic_goes_on_by_what_was_written_last") {
  Bench bench;
  bench.out(kConfig, 1);
  bench.out(timer_config(0), kInterrupts | kPeriodic | kSetsValue | kAs32Bits | kRoute2);
  bench.out(comparator(0), 3 * kTicks, 4);  // first as Linux does it,
  bench.out(comparator(0), 2 * kTicks, 4);  // then the period
  CHECK(bench.in(comparator(0)) == 3 * kTicks);
  bench.pass(3 * kMs);
  CHECK(bench.raised() == 1);
  CHECK(bench.in(comparator(0)) == 5 * kTicks);
  bench.pass(2 * kMs);
  bench.pass(2 * kMs);
  CHECK(bench.raised() == 3);
  bench.pass(200 * kMs);  // what is missed comes as one
  CHECK(bench.raised() == 4);
  CHECK(bench.in(comparator(0)) == 209 * kTicks);
  bench.pass(2 * kMs);
  CHECK(bench.raised() == 5);
}

TEST_CASE("hpet_32_bit_comparators_go_round") {
  Bench bench;
  bench.out(kCounter, 0x7'FFFF'FF00);
  bench.out(timer_config(0), kInterrupts | kAs32Bits | kRoute2);
  bench.out(comparator(0), 0x1'0000'0010);
  CHECK(bench.in(comparator(0)) == 0x10);
  bench.out(kConfig, 1);
  bench.pass(0xFF * 10);
  CHECK(bench.raised() == 0);
  bench.pass(0x11 * 10);
  CHECK(bench.raised() == 1);
  bench.pass(int64_t{0xFFFF'FFFF} * 10);
  CHECK(bench.raised() == 1);
  bench.pass(10);
  CHECK(bench.raised() == 2);
}

TEST_CASE("hpet_levels_stay_until_the_status_is_cleared") {
  Bench bench;
  bench.out(kConfig, 1);
  bench.out(timer_config(1), kInterrupts | kLevel | kPeriodic | kSetsValue | kRoute8);
  bench.out(comparator(1), kTicks);
  bench.pass(kMs);
  CHECK(bench.machine.lines[8].level);
  CHECK(bench.in(kStatus) == 2);
  bench.pass(10 * kMs);
  CHECK(bench.raised(8) == 1);
  bench.out(kStatus, 5);
  CHECK(bench.machine.lines[8].level);
  bench.out(kStatus, 2);
  CHECK_FALSE(bench.machine.lines[8].level);
  bench.pass(kMs);
  CHECK(bench.raised(8) == 2);
  bench.out(kConfig, 0);  // all off
  CHECK_FALSE(bench.machine.lines[8].level);
  CHECK(bench.in(kStatus) == 2);
}

TEST_CASE("hpet_legacy_replacement_takes_the_inputs_of_timer_and_clock") {
  Bench bench;
  bench.out(kConfig, 3);
  CHECK(bench.legacy == std::vector{true});
  bench.out(timer_config(0), kInterrupts);  // whatever the route says
  bench.out(timer_config(1), kInterrupts | kRoute2);
  bench.out(comparator(0), kTicks);
  bench.out(comparator(1), 2 * kTicks);
  bench.pass(kMs);
  CHECK(bench.raised(0) == 1);
  CHECK(bench.raised(8) == 0);
  bench.pass(kMs);
  CHECK(bench.raised(0) == 1);
  CHECK(bench.raised(8) == 1);
  bench.out(kConfig, 3);
  CHECK(bench.legacy.size() == 1);
  bench.device->reset();
  CHECK(bench.legacy == std::vector{true, false});
}

TEST_CASE("hpet_is_asked_for_by_the_loop_when_it_is_time") {
  Bench bench;
  bench.now = EventLoop::Clock::now().time_since_epoch().count();
  bench.out(kConfig, 1);
  bench.out(timer_config(0), kInterrupts | kPeriodic | kSetsValue | kRoute2);
  bench.out(comparator(0), 1);  // as short as can be
  const auto tick = [&] {
    bench.now += Hpet::kLeastNs;
    return bench.raised() >= 3;
  };
  CHECK(bench.machine.run_until(tick));
  bench.out(timer_config(0), 0);
  bench.machine.turn(10);
  const int before = bench.raised();
  bench.now += kMs;
  bench.machine.turn(10);
  CHECK(bench.raised() == before);
}

TEST_CASE("hpet_goes_on_after_a_restore_where_it_stood") {
  Bench first;
  first.out(kConfig, 3);
  first.out(timer_config(0), kInterrupts | kPeriodic | kSetsValue | kAs32Bits);
  first.out(comparator(0), 2 * kTicks, 4);
  first.out(timer_config(2), kInterrupts | kLevel | kRoute8);
  first.out(comparator(2), kTicks);
  first.out(timer_config(1), kPeriodic | kSetsValue);  // saved between two writes
  first.pass(3 * kMs);
  const StateBytes bytes = first.save();
  const StateReader reader = must(StateReader::parse(bytes));

  Bench second(&reader, 77'777);
  CHECK(second.legacy == std::vector{true});
  CHECK(second.machine.lines[8].level);
  CHECK(second.in(kCounter) == 3 * kTicks);
  second.pass(kMs - 10);
  CHECK(second.raised() == 0);
  second.pass(10);
  CHECK(second.raised() == 1);
  second.out(comparator(1), 0x1234);
  CHECK(second.in(comparator(1)) == 0x1234);
  // Saving it again at once changes nothing.
  const Bench third(&reader);
  StateWriter out;
  third.device->quiesce([] {});
  third.device->save(out);
  CHECK(out.bytes() == bytes);
}

TEST_CASE("hpet_refuses_states_that_it_cannot_have") {
  const auto refused = [](const HpetState& state) {
    StateWriter out;
    out.put("hpet0", state);
    const StateReader reader = must(StateReader::parse(out.bytes()));
    TestMachine machine;
    return !Hpet::create({.line = [&](uint32_t) -> IrqLine& { return machine.lines[0]; }, .legacy = {}}, *machine.env,
                         &reader);
  };
  const HpetState good{.config = 3, .status = 7, .counter = 1, .timers = std::vector<HpetTimerState>(3)};
  CHECK_FALSE(refused(good));
  for (const HpetTimerState& timer : {HpetTimerState{.config = 0x4000}, HpetTimerState{.config = 5 << 9},
                                      HpetTimerState{.config = kAs32Bits}, HpetTimerState{.config = 1}}) {
    HpetState bad = good;
    bad.timers[1] = timer;
    CHECK(refused(bad));
  }
  HpetState bad = good;
  bad.status = 8;
  CHECK(refused(bad));
  bad = good;
  bad.config = 4;
  CHECK(refused(bad));
  bad = good;
  bad.timers.resize(2);
  CHECK(refused(bad));
}

TEST_CASE("the_clocks_interrupt_waits_while_the_hpet_has_its_line") {
  RecordingLine line;
  LegacyLine clock(line);
  clock.set(true);
  CHECK(line.level);
  clock.replace(true);
  CHECK_FALSE(line.level);
  clock.set(false);
  clock.set(true);
  CHECK(line.raised == 1);
  clock.replace(false);
  CHECK(line.level);
  clock.replace(false);
  CHECK(line.raised == 2);
}

}  // namespace lodge::test
