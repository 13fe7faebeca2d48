// Task<T>: a coroutine for work of several I/O steps on one event loop. It begins when it is awaited or started, runs on
// that loop's thread alone, and owns its frame. Errors are values, as everywhere.
#pragma once

#include <coroutine>
#include <deque>
#include <exception>
#include <utility>

#include "base/io/event_loop.h"

namespace lodge {

template <class T>
class [[nodiscard]] Task {
 public:
  struct promise_type;  // NOLINT(readability-identifier-naming): the language's name
  using Handle = std::coroutine_handle<promise_type>;

  struct promise_type {  // NOLINT(readability-identifier-naming): as above
    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(Handle self) noexcept { return self.promise().waiter; }
      void await_resume() noexcept {}
    };
    Task get_return_object() { return Task(Handle::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    Final final_suspend() noexcept { return {}; }
    void return_value(T result) { value = std::move(result); }
    void unhandled_exception() { std::terminate(); }

    T value{};
    std::coroutine_handle<> waiter = std::noop_coroutine();
  };

  Task(Task&& other) noexcept : self_(std::exchange(other.self_, nullptr)) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (self_) {
      self_.destroy();
    }
  }

  // co_await std::move(task): runs it, and gives its value.
  struct Awaiter {
    bool await_ready() noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> waiter) noexcept {
      self.promise().waiter = waiter;
      return self;
    }
    T await_resume() { return std::move(self.promise().value); }
    Handle self;
  };
  Awaiter operator co_await() && { return {self_}; }

 private:
  explicit Task(Handle self) : self_(self) {}
  Handle self_;
};

// A coroutine that nobody waits for.
struct Detached {
  struct promise_type {  // NOLINT(readability-identifier-naming): the language's name
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

// Runs a task; done(value) ends it, perhaps before start() returns.
template <class T, class Done>
Detached start(Task<T> task, Done done) {
  done(co_await std::move(task));
}

// Whoever awaits lock() has it, in the order of their coming, until the guard goes. One loop's thread.
class AsyncMutex {
 public:
  explicit AsyncMutex(EventLoop& loop) : loop_(loop) {}
  ~AsyncMutex() { loop_.forget(this); }
  AsyncMutex(const AsyncMutex&) = delete;
  AsyncMutex& operator=(const AsyncMutex&) = delete;

  class [[nodiscard]] Guard {
   public:
    explicit Guard(AsyncMutex& mutex) : mutex_(&mutex) {}
    Guard(Guard&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Guard& operator=(Guard&&) = delete;
    ~Guard() { unlock(); }
    void unlock() {
      if (mutex_ != nullptr) {
        std::exchange(mutex_, nullptr)->release();
      }
    }

   private:
    AsyncMutex* mutex_;
  };

  struct Awaiter {
    bool await_ready() noexcept { return !std::exchange(mutex.locked_, true); }
    void await_suspend(std::coroutine_handle<> waiter) { mutex.waiting_.push_back(waiter); }
    Guard await_resume() { return Guard(mutex); }
    AsyncMutex& mutex;
  };
  [[nodiscard]] Awaiter lock() { return {*this}; }

 private:
  void release() {
    if (waiting_.empty()) {
      locked_ = false;
      return;
    }
    // It stays locked, for the next one, who runs from the loop: no chain of owners deepens the stack.
    const auto next = waiting_.front();
    waiting_.pop_front();
    loop_.defer(this, [next] { next.resume(); });
  }

  EventLoop& loop_;
  bool locked_ = false;
  std::deque<std::coroutine_handle<>> waiting_;
};

}  // namespace lodge
