// The watchdogs by their data sheets: 6300ESB (300641, chapter 16) and IB700; and the countdown that they share.
#include <catch2/catch.hpp>

#include "devices/watchdog/i6300esb/device.h"
#include "devices/watchdog/ib700/device.h"
#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

constexpr uint64_t kBar = 0xF000'0000;
constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSecond = 1000 * kMs;
constexpr uint32_t kPreload1 = 0, kPreload2 = 4, kStatus = 8, kReload = 0xC;
constexpr uint8_t kConfig = 0x60, kLock = 0x68;

// A device on a clock of its own. Time that passes is seen at the next turn of the loop.
template <class T>
struct Bench {
  explicit Bench(const StateReader* saved = nullptr) : device(make(saved)) { device->resume(); }
  auto make(const StateReader* saved) {
    return must(T::create({.id = "watchdog0", .expired = [this] { ++expired; }, .now = [this] { return now; }}, *machine.env,
                          saved));
  }
  // The loop's own clock is real, so its timer is let go and set anew for what is left: nothing, when the time is over.
  void pass(int64_t nanoseconds) {
    now += nanoseconds;
    device->quiesce([] {});
    now_paused();
  }
  void now_paused() {
    device->resume();
    for (int i = 0; i < 4; ++i) {
      machine.control->run_once(std::chrono::nanoseconds(0));
    }
  }
  StateBytes save() {
    StateWriter out;
    device->save(out);
    return out.bytes();
  }
  TestMachine machine;
  int64_t now = 1;
  int expired = 0;
  decltype(std::declval<Bench>().make(nullptr)) device;
};

struct Esb : Bench<I6300Esb> {
  explicit Esb(const StateReader* saved = nullptr) : Bench(saved) {
    must(machine.root->plug({3, 0}, device, false));
    if (saved == nullptr) {
      machine.set_config(3, 0x10, kBar);
      machine.set_config(3, 0x04, 2, 2);
    }
  }
  uint64_t in(uint32_t offset, uint8_t size = 4) { return machine.read(kBar + offset, size); }
  void out(uint32_t offset, uint64_t value, uint8_t size = 4) { machine.write(kBar + offset, value, size); }
  void unlocked(uint32_t offset, uint64_t value, uint8_t size = 4) {
    out(kReload, 0x80, 2);
    out(kReload, 0x86, 2);
    out(offset, value, size);
  }
  // As Linux does it: two stages of `ms` each, about.
  void start(uint32_t ms) {
    machine.set_config(3, kConfig, 3, 2);
    unlocked(kPreload1, ms);
    unlocked(kPreload2, ms);
    machine.set_config(3, kLock, 2, 1);
    unlocked(kReload, 0x100, 2);
  }
};

}  // namespace

TEST_CASE("i6300esb_is_found_by_its_identity") {
  Esb esb;
  CHECK(esb.machine.config(3, 0) == 0x25AB8086);
  CHECK(esb.machine.config(3, 8) >> 8 == 0x088000);
  CHECK(esb.in(kStatus) == 0);
  CHECK(esb.in(kReload, 2) == 0);
}

TEST_CASE("i6300esb_acts_after_both_stages") {
  Esb esb;
  esb.start(1000);
  esb.pass(900 * kMs);
  CHECK(esb.in(kStatus) == 0);
  esb.pass(200 * kMs);
  CHECK(esb.in(kStatus) == 1);  // the first stage is over
  CHECK(esb.expired == 0);
  esb.out(kStatus, 1);
  CHECK(esb.in(kStatus) == 0);
  esb.pass(1000 * kMs);
  CHECK(esb.expired == 1);
  CHECK(esb.in(kReload, 2) == 0x200);
  esb.pass(100 * kSecond);
  CHECK(esb.expired == 1);
  esb.device->reset();
  esb.machine.set_config(3, 0x10, kBar);
  esb.machine.set_config(3, 0x04, 2, 2);
  CHECK(esb.in(kReload, 2) == 0x200);  // the next start asks why
  esb.unlocked(kReload, 0x200, 2);
  CHECK(esb.in(kReload, 2) == 0);
}

