// EventLoop and LoopThread: posts, run_sync, timers, watches, cancelling from inside callbacks.
#include "base/io/event_loop.h"

#include <sys/eventfd.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include "base/io/loop_thread.h"

namespace lodge {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<EventLoop> make_loop() { return std::move(*EventLoop::create("test")); }

template <class Condition>
bool run_until(EventLoop& loop, Condition condition) {
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) {
      return false;
    }
    loop.run_once(1ms);
  }
  return true;
}

struct Pipe {
  Pipe() { REQUIRE(::pipe(ends) == 0); }
  ~Pipe() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  void send(char c = 'x') { REQUIRE(::write(ends[1], &c, 1) == 1); }
  void take() {
    char c = 0;
    REQUIRE(::read(ends[0], &c, 1) == 1);
  }
  int ends[2];
};

}  // namespace

TEST_CASE("posted_functions_run_in_order_on_the_loop") {
  const auto loop = make_loop();
  std::vector<int> order;
  loop->post([&] {
    order.push_back(1);
    loop->post([&] { order.push_back(3); });
    CHECK(loop->on_this_thread());
  });
  loop->post([&] { order.push_back(2); });
  CHECK_FALSE(loop->on_this_thread());
  CHECK(run_until(*loop, [&] { return order.size() == 3; }));
  CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("run_sync_waits_for_the_loop_and_runs_at_once_when_nobody_runs_it") {
  const auto idle = make_loop();
  bool ran = false;
  idle->run_sync([&] { ran = true; });
  CHECK(ran);
  const auto thread = std::move(*LoopThread::start("io", {}));
  std::thread::id where;
  thread->loop().run_sync([&] {
    where = std::this_thread::get_id();
    thread->loop().run_sync([] {});  // from inside: no deadlock
  });
  CHECK(where != std::this_thread::get_id());
  std::atomic<int> count{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        thread->loop().run_sync([&] { ++count; });
        thread->loop().post([&] { ++count; });
      }
    });
  }
  for (auto& caller : callers) {
    caller.join();
  }
  thread->loop().run_sync([] {});
  CHECK(count == 1600);
}

TEST_CASE("loop_thread_starts_and_ends_with_work_posted") {
  for (int i = 0; i < 20; ++i) {
    std::atomic<bool> started{false};
    auto thread = std::move(*LoopThread::start("io", [&] { started = true; }));
    CHECK(started);
    thread->loop().post([] {});
    thread.reset();
  }
}

TEST_CASE("timers_fire_once_in_order_of_time") {
  const auto loop = make_loop();
  std::vector<int> order;
  const auto begin = std::chrono::steady_clock::now();
  const auto late = loop->after(20ms, [&] { order.push_back(2); });
  const auto early = loop->after(5ms, [&] { order.push_back(1); });
  const auto now = loop->after(0ms, [&] { order.push_back(0); });
  CHECK(run_until(*loop, [&] { return order.size() == 3; }));
  CHECK(std::chrono::steady_clock::now() - begin >= 20ms);
  CHECK(order == std::vector{0, 1, 2});
  loop->run_once(1ms);
  CHECK(order.size() == 3);
}

TEST_CASE("timer_cancelled_before_does_not_fire_and_one_replaced_in_its_callback_does") {
  const auto loop = make_loop();
  int fired = 0;
  auto cancelled = loop->after(1ms, [&] { FAIL("cancelled"); });
  cancelled.reset();
  CHECK_FALSE(cancelled.active());
  EventLoop::Timer self;
  self = loop->after(1ms, [&] {
    ++fired;
    self = loop->after(1ms, [&] {
      ++fired;
      self.reset();
    });
  });
  EventLoop::Timer other = loop->after(2ms, [&] {});
  const auto killer = loop->after(1ms, [&] { other.reset(); });
  CHECK(run_until(*loop, [&] { return fired == 2; }));
}

