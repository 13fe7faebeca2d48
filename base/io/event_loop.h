// EventLoop: one thread, one io_uring. Descriptors, event counters, timers and posted functions, all run on that thread.
//
// post(), run_sync() and stop() may be called from any thread; everything else only on the loop's thread, or by the thread
// that owns the loop while nobody runs it. Handles (Watch, Timer) cancel when destroyed and must be destroyed before the
// loop.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "base/fd.h"
#include "base/io/uring.h"
#include "base/mutex.h"
#include "base/result.h"

namespace lodge {

class EventLoop {
 public:
  using Fn = std::function<void()>;
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] static Result<std::unique_ptr<EventLoop>> create(std::string name, unsigned entries = 256);
  ~EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  class Source;
  // Cancels its source on destruction. Empty by default.
  class Watch {
   public:
    Watch() = default;
    explicit Watch(Source* source) : source_(source) {}
    Watch(Watch&& other) noexcept : source_(std::exchange(other.source_, nullptr)) {}
    Watch& operator=(Watch&& other) noexcept;
    ~Watch() { reset(); }
    void reset();
    [[nodiscard]] bool active() const { return source_ != nullptr; }

   private:
    Source* source_ = nullptr;
  };
  class Timer {
   public:
    Timer() = default;
    Timer(EventLoop* loop, uint64_t id) : loop_(loop), id_(id) {}
    Timer(Timer&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)), id_(other.id_) {}
    Timer& operator=(Timer&& other) noexcept;
    ~Timer() { reset(); }
    void reset();
    [[nodiscard]] bool active() const { return loop_ != nullptr; }

   private:
    EventLoop* loop_ = nullptr;
    uint64_t id_ = 0;
  };

  // `fn` runs each time `fd` is readable (or writable); as long as it stays so, it runs again.
  [[nodiscard]] Watch on_readable(int fd, Fn fn);
  [[nodiscard]] Watch on_writable(int fd, Fn fn);
  // `fn` runs after the event counter was signalled; the counter is already cleared. One system call less than on_readable.
  [[nodiscard]] Watch on_event(int event_fd, Fn fn);
  // `fn` runs once, not before `delay` has passed.
  [[nodiscard]] Timer after(std::chrono::nanoseconds delay, Fn fn);
  // `fn` runs once, at the end of the current turn, when the whole batch of completions is done; forget() drops what `owner`
  // deferred. Loop thread only.
  void defer(const void* owner, Fn fn) { deferred_.emplace_back(owner, std::move(fn)); }
  void forget(const void* owner);

  [[nodiscard]] Uring& ring() { return *ring_; }
  [[nodiscard]] const std::string& name() const { return name_; }

  // Runs `fn` on the loop's thread, soon. Any thread.
  void post(Fn fn);
  // Runs `fn` on the loop's thread and waits for it; at once when already there or when nobody runs the loop. Any thread
  // that comes before an I/O loop in the wait order (docs/threads.md).
  void run_sync(const Fn& fn);
  [[nodiscard]] bool on_this_thread() const { return owner_.load() == std::this_thread::get_id(); }

  // Runs until stop(). The calling thread becomes the loop's thread.
  void run();
  // One turn: for tests, fuzzers and draining. Waits at most `timeout`.
  void run_once(std::chrono::nanoseconds timeout);
  // Makes run() return after the current turn. Any thread.
  void stop();

 private:
  explicit EventLoop(std::string name) : name_(std::move(name)) {}
  void turn(std::optional<std::chrono::nanoseconds> timeout);
  void run_posted();
  void fire_timers();
  [[nodiscard]] std::optional<std::chrono::nanoseconds> until_next_timer() const;
  [[nodiscard]] Watch add(std::unique_ptr<Source> source);
  void cancel_timer(uint64_t id);

  std::string name_;
  std::unique_ptr<Uring> ring_;
  std::unordered_set<Source*> sources_;  // owned; freed when the kernel is done with them
  struct Due {
    Clock::time_point at;
    uint64_t id;
    auto operator<=>(const Due&) const = default;
  };
  std::map<Due, Fn> timers_;
  std::map<uint64_t, Clock::time_point> timer_due_;
  uint64_t next_timer_ = 1;
  std::vector<std::pair<const void*, Fn>> deferred_;
  std::vector<std::pair<const void*, Fn>> deferred_now_;

  Fd wake_;
  Watch wake_watch_;
  Mutex mutex_;
  std::vector<Fn> posted_ GUARDED_BY(mutex_);
  std::atomic<bool> stop_{false};
  std::atomic<std::thread::id> owner_{};
};

}  // namespace lodge
