// ViewerThread: serves one viewer, from Hello to the end of its socket, on a thread of its own, because drawing takes
// milliseconds. It waits for its viewer and for nobody else; a viewer that does not read, floods or sends rubbish ends its
// thread and nothing more.
#pragma once

#include <sys/mman.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>

#include "base/fd.h"
#include "vmm/display/session.h"

namespace lodge {

class ViewerThread {
 public:
  struct Hooks {
    std::function<Result<void>()> on_thread;       // first thing on the new thread; error: the viewer is dropped
    std::function<void(std::string why)> on_gone;  // last thing on it; empty: the viewer closed
  };
  // Errors: no socket of this kind; no memory.
  [[nodiscard]] static Result<std::unique_ptr<ViewerThread>> start(Fd socket, DisplaySinks sinks, Hooks hooks);
  // Ends the thread and waits for that, however the viewer behaves.
  ~ViewerThread();
  // The guest's pointer may be of another kind now. Any thread.
  void pointer_changed() { pointer_.signal(); }
  ViewerThread(const ViewerThread&) = delete;
  ViewerThread& operator=(const ViewerThread&) = delete;

 private:
  struct Unmap {
    void operator()(std::byte* at) const { ::munmap(at, display::kPictureBytes); }
  };
  ViewerThread(Fd socket, EventFd stop, EventFd pointer)
      : socket_(std::move(socket)), stop_(std::move(stop)), pointer_(std::move(pointer)) {}
  [[nodiscard]] Result<void> make_picture();
  [[nodiscard]] std::span<uint32_t> pixels() const;
  void run(const DisplaySinks& sinks, const Hooks& hooks);
  [[nodiscard]] Result<void> serve(const DisplaySinks& sinks);

  Fd socket_;
  EventFd stop_;
  EventFd pointer_;
  Fd file_;
  std::unique_ptr<std::byte, Unmap> picture_;
  std::thread thread_;
};

}  // namespace lodge
