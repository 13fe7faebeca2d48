// Split virtqueues: order, indirect tables, suppression, every way to break the rules, pending chains.
#include "devices/virtio/split_queue.h"

#include <catch2/catch.hpp>

#include "tests/support/guest_driver.h"

namespace lodge::test {
namespace {

struct Bench {
  explicit Bench(uint16_t size = 8, bool event_index = false, bool indirect = true)
      : ring(*machine.memory, Gpa{GuestDriver::kRings}, size, false) {
    state.size = size;
    state.descriptors = ring.descriptors;
    state.driver = ring.driver;
    state.device = ring.device;
    options.name = "test";
    options.event_index = event_index;
    options.indirect = indirect;
    open();
  }
  void open() {
    queue = must(Virtqueue::create(options, state, *machine.memory, *machine.control, [this] { ++interrupts; }));
    queue->set_on_broken([this] { ++broken; });
  }
  // Ends the batch of completions, as the end of a loop's turn does.
  void settle() { machine.turn(1); }
  uint16_t used_index() { return must(machine.memory->read<uint16_t>(Gpa{ring.device + 2})); }
  void set_available(uint16_t value) { must(machine.memory->write(Gpa{ring.driver + 2}, value)); }
  Gpa data(uint64_t offset = 0) { return Gpa{GuestDriver::kBuffers + offset}; }

