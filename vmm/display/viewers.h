// Viewers: those who look at a guest's screen now, over display channels. On the control thread; it never waits for them
// but at the end, for as long as drawing a picture takes.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "base/io/event_loop.h"
#include "vmm/display/viewer_thread.h"

namespace lodge {

class Viewers {
 public:
  static constexpr size_t kMax = 8;
  // `on_thread` runs first on each viewer's thread. The sinks outlive this.
  Viewers(EventLoop& control, DisplaySinks sinks, std::function<Result<void>()> on_thread)
      : control_(control), sinks_(sinks), on_thread_(std::move(on_thread)) {}
  ~Viewers();
  Viewers(const Viewers&) = delete;
  Viewers& operator=(const Viewers&) = delete;

  // Errors: there is no screen; there are enough; the socket is of another kind.
  [[nodiscard]] Result<void> attach(Fd socket);
  // The guest's pointer may be of another kind now.
  void pointer_changed();
  [[nodiscard]] size_t count() const { return viewers_.size(); }

 private:
  EventLoop& control_;
  DisplaySinks sinks_;
  std::function<Result<void>()> on_thread_;
  std::map<uint64_t, std::unique_ptr<ViewerThread>> viewers_;
  uint64_t next_ = 1;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted work checks it
};

}  // namespace lodge
