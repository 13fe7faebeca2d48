#include "base/io/event_loop.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <condition_variable>
#include <mutex>

namespace lodge {

// What the kernel holds a pointer to. It outlives its Watch until the last completion has come back.
class EventLoop::Source : public UringOp {
 public:
  enum class Kind : uint8_t { readable, writable, event };
  Source(EventLoop& loop, int fd, Kind kind, Fn fn) : loop_(loop), fd_(fd), kind_(kind), fn_(std::move(fn)) {
    complete = [](UringOp& op, int32_t result) { static_cast<Source&>(op).done(result); };
  }
  void arm() {
    in_flight_ = true;
    if (kind_ == Kind::event) {
      loop_.ring().read(*this, {fd_, false}, &count_, sizeof count_, 0);
    } else {
      loop_.ring().poll(*this, fd_, kind_ == Kind::readable ? POLLIN : POLLOUT);
    }
  }
  void cancel() {
    cancelled_ = true;
    if (running_) {
      return;  // our own callback destroys the watch: done() frees us
    }
    if (in_flight_) {
      loop_.ring().cancel(*this);
    } else {
      free_self();
    }
  }

 private:
  void done(int32_t result) {
    in_flight_ = false;
    const bool polled_first = std::exchange(polling_, false);  // the counter is still to be read
    if (!cancelled_ && !polled_first && result != -ECANCELED && result != -EAGAIN && result != -EINTR) {
      running_ = true;
      fn_();
      running_ = false;
    }
    if (cancelled_) {
      free_self();
      return;
    }
    if (result == -EAGAIN) {
      // A non-blocking counter without poll support in the ring: wait for readiness first.
      loop_.ring().poll(*this, fd_, POLLIN);
      in_flight_ = true;
      polling_ = true;
      return;
    }
    arm();
  }
  void free_self() {
    loop_.sources_.erase(this);
    delete this;
  }

  EventLoop& loop_;
  int fd_;
  Kind kind_;
  Fn fn_;
  uint64_t count_ = 0;
  bool in_flight_ = false;
  bool polling_ = false;
  bool cancelled_ = false;
  bool running_ = false;
};

EventLoop::Watch& EventLoop::Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    reset();
    source_ = std::exchange(other.source_, nullptr);
  }
  return *this;
}

void EventLoop::Watch::reset() {
  if (Source* source = std::exchange(source_, nullptr)) {
    source->cancel();
  }
}

EventLoop::Timer& EventLoop::Timer::operator=(Timer&& other) noexcept {
  if (this != &other) {
    reset();
    loop_ = std::exchange(other.loop_, nullptr);
    id_ = other.id_;
  }
  return *this;
}

void EventLoop::Timer::reset() {
  if (EventLoop* loop = std::exchange(loop_, nullptr)) {
    loop->cancel_timer(id_);
  }
}

Result<std::unique_ptr<EventLoop>> EventLoop::create(std::string name, unsigned entries) {
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(name)));
  loop->ring_ = TRY(Uring::create(entries));
  // Blocking on purpose: the ring reads it, and a blocking descriptor makes that read wait instead of failing.
  loop->wake_ = Fd(::eventfd(0, EFD_CLOEXEC));
  if (!loop->wake_.valid()) {
    return fail_errno(errno, "create eventfd");
  }
  loop->wake_watch_ = loop->on_event(loop->wake_.get(), [] {});
  return loop;
}

EventLoop::~EventLoop() {
  wake_watch_.reset();
  ring_.reset();  // the kernel ends everything in flight
  for (Source* source : sources_) {
    delete source;
  }
}

EventLoop::Watch EventLoop::add(std::unique_ptr<Source> source) {
  Source* raw = source.release();
  sources_.insert(raw);
  raw->arm();
  return Watch(raw);
}

EventLoop::Watch EventLoop::on_readable(int fd, Fn fn) {
  return add(std::make_unique<Source>(*this, fd, Source::Kind::readable, std::move(fn)));
}

