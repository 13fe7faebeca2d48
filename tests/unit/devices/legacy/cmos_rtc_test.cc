// The CMOS clock: time, RAM, and what its interrupts do.
#include <catch2/catch.hpp>

#include "devices/legacy/cmos_rtc/calendar.h"
#include "devices/legacy/cmos_rtc/device.h"
#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

struct Clock {
  explicit Clock(uint64_t low = 512 * kMiB, uint64_t high = 0, const StateReader* saved = nullptr)
      : device(must(CmosRtc::create({.board = {low, high},
                                     .now = [this] { return now * kSecond + ns; },
                                     .time_set = [this](int64_t offset) { told.push_back(offset); }},
                                    *machine.env, machine.lines[8], saved))) {}
  uint64_t get(uint8_t index) {
    machine.out(0x70, index);
    return machine.in(0x71);
  }
  void set(uint8_t index, uint8_t value) {
    machine.out(0x70, index);
    machine.out(0x71, value);
  }
  RecordingLine& line() { return machine.lines[8]; }
  // Lets `time` pass; the timer that waits for it runs.
  void pass(int64_t nanoseconds) {
    ns += nanoseconds;
    now += ns / kSecond;
    ns %= kSecond;
  }
  void turn() { machine.control->run_once(std::chrono::nanoseconds(0)); }
  static constexpr int64_t kSecond = 1'000'000'000;
  TestMachine machine;
  std::vector<int64_t> told;
  int64_t ns = 0;
  int64_t now = 1709210096;  // 2024-02-29 12:34:56 UTC, a Thursday
  std::unique_ptr<CmosRtc> device;
};

}  // namespace

TEST_CASE("rtc_shows_the_time_in_every_format") {
  Clock clock;
  CHECK(clock.get(0x00) == 0x56);
  CHECK(clock.get(0x02) == 0x34);
  CHECK(clock.get(0x04) == 0x12);
  CHECK(clock.get(0x06) == 5);
  CHECK(clock.get(0x07) == 0x29);
  CHECK(clock.get(0x08) == 0x02);
  CHECK(clock.get(0x09) == 0x24);
  CHECK(clock.get(0x32) == 0x20);
  clock.set(0x0B, 0x06);
  CHECK(clock.get(0x00) == 56);
  CHECK(clock.get(0x07) == 29);
  clock.set(0x0B, 0x00);  // BCD, twelve hours
  CHECK(clock.get(0x04) == 0x92);
  clock.now -= 12 * 3600;
  CHECK(clock.get(0x04) == 0x12);
  clock.now += 3600;
  CHECK(clock.get(0x04) == 0x01);
  CHECK((clock.get(0x0A) & 0x80) == 0);
  CHECK(clock.get(0x0D) == 0x80);
}

TEST_CASE("rtc_takes_a_new_time_and_runs_on_from_it") {
  Clock clock;
  clock.set(0x0B, 0x82);  // hold
  const uint8_t values[][2] = {{0x00, 0x59}, {0x02, 0x59}, {0x04, 0x23}, {0x07, 0x31},
                               {0x08, 0x12}, {0x09, 0x99}, {0x32, 0x19}};
  for (const auto& [index, value] : values) {
    clock.set(index, value);
  }
  clock.now += 5;  // held: no time passes in the registers
  CHECK(clock.get(0x00) == 0x59);
  clock.set(0x0B, 0x02);
  CHECK(clock.get(0x09) == 0x99);
  clock.now += 1;
  CHECK(clock.get(0x00) == 0x00);
  CHECK(clock.get(0x09) == 0x00);
  CHECK(clock.get(0x32) == 0x20);
  CHECK(clock.get(0x06) == 7);  // 2000-01-01, a Saturday
  clock.device->reset();
  CHECK(clock.get(0x09) == 0x00);  // the battery keeps it
}

TEST_CASE("rtc_sizes_of_memory_are_those_firmware_expects") {
  Clock small(512 * kMiB);
  CHECK((small.get(0x34) | small.get(0x35) << 8) == (512 - 16) * 16);
  CHECK((small.get(0x30) | small.get(0x31) << 8) == 0xFFFF);
  CHECK((small.get(0x15) | small.get(0x16) << 8) == 640);
  CHECK((small.get(0x5B) | small.get(0x5C) << 8 | small.get(0x5D) << 16) == 0);
  Clock big(3 * kGiB, 5 * kGiB + 64 * kKiB);
  CHECK((big.get(0x5B) | big.get(0x5C) << 8 | big.get(0x5D) << 16) == 5 * 16384 + 1);
  Clock huge(3 * kGiB, 8 * kGiB * 1024);
  CHECK((huge.get(0x5B) | huge.get(0x5C) << 8 | huge.get(0x5D) << 16) == 0xFFFFFF);
}

