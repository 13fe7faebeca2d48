#include "vmm/display/session.h"

#include <algorithm>

namespace lodge {

ViewerSession::~ViewerSession() {
  if (sinks_.keyboard != nullptr) {
    for (uint16_t code = 0; code <= display::kMaxKey; ++code) {
      if (held_[code]) {
        sinks_.keyboard->key(code, false);
      }
    }
  }
  let_up_buttons();
}

void ViewerSession::let_up_buttons() {
  if (buttons_ != 0) {
    move({.buttons = 0});
  }
  if (tablet_buttons_ != 0) {
    place({.x = place_.x, .y = place_.y, .buttons = 0});
  }
}

std::optional<display::Pointer> ViewerSession::pointer_news() {
  const bool absolute = sinks_.tablet != nullptr && sinks_.tablet->takes_places();
  if (told_ == absolute) {
    return std::nullopt;
  }
  told_ = absolute;
  let_up_buttons();  // the viewer holds them elsewhere from now on
  return display::Pointer{.absolute = absolute};
}

Result<std::optional<display::Frame>> ViewerSession::handle(std::span<const std::byte> packet, Time now) {
  const display::FromViewer message = TRY(display::parse_from_viewer(packet));
  const auto* wanted = std::get_if<display::Refresh>(&message);
  if (!(wanted != nullptr ? refreshes_ : inputs_).admit(now)) {
    return fail("it sends more than {} keys and steps or asks for more than {} pictures in a second",
                display::kInputsPerSecond, display::kRefreshesPerSecond);
  }
  if (wanted != nullptr) {
    return refresh(*wanted);
  }
  if (const auto* pressed = std::get_if<display::Key>(&message)) {
    key(*pressed);
  } else if (const auto* step = std::get_if<display::Move>(&message)) {
    move(*step);
  } else if (const auto* position = std::get_if<display::Position>(&message)) {
    place(*position);
  } else if (const auto* size = std::get_if<display::Size>(&message)) {
    sinks_.screen->prefer_size(size->width, size->height);
  }
  return std::nullopt;
}

display::Frame ViewerSession::refresh(const display::Refresh& wanted) {
  const std::optional<ChangedLines> changed = sinks_.screen->refresh(image_);
  display::Frame frame{.serial = wanted.serial};
  // Of a picture without end, its beginning.
  frame.width = std::min(image_.width, display::kMaxSide);
  const auto room = static_cast<uint32_t>(picture_.size() / std::max(frame.width, 1U));
  frame.height = std::min({image_.height, display::kMaxSide, room});
  if (!changed) {
    return frame;
  }
  frame.resized = changed->resized ? 1 : 0;
  frame.first = std::min(changed->first, frame.height);
  frame.last = std::min(changed->last, frame.height);
  for (size_t line = frame.first; line < frame.last; ++line) {
    std::ranges::copy(std::span(image_.pixels).subspan(line * image_.width, frame.width),
                      picture_.subspan(line * frame.width, frame.width).begin());
  }
  return frame;
}

void ViewerSession::key(const display::Key& key) {
  if (sinks_.keyboard != nullptr && (key.down != 0 || held_[key.code])) {
    held_[key.code] = key.down != 0;
    sinks_.keyboard->key(key.code, key.down != 0);
  }
}

void ViewerSession::move(const display::Move& move) {
  if (sinks_.pointer != nullptr) {
    buttons_ = static_cast<uint8_t>(move.buttons);
    sinks_.pointer->move(move.right, move.down, move.wheel, buttons_);
  }
}

void ViewerSession::place(const display::Position& position) {
  if (sinks_.tablet != nullptr) {
    place_ = position;
    tablet_buttons_ = static_cast<uint8_t>(position.buttons);
    sinks_.tablet->place(position.x, position.y, position.wheel, tablet_buttons_);
  }
}

}  // namespace lodge
