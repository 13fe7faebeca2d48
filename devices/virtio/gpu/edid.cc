#include "devices/virtio/gpu/edid.h"

#include <algorithm>
#include <numeric>
#include <string_view>

namespace lodge {
namespace {

constexpr uint32_t kDotsPerInch = 96;
constexpr uint32_t kHertz = 60;

uint32_t millimetres(uint32_t pixels) { return pixels * 254 / (10 * kDotsPerInch); }

// Bytes into the block, one after another.
class Writer {
 public:
  explicit Writer(std::array<std::byte, kEdidSize>& block) : block_(block) {}
  void seek(size_t at) { at_ = at; }
  void byte(uint32_t value) { block_.at(at_++) = static_cast<std::byte>(value); }
  template <class... Values>
  void bytes(Values... values) {
    (byte(static_cast<uint32_t>(values)), ...);
  }

 private:
  std::array<std::byte, kEdidSize>& block_;
  size_t at_ = 0;
};

// VESA CVT 1.1, reduced blanking.
struct Timing {
  static constexpr uint32_t kHorizontalBlank = 160;
  static constexpr uint32_t kHorizontalFront = 48;
  static constexpr uint32_t kHorizontalSync = 32;
  static constexpr uint32_t kVerticalFront = 3;
  uint32_t vertical_sync = 0;  // says the aspect ratio
  uint32_t vertical_blank = 0;
  uint32_t clock = 0;  // in 10 kHz
};

uint32_t vertical_sync(uint32_t width, uint32_t height) {
  const auto is = [&](uint64_t across, uint64_t down) { return across * height == down * width; };
  return is(4, 3) ? 4 : is(16, 9) ? 5 : is(16, 10) ? 6 : is(5, 4) || is(15, 9) ? 7 : 10;
}

Timing timing_of(uint32_t width, uint32_t height) {
  constexpr uint64_t kFrame = 1'000'000'000 / kHertz;  // ns
  constexpr uint64_t kLeastBlank = 460'000;            // ns
  constexpr uint32_t kLeastBack = 6;
  constexpr uint64_t kClockStep = 25;  // 0.25 MHz
  Timing timing;
  timing.vertical_sync = vertical_sync(width, height);
  const auto lines = static_cast<uint32_t>(kLeastBlank * height / (kFrame - kLeastBlank)) + 1;
  timing.vertical_blank = std::max(lines, Timing::kVerticalFront + timing.vertical_sync + kLeastBack);
  const uint64_t clock = uint64_t{kHertz} * (height + timing.vertical_blank) * (width + Timing::kHorizontalBlank) / 10'000;
  timing.clock = static_cast<uint32_t>(clock / kClockStep * kClockStep);
  return timing;
}

// A detailed timing descriptor (3.10.2).
void put_timing(Writer& out, uint32_t width, uint32_t height) {
  constexpr uint32_t kSyncs = 0x1A;  // digital separate, horizontal positive, vertical negative
  const Timing timing = timing_of(width, height);
  const uint32_t across = millimetres(width);
  const uint32_t down = millimetres(height);
  out.bytes(timing.clock & 0xFF, timing.clock >> 8);
  out.bytes(width & 0xFF, Timing::kHorizontalBlank, width >> 8 << 4);
  out.bytes(height & 0xFF, timing.vertical_blank & 0xFF, height >> 8 << 4 | timing.vertical_blank >> 8);
  out.bytes(Timing::kHorizontalFront, Timing::kHorizontalSync, Timing::kVerticalFront << 4 | timing.vertical_sync, 0);
  out.bytes(across & 0xFF, down & 0xFF, across >> 8 << 4 | down >> 8, 0, 0, kSyncs);
}

void put_name(Writer& out, std::string_view name) {
  constexpr uint32_t kName = 0xFC;
  constexpr size_t kText = 13;
  out.bytes(0, 0, 0, kName, 0);
  for (size_t i = 0; i < kText; ++i) {
    out.byte(i < name.size() ? static_cast<uint8_t>(name[i]) : i == name.size() ? uint8_t{'\n'} : uint8_t{' '});
  }
}

void put_dummy(Writer& out) {
  constexpr uint32_t kDummy = 0x10;
  out.bytes(0, 0, 0, kDummy);
  for (size_t i = 4; i < 18; ++i) {
    out.byte(0);
  }
}

// A maker's three letters, five bits each.
void put_maker(Writer& out, std::string_view letters) {
  uint32_t packed = 0;
  for (const char letter : letters) {
    packed = packed << 5 | static_cast<uint32_t>(letter - 'A' + 1);
  }
  out.bytes(packed >> 8, packed & 0xFF);
}

}  // namespace

std::array<std::byte, kEdidSize> edid_block(uint32_t width, uint32_t height) {
  constexpr uint32_t kYear = 2026 - 1990;
  constexpr uint32_t kInput = 0xA5;     // digital, 8 bits a colour, DisplayPort
  constexpr uint32_t kGamma = 120;      // 2.20
  constexpr uint32_t kFeatures = 0x06;  // sRGB, the first timing is the native one
  std::array<std::byte, kEdidSize> block{};
  Writer out(block);
  out.bytes(0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0);
  put_maker(out, "LDG");
  out.bytes(1, 0, 0, 0, 0, 0, 0, kYear);  // product, no serial number, no week
  out.bytes(1, 4);
  out.bytes(kInput, (millimetres(width) + 5) / 10, (millimetres(height) + 5) / 10, kGamma, kFeatures);
  out.bytes(0xEE, 0x91, 0xA3, 0x54, 0x4C, 0x99, 0x26, 0x0F, 0x50, 0x54);  // sRGB's primaries
  out.bytes(0x21, 0x08, 0);                                               // 640x480, 800x600, 1024x768 at 60 Hz
  // Standard timings: 1920x1080, 1280x720, 1440x900, 1680x1050, 1280x1024, 1600x1200, 1920x1200, 2048x1152.
  out.bytes(0xD1, 0xC0, 0x81, 0xC0, 0x95, 0x00, 0xB3, 0x00, 0x81, 0x80, 0xA9, 0x40, 0xD1, 0x00, 0xE1, 0xC0);
  put_timing(out, width, height);
  put_name(out, "Lodge Screen");
  put_dummy(out);
  put_dummy(out);
  out.byte(0);  // no extension
  const auto sum = std::accumulate(block.begin(), block.end(), 0U,
                                   [](uint32_t total, std::byte one) { return total + std::to_integer<uint32_t>(one); });
  out.byte(0x100 - (sum & 0xFF));
  return block;
}

}  // namespace lodge