EventLoop::Watch EventLoop::on_writable(int fd, Fn fn) {
  return add(std::make_unique<Source>(*this, fd, Source::Kind::writable, std::move(fn)));
}

EventLoop::Watch EventLoop::on_event(int event_fd, Fn fn) {
  return add(std::make_unique<Source>(*this, event_fd, Source::Kind::event, std::move(fn)));
}

EventLoop::Timer EventLoop::after(std::chrono::nanoseconds delay, Fn fn) {
  const uint64_t id = next_timer_++;
  const Clock::time_point at = Clock::now() + delay;
  timers_.emplace(Due{at, id}, std::move(fn));
  timer_due_.emplace(id, at);
  return {this, id};
}

void EventLoop::cancel_timer(uint64_t id) {
  if (const auto it = timer_due_.find(id); it != timer_due_.end()) {
    timers_.erase(Due{it->second, id});
    timer_due_.erase(it);
  }
}

void EventLoop::post(Fn fn) {
  {
    const Lock lock(mutex_);
    posted_.push_back(std::move(fn));
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wake_.get(), &one, sizeof one);
}

void EventLoop::run_sync(const Fn& fn) {
  if (on_this_thread() || owner_.load() == std::thread::id{}) {
    fn();
    return;
  }
  std::mutex mutex;
  std::condition_variable ready;
  bool done = false;
  post([&] {
    fn();
    const std::scoped_lock lock(mutex);
    done = true;
    ready.notify_one();
  });
  std::unique_lock lock(mutex);
  ready.wait(lock, [&] { return done; });
}

void EventLoop::run_posted() {
  std::vector<Fn> batch;
  {
    const Lock lock(mutex_);
    batch.swap(posted_);
  }
  for (const Fn& fn : batch) {
    fn();
  }
}

void EventLoop::fire_timers() {
  const Clock::time_point now = timers_.empty() ? Clock::time_point{} : Clock::now();
  while (!timers_.empty() && timers_.begin()->first.at <= now) {
    auto node = timers_.extract(timers_.begin());
    timer_due_.erase(node.key().id);
    node.mapped()();
  }
}

std::optional<std::chrono::nanoseconds> EventLoop::until_next_timer() const {
  if (timers_.empty()) {
    return std::nullopt;
  }
  return std::max(std::chrono::nanoseconds(0), std::chrono::nanoseconds(timers_.begin()->first.at - Clock::now()));
}

void EventLoop::turn(std::optional<std::chrono::nanoseconds> timeout) {
  const auto timer = until_next_timer();
  if (timer && (!timeout || *timer < *timeout)) {
    timeout = timer;
  }
  ring_->run_once(timeout);
  fire_timers();
  run_posted();
  while (!deferred_.empty()) {
    deferred_now_.swap(deferred_);
    for (size_t i = 0; i < deferred_now_.size(); ++i) {
      if (deferred_now_[i].second) {
        deferred_now_[i].second();
      }
    }
    deferred_now_.clear();
  }
}

void EventLoop::forget(const void* owner) {
  for (auto* list : {&deferred_, &deferred_now_}) {
    for (auto& [who, fn] : *list) {
      if (who == owner) {
        fn = nullptr;
      }
    }
  }
}

void EventLoop::run() {
  owner_.store(std::this_thread::get_id());
  ring_->adopt_thread();
  while (!stop_.load(std::memory_order_acquire)) {
    turn(std::nullopt);
  }
  stop_.store(false);
  ring_->leave_thread();
  run_posted();  // nobody who waits in run_sync() is left behind
  owner_.store(std::thread::id{});
  run_posted();
}

void EventLoop::run_once(std::chrono::nanoseconds timeout) {
  const auto previous = owner_.exchange(std::this_thread::get_id());
  turn(timeout);
  owner_.store(previous);
}

void EventLoop::stop() {
  stop_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wake_.get(), &one, sizeof one);
}

}  // namespace lodge
