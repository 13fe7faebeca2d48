// The display channel, both sides: packets of a viewer reach a session with a screen of changing size, and keys that went
// down come up again whatever happened; packets of a monitor are refused or within their limits.
#include <cstdlib>
#include <cstring>
#include <set>
#include <string_view>
#include <vector>

#include "vmm/display/session.h"
#include "vmm/vnc/link.h"

namespace {

using namespace lodge;

void require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

class Sinks final : public Screen, public InputSink, public PointerSink {
 public:
  std::optional<ChangedLines> refresh(Image& image) override {
    const uint32_t width = 1U + next_ % 70;
    const uint32_t height = 1U + next_ / 7 % 50;
    ChangedLines changed{next_ % height, height, image.width != width || image.height != height};
    if (changed.resized) {
      image = {width, height, std::vector<uint32_t>(size_t{width} * height)};
      changed.first = 0;
    }
    next_ = next_ * 5 + 3;
    return next_ % 3 == 0 && !changed.resized ? std::nullopt : std::optional(changed);
  }
  void prefer_size(uint32_t width, uint32_t height) override { require(display::is_size(width, height)); }
  void key(uint16_t code, bool down) override {
    require(code != 0 && code <= display::kMaxKey);
    if (down) {
      held.insert(code);
    } else {
      require(held.erase(code) == 1);
    }
  }
  void move(int32_t right, int32_t down, int32_t wheel, uint8_t now) override {
    for (const int32_t step : {right, down, wheel}) {
      require(std::abs(step) <= display::kMaxStep);
    }
    require(now <= display::kAllButtons);
    buttons = now;
  }

  std::set<uint16_t> held;
  uint8_t buttons = 0;

 private:
  uint32_t next_ = 1;
};

void from_monitor(std::span<const std::byte> packet) {
  const auto message = display::parse_from_monitor(packet);
  if (!message) {
    return;
  }
  if (const auto* frame = std::get_if<display::Frame>(&*message)) {
    require(uint64_t{frame->width} * frame->height <= display::kMaxPixels && frame->last <= frame->height);
    require(frame->width <= display::kMaxSide && frame->height <= display::kMaxSide && frame->first <= frame->last);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Sinks sinks;
  std::vector<uint32_t> picture(1000);  // less than the largest picture
  auto now = ViewerSession::Time(std::chrono::seconds(1));
  {
    ViewerSession session({&sinks, &sinks, &sinks}, picture);
    std::span rest(data, size);
    while (!rest.empty()) {
      const size_t length = std::min<size_t>(rest[0] % (display::kMaxPacket + 1), rest.size() - 1);
      const auto packet = std::as_bytes(rest.subspan(1, length));
      rest = rest.subspan(1 + length);
      from_monitor(packet);
      (void)vnc::parse_from_client(packet);
      (void)vnc::parse_from_server(packet);
      now += std::chrono::milliseconds(1);
      const auto answer = session.handle(packet, now);
      if (!answer) {
        break;
      }
      if (*answer) {
        require(display::parse_from_monitor(display::bytes_of(**answer)).has_value());
        require(uint64_t{(*answer)->width} * (*answer)->height <= picture.size());
      }
    }
  }
  require(sinks.held.empty() && sinks.buttons == 0);
  return 0;
}