TEST_CASE("rtc_keeps_bytes_and_survives_nonsense_times") {
  Clock clock;
  for (int index = 0x0E; index < 0x80; ++index) {
    if (index != 0x32) {
      clock.set(static_cast<uint8_t>(index), static_cast<uint8_t>(index ^ 0x55));
      CHECK(clock.get(static_cast<uint8_t>(index | 0x80)) ==
            static_cast<uint64_t>(index ^ 0x55));  // bit 7 is not part of the number
    }
  }
  for (int value = 0; value < 256; ++value) {
    for (const uint8_t index : {0, 2, 4, 6, 7, 8, 9, 0x0A, 0x0B, 0x0C, 0x0D, 0x32}) {
      clock.set(index, static_cast<uint8_t>(value));
      (void)clock.get(index);
    }
  }
}

TEST_CASE("rtc_set_to_an_impossible_century_can_still_be_restored") {
  Clock clock;
  clock.set(0x0B, 0x06);
  clock.set(0x32, 0xFF);
  StateWriter out;
  clock.device->save(out);
  const auto reader = must(StateReader::parse(out.bytes()));
  Clock second(512 * kMiB, 0, &reader);
  CHECK(second.get(0x0D) == 0x80);
}

TEST_CASE("rtc_state_restores_bytes_and_offset_and_bounds_it") {
  Clock clock;
  clock.set(0x09, 0x30);
  clock.set(0x40, 0x77);
  StateWriter out;
  clock.device->save(out);
  const auto reader = must(StateReader::parse(out.bytes()));
  Clock second(512 * kMiB, 0, &reader);
  CHECK(second.get(0x09) == 0x30);
  CHECK(second.get(0x40) == 0x77);
  StateWriter bad;
  bad.put("rtc0", CmosRtcState{.offset_seconds = INT64_MIN});
  const auto bad_reader = must(StateReader::parse(bad.bytes()));
  CHECK_THROWS(Clock(512 * kMiB, 0, &bad_reader));
  StateWriter bad_index;
  bad_index.put("rtc0", CmosRtcState{.index = 128});
  const auto bad_index_reader = must(StateReader::parse(bad_index.bytes()));
  CHECK_THROWS(Clock(512 * kMiB, 0, &bad_index_reader));
}

TEST_CASE("rtc_periodic_flag_rises_at_each_rate") {
  // Rate, and nanoseconds of its period: MC146818A, table 5, with a 32.768 kHz crystal.
  const std::pair<uint8_t, int64_t> rates[] = {{1, 3906250}, {2, 7812500}, {3, 122070}, {6, 976562}, {15, 500000000}};
  for (const auto& [rate, period] : rates) {
    Clock clock;
    clock.set(0x0A, 0x20 | rate);
    (void)clock.get(0x0C);
    clock.pass(period - 1000);
    CHECK((clock.get(0x0C) & 0x40) == 0);
    clock.pass(2000);
    CHECK((clock.get(0x0C) & 0x40) != 0);
    CHECK((clock.get(0x0C) & 0x40) == 0);  // reading clears it
  }
  Clock off;
  off.set(0x0A, 0x20);
  off.pass(10 * Clock::kSecond);
  CHECK((off.get(0x0C) & 0x40) == 0);
  Clock stopped;
  stopped.set(0x0A, 0x66);  // the divider is held in reset
  stopped.pass(10 * Clock::kSecond);
  CHECK(stopped.get(0x0C) == 0);
}

TEST_CASE("rtc_update_flag_and_update_in_progress_follow_the_second") {
  Clock clock;
  CHECK(clock.get(0x0C) == 0);
  clock.pass(Clock::kSecond - 2'000'000);
  CHECK((clock.get(0x0A) & 0x80) != 0);
  clock.pass(2'000'000);
  CHECK((clock.get(0x0A) & 0x80) == 0);
  CHECK((clock.get(0x0C) & 0x10) != 0);
  CHECK((clock.get(0x0C) & 0x10) == 0);
  clock.set(0x0B, 0x82);
  clock.pass(5 * Clock::kSecond);
  CHECK((clock.get(0x0C) & 0x30) == 0);  // held: nothing is counted on
}

