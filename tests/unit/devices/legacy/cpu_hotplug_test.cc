// CpuHotplug: news is told once, an eject reaches the machine once, a refusal counts only when something was asked.
#include "devices/legacy/cpu_hotplug/device.h"

#include <catch2/catch.hpp>

#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

constexpr uint64_t kBase = 0xAF00;

struct Bench {
  explicit Bench(const StateReader* saved = nullptr) : device(must(make(saved))) {}
  Result<std::unique_ptr<CpuHotplug>> make(const StateReader* saved) {
    return CpuHotplug::create(machine.pio, kBase, {true, true, false, true},
                              {.interrupt = [this] { ++interrupts; },
                               .ejected = [this](uint32_t cpu) { ejected.push_back(cpu); },
                               .refused = [this](uint32_t cpu) { refused.push_back(cpu); }},
                              saved);
  }
  uint32_t get(uint64_t offset) { return static_cast<uint32_t>(machine.in(kBase + offset, 4)); }
  void set(uint64_t offset, uint32_t value) { machine.out(kBase + offset, value, 4); }
  uint32_t status(uint32_t cpu) {
    set(CpuHotplug::kSelect, cpu);
    return get(CpuHotplug::kStatus);
  }
  void eject(uint32_t cpu) {
    set(CpuHotplug::kSelect, cpu);
    set(CpuHotplug::kEject, 1);
  }
  void outcome(uint32_t event, uint32_t status, uint32_t cpu) {
    set(CpuHotplug::kSelect, cpu);
    set(CpuHotplug::kEvent, event);
    set(CpuHotplug::kOutcome, status);
  }
  TestMachine machine;
  int interrupts = 0;
  std::vector<uint32_t> ejected;
  std::vector<uint32_t> refused;
  std::unique_ptr<CpuHotplug> device;
};

constexpr uint32_t came(uint32_t cpu) { return cpu | 1U << 24; }
constexpr uint32_t shall_go(uint32_t cpu) { return cpu | 3U << 24; }

}  // namespace

TEST_CASE("cpu_hotplug_says_who_is_there") {
  Bench bench;
  CHECK(bench.status(0) == 0x0F);
  CHECK(bench.status(1) == 0x0F);
  CHECK(bench.status(2) == 0);
  CHECK(bench.status(4) == 0);
  CHECK(bench.status(0xFFFFFFFF) == 0);
  CHECK(bench.get(CpuHotplug::kSelect) == 0xFFFFFFFF);
  bench.device->added(2);
  CHECK(bench.status(2) == 0x0F);
  bench.device->gone(2);
  CHECK(bench.status(2) == 0);
  CHECK(bench.get(CpuHotplug::kNews) == 0);
}

TEST_CASE("cpu_hotplug_news_is_told_once") {
  Bench bench;
  bench.device->ask_to_leave(3);
  bench.device->added(2);
  CHECK(bench.interrupts == 2);
  CHECK(bench.get(CpuHotplug::kNews) == came(2));
  CHECK(bench.get(CpuHotplug::kNews) == shall_go(3));
  CHECK(bench.get(CpuHotplug::kNews) == 0);
  CHECK(bench.device->leaving() == std::vector<uint32_t>{3});
  bench.device->ask_to_leave(3);  // the guest did not follow: it is told again
  CHECK(bench.interrupts == 3);
  CHECK(bench.machine.in(kBase + CpuHotplug::kNews, 1) == 0);  // only the whole register
  CHECK(bench.get(CpuHotplug::kNews) == shall_go(3));
  bench.device->ask_to_leave(2);
  bench.device->gone(2);
  bench.device->ask_to_leave(2);  // it is not there
  CHECK(bench.get(CpuHotplug::kNews) == 0);
  CHECK(bench.device->leaving() == std::vector<uint32_t>{3});
}

TEST_CASE("cpu_hotplug_ejects_once_and_only_what_is_there") {
  Bench bench;
  bench.device->ask_to_leave(3);
  for (const uint32_t cpu : {0U, 2U, 4U, 0xFFFFFFFFU, 3U, 3U, 1U}) {
    bench.eject(cpu);
  }
  CHECK(bench.ejected == std::vector<uint32_t>{3, 1});
  CHECK(bench.status(3) == 0);
  CHECK(bench.device->leaving().empty());
  CHECK(bench.get(CpuHotplug::kNews) == 0);
}

TEST_CASE("cpu_hotplug_refusals_count_when_something_was_asked") {
  Bench bench;
  bench.outcome(3, 1, 3);
  bench.device->ask_to_leave(3);
  bench.outcome(3, 0, 3);     // it went well
  bench.outcome(3, 0x84, 3);  // it is under way
  bench.outcome(1, 1, 3);     // of another event
  bench.outcome(3, 1, 1);     // of another processor
  bench.outcome(3, 1, 77);    // of none
  CHECK(bench.refused.empty());
  bench.outcome(3, 0x81, 3);
  bench.outcome(3, 0x81, 3);
  CHECK(bench.refused == std::vector<uint32_t>{3});
  CHECK(bench.device->leaving().empty());
}

TEST_CASE("cpu_hotplug_reset_forgets_news_but_not_what_shall_go") {
  Bench bench;
  bench.device->added(2);
  bench.device->ask_to_leave(3);
  bench.device->reset();
  CHECK(bench.get(CpuHotplug::kNews) == 0);
  CHECK(bench.status(2) == 0x0F);
  CHECK(bench.device->leaving() == std::vector<uint32_t>{3});
}

TEST_CASE("cpu_hotplug_state_goes_on_after_restore_and_is_checked") {
  StateWriter out;
  {
    Bench bench;
    bench.set(CpuHotplug::kEvent, 3);
    bench.set(CpuHotplug::kSelect, 3);
    bench.device->ask_to_leave(3);
    bench.device->save(out);
  }
  const StateReader reader = must(StateReader::parse(out.bytes()));
  Bench bench(&reader);
  CHECK(bench.get(CpuHotplug::kNews) == shall_go(3));
  bench.set(CpuHotplug::kOutcome, 1);
  CHECK(bench.refused == std::vector<uint32_t>{3});
  for (const uint32_t wrong : {0U, 2U, 4U, 0xFFFFFFFFU}) {
    StateWriter bad;
    bad.put("cpu-hotplug0", CpuHotplugState{.selected = 0, .event = 0, .came = {}, .to_leave = {}, .leaving = {wrong}});
    const StateReader again = must(StateReader::parse(bad.bytes()));
    bench.device.reset();  // its registers are free for the next
    CHECK_FALSE(bench.make(&again));
  }
}

}  // namespace lodge::test
