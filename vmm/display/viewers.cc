#include "vmm/display/viewers.h"

#include "base/log.h"

namespace lodge {

Viewers::~Viewers() = default;

Result<void> Viewers::attach(Fd socket) {
  if (sinks_.screen == nullptr) {
    return fail("the guest has no screen; start it with --video vga");
  }
  if (viewers_.size() >= kMax) {
    return fail("{} viewers look at the screen, and no more may; close one first", viewers_.size());
  }
  const uint64_t number = next_++;
  ViewerThread::Hooks hooks;
  hooks.on_thread = on_thread_;
  hooks.on_gone = [this, number, alive = std::weak_ptr<bool>(alive_)](const std::string& why) {
    // The thread is joined before this object goes; what it posts may come later.
    control_.post([this, number, alive, why] {
      if (alive.expired()) {
        return;
      }
      if (!why.empty()) {
        log_warning("display", "a viewer is dropped: {}", why);
      }
      viewers_.erase(number);
    });
  };
  viewers_.emplace(number, TRY(ViewerThread::start(std::move(socket), sinks_, std::move(hooks))));
  return {};
}

void Viewers::pointer_changed() {
  for (const auto& [number, viewer] : viewers_) {
    viewer->pointer_changed();
  }
}

}  // namespace lodge
