// The VGA's registers against the IBM reference's tables, what the window at 0xA0000 does to the planes, and pictures.
#include <catch2/catch.hpp>

#include <bit>

#include "devices/display/vga/device.h"
#include "devices/display/vga/mode.h"
#include "devices/display/vga/render.h"
#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

using namespace vga;

struct Vga {
  std::unique_ptr<VideoMemory> memory = VideoMemory::create(1U << 20).value();
  VgaCore core{*memory, VgaState{}};

  void set(uint16_t index_port, uint8_t index, uint8_t value) {
    core.port_write(index_port, index);
    core.port_write(static_cast<uint16_t>(index_port + 1), value);
  }
  void attribute(uint8_t index, uint8_t value) {
    (void)core.port_read(kStatus1);
    core.port_write(kAttributeIndex, index);
    core.port_write(kAttributeIndex, value);
  }
  uint8_t get(uint16_t index_port, uint8_t index) {
    core.port_write(index_port, index);
    return core.port_read(static_cast<uint16_t>(index_port + 1));
  }
  void colour(uint8_t index, uint8_t red, uint8_t green, uint8_t blue) {
    core.port_write(kDacWriteIndex, index);
    for (const uint8_t part : {red, green, blue}) {
      core.port_write(kDacData, part);
    }
  }
  void show() {
    (void)core.port_read(kStatus1);
    core.port_write(kAttributeIndex, kPaletteSource);
  }
  // As a BIOS sets mode 3, apart from timing that nobody looks at.
  void text_mode() {
    core.port_write(kMiscWrite, 0x67);
    for (const auto& [index, value] : {std::pair<uint8_t, uint8_t>{1, 0}, {2, 3}, {3, 0}, {4, 2}}) {
      set(kSequencerIndex, index, value);
    }
    for (const auto& [index, value] : {std::pair<uint8_t, uint8_t>{5, 0x10}, {6, 0x0E}, {8, 0xFF}}) {
      set(kGraphicsIndex, index, value);
    }
    for (const auto& [index, value] : {std::pair<uint8_t, uint8_t>{0x11, 0},
                                       {1, 79},
                                       {7, 0x1F},
                                       {9, 0x4F},
                                       {0x0A, 0x0D},
                                       {0x0B, 0x0E},
                                       {0x12, 0x8F},
                                       {0x13, 40},
                                       {0x17, 0xA3},
                                       {0x18, 0xFF}}) {
      set(kCrtcIndex, index, value);
    }
    for (uint8_t i = 0; i < 16; ++i) {
      attribute(i, i);
      colour(i, static_cast<uint8_t>(i * 4), static_cast<uint8_t>(63 - i * 4), 0x3F);
    }
    attribute(kPlaneEnable, 0x0F);
    attribute(kAttributeMode, 0x0C);
    show();
  }
  // A glyph through the window, the way the BIOS loads fonts.
  void font(uint8_t character, uint8_t line, uint8_t bits) {
    set(kSequencerIndex, kMapMask, 4);
    set(kSequencerIndex, kMemoryMode, 7);
    set(kGraphicsIndex, kMode, 0);
    set(kGraphicsIndex, kMiscellaneous, 4);
    core.window_write(character * 32U + line, bits);
    set(kSequencerIndex, kMapMask, 3);
    set(kSequencerIndex, kMemoryMode, 2);
    set(kGraphicsIndex, kMode, 0x10);
    set(kGraphicsIndex, kMiscellaneous, 0x0E);
  }
  void planar() {
    core.port_write(kMiscWrite, 0x63);
    set(kSequencerIndex, kMapMask, 15);
    set(kSequencerIndex, kMemoryMode, 6);
    set(kGraphicsIndex, kMiscellaneous, 5);
    set(kGraphicsIndex, kBitMask, 0xFF);
  }
  uint8_t plane(unsigned number, uint32_t address) { return memory->load(address * 4 + number); }
  Image picture(bool lit = true) {
    Image image;
    (void)draw(vga_mode(core.state(), memory->size()), *memory, lit, image);
    return image;
  }
};

// 0x00RRGGBB of six-bit parts.
uint32_t rgb(uint32_t red, uint32_t green, uint32_t blue) {
  const auto wide = [](uint32_t part) { return part << 2 | part >> 4; };
  return wide(red) << 16 | wide(green) << 8 | wide(blue);
}

}  // namespace

