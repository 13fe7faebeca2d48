// The saved state of a virtio display: its resources with their backing, what is shown, the cursor. Pixels follow in records
// of their own, "ID/0", "ID/1", ...: each resource in order of its number, kRecordPixels at a time.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

struct GpuEntryState {
  uint64_t address = 0;
  uint32_t length = 0;
  friend bool operator==(const GpuEntryState&, const GpuEntryState&) = default;
};

struct GpuResourceState {
  uint32_t id = 0;
  uint32_t format = 0;
  uint32_t width = 0;
  uint32_t height = 0;
  std::vector<GpuEntryState> backing;
  friend bool operator==(const GpuResourceState&, const GpuResourceState&) = default;
};

struct VirtioGpuState {
  std::vector<GpuResourceState> resources;
  bool taken = false;  // a driver has said what to show
  uint32_t shown = 0;  // the resource; 0: nothing
  uint32_t x = 0;      // the part of it
  uint32_t y = 0;
  uint32_t width = 0;
  uint32_t height = 0;
  int32_t cursor_x = 0;
  int32_t cursor_y = 0;
  std::vector<uint32_t> cursor;  // its pixels; empty: none
  uint32_t preferred_width = 0;  // 0: that of the configuration
  uint32_t preferred_height = 0;
  uint32_t events = 0;  // of the config space
  friend bool operator==(const VirtioGpuState&, const VirtioGpuState&) = default;
};

struct GpuPixels {
  static constexpr size_t kRecordPixels = 1U << 18;
  std::vector<uint32_t> pixels;  // empty: all are 0
  friend bool operator==(const GpuPixels&, const GpuPixels&) = default;
};

template <>
struct Schema<GpuEntryState> {
  using S = GpuEntryState;
  static constexpr std::string_view name = "virtio-gpu-entry";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "address", &S::address), field(2, "length", &S::length)};
};

template <>
struct Schema<GpuResourceState> {
  using S = GpuResourceState;
  static constexpr std::string_view name = "virtio-gpu-resource";
  static constexpr uint16_t version = 1;
  static constexpr auto fields =
      std::tuple{field(1, "id", &S::id), field(2, "format", &S::format), field(3, "width", &S::width),
                 field(4, "height", &S::height), field(5, "backing", &S::backing)};
};

template <>
struct Schema<VirtioGpuState> {
  using S = VirtioGpuState;
  static constexpr std::string_view name = "virtio-gpu";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "resources", &S::resources),
                                            field(2, "shown", &S::shown),
                                            field(3, "x", &S::x),
                                            field(4, "y", &S::y),
                                            field(5, "width", &S::width),
                                            field(6, "height", &S::height),
                                            field(7, "cursor-x", &S::cursor_x),
                                            field(8, "cursor-y", &S::cursor_y),
                                            field(9, "cursor", &S::cursor),
                                            field(10, "taken", &S::taken),
                                            field(11, "preferred-width", &S::preferred_width),
                                            field(12, "preferred-height", &S::preferred_height),
                                            field(13, "events", &S::events)};
};

template <>
struct Schema<GpuPixels> {
  static constexpr std::string_view name = "virtio-gpu-pixels";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "pixels", &GpuPixels::pixels)};
};

}  // namespace lodge
