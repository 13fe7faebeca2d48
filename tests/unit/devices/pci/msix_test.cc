// Msix: masks, pending bits, access sizes, saved state.
#include "devices/pci/msix.h"

#include <catch2/catch.hpp>

#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

struct Bench {
  explicit Bench(uint16_t vectors = 3, const MsixState* saved = nullptr)
      : msix(must(Msix::create(vectors, factory, saved))) {}
  void write(uint64_t offset, uint64_t value, uint8_t size = 4) { msix->io_write({offset, size, 0}, value); }
  uint64_t read(uint64_t offset, uint8_t size = 4) { return msix->io_read({offset, size, 0}); }
  uint64_t pending() { return read(Msix::kPbaOffset, 8); }
  int triggers(size_t vector) { return factory.vectors[vector]->triggers; }
  void program(unsigned vector, bool masked = false) {
    write(vector * 16, 0xFEE00000);
    write(vector * 16 + 8, 0x40 + vector);
    write(vector * 16 + 12, masked ? 1 : 0);
  }
  RecordingMsi factory;
  std::unique_ptr<Msix> msix;
};

constexpr uint16_t kEnable = 0x8000;
constexpr uint16_t kMaskAll = 0x4000;

}  // namespace

TEST_CASE("msix_signals_enabled_unmasked_vectors") {
  Bench bench;
  bench.program(1);
  bench.msix->write_control(kEnable);
  CHECK(bench.msix->read_control() == (kEnable | 2));
  CHECK(bench.factory.vectors[1]->enabled);
  CHECK(bench.factory.vectors[1]->address == 0xFEE00000);
  CHECK(bench.factory.vectors[1]->data == 0x41);
  bench.msix->trigger(1);
  CHECK(bench.triggers(1) == 1);
  CHECK(bench.pending() == 0);
  bench.msix->trigger(99);  // no such vector
  CHECK(bench.msix->event_fd(99) == -1);
}

TEST_CASE("msix_remembers_what_is_masked_and_signals_it_once_when_unmasked") {
  Bench bench;
  bench.program(2, true);
  bench.msix->write_control(kEnable);
  bench.msix->trigger(2);
  bench.msix->trigger(2);
  CHECK(bench.triggers(2) == 0);
  CHECK(bench.pending() == 4);
  SECTION("vector mask") { bench.write(2 * 16 + 12, 0); }
  SECTION("function mask") {
    bench.msix->write_control(kEnable | kMaskAll);
    bench.write(2 * 16 + 12, 0);
    CHECK(bench.triggers(2) == 0);
    CHECK(bench.pending() == 4);
    bench.msix->write_control(kEnable);
  }
  SECTION("enable") {
    bench.msix->write_control(0);
    bench.write(2 * 16 + 12, 0);
    CHECK(bench.triggers(2) == 0);
    bench.msix->write_control(kEnable);
  }
  CHECK(bench.triggers(2) == 1);
  CHECK(bench.pending() == 0);
}

TEST_CASE("msix_takes_new_addresses_while_unmasked") {
  Bench bench;
  bench.msix->write_control(kEnable);
  bench.program(0);
  bench.write(8, 0x77);
  CHECK(bench.factory.vectors[0]->data == 0x77);
  bench.write(0, 0x12345678'FEE01000, 8);
  CHECK(bench.factory.vectors[0]->address == 0x12345678'FEE01000);
  CHECK(bench.read(0, 8) == 0x12345678'FEE01000);
}

TEST_CASE("msix_ignores_odd_accesses_and_what_lies_outside") {
  Bench bench;
  bench.program(0, true);
  const uint64_t before = bench.read(0, 8);
  for (const uint8_t size : {uint8_t{1}, uint8_t{2}, uint8_t{4}, uint8_t{8}}) {
    for (uint64_t offset = 0; offset < 64; ++offset) {
      if (offset % 4 != 0 || size < 4 || offset >= 48) {
        bench.write(offset, ~uint64_t{0}, size);
        CHECK(bench.read(offset, size) == 0);
      }
    }
    bench.write(Msix::kPbaOffset, ~uint64_t{0}, size);
    bench.write(Msix::kBarSize - size, ~uint64_t{0}, size);
    CHECK(bench.read(Msix::kBarSize - size, size) == 0);
  }
  CHECK(bench.read(0, 8) == before);
  CHECK(bench.pending() == 0);
}

TEST_CASE("msix_state_round_trip_keeps_masks_and_pending") {
  Bench bench;
  bench.program(0);
  bench.program(1, true);
  bench.msix->write_control(kEnable);
  bench.msix->trigger(1);
  const MsixState state = bench.msix->state();
  Bench second(3, &state);
  CHECK(second.msix->state() == state);
  CHECK(second.pending() == 2);
  second.msix->trigger(0);
  CHECK(second.triggers(0) == 1);
  second.write(16 + 12, 0);
  CHECK(second.triggers(1) == 1);
  RecordingMsi factory;
  CHECK_FALSE(Msix::create(4, factory, &state));
}

TEST_CASE("msix_reset_masks_all_and_forgets") {
  Bench bench;
  bench.program(0);
  bench.program(1, true);
  bench.msix->write_control(kEnable | kMaskAll);
  bench.msix->trigger(1);
  bench.msix->reset();
  CHECK(bench.msix->state() == Bench().msix->state());
  CHECK_FALSE(bench.factory.vectors[0]->enabled);
}

TEST_CASE("msix_vector_counts_are_bounded_and_route_shortage_is_an_error") {
  RecordingMsi factory;
  CHECK_FALSE(Msix::create(0, factory, nullptr));
  CHECK_FALSE(Msix::create(2049, factory, nullptr));
  const auto most = Msix::create(2048, factory, nullptr);
  REQUIRE(most);
  (*most)->trigger(2047);
  CHECK((*most)->io_read({Msix::kPbaOffset + 248, 8, 0}) == 1ULL << 63);
  factory.limit = 2050;
  CHECK_FALSE(Msix::create(3, factory, nullptr));
}

}  // namespace lodge::test
