// PointerQueue: what a pointer did that its guest has not fetched yet, bounded. Moves become one; buttons are told one after
// another, as far as there is room. Not thread-safe: the device locks.
#pragma once

#include <cstdint>
#include <deque>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

// Where a pointer is, or what it moved.
struct PointerEvent {
  int32_t x = 0;
  int32_t y = 0;
  int32_t wheel = 0;     // towards the user
  uint8_t buttons = 0;   // of PointerSink
  bool pressed = false;  // other buttons are down than before
  friend bool operator==(const PointerEvent&, const PointerEvent&) = default;
};

class PointerQueue {
 public:
  static constexpr size_t kMaxWaiting = 32;
  // Steps add up, places replace each other.
  enum class Sort : uint8_t { steps, places };

  // `told`: the buttons that are down as far as the guest knows. Without room the last event takes it in.
  void add(Sort sort, PointerEvent event, uint8_t told);
  [[nodiscard]] bool empty() const { return waiting_.empty(); }
  [[nodiscard]] PointerEvent& front() { return waiting_.front(); }
  void pop_front() { waiting_.pop_front(); }
  void clear() { waiting_.clear(); }

  [[nodiscard]] std::vector<PointerEvent> events() const { return {waiting_.begin(), waiting_.end()}; }
  // From a saved state; false: it is damaged.
  [[nodiscard]] bool load(const std::vector<PointerEvent>& events);
  [[nodiscard]] static bool is_sound(const PointerEvent& event);

 private:
  std::deque<PointerEvent> waiting_;
};

template <>
struct Schema<PointerEvent> {
  using S = PointerEvent;
  static constexpr std::string_view name = "pointer-event";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "x", &S::x), field(2, "y", &S::y), field(3, "wheel", &S::wheel),
                                            field(4, "buttons", &S::buttons), field(5, "pressed", &S::pressed)};
};

}  // namespace lodge
