#include "vmm/vnc/picture.h"

#include <catch2/catch.hpp>
#include <vector>

namespace lodge::vnc {
namespace {

struct Fixture {
  SharedPicture picture = *SharedPicture::create();
  std::vector<uint32_t> source = std::vector<uint32_t>(display::kMaxPixels);

  bool update(uint32_t width, uint32_t height, uint32_t first, uint32_t last) {
    return picture.update({source, width, height, first, last});
  }
  [[nodiscard]] std::vector<Rect> changes(uint32_t since) const {
    std::vector<Rect> all;
    picture.changes(since, picture.size(), [&](const Rect& rect) { all.push_back(rect); });
    return all;
  }
};

TEST_CASE("A first picture is one change, row by row of tiles") {
  Fixture f;
  CHECK(f.picture.size() == SharedPicture::Size{0, 0});
  CHECK(f.update(100, 40, 0, 40));
  CHECK(f.picture.size() == SharedPicture::Size{100, 40});
  CHECK(f.changes(0) == std::vector<Rect>{{0, 0, 100, 16}, {0, 16, 100, 16}, {0, 32, 100, 8}});
  CHECK(f.changes(f.picture.serial()).empty());
}

TEST_CASE("Only tiles that differ have changed, and only in the lines that were named") {
  Fixture f;
  f.update(256, 64, 0, 64);
  const uint32_t before = f.picture.serial();
  CHECK(!f.update(256, 64, 0, 64));
  CHECK(f.picture.serial() == before);
  f.source[20 * 256 + 70] = 1;
  f.source[20 * 256 + 130] = 1;
  f.source[63 * 256 + 255] = 1;
  f.source[0] = 1;
  CHECK(f.update(256, 64, 17, 64));
  CHECK(f.changes(before) == std::vector<Rect>{{64, 16, 128, 16}, {192, 48, 64, 16}});
  CHECK(f.picture.pixels()[20 * 256 + 70] == 1);
  CHECK(f.picture.pixels()[0] == 0);
  const uint32_t after = f.picture.serial();
  CHECK(f.update(256, 64, 0, 1));
  CHECK(f.changes(after) == std::vector<Rect>{{0, 0, 64, 16}});
  CHECK(f.changes(before).size() == 3);
}

TEST_CASE("Another size changes everything") {
  Fixture f;
  f.source.assign(f.source.size(), 7);
  f.update(300, 100, 0, 100);
  const uint32_t before = f.picture.serial();
  CHECK(f.update(65, 17, 0, 0));
  CHECK(f.changes(before) == std::vector<Rect>{{0, 0, 65, 16}, {0, 16, 65, 1}});
  CHECK(f.picture.pixels()[65 * 17 - 1] == 7);
  CHECK(f.picture.pixels()[65 * 17] == 0);
}

TEST_CASE("Pictures of every shape find room") {
  Fixture f;
  for (const auto& [width, height] :
       {std::pair{4096U, 4096U}, {16384U, 1024U}, {1024U, 16384U}, {1025U, 16368U}, {1U, 16384U}, {16384U, 1U}, {1U, 1U}}) {
    CHECK(f.update(width, height, 0, height));
    uint64_t pixels = 0;
    for (const Rect& rect : f.changes(f.picture.serial() - 1)) {
      CHECK((rect.x + rect.width <= width && rect.y + rect.height <= height));
      pixels += uint64_t{rect.width} * rect.height;
    }
    CHECK(pixels == uint64_t{width} * height);
  }
}

}  // namespace
}  // namespace lodge::vnc
