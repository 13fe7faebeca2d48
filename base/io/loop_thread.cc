#include "base/io/loop_thread.h"

#include <pthread.h>
#include <latch>

namespace lodge {

Result<std::unique_ptr<LoopThread>> LoopThread::start(std::string name, std::function<void()> on_start) {
  std::unique_ptr<LoopThread> self(new LoopThread);
  self->loop_ = TRY(EventLoop::create(std::move(name)));
  std::latch running(1);
  self->loop_->post([&running] { running.count_down(); });
  self->thread_ = std::thread([loop = self->loop_.get(), start = std::move(on_start)] {
    ::pthread_setname_np(::pthread_self(), loop->name().substr(0, 15).c_str());
    if (start) {
      start();
    }
    loop->run();
  });
  running.wait();
  return self;
}

LoopThread::~LoopThread() {
  if (thread_.joinable()) {
    loop_->stop();
    thread_.join();
  }
}

}  // namespace lodge