TEST_CASE("i6300esb_that_is_fed_does_nothing") {
  Esb esb;
  esb.start(1000);
  for (int i = 0; i < 20; ++i) {
    esb.pass(900 * kMs);
    esb.unlocked(kReload, 0x100, 2);
  }
  CHECK(esb.in(kStatus) == 0);
  CHECK(esb.expired == 0);
}

TEST_CASE("i6300esb_registers_are_locked") {
  Esb esb;
  esb.start(1000);
  esb.pass(900 * kMs);
  esb.out(kReload, 0x100, 2);  // no sequence before
  esb.pass(200 * kMs);
  CHECK(esb.in(kStatus) == 1);
  esb.out(kReload, 0x86, 2);
  esb.out(kReload, 0x80, 2);  // in the wrong order
  esb.out(kReload, 0x100, 2);
  esb.pass(1000 * kMs);
  CHECK(esb.expired == 1);
}

TEST_CASE("i6300esb_lock_holds_until_the_reset") {
  Esb esb;
  esb.start(1000);
  esb.machine.set_config(3, kLock, 3, 1);
  esb.machine.set_config(3, kLock, 0, 1);
  CHECK((esb.machine.config(3, kLock) & 0xFF) == 3);
  esb.pass(2100 * kMs);
  esb.pass(2100 * kMs);
  CHECK(esb.expired == 1);
  esb.device->reset();
  CHECK((esb.machine.config(3, kLock) & 0xFF) == 0);
}

TEST_CASE("i6300esb_switched_off_does_not_count") {
  Esb esb;
  esb.start(1000);
  esb.machine.set_config(3, kLock, 0, 1);
  esb.pass(10 * kSecond);
  esb.unlocked(kReload, 0x100, 2);
  esb.pass(10 * kSecond);
  CHECK(esb.in(kStatus) == 0);
  CHECK(esb.expired == 0);
}

TEST_CASE("i6300esb_without_output_only_tells") {
  Esb esb;
  esb.start(1000);
  esb.machine.set_config(3, kConfig, 0x23, 2);
  CHECK((esb.machine.config(3, kConfig) & 0xFFFF) == 0x23);
  esb.pass(1100 * kMs);
  esb.pass(1100 * kMs);
  CHECK(esb.expired == 0);
  CHECK(esb.in(kReload, 2) == 0x200);
}

TEST_CASE("i6300esb_runs_on_freely") {
  Esb esb;
  esb.start(1000);
  esb.machine.set_config(3, kLock, 6, 1);
  for (int i = 0; i < 3; ++i) {
    esb.pass(1100 * kMs);
    esb.unlocked(kReload, 0x100, 2);  // does not reload in this mode
    esb.pass(1100 * kMs);
  }
  CHECK(esb.expired == 3);
}

TEST_CASE("i6300esb_counts_microseconds_with_its_fast_clock") {
  Esb esb;
  esb.machine.set_config(3, kConfig, 7, 2);
  esb.unlocked(kPreload1, 0xFFFFF);  // about a second
  esb.unlocked(kPreload2, 0);        // no time at all is a millisecond
  esb.machine.set_config(3, kLock, 2, 1);
  esb.pass(1000 * kMs);
  CHECK(esb.in(kStatus) == 0);
  esb.pass(20 * kMs);
  CHECK(esb.in(kStatus) == 1);
  CHECK(esb.expired == 0);
  esb.pass(kMs);
  CHECK(esb.expired == 1);
}

TEST_CASE("i6300esb_counts_for_a_thousand_seconds_at_most") {
  Esb esb;
  esb.start(0xFFFFF);
  esb.pass(1041 * kSecond);
  CHECK(esb.in(kStatus) == 0);
  esb.pass(kSecond);
  CHECK(esb.in(kStatus) == 1);
  const auto bytes = esb.save();
  const auto reader = StateReader::parse(bytes);
  REQUIRE(reader.has_value());
  CHECK(I6300Esb::create({.id = "watchdog0", .expired = [] {}}, *esb.machine.env, &*reader).has_value());
}