TEST_CASE("readable_runs_as_long_as_it_stays_readable") {
  const auto loop = make_loop();
  Pipe pipe;
  int calls = 0;
  auto watch = loop->on_readable(pipe.ends[0], [&] {
    ++calls;
    if (calls == 3) {
      pipe.take();
    }
  });
  loop->run_once(0ms);
  CHECK(calls == 0);
  pipe.send();
  CHECK(run_until(*loop, [&] { return calls == 3; }));
  for (int i = 0; i < 5; ++i) {
    loop->run_once(1ms);
  }
  CHECK(calls == 3);
  watch.reset();
  pipe.send();
  for (int i = 0; i < 5; ++i) {
    loop->run_once(1ms);
  }
  CHECK(calls == 3);
}

TEST_CASE("watch_cancelled_in_its_own_callback_is_gone") {
  const auto loop = make_loop();
  Pipe pipe;
  int calls = 0;
  Fd event(::eventfd(1, EFD_CLOEXEC));
  EventLoop::Watch watch;
  SECTION("readable") {
    watch = loop->on_readable(pipe.ends[0], [&] {
      ++calls;
      watch.reset();
    });
    pipe.send();
  }
  SECTION("readable, replaced by another") {
    watch = loop->on_readable(pipe.ends[0], [&] {
      ++calls;
      watch = loop->on_writable(pipe.ends[1], [&] { watch.reset(); });
    });
    pipe.send();
  }
  SECTION("event") {
    watch = loop->on_event(event.get(), [&] {
      ++calls;
      watch.reset();
      event.reset();
    });
  }
  CHECK(run_until(*loop, [&] { return calls == 1; }));
  for (int i = 0; i < 5; ++i) {
    loop->run_once(1ms);
  }
  CHECK(calls == 1);
  CHECK_FALSE(watch.active());
}

TEST_CASE("watches_cancel_one_another_in_the_same_turn") {
  const auto loop = make_loop();
  Pipe first_pipe;
  Pipe second_pipe;
  int calls = 0;
  EventLoop::Watch first;
  EventLoop::Watch second;
  first = loop->on_readable(first_pipe.ends[0], [&] {
    ++calls;
    second.reset();
    first.reset();
  });
  second = loop->on_readable(second_pipe.ends[0], [&] {
    ++calls;
    first.reset();
    second.reset();
  });
  first_pipe.send();
  second_pipe.send();
  CHECK(run_until(*loop, [&] { return calls != 0; }));
  for (int i = 0; i < 5; ++i) {
    loop->run_once(1ms);
  }
  CHECK(calls == 1);
}

TEST_CASE("event_watch_clears_the_counter_and_misses_no_signal") {
  const auto thread = std::move(*LoopThread::start("io", {}));
  const Fd event(::eventfd(0, EFD_CLOEXEC));
  std::atomic<int> calls{0};
  EventLoop::Watch watch;
  thread->loop().run_sync([&] { watch = thread->loop().on_event(event.get(), [&] { ++calls; }); });
  for (int i = 1; i <= 200; ++i) {
    const uint64_t one = 1;
    REQUIRE(::write(event.get(), &one, sizeof one) == sizeof one);
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (calls < i && std::chrono::steady_clock::now() < end) {
      std::this_thread::yield();
    }
    REQUIRE(calls == i);
  }
  thread->loop().run_sync([&] { watch.reset(); });
}

TEST_CASE("deferred_work_runs_at_the_end_of_the_turn_unless_forgotten") {
  const auto loop = make_loop();
  std::vector<int> order;
  int owner = 0;
  int other = 0;
  loop->post([&] {
    loop->defer(&owner, [&] { order.push_back(9); });
    loop->defer(&other, [&] {
      order.push_back(2);
      loop->defer(&other, [&] { order.push_back(3); });  // in the same turn
    });
    loop->forget(&owner);
    order.push_back(1);
  });
  CHECK(run_until(*loop, [&] { return !order.empty(); }));
  CHECK(order == std::vector{1, 2, 3});
}

TEST_CASE("loop_with_everything_pending_is_destroyed_cleanly") {
  auto loop = make_loop();
  Pipe pipe;
  {
    const auto watch = loop->on_readable(pipe.ends[0], [] {});
    const auto timer = loop->after(1h, [] {});
    loop->post([] {});
    loop->run_once(0ms);
  }
  loop.reset();
}

}  // namespace lodge
