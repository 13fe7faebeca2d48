// Packed virtqueues: wrap counters, chains and indirect tables, suppression, broken rings, state.
#include "devices/virtio/packed_queue.h"

#include <catch2/catch.hpp>

#include "tests/support/guest_driver.h"

namespace lodge::test {
namespace {

struct Bench {
  explicit Bench(uint16_t size = 8, bool event_index = false, bool indirect = true)
      : ring(*machine.memory, Gpa{GuestDriver::kRings}, size, true) {
    state.size = size;
    state.descriptors = ring.descriptors;
    state.driver = ring.driver;
    state.device = ring.device;
    options.name = "test";
    options.packed = true;
    options.event_index = event_index;
    options.indirect = indirect;
    open();
  }
  void open() {
    queue = must(Virtqueue::create(options, state, *machine.memory, *machine.control, [this] { ++interrupts; }));
    queue->set_on_broken([this] { ++broken; });
  }
  Gpa data(uint64_t offset = 0) { return Gpa{GuestDriver::kBuffers + offset}; }
  void want_event(uint16_t offset_and_wrap, uint16_t flags) {
    must(machine.memory->write(Gpa{ring.driver}, offset_and_wrap));
    must(machine.memory->write(Gpa{ring.driver + 2}, flags));
  }
  TestMachine machine;
  GuestRing ring;
  QueueState state;
  Virtqueue::Options options;
  int interrupts = 0;
  int broken = 0;
  std::unique_ptr<Virtqueue> queue;
};

}  // namespace

TEST_CASE("packed_queue_gives_chains_and_returns_them_in_any_order") {
  Bench bench;
  CHECK_FALSE(bench.queue->pop());
  const uint16_t a = bench.ring.add({{bench.data(), 10, false}, {bench.data(64), 20, true}});
  const uint16_t b = bench.ring.add({{bench.data(), 1, false}});
  auto first = bench.queue->pop();
  auto second = bench.queue->pop();
  REQUIRE(second);
  CHECK_FALSE(bench.queue->pop());
  CHECK(first->readable_bytes() == 10);
  CHECK(first->writable_bytes() == 20);
  second->finish();
  bench.queue->flush();
  CHECK(bench.ring.used()->head == b);
  first->set_written(7);
  first->finish();
  bench.queue->flush();
  const auto done = bench.ring.used();
  CHECK(done->head == a);
  CHECK(done->written == 7);
}

TEST_CASE("packed_queue_wraps_at_any_offset_and_any_size") {
  for (const uint16_t size : {1, 2, 3, 5, 8, 13}) {
    Bench bench(size);
    for (int i = 0; i < 200; ++i) {
      const auto parts = static_cast<size_t>(1 + i % std::min<int>(size, 3));
      const uint16_t id = bench.ring.add(std::vector<Buffer>(parts, Buffer{bench.data(), 4, true}));
      auto chain = bench.queue->pop();
      REQUIRE(chain);
      REQUIRE(chain->writable_bytes() == 4 * parts);
      REQUIRE_FALSE(bench.queue->pop());
      chain->set_written(static_cast<uint64_t>(i));
      chain->finish();
      bench.queue->flush();
      const auto used = bench.ring.used();
      REQUIRE(used);
      REQUIRE(used->head == id);
      REQUIRE(used->written == static_cast<uint32_t>(i));
    }
  }
}

TEST_CASE("packed_queue_follows_indirect_tables_when_agreed") {
  Bench bench;
  bench.ring.add_indirect(bench.data(4096),
                          {{bench.data(), 8, false}, {bench.data(64), 16, true}, {bench.data(96), 1, true}});
  const auto chain = bench.queue->pop();
  REQUIRE(chain);
  CHECK(chain->readable_bytes() == 8);
  CHECK(chain->writable_bytes() == 17);
  Bench without(8, false, false);
  without.ring.add_indirect(without.data(4096), {{without.data(), 8, false}});
  CHECK_FALSE(without.queue->pop());
  CHECK(without.queue->broken());
}

TEST_CASE("packed_queue_that_breaks_the_rules_stops_and_tells_once") {
  Bench bench;
  GuestRing& ring = bench.ring;
  SECTION("chain without end") {
    for (uint16_t i = 0; i < 8; ++i) {
      ring.put_descriptor(i, bench.data().value, 1, 0, 0x81);
    }
  }
  SECTION("buffer outside of RAM") { ring.add({{Gpa{TestMachine::kMemory - 1}, 2, false}}); }
  SECTION("readable after writable") { ring.add({{bench.data(), 1, true}, {bench.data(), 1, false}}); }
  SECTION("indirect table of odd length") { ring.add_raw(bench.data().value, 17, 4); }
  SECTION("indirect table without length") { ring.add_raw(bench.data().value, 0, 4); }
  SECTION("indirect table too long") { ring.add_raw(bench.data().value, 16 * 1025, 4); }
  SECTION("indirect table outside of RAM") { ring.add_raw(UINT64_MAX - 16, 16, 4); }
  SECTION("indirect and next at once") { ring.add_raw(bench.data().value, 16, 5); }
  SECTION("indirect in the middle of a chain") {
    ring.put_descriptor(1, bench.data().value, 16, 0, 0x84);
    ring.put_descriptor(0, bench.data().value, 16, 0, 0x81);
  }
  CHECK_FALSE(bench.queue->pop());
  CHECK(bench.queue->broken());
  CHECK_FALSE(bench.queue->has_work());
  CHECK(bench.broken == 1);
}

TEST_CASE("packed_queue_interrupts_as_the_driver_wishes") {
  Bench bench(8, true);
  const auto complete = [&] {
    bench.ring.add({{bench.data(), 1, false}});
    bench.queue->pop().reset();
    bench.queue->flush();
    REQUIRE(bench.ring.used());
  };
  bench.want_event(0, 1);
  complete();  // slot 0
  CHECK(bench.interrupts == 0);
  bench.want_event(0, 0);
  complete();  // 1
  CHECK(bench.interrupts == 1);
  bench.want_event(0x8000 | 3, 2);
  complete();  // 2
  CHECK(bench.interrupts == 1);
  complete();  // 3
  CHECK(bench.interrupts == 2);
  complete();  // 4
  CHECK(bench.interrupts == 2);
  bench.want_event(1, 2);  // after the wrap
  for (int i = 5; i < 9; ++i) {
    complete();
    CHECK(bench.interrupts == 2);
  }
  complete();  // 1 again
  CHECK(bench.interrupts == 3);
}

TEST_CASE("packed_queue_asks_for_kicks") {
  Bench bench;
  bench.queue->disable_kicks();
  CHECK(must(bench.machine.memory->read<uint16_t>(Gpa{bench.ring.device + 2})) == 1);
  bench.ring.add({{bench.data(), 1, false}});
  CHECK(bench.queue->enable_kicks());
  CHECK(must(bench.machine.memory->read<uint16_t>(Gpa{bench.ring.device + 2})) == 0);
}

TEST_CASE("packed_queue_state_keeps_position_wraps_and_chains_given_back") {
  Bench bench(3);
  for (int i = 0; i < 4; ++i) {
    bench.ring.add({{bench.data(), 1, false}});
    bench.queue->pop().reset();
    bench.queue->flush();
    REQUIRE(bench.ring.used());
  }
  const uint16_t id = bench.ring.add({{bench.data(), 10, false}, {bench.data(64), 20, true}});
  bench.queue->pop()->give_back();
  bench.state = bench.queue->state();
  CHECK_FALSE(bench.state.used_wrap);
  CHECK(bench.state.next_used == 1);
  CHECK(bench.state.pending.size() == 1);
  bench.open();
  auto chain = bench.queue->pop();
  REQUIRE(chain);
  CHECK(chain->readable_bytes() == 10);
  chain->finish();
  bench.queue->flush();
  CHECK(bench.ring.used()->head == id);
  bench.ring.add({{bench.data(), 1, false}});
  CHECK(bench.queue->pop());
}

TEST_CASE("packed_queue_refuses_impossible_rings_and_positions") {
  Bench bench;
  const auto refused = [&](auto change) {
    QueueState state = bench.state;
    change(state);
    return !Virtqueue::create(bench.options, state, *bench.machine.memory, *bench.machine.control, [] {});
  };
  CHECK(refused([](QueueState& s) { s.size = 0; }));
  CHECK(refused([](QueueState& s) { s.size = 32769; }));
  CHECK(refused([](QueueState& s) { s.next_avail = 8; }));
  CHECK(refused([](QueueState& s) { s.next_used = 8; }));
  CHECK(refused([](QueueState& s) { s.descriptors += 8; }));
  CHECK(refused([](QueueState& s) { s.driver += 2; }));
  CHECK(refused([](QueueState& s) { s.device = TestMachine::kMemory - 2; }));
  CHECK_FALSE(refused([](QueueState& s) { s.size = 7; }));
}

}  // namespace lodge::test