TEST_CASE("i6300esb_is_saved_while_it_counts") {
  Esb esb;
  esb.start(1000);
  esb.pass(1100 * kMs);
  esb.pass(400 * kMs);
  esb.out(kReload, 0x80, 2);
  esb.device->quiesce([] {});
  esb.now += 100 * kSecond;  // it stands still meanwhile
  const auto bytes = esb.save();
  const auto reader = StateReader::parse(bytes);
  REQUIRE(reader.has_value());
  Esb again(&*reader);
  CHECK(again.in(kStatus) == 1);
  again.out(kReload, 0x86, 2);
  again.out(kPreload2, 2000);  // was unlocked halfway
  again.pass(500 * kMs);
  CHECK(again.expired == 0);
  again.pass(200 * kMs);
  CHECK(again.expired == 1);
}

TEST_CASE("i6300esb_refuses_a_hostile_state") {
  Esb esb;
  for (int which = 0; which < 5; ++which) {
    I6300EsbState state;
    switch (which) {
      case 0: state.preload[1] = 0x100000; break;
      case 1: state.stage = 0; break;
      case 2: state.unlock = 3; break;
      case 3: state.lock = 8; break;
      default: state.left_ns = UINT64_MAX; break;
    }
    StateWriter out;
    out.put("watchdog0", esb.device->pci_state());
    out.put("watchdog0", state);
    const auto bytes = out.bytes();
    const auto reader = StateReader::parse(bytes);
    REQUIRE(reader.has_value());
    CHECK_FALSE(I6300Esb::create({.id = "watchdog0", .expired = [] {}}, *esb.machine.env, &*reader).has_value());
  }
}

TEST_CASE("ib700_counts_as_its_table_says") {
  for (const int value : {0, 1, 7, 14}) {
    Bench<Ib700> bench;
    bench.machine.out(Ib700::kStart, static_cast<uint64_t>(value | 0xF0));
    const int64_t seconds = 30 - value * 2;
    bench.pass(seconds * kSecond - 1);
    CHECK(bench.expired == 0);
    bench.pass(1);
    CHECK(bench.expired == 1);
    bench.pass(100 * kSecond);
    CHECK(bench.expired == 1);
  }
  Bench<Ib700> bench;
  bench.machine.out(Ib700::kStart, 15);  // at once
  bench.pass(WatchdogTimer::kLeast);
  CHECK(bench.expired == 1);
}

TEST_CASE("ib700_is_fed_and_stopped") {
  Bench<Ib700> bench;
  bench.machine.out(Ib700::kStart, 10);
  bench.pass(9 * kSecond);
  bench.machine.out(Ib700::kStart, 10);
  bench.pass(9 * kSecond);
  CHECK(bench.expired == 0);
  bench.machine.out(Ib700::kStop, 0);
  bench.pass(100 * kSecond);
  CHECK(bench.expired == 0);
  CHECK(bench.machine.in(Ib700::kStart) == 0xFF);
  bench.machine.out(Ib700::kStart, 10);
  bench.device->reset();
  bench.pass(100 * kSecond);
  CHECK(bench.expired == 0);
}

TEST_CASE("ib700_is_saved_while_it_counts") {
  Bench<Ib700> bench;
  bench.machine.out(Ib700::kStart, 10);
  bench.pass(4 * kSecond);
  bench.device->quiesce([] {});
  const auto bytes = bench.save();
  const auto reader = StateReader::parse(bytes);
  REQUIRE(reader.has_value());
  Bench<Ib700> again(&*reader);
  again.pass(5 * kSecond);
  CHECK(again.expired == 0);
  again.pass(2 * kSecond);
  CHECK(again.expired == 1);
}

// The one thing that takes real time: the loop's own timer wakes it, without anybody asking.
TEST_CASE("watchdog_timer_wakes_by_itself") {
  TestMachine machine;
  int expired = 0;
  WatchdogTimer timer(*machine.control, [&] { ++expired; });
  timer.start(5 * kMs);
  CHECK(timer.counts());
  timer.resume();
  timer.start(10 * kMs);  // fed: the timer that is set is early and is set anew
  CHECK(machine.run_until([&] { return expired == 1; }));
  CHECK_FALSE(timer.counts());
  CHECK(timer.left() == 0);
  timer.start(1);  // after the loop's timer has gone: a message sets one
  CHECK(machine.run_until([&] { return expired == 2; }));
}

}  // namespace lodge::test