TEST_CASE("vga: registers keep the bits that hardware keeps") {
  Vga vga;
  vga.core.port_write(kMiscWrite, 0xFF);
  CHECK(vga.core.port_read(kMiscRead) == 0xEF);
  vga.set(kGraphicsIndex, kMode, 0x5A);
  CHECK(vga.get(kGraphicsIndex, kMode) == 0x5A);
  vga.core.port_write(kSequencerIndex, 0xFF);
  CHECK(vga.core.port_read(kSequencerIndex) == 7);
  vga.attribute(3, 0xFF);
  (void)vga.core.port_read(kStatus1);
  vga.core.port_write(kAttributeIndex, 3);
  CHECK(vga.core.port_read(kAttributeRead) == 0x3F);
  CHECK(vga.core.port_read(kEnable) == 1);
}

TEST_CASE("vga: the CRTC is at 3D4 or 3B4, as the miscellaneous output says") {
  Vga vga;
  vga.core.port_write(kMiscWrite, 1);
  vga.set(kCrtcIndex, 0x13, 40);
  CHECK(vga.get(kCrtcIndex, 0x13) == 40);
  CHECK(vga.core.port_read(0x3B5) == 0xFF);
  vga.core.port_write(kMiscWrite, 0);
  CHECK(vga.core.port_read(kCrtcData) == 0xFF);
  CHECK(vga.get(0x3B4, 0x13) == 40);
}

TEST_CASE("vga: CRTC registers 0 to 7 are protected but for the line compare's bit") {
  Vga vga;
  vga.core.port_write(kMiscWrite, 1);
  vga.set(kCrtcIndex, 1, 79);
  vga.set(kCrtcIndex, kVerticalRetraceEnd, 0x80);
  vga.set(kCrtcIndex, 1, 39);
  vga.set(kCrtcIndex, kOverflow, 0xFF);
  CHECK(vga.get(kCrtcIndex, 1) == 79);
  CHECK(vga.get(kCrtcIndex, kOverflow) == 0x10);
}

TEST_CASE("vga: the DAC takes and gives three bytes for a colour") {
  Vga vga;
  vga.colour(255, 1, 2, 3);
  vga.core.port_write(kDacData, 9);  // two of three: no colour yet
  vga.core.port_write(kDacData, 9);
  vga.core.port_write(kDacReadIndex, 255);
  CHECK(vga.core.port_read(kDacReadIndex) == 3);
  for (const uint8_t expected : {1, 2, 3, 0}) {
    CHECK(vga.core.port_read(kDacData) == expected);
  }
}

TEST_CASE("vga: status 1 shows both edges of the retrace and makes 3C0 take an index") {
  Vga vga;
  vga.core.port_write(kMiscWrite, 1);
  CHECK((vga.core.port_read(kStatus1) ^ vga.core.port_read(kStatus1)) == 9);
  vga.core.port_write(kAttributeIndex, 5);
  (void)vga.core.port_read(kStatus1);
  vga.core.port_write(kAttributeIndex, 6);
  CHECK(vga.core.port_read(kAttributeIndex) == 0);  // data is next
}

TEST_CASE("vga: write mode 0 rotates, sets and resets, combines with the latches under the bit mask") {
  Vga vga;
  vga.planar();
  vga.core.window_write(7, 0xF0);
  for (unsigned plane = 0; plane < 4; ++plane) {
    CHECK(vga.plane(plane, 7) == 0xF0);
  }
  (void)vga.core.window_read(7);               // latches
  vga.set(kGraphicsIndex, kRotate, 0x18 | 4);  // exclusive or, four bits to the right
  vga.set(kGraphicsIndex, kBitMask, 0x3C);
  vga.set(kGraphicsIndex, kEnableSetReset, 8);
  vga.set(kGraphicsIndex, kSetReset, 8);
  vga.set(kSequencerIndex, kMapMask, 0b1001);
  vga.core.window_write(7, 0x0F);
  CHECK(vga.plane(0, 7) == ((0xF0 & ~0x3C) | ((0xF0 ^ 0xF0) & 0x3C)));
  CHECK(vga.plane(1, 7) == 0xF0);
  CHECK(vga.plane(3, 7) == ((0xF0 & ~0x3C) | ((0xF0 ^ 0xFF) & 0x3C)));
}

TEST_CASE("vga: write modes 1, 2 and 3") {
  Vga vga;
  vga.planar();
  vga.set(kGraphicsIndex, kMode, 2);
  vga.core.window_write(0, 0b0101);
  CHECK(vga.plane(0, 0) == 0xFF);
  CHECK(vga.plane(1, 0) == 0);
  CHECK(vga.plane(2, 0) == 0xFF);
  (void)vga.core.window_read(0);
  vga.set(kGraphicsIndex, kMode, 1);
  vga.core.window_write(1, 0x77);
  CHECK(vga.plane(2, 1) == 0xFF);
  CHECK(vga.plane(3, 1) == 0);
  vga.set(kGraphicsIndex, kMode, 3);
  vga.set(kGraphicsIndex, kSetReset, 2);
  vga.set(kGraphicsIndex, kBitMask, 0xF0);
  vga.core.window_write(1, 0x3C);
  CHECK(vga.plane(1, 1) == 0x30);
  CHECK(vga.plane(0, 1) == 0xCF);
}

