// A screen, a keyboard and a pointer that remember what was done to them.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "base/mutex.h"
#include "devices/display/screen.h"
#include "devices/input/input.h"

namespace lodge::test {

class FakeScreen final : public Screen {
 public:
  // The next refresh finds these lines changed and filled with `colour`.
  void paint(uint32_t width, uint32_t height, ChangedLines lines, uint32_t colour) {
    const Lock lock(mutex_);
    width_ = width;
    height_ = height;
    lines_ = lines;
    colour_ = colour;
  }
  std::optional<ChangedLines> refresh(Image& image) override {
    const Lock lock(mutex_);
    if (image.width != width_ || image.height != height_) {
      image = {width_, height_, std::vector<uint32_t>(size_t{width_} * height_)};
    }
    if (lines_) {
      for (size_t i = size_t{lines_->first} * width_; i < size_t{lines_->last} * width_; ++i) {
        image.pixels[i] = colour_;
      }
    }
    return std::exchange(lines_, std::nullopt);
  }
  bool takes_sizes() const override { return true; }
  void prefer_size(uint32_t width, uint32_t height) override {
    const Lock lock(mutex_);
    wanted_ = fmt::format("{}x{}", width, height);
  }
  std::string wanted() {
    const Lock lock(mutex_);
    return wanted_;
  }

 private:
  Mutex mutex_;
  uint32_t width_ GUARDED_BY(mutex_) = 10;
  uint32_t height_ GUARDED_BY(mutex_) = 10;
  uint32_t colour_ GUARDED_BY(mutex_) = 0;
  std::string wanted_ GUARDED_BY(mutex_);
  std::optional<ChangedLines> lines_ GUARDED_BY(mutex_);
};

class FakeInput final : public InputSink, public PointerSink {
 public:
  void key(uint16_t code, bool down) override { add(fmt::format("{}{}", down ? '+' : '-', code)); }
  void move(int32_t right, int32_t down, int32_t wheel, uint8_t buttons) override {
    add(fmt::format("{},{},{},{}", right, down, wheel, buttons));
  }
  // All since the last call.
  std::string take() {
    const Lock lock(mutex_);
    return std::exchange(text_, {});
  }

 private:
  void add(const std::string& what) {
    const Lock lock(mutex_);
    text_ += text_.empty() ? what : " " + what;
  }
  Mutex mutex_;
  std::string text_ GUARDED_BY(mutex_);
};

}  // namespace lodge::test
