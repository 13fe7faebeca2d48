// Bus: dispatch of whole accesses, overlaps, the top of the address space, changes while a handler runs.
#include "devices/core/bus.h"

#include <catch2/catch.hpp>
#include <functional>
#include <thread>

namespace lodge {
namespace {

class Recorder final : public IoHandler {
 public:
  uint64_t io_read(IoAccess access) override {
    last = access;
    if (on_access) {
      on_access();
    }
    return answer;
  }
  void io_write(IoAccess access, uint64_t value) override {
    last = access;
    written = value;
    if (on_access) {
      on_access();
    }
  }
  IoAccess last;
  uint64_t answer = 0x42;
  uint64_t written = 0;
  std::function<void()> on_access;
};

Bus::Registration add(Bus& bus, uint64_t base, uint64_t size, std::shared_ptr<IoHandler> handler) {
  auto outcome = bus.add(base, size, "test", std::move(handler));
  REQUIRE(outcome);
  return std::move(*outcome);
}

}  // namespace

TEST_CASE("bus_dispatches_whole_accesses_with_offset_size_and_vcpu") {
  Bus bus("port");
  Bus::Reader reader(bus);
  const auto handler = std::make_shared<Recorder>();
  const auto mapping = add(bus, 0x100, 8, handler);
  uint64_t value = 0;
  CHECK(reader.read(0x106, 2, 3, value));
  CHECK(value == 0x42);
  CHECK(handler->last.offset == 6);
  CHECK(handler->last.size == 2);
  CHECK(handler->last.vcpu == 3);
  CHECK(reader.write(0x100, 8, 0, 99));
  CHECK(handler->written == 99);
  handler->written = 0;
  CHECK_FALSE(reader.write(0x107, 2, 0, 1));  // runs past the end
  CHECK_FALSE(reader.write(0xFF, 1, 0, 1));
  CHECK_FALSE(reader.write(0xFF, 2, 0, 1));  // begins before
  CHECK_FALSE(reader.read(0x108, 1, 0, value));
  CHECK(handler->written == 0);
}

TEST_CASE("bus_refuses_overlaps_and_names_the_other") {
  Bus bus("port");
  const auto handler = std::make_shared<Recorder>();
  const auto first = add(bus, 0x100, 0x10, handler);
  const auto last = add(bus, 0x200, 0x10, handler);
  const struct {
    uint64_t base;
    uint64_t size;
    bool good;
  } cases[] = {{0x100, 1, false},    {0x10F, 1, false},   {0x110, 1, true},     {0xFF, 1, true},    {0xFF, 2, false},
               {0xF0, 0x200, false}, {0x110, 0xF0, true}, {0x110, 0xF1, false}, {0x20F, 10, false}, {0x104, 4, false}};
  for (const auto& one : cases) {
    INFO(one.base << "+" << one.size);
    const auto outcome = bus.add(one.base, one.size, "new", handler);
    CHECK(outcome.has_value() == one.good);
    if (!outcome) {
      CHECK(outcome.error().message.find("test") != std::string::npos);
    }
  }
}

TEST_CASE("bus_range_may_reach_the_top_but_not_wrap") {
  Bus bus("memory");
  Bus::Reader reader(bus);
  const auto handler = std::make_shared<Recorder>();
  CHECK_FALSE(bus.add(UINT64_MAX - 3, 5, "wraps", handler));
  CHECK_FALSE(bus.add(0, 0, "empty", handler));
  const auto top = add(bus, UINT64_MAX - 3, 4, handler);
  uint64_t value = 0;
  CHECK(reader.read(UINT64_MAX, 1, 0, value));
  CHECK(reader.read(UINT64_MAX - 3, 4, 0, value));
  CHECK_FALSE(reader.read(UINT64_MAX, 2, 0, value));
  CHECK_FALSE(reader.read(UINT64_MAX - 1, 4, 0, value));
  CHECK_FALSE(bus.add(UINT64_MAX, 1, "taken", handler));
}

TEST_CASE("bus_handler_may_unmap_itself_and_map_anew_while_it_runs") {
  Bus bus("port");
  Bus::Reader reader(bus);
  auto handler = std::make_shared<Recorder>();
  auto mapping = add(bus, 0x100, 8, handler);
  const std::weak_ptr<Recorder> alive = handler;
  Recorder* raw = handler.get();
  raw->on_access = [&, raw] {
    mapping.reset();
    handler.reset();
    CHECK_FALSE(alive.expired());  // the reader keeps it until it returns
    mapping = add(bus, 0x200, 8, std::make_shared<Recorder>());
    raw->on_access = {};
  };
  CHECK(reader.write(0x100, 1, 0, 0));
  CHECK_FALSE(reader.write(0x100, 1, 0, 0));
  CHECK(reader.write(0x200, 1, 0, 0));
  CHECK(alive.expired());
}

TEST_CASE("bus_registration_moves_and_unmaps_once") {
  Bus bus("port");
  Bus::Reader reader(bus);
  const auto handler = std::make_shared<Recorder>();
  Bus::Registration first = add(bus, 0x100, 8, handler);
  Bus::Registration second = std::move(first);
  CHECK_FALSE(first.active());  // NOLINT(bugprone-use-after-move): that is the question
  first.reset();
  CHECK(reader.write(0x100, 1, 0, 0));
  second = add(bus, 0x200, 8, handler);  // the old range goes
  CHECK_FALSE(reader.write(0x100, 1, 0, 0));
  CHECK(reader.write(0x200, 1, 0, 0));
}

TEST_CASE("bus_readers_on_threads_follow_changes") {
  Bus bus("memory");
  class Counter final : public IoHandler {
   public:
    uint64_t io_read(IoAccess) override { return 7; }
    void io_write(IoAccess, uint64_t) override { ++count; }
    std::atomic<int> count{0};
  };
  const auto handler = std::make_shared<Counter>();
  const auto fixed = add(bus, 0, 8, handler);
  std::atomic<bool> stop{false};
  std::atomic<int> misses{0};
  std::vector<std::thread> vcpus;
  for (uint32_t vcpu = 0; vcpu < 3; ++vcpu) {
    vcpus.emplace_back([&, vcpu] {
      Bus::Reader reader(bus);
      while (!stop) {
        misses += reader.write(0, 4, vcpu, 1) ? 0 : 1;
        uint64_t value = 0;
        if (reader.read(0x1000, 4, vcpu, value)) {
          misses += value == 7 ? 0 : 1;
        }
      }
    });
  }
  for (int i = 0; i < 500; ++i) {
    const auto mapping = add(bus, 0x1000, 8, std::make_shared<Counter>());
  }
  stop = true;
  for (auto& vcpu : vcpus) {
    vcpu.join();
  }
  CHECK(misses == 0);
}

}  // namespace lodge