  TestMachine machine;
  GuestRing ring;
  QueueState state;
  Virtqueue::Options options;
  int interrupts = 0;
  int broken = 0;
  std::unique_ptr<Virtqueue> queue;
};

}  // namespace

TEST_CASE("split_queue_gives_chains_in_order_and_returns_them_as_they_finish") {
  Bench bench;
  CHECK_FALSE(bench.queue->pop());
  CHECK_FALSE(bench.queue->has_work());
  bench.ring.add({{bench.data(), 10, false}, {bench.data(100), 20, false}, {bench.data(200), 30, true}});
  bench.ring.add({{bench.data(), 1, false}});
  CHECK(bench.queue->has_work());
  auto first = bench.queue->pop();
  auto second = bench.queue->pop();
  REQUIRE(first);
  REQUIRE(second);
  CHECK_FALSE(bench.queue->pop());
  CHECK(first->readable_bytes() == 30);
  CHECK(first->writable_bytes() == 30);
  CHECK(first->segments().size() == 3);
  CHECK(bench.queue->in_flight() == 2);
  second->finish();
  first->set_written(5);
  first.reset();
  bench.settle();
  CHECK(bench.interrupts == 1);  // one for the batch
  const auto done = bench.ring.used();
  CHECK(done->head == 3);
  const auto other = bench.ring.used();
  CHECK(other->head == 0);
  CHECK(other->written == 5);
  CHECK_FALSE(bench.ring.used());
  CHECK(bench.queue->in_flight() == 0);
}

TEST_CASE("split_queue_goes_round_many_times") {
  Bench bench(4);
  for (int i = 0; i < 70000; ++i) {  // past 16 bits
    bench.ring.add({{bench.data(), 1, true}});
    auto chain = bench.queue->pop();
    if (!chain) {
      FAIL("no chain at " << i);
    }
    chain->set_written(1);
    chain->finish();
    bench.queue->flush();
    if (!bench.ring.used()) {
      FAIL("nothing used at " << i);
    }
  }
  CHECK(bench.queue->state().next_avail == 70000 % 65536);
}

TEST_CASE("chain_copies_across_buffers_and_stops_at_the_end") {
  Bench bench;
  must(bench.machine.memory->write_bytes(bench.data(), bytes_of(std::string_view("0123456789abcdef"))));
  bench.ring.add({{bench.data(), 4, false},
                  {bench.data(4), 0, false},
                  {bench.data(8), 4, false},
                  {bench.data(100), 3, true},
                  {bench.data(200), 3, true}});
  auto chain = bench.queue->pop();
  REQUIRE(chain);
  std::array<std::byte, 16> bytes{};
  CHECK(chain->read(2, bytes) == 6);
  CHECK(std::memcmp(bytes.data(), "2389ab", 6) == 0);
  CHECK(chain->read(8, bytes) == 0);
  CHECK(chain->read(UINT64_MAX, bytes) == 0);
  CHECK(chain->write(1, bytes_of(std::string_view("ABCDEFGH"))) == 5);
  CHECK(must(bench.machine.memory->read<uint16_t>(bench.data(101))) == ('A' | 'B' << 8));
  CHECK(must(bench.machine.memory->read<uint8_t>(bench.data(202))) == 'E');
  std::vector<iovec> iov;
  CHECK(chain->readable_iov(3, 2, iov) == 2);
  CHECK(iov.size() == 2);
  iov.clear();
  CHECK(chain->writable_iov(5, 100, iov) == 1);
  CHECK(chain->writable_iov(7, 100, iov) == 0);
}

TEST_CASE("split_queue_follows_indirect_tables_when_agreed") {
  Bench bench;
  bench.ring.add_indirect(bench.data(4096), {{bench.data(), 8, false}, {bench.data(64), 16, true}});
  const auto chain = bench.queue->pop();
  REQUIRE(chain);
  CHECK(chain->readable_bytes() == 8);
  CHECK(chain->writable_bytes() == 16);
  Bench without(8, false, false);
  without.ring.add_indirect(without.data(4096), {{without.data(), 8, false}});
  CHECK_FALSE(without.queue->pop());
  CHECK(without.queue->broken());
}

TEST_CASE("split_queue_that_breaks_the_rules_stops_and_tells_once") {
  Bench bench;
  GuestRing& ring = bench.ring;
  SECTION("index runs ahead") { bench.set_available(9); }
  SECTION("head outside of the table") {
    must(bench.machine.memory->write(Gpa{ring.driver + 4}, uint16_t{8}));
    bench.set_available(1);
  }
  SECTION("next outside of the table") {
    ring.put_descriptor(0, bench.data().value, 1, 1, 8);
    ring.publish(0);
  }
  SECTION("loop") {
    ring.put_descriptor(0, bench.data().value, 1, 1, 0);
    ring.publish(0);
  }
  SECTION("buffer outside of RAM") { ring.add({{Gpa{TestMachine::kMemory - 1}, 2, false}}); }
  SECTION("buffer that wraps around") { ring.add({{Gpa{UINT64_MAX}, 2, false}}); }
  SECTION("readable after writable") { ring.add({{bench.data(), 1, true}, {bench.data(), 1, false}}); }
  SECTION("indirect table of odd length") { ring.add_raw(bench.data().value, 17, 4); }
  SECTION("indirect table without length") { ring.add_raw(bench.data().value, 0, 4); }
  SECTION("indirect table outside of RAM") { ring.add_raw(UINT64_MAX - 16, 16, 4); }
  SECTION("indirect and next at once") { ring.add_raw(bench.data().value, 16, 5); }
  SECTION("indirect inside indirect") {
    must(bench.machine.memory->fill(bench.data(), 16, std::byte{0}));
    must(bench.machine.memory->write(bench.data(12), uint16_t{4}));
    must(bench.machine.memory->write(bench.data(8), uint32_t{16}));
    ring.add_raw(bench.data().value, 16, 4);
  }
  CHECK_FALSE(bench.queue->pop());
  CHECK(bench.queue->broken());
  CHECK_FALSE(bench.queue->has_work());
  CHECK_FALSE(bench.queue->enable_kicks());
  CHECK_FALSE(bench.queue->pop());
  CHECK(bench.broken == 1);
}

TEST_CASE("chains_of_a_queue_that_broke_meanwhile_come_home_quietly") {
  Bench bench;
  bench.ring.add({{bench.data(), 1, false}});
  auto chain = bench.queue->pop();
  bench.set_available(100);
  CHECK_FALSE(bench.queue->pop());
  chain.reset();
  bench.settle();
  CHECK(bench.used_index() == 0);
  CHECK(bench.queue->in_flight() == 0);
}

TEST_CASE("split_queue_bounds_how_many_chains_are_out") {
  Bench bench(4);
  std::vector<Chain> out;
  for (int i = 0; i < 4; ++i) {
    bench.ring.add({{bench.data(), 1, false}});
    out.push_back(std::move(*bench.queue->pop()));
  }
  bench.ring.publish(0);  // a lie: all are outstanding
  CHECK_FALSE(bench.queue->pop());
  CHECK_FALSE(bench.queue->has_work());
  out.clear();
  CHECK(bench.queue->pop());
}

TEST_CASE("split_queue_interrupts_as_flags_say") {
  Bench bench;
  bench.ring.set_interrupt_flags(1);
  bench.ring.add({{bench.data(), 1, false}});
  bench.queue->pop().reset();
  bench.settle();
  CHECK(bench.interrupts == 0);
  CHECK(bench.used_index() == 1);
  bench.ring.set_interrupt_flags(0);
  bench.ring.add({{bench.data(), 1, false}});
  bench.queue->pop().reset();
  bench.settle();
  CHECK(bench.interrupts == 1);
}

TEST_CASE("split_queue_interrupts_when_the_event_index_is_passed") {
  Bench bench(8, true);
  const auto complete = [&] {
    bench.ring.add({{bench.data(), 1, false}});
    bench.queue->pop().reset();
    bench.settle();
  };
  const auto want = [&](uint16_t index) { must(bench.machine.memory->write(Gpa{bench.ring.driver + 4 + 16}, index)); };
  want(0);
  complete();
  CHECK(bench.interrupts == 1);
  complete();
  CHECK(bench.interrupts == 1);
  want(3);
  complete();
  CHECK(bench.interrupts == 1);
  complete();
  CHECK(bench.interrupts == 2);
  want(100);
  complete();
  CHECK(bench.interrupts == 2);
}

TEST_CASE("split_queue_asks_for_kicks_by_flags_or_event_index") {
  Bench flags;
  flags.queue->disable_kicks();
  CHECK(must(flags.machine.memory->read<uint16_t>(Gpa{flags.ring.device})) == 1);
  flags.ring.add({{flags.data(), 1, false}});
  CHECK(flags.queue->enable_kicks());  // something came meanwhile
  CHECK(must(flags.machine.memory->read<uint16_t>(Gpa{flags.ring.device})) == 0);
  Bench events(8, true);
  events.ring.add({{events.data(), 1, false}});
  events.queue->pop().reset();
  CHECK_FALSE(events.queue->enable_kicks());
  CHECK(must(events.machine.memory->read<uint16_t>(Gpa{events.ring.device + 4 + 8 * 8})) == 1);
}

TEST_CASE("split_queue_state_keeps_position_and_chains_given_back") {
  Bench bench;
  bench.ring.add({{bench.data(), 10, false}, {bench.data(100), 20, true}});
  bench.ring.add({{bench.data(), 3, false}});
  auto first = bench.queue->pop();
  bench.queue->pop().reset();
  first->give_back();
  bench.queue->flush();
  bench.state = bench.queue->state();
  CHECK(bench.state.next_avail == 2);
  CHECK(bench.state.next_used == 1);
  REQUIRE(bench.state.pending.size() == 1);
  // The driver reused the descriptors meanwhile; the chain is what it was.
  bench.ring.put_descriptor(0, bench.data(500).value, 1, 0, 0);
  bench.open();
  CHECK(bench.queue->has_work());
  auto again = bench.queue->pop();
  REQUIRE(again);
  CHECK(again->readable_bytes() == 10);
  CHECK(again->writable_bytes() == 20);
  again->finish();
  bench.queue->flush();
  CHECK(bench.used_index() == 2);
}

TEST_CASE("split_queue_refuses_impossible_rings") {
  Bench bench;
  const auto refused = [&](auto change) {
    QueueState state = bench.state;
    change(state);
    return !Virtqueue::create(bench.options, state, *bench.machine.memory, *bench.machine.control, [] {});
  };
  CHECK(refused([](QueueState& s) { s.size = 0; }));
  CHECK(refused([](QueueState& s) { s.size = 7; }));
  CHECK(refused([](QueueState& s) { s.size = 40000; }));
  CHECK(refused([](QueueState& s) { s.descriptors += 8; }));
  CHECK(refused([](QueueState& s) { s.driver += 1; }));
  CHECK(refused([](QueueState& s) { s.device += 2; }));
  CHECK(refused([](QueueState& s) { s.descriptors = TestMachine::kMemory - 16; }));
  CHECK(refused([](QueueState& s) { s.driver = TestMachine::kMemory - 16; }));
  CHECK(refused([](QueueState& s) { s.device = UINT64_MAX - 3; }));
  CHECK_FALSE(refused([](QueueState&) {}));
}

}  // namespace lodge::test
