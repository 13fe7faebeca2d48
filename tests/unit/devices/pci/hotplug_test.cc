// PciHotplug: news is told once, an ejection reaches the machine, a refusal counts only when something was asked.
#include "devices/pci/hotplug.h"

#include <catch2/catch.hpp>

#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

constexpr uint64_t kBase = 0xAE00;

struct Bench {
  explicit Bench(const StateReader* saved = nullptr)
      : device(must(PciHotplug::create(machine.pio, kBase,
                                       {.interrupt = [this] { ++interrupts; },
                                        .ejected = [this](uint8_t slot) { ejected.push_back(slot); },
                                        .refused = [this](uint8_t slot) { refused.push_back(slot); }},
                                       saved))) {}
  uint32_t get(uint64_t offset) { return static_cast<uint32_t>(machine.in(kBase + offset, 4)); }
  void outcome(uint8_t event, uint8_t status, uint8_t slot) {
    machine.out(kBase + PciHotplug::kEvent, event);
    machine.out(kBase + PciHotplug::kStatus, status);
    machine.out(kBase + PciHotplug::kSlot, slot);
  }
  TestMachine machine;
  int interrupts = 0;
  std::vector<int> ejected;
  std::vector<int> refused;
  std::unique_ptr<PciHotplug> device;
};

}  // namespace

TEST_CASE("hotplug_news_is_told_once") {
  Bench bench;
  bench.device->added(3);
  bench.device->added(31);
  CHECK(bench.interrupts == 2);
  CHECK(bench.get(PciHotplug::kDown) == 0);
  CHECK(bench.get(PciHotplug::kUp) == (1U << 3 | 1U << 31));
  CHECK(bench.get(PciHotplug::kUp) == 0);
  bench.device->ask_to_leave(3);
  CHECK(bench.get(PciHotplug::kDown) == 1U << 3);
  CHECK(bench.get(PciHotplug::kDown) == 0);
  CHECK(bench.device->leaving() == 1U << 3);
  bench.device->ask_to_leave(3);  // the guest did not follow: it is told again
  CHECK(bench.interrupts == 4);
  CHECK(bench.get(PciHotplug::kDown) == 1U << 3);
}

TEST_CASE("hotplug_news_of_a_slot_ends_with_the_function") {
  Bench bench;
  bench.device->added(5);
  bench.device->ask_to_leave(5);
  bench.device->gone(5);
  CHECK(bench.get(PciHotplug::kUp) == 0);
  CHECK(bench.get(PciHotplug::kDown) == 0);
  CHECK(bench.device->leaving() == 0);
}

TEST_CASE("hotplug_ejections_reach_the_machine_slot_by_slot") {
  Bench bench;
  bench.machine.out(kBase + PciHotplug::kEject, 1U << 4 | 1U << 31 | 1U, 4);
  CHECK(bench.ejected == std::vector<int>{0, 4, 31});
  bench.machine.out(kBase + PciHotplug::kEject, 0xFF, 1);  // only the whole register
  bench.machine.out(kBase + PciHotplug::kUp, 0xFF, 4);
  CHECK(bench.ejected.size() == 3);
  CHECK(bench.get(PciHotplug::kEject) == 0);
}

TEST_CASE("hotplug_refusals_count_when_something_was_asked") {
  Bench bench;
  bench.outcome(3, 1, 7);
  CHECK(bench.refused.empty());
  bench.device->ask_to_leave(7);
  bench.outcome(3, 0, 7);     // it went well
  bench.outcome(3, 0x83, 7);  // it is under way
  bench.outcome(1, 1, 7);     // of another event
  bench.outcome(3, 1, 6);     // of another slot
  bench.outcome(3, 1, 200);   // of none
  CHECK(bench.refused.empty());
  for (const uint8_t no : {0x01, 0x02, 0x80, 0x81, 0x82}) {
    bench.device->ask_to_leave(7);
    bench.outcome(3, no, 7);
    CHECK(bench.refused == std::vector<int>{7});
    CHECK(bench.device->leaving() == 0);
    bench.refused.clear();
  }
  bench.outcome(3, 1, 7);  // said once already
  CHECK(bench.refused.empty());
}

TEST_CASE("hotplug_reset_forgets_news_but_not_what_shall_go") {
  Bench bench;
  bench.device->added(2);
  bench.device->ask_to_leave(3);
  bench.device->reset();
  CHECK(bench.get(PciHotplug::kUp) == 0);
  CHECK(bench.get(PciHotplug::kDown) == 0);
  CHECK(bench.device->leaving() == 1U << 3);
}

TEST_CASE("hotplug_state_goes_on_after_restore") {
  StateWriter out;
  {
    Bench bench;
    bench.device->added(2);
    bench.device->ask_to_leave(3);
    bench.device->save(out);
  }
  const StateReader reader = must(StateReader::parse(out.bytes()));
  Bench bench(&reader);
  CHECK(bench.get(PciHotplug::kUp) == 1U << 2);
  CHECK(bench.get(PciHotplug::kDown) == 1U << 3);
  CHECK(bench.device->leaving() == 1U << 3);
}

}  // namespace lodge::test