TEST_CASE("rtc_alarm_agrees_with_values_and_with_any") {
  using cmos::next_alarm;
  cmos::Ram ram{};
  ram[cmos::kStatusB] = cmos::k24Hours | cmos::kBinary;
  const int64_t noon = 1709208000;  // 2024-02-29 12:00:00
  const auto at = [&](uint8_t hours, uint8_t minutes, uint8_t seconds) {
    ram[cmos::kHoursAlarm] = hours;
    ram[cmos::kMinutesAlarm] = minutes;
    ram[cmos::kSecondsAlarm] = seconds;
    return next_alarm(ram, noon);
  };
  CHECK(at(12, 0, 1) == noon + 1);
  CHECK(at(12, 0, 0) == noon + 86400);  // this second is over
  CHECK(at(12, 30, 0) == noon + 1800);
  CHECK(at(11, 59, 59) == noon + 86400 - 1);
  CHECK(at(0xFF, 0xFF, 0xFF) == noon + 1);
  CHECK(at(0xFF, 0xFF, 0) == noon + 60);
  CHECK(at(0xC0, 0, 0) == noon + 3600);
  CHECK(at(13, 0xFF, 59) == noon + 3600 + 59);
  CHECK(at(12, 0xFF, 0) == noon + 60);
  CHECK_FALSE(at(24, 0, 0));
  CHECK_FALSE(at(0, 60, 0));
  CHECK_FALSE(at(0, 0, 99));
  ram[cmos::kStatusB] = 0;  // BCD, twelve hours
  CHECK(at(0x81, 0x05, 0x00) == noon + 3600 + 300);
  CHECK(at(0x12, 0x00, 0x00) == noon + 12 * 3600);
  CHECK(at(0x92, 0x00, 0x10) == noon + 10);
  CHECK_FALSE(at(0x01, 0x7F, 0x00));
  ram[cmos::kStatusB] = cmos::k24Hours | cmos::kBinary;
  ram[cmos::kHoursAlarm] = ram[cmos::kMinutesAlarm] = ram[cmos::kSecondsAlarm] = 0;
  CHECK(next_alarm(ram, -5) == 0);
  CHECK(next_alarm(ram, -86401) == -86400);
}

TEST_CASE("rtc_interrupts_come_when_enabled_and_go_when_read") {
  const uint8_t kinds[] = {0x40, 0x10, 0x20};
  for (const uint8_t kind : kinds) {
    Clock clock;
    clock.ns = 999'000'000;  // a millisecond before the next second
    clock.set(0x01, 0xFF);   // the alarm: every second
    clock.set(0x03, 0xFF);
    clock.set(0x05, 0xFF);
    clock.turn();
    CHECK_FALSE(clock.line().level);
    CHECK((clock.get(0x0C) & 0x80) == 0);  // a period has passed, which nobody wanted
    clock.set(0x0B, 0x02 | kind);
    clock.turn();
    CHECK_FALSE(clock.line().level);
    clock.pass(2'000'000);
    REQUIRE(clock.machine.run_until([&] { return clock.line().level.load(); }));
    const uint64_t flags = clock.get(0x0C);
    CHECK((flags & 0x80) != 0);
    CHECK((flags & kind) != 0);
    CHECK_FALSE(clock.line().level);
    clock.pass(Clock::kSecond);  // and again, without a word
    REQUIRE(clock.machine.run_until([&] { return clock.line().level.load(); }));
    clock.set(0x0B, 0x02);
    CHECK_FALSE(clock.line().level);
  }
}

TEST_CASE("rtc_interrupt_that_nobody_takes_is_not_repeated_and_survives_saving") {
  Clock clock;
  clock.set(0x0B, 0x42);
  clock.turn();
  clock.pass(2'000'000);
  REQUIRE(clock.machine.run_until([&] { return clock.line().level.load(); }));
  clock.pass(Clock::kSecond);
  clock.device->quiesce([] {});
  StateWriter out;
  clock.device->save(out);
  const auto reader = must(StateReader::parse(out.bytes()));
  Clock second(512 * kMiB, 0, &reader);
  CHECK_FALSE(second.line().level);
  second.device->resume();
  CHECK(second.line().level);
  CHECK((second.get(0x0C) & 0xC0) == 0xC0);
  CHECK_FALSE(second.line().level);
  second.turn();
  second.pass(2'000'000);
  CHECK(second.machine.run_until([&] { return second.line().level.load(); }));
  second.device->reset();
  CHECK_FALSE(second.line().level);
}

TEST_CASE("rtc_tells_of_a_new_time_and_begins_at_its_offset") {
  Clock clock;
  clock.set(0x04, 0x14);  // two hours on
  clock.turn();
  CHECK(clock.told == std::vector<int64_t>{7200});
  clock.set(0x0B, 0x06);
  clock.turn();
  CHECK(clock.told.size() == 1);
  TestMachine machine;
  const auto late = must(CmosRtc::create({.offset_seconds = -3600, .now = [] { return 1709210096 * Clock::kSecond; }},
                                         *machine.env, machine.lines[8], nullptr));
  machine.out(0x70, 0x04);
  CHECK(machine.in(0x71) == 0x11);
  CHECK_FALSE(
      CmosRtc::create({.offset_seconds = INT64_MAX, .now = [] { return 0; }}, *machine.env, machine.lines[8], nullptr)
          .has_value());
}

}  // namespace lodge::test