TEST_CASE("vga: read mode 1 compares colours in the planes that count") {
  Vga vga;
  vga.planar();
  vga.memory->store_planes(4 * 3, 0x0F'FF'00'F0);  // planes 3, 2, 1, 0
  vga.set(kGraphicsIndex, kMode, kReadMode1);
  vga.set(kGraphicsIndex, kColourCompare, 0b0101);
  vga.set(kGraphicsIndex, kColourDontCare, 0b0111);
  CHECK(vga.core.window_read(3) == 0xF0);
  vga.set(kGraphicsIndex, kColourDontCare, 0b1111);
  CHECK(vga.core.window_read(3) == 0xF0);
  vga.set(kGraphicsIndex, kColourCompare, 0b1101);
  CHECK(vga.core.window_read(3) == 0);
  vga.set(kGraphicsIndex, kColourDontCare, 0);
  CHECK(vga.core.window_read(3) == 0xFF);
}

TEST_CASE("vga: the window is where the miscellaneous register puts it") {
  Vga vga;
  vga.text_mode();
  vga.core.window_write(0x18000, 'A');
  vga.core.window_write(0x18001, 0x1E);
  CHECK(vga.plane(0, 0) == 'A');
  CHECK(vga.plane(1, 0) == 0x1E);
  CHECK(vga.core.window_read(0x18000) == 'A');
  CHECK(vga.core.window_read(0x10000) == 0xFF);
  CHECK(vga.core.window_read(0) == 0xFF);
}

TEST_CASE("vga: text is drawn with the font, the attribute's colours and the cursor") {
  Vga vga;
  vga.text_mode();
  vga.font('A', 2, 0b1000'0001);
  vga.core.window_write(0x18000 + 160, 'A');  // second row
  vga.core.window_write(0x18001 + 160, 0x1E);
  vga.set(kCrtcIndex, kCursorLow, 81);
  const Image image = vga.picture();
  REQUIRE(image.width == 720);
  REQUIRE(image.height == 400);
  const uint32_t front = rgb(14 * 4, 63 - 14 * 4, 63);
  const uint32_t back = rgb(4, 59, 63);
  const auto pixel = [&](uint32_t x, uint32_t y) { return image.pixels[size_t{y} * 720 + x]; };
  CHECK(pixel(0, 18) == front);
  CHECK(pixel(1, 18) == back);
  CHECK(pixel(7, 18) == front);
  CHECK(pixel(8, 18) == back);  // the ninth dot
  CHECK(pixel(0, 17) == back);
  CHECK(pixel(9, 16 + 13) == rgb(0, 63, 63));  // the cursor, in its cell's colours
  CHECK(vga.picture(false).pixels[size_t{29} * 720 + 9] == rgb(0, 63, 63));
  vga.core.window_write(0x18001 + 162, 7);
  CHECK(vga.picture().pixels[size_t{29} * 720 + 9] == rgb(28, 35, 63));
  CHECK(vga.picture(false).pixels[size_t{29} * 720 + 9] == rgb(0, 63, 63));
}

TEST_CASE("vga: mode 13h is a byte for two dots and two lines") {
  Vga vga;
  vga.text_mode();
  vga.set(kSequencerIndex, kClockingMode, 1);
  vga.set(kSequencerIndex, kMapMask, 15);
  vga.set(kSequencerIndex, kMemoryMode, 0x0E);
  vga.set(kGraphicsIndex, kMode, 0x40);
  vga.set(kGraphicsIndex, kMiscellaneous, 5);
  vga.set(kCrtcIndex, kMaximumScanLine, 0x41);
  vga.colour(200, 63, 0, 1);
  vga.core.window_write(320 * 3 + 5, 200);
  const Image image = vga.picture();
  REQUIRE(image.width == 640);
  REQUIRE(image.height == 400);
  for (const uint32_t y : {6U, 7U}) {
    CHECK(image.pixels[y * 640 + 10] == rgb(63, 0, 1));
    CHECK(image.pixels[y * 640 + 11] == rgb(63, 0, 1));
    CHECK(image.pixels[y * 640 + 12] != rgb(63, 0, 1));
  }
}

TEST_CASE("vga: the Bochs interface sets modes that fit into the memory") {
  Vga vga;
  vga.show();
  CHECK(vga.core.vbe_read(kVbeId) == kVbeNewestId);
  CHECK(vga.core.vbe_read(kVbeMemory64K) == 16);
  vga.core.vbe_write(kVbeEnable, kVbeGetCapabilities);
  CHECK(vga.core.vbe_read(kVbeWidth) == 2560);
  CHECK(vga.core.vbe_read(kVbeHeight) == 1600);
  CHECK(vga.core.vbe_read(kVbeDepth) == 32);
  vga.core.vbe_write(kVbeEnable, 0);
  vga.core.vbe_write(kVbeWidth, 640);
  vga.core.vbe_write(kVbeHeight, 480);
  vga.core.vbe_write(kVbeDepth, 16);
  vga.memory->store(5, 1);
  vga.core.vbe_write(kVbeEnable, kVbeEnabled | kVbeLinear);
  CHECK(vga.memory->load(5) == 0);
  CHECK(vga.core.vbe_read(kVbeVirtualWidth) == 640);
  vga.core.vbe_write(kVbeYOffset, 10);
  vga.memory->store((10 * 640 + 3) * 2, 0x1F);
  vga.memory->store((10 * 640 + 3) * 2 + 1, 0xF8);
  const Image image = vga.picture();
  REQUIRE(image.width == 640);
  REQUIRE(image.height == 480);
  CHECK(image.pixels[3] == 0xFF00FF);
  // More lines than there is memory for
  vga.core.vbe_write(kVbeEnable, 0);
  vga.core.vbe_write(kVbeWidth, 2560);
  vga.core.vbe_write(kVbeHeight, 1600);
  vga.core.vbe_write(kVbeDepth, 32);
  vga.core.vbe_write(kVbeEnable, kVbeEnabled);
  CHECK(vga.core.vbe_read(kVbeHeight) == (1U << 20) / (2560 * 4));
  CHECK(vga.picture().height == (1U << 20) / (2560 * 4));
}

TEST_CASE("vga: a picture is drawn anew only where it changed") {
  Vga vga;
  vga.text_mode();
  vga.set(kCrtcIndex, kCursorStart, kCursorOff);
  Image image;
  const VgaMode mode = vga_mode(vga.core.state(), vga.memory->size());
  const auto first = draw(mode, *vga.memory, true, image);
  REQUIRE(first);
  CHECK(first->resized);
  CHECK_FALSE(draw(mode, *vga.memory, true, image));
  vga.core.window_write(0x18001 + 160, 0x20);
  const auto second = draw(mode, *vga.memory, true, image);
  REQUIRE(second);
  CHECK_FALSE(second->resized);
  CHECK(second->first == 16);
  CHECK(second->last == 32);
}

TEST_CASE("vga device: windows, BARs, state with memory") {
  TestMachine machine;
  std::vector<std::pair<uint64_t, bool>> mapped;
  const VgaDisplay::Options options{
      .id = "video0", .memory = 16U << 20, .map = [&](uint64_t base, uint64_t, const std::byte* host) {
        mapped.emplace_back(base, host != nullptr);
      }};
  auto display = VgaDisplay::create(options, *machine.env, nullptr).value();
  display->config_write(0x10, 4, 0xC0000000);
  display->config_write(0x18, 4, 0xC1000000);
  display->config_write(0x04, 2, 3);
  REQUIRE(mapped.size() == 1);
  CHECK(mapped[0] == std::pair<uint64_t, bool>(0xC0000000, true));
  machine.out(0x3C2, 0x67, 1);
  CHECK(machine.in(0x3CC, 1) == 0x67);
  CHECK(machine.read(0xC1000000 + 0x40C, 1) == 0x67);
  machine.out(0x1CE, kVbeWidth, 2);
  machine.out(0x1CF, 800, 2);
  CHECK(machine.read(0xC1000000 + 0x502, 2) == 800);
  machine.write(0xC0000000 + 0x123450, 0xCAFEF00D, 4);
  machine.write(0xC0FFFFFC, 0x12345678, 4);

  StateWriter out;
  display->save(out);
  display.reset();
  const auto saved = StateReader::parse(out.bytes()).value();
  TestMachine other;
  auto again = VgaDisplay::create({.id = "video0", .memory = 16U << 20, .map = {}}, *other.env, &saved).value();
  CHECK(saved.check_all_used());
  CHECK(other.read(0xC0000000 + 0x123450, 4) == 0xCAFEF00D);
  CHECK(other.read(0xC0FFFFFC, 4) == 0x12345678);
  CHECK(other.read(0xC1000000 + 0x502, 2) == 800);
  again->reset();
  CHECK(other.in(0x3CC, 1) == 0);

  TestMachine third;
  CHECK_FALSE(VgaDisplay::create({.id = "video0", .memory = 1U << 20, .map = {}}, *third.env, &saved));
  CHECK_FALSE(VgaDisplay::create({.id = "video0", .memory = 3U << 20, .map = {}}, *third.env, nullptr));
}

}  // namespace lodge::test
