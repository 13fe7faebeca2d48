// virtio-gpu: answers to its commands, what is on the screen and the cursor on it, limits, EDID, saves.
#include <catch2/catch.hpp>

#include <numeric>

#include "devices/display/lines.h"
#include "devices/virtio/gpu/device.h"
#include "tests/support/device_driver.h"

namespace lodge::test {
namespace {

using namespace virtio_gpu;  // NOLINT(google-build-using-namespace): the names of the specification

constexpr uint32_t kBgra = 1;
constexpr uint32_t kBgrx = 2;

struct Gpu {
  static constexpr uint16_t kControl = 0;
  static constexpr uint16_t kCursorQueue = 1;
  explicit Gpu(VirtioGpu::Options wanted = {}) : options(std::move(wanted)) {
    device = must(VirtioGpu::create(options, nullptr));
    driver = std::make_unique<DeviceDriver>(*device, kVirtioVersion1 | kFeatureEdid);
    request = driver->allocate(512 * 1024);
    reply = driver->allocate(4096);
    driver->start();
  }
  ~Gpu() { driver.reset(); }

  // A command with bytes after its header; the answer's type.
  uint32_t command(uint32_t type, std::span<const std::byte> body, uint32_t flags = 0, uint16_t queue = kControl) {
    const Header header{.type = type, .flags = flags, .fence_id = 0x1122334455667788, .ctx_id = 7};
    must(driver->memory().write(request, header));
    must(driver->memory().write_bytes(Gpa{request.value + sizeof header}, body));
    must(driver->memory().fill(reply, 4096, std::byte{0}));
    const auto length = static_cast<uint32_t>(sizeof header + body.size());
    const auto used = driver->request(queue, {{request, length, false}, {reply, room, true}});
    REQUIRE(used);
    written = used->written;
    answer = must(driver->memory().read<Header>(reply));
    return answer.type;
  }
  template <GuestPod T>
  uint32_t run(uint32_t type, const T& body) {
    return command(type, bytes_of(body));
  }
  template <GuestPod T>
  T body() {
    return must(driver->memory().read<T>(Gpa{reply.value + sizeof(Header)}));
  }
  uint32_t create(uint32_t id, uint32_t width, uint32_t height, uint32_t format = kBgrx) {
    return run(kResourceCreate2d, CreateResource{id, format, width, height});
  }
  uint32_t attach(uint32_t id, const std::vector<MemoryEntry>& entries) {
    std::vector<std::byte> bytes(sizeof(AttachBacking) + entries.size() * sizeof(MemoryEntry));
    store_le(std::span(bytes), 0, AttachBacking{id, static_cast<uint32_t>(entries.size())});
    if (!entries.empty()) {
      std::memcpy(bytes.data() + sizeof(AttachBacking), entries.data(), entries.size() * sizeof(MemoryEntry));
    }
    return command(kResourceAttachBacking, bytes);
  }
  uint32_t transfer(uint32_t id, const Rect& rect, uint64_t offset = 0) {
    return run(kTransferToHost2d, Transfer{rect, offset, id, 0});
  }
  uint32_t flush(uint32_t id, const Rect& rect) { return run(kResourceFlush, Flush{rect, id, 0}); }
  uint32_t scanout(uint32_t id, const Rect& rect) { return run(kSetScanout, SetScanout{rect, 0, id}); }
  // A resource whose backing is one stretch of memory with these pixels, transferred.
  Gpa fill(uint32_t id, uint32_t width, uint32_t height, const std::vector<uint32_t>& pixels, uint32_t format = kBgrx) {
    const Gpa at = driver->put(std::as_bytes(std::span(pixels)));
    REQUIRE(create(id, width, height, format) == kOkNodata);
    REQUIRE(attach(id, {{at.value, width * height * 4, 0}}) == kOkNodata);
    REQUIRE(transfer(id, {0, 0, width, height}) == kOkNodata);
    return at;
  }
  void save_and_restore() {
    REQUIRE(driver->stop());
    StateWriter out;
    device->save("video0", out);
    const StateReader reader = must(StateReader::parse(out.bytes()));
    device = must(VirtioGpu::create(options, &reader));
    StateWriter again;
    device->save("video0", again);
    CHECK(again.bytes() == out.bytes());
    CHECK(reader.check_all_used());
    driver->replace(*device);
    driver->start();
  }
  VirtioGpu::Options options;
  std::unique_ptr<VirtioGpu> device;
  std::unique_ptr<DeviceDriver> driver;
  Gpa request;
  Gpa reply;
  uint32_t room = 4096;
  uint32_t written = 0;
  Header answer;
  Image image;
};

std::vector<uint32_t> counting(size_t count) {
  std::vector<uint32_t> pixels(count);
  std::iota(pixels.begin(), pixels.end(), 1);
  return pixels;
}

}  // namespace

TEST_CASE("a virtio display tells its configuration, its screen and fences") {
  Gpu gpu({.width = 1024, .height = 768});
  CHECK((gpu.device->virtio_id() == 16 && gpu.device->pci_class() == 0x038000));
  std::array<std::byte, 16> config{};
  gpu.device->read_config(0, config);
  CHECK((load_le<uint32_t>(config, 0) == 0 && load_le<uint32_t>(config, 8) == 1 && load_le<uint32_t>(config, 12) == 0));
  CHECK(gpu.command(kGetDisplayInfo, {}) == kOkDisplayInfo);
  CHECK((gpu.written == 24 + 16 * 24 && gpu.answer.flags == 0 && gpu.answer.fence_id == 0));
  const auto info = gpu.body<DisplayInfo>();
  CHECK((info[0].rect == Rect{0, 0, 1024, 768} && info[0].enabled == 1));
  CHECK(std::all_of(info.begin() + 1, info.end(), [](const DisplayMode& mode) { return mode.enabled == 0; }));
  CHECK(gpu.command(kGetDisplayInfo, {}, kFlagFence | 2) == kOkDisplayInfo);
  CHECK((gpu.answer.flags == kFlagFence && gpu.answer.fence_id == 0x1122334455667788 && gpu.answer.ctx_id == 7));
  CHECK(gpu.command(0x0108, {}, kFlagFence) == kErrUnspec);  // capability sets: of 3D
  CHECK(gpu.answer.flags == kFlagFence);
  CHECK(!VirtioGpu::create({.width = 0}, nullptr));
  CHECK(!VirtioGpu::create({.width = 3841}, nullptr));
  CHECK(!VirtioGpu::create({.height = 2401}, nullptr));
}

TEST_CASE("EDID is a block of version 1.4 that prefers the screen's size") {
  const std::pair<uint32_t, uint32_t> sizes[] = {{1280, 800}, {1920, 1080}, {640, 480}, {64, 64}, {3840, 2400}, {1366, 768}};
  for (const auto& [width, height] : sizes) {
    INFO(width << "x" << height);
    Gpu gpu({.width = width, .height = height});
    CHECK(gpu.run(kGetEdid, GetEdid{}) == kOkEdid);
    CHECK(gpu.written == 24 + 8 + 1024);
    const auto edid = gpu.body<Edid>();
    REQUIRE(edid.size == 128);
    const auto byte = [&edid](size_t at) { return std::to_integer<uint32_t>(edid.block.at(at)); };
    const uint32_t sum =
        std::accumulate(edid.block.begin(), edid.block.begin() + 128, 0U,
                        [](uint32_t total, std::byte one) { return total + std::to_integer<uint32_t>(one); });
    CHECK(sum % 256 == 0);
    CHECK((byte(0) == 0 && byte(1) == 0xFF && byte(6) == 0xFF && byte(7) == 0));
    CHECK((byte(18) == 1 && byte(19) == 4 && byte(126) == 0));
    CHECK(((byte(20) & 0x80) != 0 && (byte(24) & 2) != 0));
    CHECK((byte(8) >> 7) == 0);
    // The first detailed timing (table 3.21).
    CHECK((byte(56) | (byte(58) & 0xF0) << 4) == width);
    CHECK((byte(59) | (byte(61) & 0xF0) << 4) == height);
    const uint64_t across = width + (byte(57) | (byte(58) & 0x0F) << 8);
    const uint64_t down = height + (byte(60) | (byte(61) & 0x0F) << 8);
    const uint64_t clock = 10000ULL * (byte(54) | byte(55) << 8);
    CHECK(clock > 0);
    // To the quarter of a megahertz that CVT has as its step.
    CHECK(clock <= 60 * across * down);
    CHECK(clock + 250'000 > 60 * across * down);
    CHECK(byte(62) + byte(63) < across - width);
    CHECK((byte(64) >> 4) + (byte(64) & 15) < down - height);
    CHECK((byte(75) == 0xFC && byte(77) == 'L'));
  }
  Gpu gpu;
  CHECK(gpu.run(kGetEdid, GetEdid{.scanout = 1}) == kErrInvalidScanoutId);
  CHECK(gpu.command(kGetEdid, {}) == kErrInvalidParameter);
}

TEST_CASE("a size that people would like is told as an event, in the display info and by EDID") {
  Gpu gpu({.width = 1024, .height = 768});
  auto& changes = gpu.driver->transport().config_changes;
  const auto event = [&gpu] {
    std::array<std::byte, 4> bytes{};
    gpu.device->read_config(offsetof(Config, events_read), bytes);
    return load_le<uint32_t>(bytes);
  };
  const auto clear = [&gpu](uint32_t bits) { gpu.device->write_config(offsetof(Config, events_clear), bytes_of(bits)); };
  const auto size = [&gpu] {
    REQUIRE(gpu.command(kGetDisplayInfo, {}) == kOkDisplayInfo);
    const Rect rect = gpu.body<DisplayInfo>()[0].rect;
    REQUIRE(gpu.run(kGetEdid, GetEdid{}) == kOkEdid);
    const auto edid = gpu.body<Edid>();
    const auto byte = [&edid](size_t at) { return std::to_integer<uint32_t>(edid.block.at(at)); };
    CHECK((byte(56) | (byte(58) >> 4) << 8) == rect.width);
    CHECK((byte(59) | (byte(61) >> 4) << 8) == rect.height);
    return std::pair(rect.width, rect.height);
  };
  CHECK(gpu.device->takes_sizes());
  CHECK(event() == 0);
  gpu.device->prefer_size(1024, 768);
  CHECK(event() == 0);
  gpu.device->prefer_size(800, 600);
  CHECK(event() == kEventDisplay);
  CHECK(size() == std::pair(800U, 600U));  // commands turn the loop
  CHECK(changes == 1);
  clear(0);
  CHECK(event() == kEventDisplay);
  clear(kEventDisplay);
  CHECK(event() == 0);

  // One that changes while the guest looks is told again, once.
  gpu.device->prefer_size(640, 480);
  CHECK(size() == std::pair(640U, 480U));
  gpu.device->prefer_size(1920, 1200);
  clear(kEventDisplay);
  CHECK(event() == kEventDisplay);
  clear(kEventDisplay);
  CHECK(event() == 0);
  CHECK(size() == std::pair(1920U, 1200U));
  CHECK(changes == 4);

  // The nearest that there is; a save has it, and an event that the guest has not seen.
  gpu.device->prefer_size(1, 16384);
  gpu.save_and_restore();
  CHECK(event() == kEventDisplay);
  CHECK(size() == std::pair(GpuPreferredSize::kLeast, kMaxEdidHeight));
  CHECK(gpu.driver->transport().config_changes > 4);
  clear(kEventDisplay);
  CHECK(event() == 0);
}

// VESA's own numbers for 1920x1080 with reduced blanking: 138.5 MHz, 2080 x 1111.
TEST_CASE("EDID's timing is CVT's") {
  const auto block = edid_block(1920, 1080);
  const auto byte = [&block](size_t at) { return std::to_integer<uint32_t>(block.at(at)); };
  CHECK((byte(54) | byte(55) << 8) == 13850);
  CHECK((byte(57) | (byte(58) & 15) << 8) == 160);
  CHECK((byte(60) | (byte(61) & 15) << 8) == 31);
  CHECK((byte(62) == 48 && byte(63) == 32 && byte(64) == 0x35));
}

TEST_CASE("what a guest transfers and flushes is on the screen") {
  Gpu gpu({.width = 64, .height = 64});
  REQUIRE(gpu.device->refresh(gpu.image));
  CHECK((gpu.image.width == 64 && gpu.image.pixels == std::vector<uint32_t>(size_t{64} * 64)));
  CHECK(!gpu.device->refresh(gpu.image));
  const Gpa at = gpu.fill(1, 8, 4, counting(32));
  CHECK(!gpu.device->refresh(gpu.image));
  CHECK(gpu.scanout(1, {0, 0, 8, 4}) == kOkNodata);
  auto changed = gpu.device->refresh(gpu.image);
  REQUIRE(changed);
  CHECK((changed->resized && changed->first == 0 && changed->last == 4));
  CHECK(gpu.image.pixels == counting(32));
  // One pixel changes: seen once it is transferred and flushed.
  must(gpu.driver->memory().write(Gpa{at.value + 4 * (2 * 8 + 3)}, uint32_t{0xFF123456}));
  CHECK(gpu.flush(1, {0, 0, 8, 4}) == kOkNodata);
  CHECK(!gpu.device->refresh(gpu.image));
  CHECK(gpu.transfer(1, {3, 2, 1, 1}, 4 * (2 * 8 + 3)) == kOkNodata);
  CHECK(!gpu.device->refresh(gpu.image));
  CHECK(gpu.flush(1, {3, 2, 1, 1}) == kOkNodata);
  changed = gpu.device->refresh(gpu.image);
  REQUIRE(changed);
  CHECK((!changed->resized && changed->first == 2 && changed->last == 3 && gpu.image.pixels[19] == 0x123456));
  // A part of it.
  CHECK(gpu.scanout(1, {2, 1, 3, 2}) == kOkNodata);
  REQUIRE(gpu.device->refresh(gpu.image));
  CHECK((gpu.image.width == 3 && gpu.image.height == 2));
  CHECK(gpu.image.pixels == std::vector<uint32_t>{11, 12, 13, 19, 0x123456, 21});
  // Nothing; and a resource that goes is not shown any more.
  CHECK(gpu.scanout(0, {}) == kOkNodata);
  REQUIRE(gpu.device->refresh(gpu.image));
  CHECK(gpu.image.width == 64);
  CHECK(gpu.scanout(1, {0, 0, 8, 4}) == kOkNodata);
  REQUIRE(gpu.device->refresh(gpu.image));
  CHECK(gpu.run(kResourceUnref, ResourceId{1}) == kOkNodata);
  REQUIRE(gpu.device->refresh(gpu.image));
  CHECK((gpu.image.width == 64 && gpu.image.pixels[0] == 0));
  gpu.fill(1, 8, 4, counting(32));
  CHECK(gpu.scanout(1, {0, 0, 8, 4}) == kOkNodata);
  REQUIRE(gpu.device->refresh(gpu.image));
  CHECK(gpu.image.width == 8);
  gpu.driver->reset();
  REQUIRE(gpu.device->refresh(gpu.image));
  CHECK(gpu.image.width == 64);
}

TEST_CASE("what was there before is seen until a driver sets the scanout, and again after a reset") {
  struct Before final : Screen {
    std::optional<ChangedLines> refresh(Image& image) override {
      return update_lines(image, 2, 1, [](uint32_t, std::span<uint32_t> line) { std::ranges::fill(line, 0xABCDEF); });
    }
  };
  Gpu gpu({.before = std::make_shared<Before>()});
  const auto seen = [&gpu] {
    (void)gpu.device->refresh(gpu.image);
    return gpu.image.pixels;
  };
  const std::vector<uint32_t> before{0xABCDEF, 0xABCDEF};
  CHECK(seen() == before);
  gpu.fill(1, 2, 2, counting(4));
  gpu.save_and_restore();
  CHECK(seen() == before);
  CHECK(gpu.scanout(7, {0, 0, 1, 1}) == kErrInvalidResourceId);
  CHECK(seen() == before);
  CHECK(gpu.scanout(1, {0, 0, 2, 2}) == kOkNodata);
  CHECK(seen() == counting(4));
  gpu.save_and_restore();
  CHECK(seen() == counting(4));
  CHECK(gpu.scanout(0, {}) == kOkNodata);
  CHECK(seen().size() == size_t{1280} * 800);
  gpu.save_and_restore();
  CHECK(seen().size() == size_t{1280} * 800);
  gpu.driver->reset();
  CHECK(seen() == before);
}

TEST_CASE("all formats of the specification show the same colour") {
  const std::pair<uint32_t, uint32_t> formats[] = {{1, 0x44112233},  {2, 0x44112233},  {3, 0x33221144},   {4, 0x33221144},
                                                   {67, 0x44332211}, {68, 0x11223344}, {121, 0x11223344}, {134, 0x44332211}};
  Gpu gpu;
  uint32_t id = 0;
  for (const auto& [format, pixel] : formats) {
    INFO(format);
    gpu.fill(++id, 1, 1, {pixel}, format);
    CHECK(gpu.scanout(id, {0, 0, 1, 1}) == kOkNodata);
    (void)gpu.device->refresh(gpu.image);
    CHECK(gpu.image.pixels == std::vector<uint32_t>{0x112233});
  }
}

TEST_CASE("backing in pieces is read across their borders") {
  Gpu gpu;
  const std::vector<uint32_t> pixels = counting(64);
  const auto bytes = std::as_bytes(std::span(pixels));
  std::vector<MemoryEntry> entries;
  const size_t cuts[] = {0, 1, 6, 7, 100, 101, 255, 256};
  for (size_t i = 0; i + 1 < std::size(cuts); ++i) {
    const Gpa at = gpu.driver->put(bytes.subspan(cuts[i], cuts[i + 1] - cuts[i]));
    entries.push_back({at.value, static_cast<uint32_t>(cuts[i + 1] - cuts[i]), 0});
  }
  REQUIRE(gpu.create(5, 8, 8) == kOkNodata);
  CHECK(gpu.transfer(5, {0, 0, 1, 1}) == kErrInvalidParameter);  // nothing to read from
  REQUIRE(gpu.attach(5, entries) == kOkNodata);
  CHECK(gpu.attach(5, entries) == kErrInvalidParameter);  // it has one
  REQUIRE(gpu.scanout(5, {0, 0, 8, 8}) == kOkNodata);
  REQUIRE(gpu.transfer(5, {0, 0, 8, 8}) == kOkNodata);
  REQUIRE(gpu.flush(5, {0, 0, 8, 8}) == kOkNodata);
  (void)gpu.device->refresh(gpu.image);
  CHECK(gpu.image.pixels == pixels);
  CHECK(gpu.transfer(5, {0, 0, 8, 8}, 1) == kErrInvalidParameter);
  CHECK(gpu.transfer(5, {7, 7, 1, 1}, 252) == kOkNodata);
  CHECK(gpu.transfer(5, {7, 7, 1, 1}, 253) == kErrInvalidParameter);
  CHECK(gpu.transfer(5, {7, 7, 1, 1}, UINT64_MAX) == kErrInvalidParameter);
  CHECK(gpu.transfer(5, {0, 0, 0, 0}) == kOkNodata);
  CHECK(gpu.run(kResourceDetachBacking, ResourceId{5}) == kOkNodata);
  CHECK(gpu.run(kResourceDetachBacking, ResourceId{5}) == kErrInvalidResourceId);
  CHECK(gpu.transfer(5, {0, 0, 8, 8}) == kErrInvalidParameter);
}

TEST_CASE("the cursor is drawn into the picture") {
  Gpu gpu;
  gpu.fill(1, 70, 70, std::vector<uint32_t>(size_t{70} * 70, 0x808080));
  std::vector<uint32_t> shape(size_t{64} * 64);
  shape[0] = 0xFF0000FF;
  shape[1] = 0x80800000;  // half
  shape[64] = 0x00000000;
  gpu.fill(2, 64, 64, shape, kBgra);
  CHECK(gpu.scanout(1, {0, 0, 70, 70}) == kOkNodata);
  const auto cursor = [&gpu](uint32_t type, const Cursor& wanted) {
    return gpu.command(type, bytes_of(wanted), 0, Gpu::kCursorQueue);
  };
  const auto pixel = [&gpu](size_t x, size_t y) {
    (void)gpu.device->refresh(gpu.image);
    return gpu.image.pixels.at(y * gpu.image.width + x);
  };
  CHECK(pixel(10, 20) == 0x808080);
  CHECK(cursor(kUpdateCursor, {.x = 10, .y = 20, .resource_id = 2}) == kOkNodata);
  CHECK((pixel(10, 20) == 0x0000FF && pixel(11, 20) == 0xBF3F3F && pixel(12, 20) == 0x808080 && pixel(10, 21) == 0x808080));
  CHECK(cursor(kMoveCursor, {.x = 69, .y = 69}) == kOkNodata);
  CHECK((pixel(10, 20) == 0x808080 && pixel(69, 69) == 0x0000FF));
  CHECK(cursor(kMoveCursor, {.x = UINT32_MAX, .y = 0}) == kOkNodata);  // one to the left of the edge
  CHECK(pixel(0, 0) == 0xBF3F3F);
  for (const uint32_t far : {0x7FFFFFFFU, 0x80000000U, 70U}) {
    CHECK(cursor(kMoveCursor, {.x = far, .y = far}) == kOkNodata);
    CHECK((pixel(0, 0) == 0x808080 && pixel(69, 69) == 0x808080));
  }
  CHECK(cursor(kMoveCursor, {.x = 1, .y = 1}) == kOkNodata);
  gpu.save_and_restore();
  gpu.image = {};
  CHECK(pixel(1, 1) == 0x0000FF);
  CHECK(cursor(kUpdateCursor, {.x = 1, .y = 1}) == kOkNodata);
  CHECK(pixel(1, 1) == 0x808080);
  CHECK(cursor(kUpdateCursor, {.scanout_id = 1}) == kErrInvalidScanoutId);
  CHECK(cursor(kUpdateCursor, {.resource_id = 9}) == kErrInvalidResourceId);
  CHECK(cursor(kUpdateCursor, {.resource_id = 1}) == kErrInvalidParameter);  // of another size
  CHECK(cursor(kGetDisplayInfo, {}) == kErrUnspec);                          // wrong queue, here and there
  CHECK(gpu.run(kMoveCursor, Cursor{}) == kErrUnspec);
  // Drivers give no room for an answer.
  const Header header{.type = kMoveCursor};
  must(gpu.driver->memory().write(gpu.request, header));
  CHECK(gpu.driver->request(Gpu::kCursorQueue, {{gpu.request, 56, false}})->written == 0);
}

TEST_CASE("resources have limits") {
  Gpu gpu({.width = 64, .height = 64, .max_bytes = 1U << 20});
  CHECK(gpu.create(0, 1, 1) == kErrInvalidResourceId);
  CHECK(gpu.create(1, 0, 1) == kErrInvalidParameter);
  CHECK(gpu.create(1, 16385, 1) == kErrInvalidParameter);
  CHECK(gpu.create(1, 1, UINT32_MAX) == kErrInvalidParameter);
  CHECK(gpu.create(1, 1, 1, 5) == kErrInvalidParameter);
  CHECK(gpu.create(1, 512, 513) == kErrOutOfMemory);
  CHECK(gpu.create(1, 16384, 16384) == kErrOutOfMemory);
  CHECK(gpu.create(1, 512, 512) == kOkNodata);
  CHECK(gpu.create(1, 1, 1) == kErrInvalidResourceId);
  CHECK(gpu.create(2, 1, 1) == kErrOutOfMemory);
  CHECK(gpu.attach(1, {{4096, 4096, 0}}) == kErrOutOfMemory);
  CHECK(gpu.run(kResourceUnref, ResourceId{1}) == kOkNodata);
  CHECK(gpu.run(kResourceUnref, ResourceId{1}) == kErrInvalidResourceId);
  uint32_t made = 0;
  while (gpu.create(made + 1, 1, 1) == kOkNodata) {
    ++made;
  }
  CHECK(made == 256);  // each counts as a page
  for (uint32_t id = 1; id <= made; ++id) {
    CHECK(gpu.run(kResourceUnref, ResourceId{id}) == kOkNodata);
  }
  CHECK(gpu.create(1, 256, 512) == kOkNodata);
  CHECK(gpu.attach(1, {}) == kErrInvalidParameter);
  CHECK(gpu.attach(2, {{4096, 4096, 0}}) == kErrInvalidResourceId);
  CHECK(gpu.attach(1, {{4096, 0, 0}}) == kErrInvalidParameter);
  CHECK(gpu.attach(1, {{DeviceDriver::kMemory - 4, 8, 0}}) == kErrInvalidParameter);
  CHECK(gpu.attach(1, {{UINT64_MAX - 3, 4, 0}}) == kErrInvalidParameter);
  CHECK(gpu.attach(1, std::vector<MemoryEntry>(16385, {4096, 4, 0})) == kErrInvalidParameter);
  CHECK(gpu.run(kResourceAttachBacking, AttachBacking{1, 1}) == kErrInvalidParameter);  // cut short
  CHECK(gpu.run(kResourceAttachBacking, AttachBacking{1, UINT32_MAX}) == kErrInvalidParameter);
  CHECK(gpu.attach(1, std::vector<MemoryEntry>(16384, {4096, 4, 0})) == kOkNodata);
  CHECK(gpu.run(kResourceDetachBacking, ResourceId{1}) == kOkNodata);
  CHECK(gpu.scanout(1, {0, 0, 257, 1}) == kErrInvalidParameter);
  CHECK(gpu.scanout(1, {1, 0, 256, 1}) == kErrInvalidParameter);
  CHECK(gpu.scanout(1, {UINT32_MAX, 0, 1, 1}) == kErrInvalidParameter);
  CHECK(gpu.scanout(1, {0, 512, 1, 1}) == kErrInvalidParameter);
  CHECK(gpu.scanout(1, {0, 0, 0, 1}) == kErrInvalidParameter);
  CHECK(gpu.scanout(2, {0, 0, 1, 1}) == kErrInvalidResourceId);
  CHECK(gpu.run(kSetScanout, SetScanout{{0, 0, 1, 1}, 1, 1}) == kErrInvalidScanoutId);
  CHECK(gpu.flush(1, {0, 0, 257, 1}) == kErrInvalidParameter);
  CHECK(gpu.flush(2, {}) == kErrInvalidResourceId);
  CHECK(gpu.transfer(1, {0, 513, 1, 1}) == kErrInvalidParameter);
  CHECK(gpu.transfer(2, {}) == kErrInvalidResourceId);
}

TEST_CASE("a picture that is too large is not shown") {
  Gpu gpu;
  REQUIRE(gpu.create(1, 8193, 1) == kOkNodata);
  CHECK(gpu.scanout(1, {0, 0, 8193, 1}) == kErrInvalidParameter);
  CHECK(gpu.scanout(1, {1, 0, 8192, 1}) == kOkNodata);
  REQUIRE(gpu.create(2, 8192, 2049) == kOkNodata);
  CHECK(gpu.scanout(2, {0, 0, 8192, 2049}) == kErrInvalidParameter);
  CHECK(gpu.scanout(2, {0, 0, 8192, 2048}) == kOkNodata);
}

TEST_CASE("commands that are cut short, and answers without room") {
  Gpu gpu;
  must(gpu.driver->memory().write(gpu.request, Header{.type = kGetDisplayInfo}));
  CHECK(gpu.driver->request(0, {{gpu.request, 23, false}, {gpu.reply, 4096, true}})->written == 0);
  CHECK(gpu.driver->request(0, {{gpu.reply, 4096, true}})->written == 0);
  CHECK(gpu.driver->request(0, {{gpu.request, 24, false}})->written == 0);
  gpu.room = 100;
  CHECK(gpu.command(kGetDisplayInfo, {}) == kOkDisplayInfo);
  CHECK(gpu.written == 100);
  gpu.room = 4;
  (void)gpu.command(kGetDisplayInfo, {});
  CHECK(gpu.written == 4);
  gpu.room = 4096;
  for (const uint32_t type : {kResourceCreate2d, kResourceUnref, kSetScanout, kResourceFlush, kTransferToHost2d,
                              kResourceAttachBacking, kResourceDetachBacking}) {
    const std::array<std::byte, 7> few{};
    CHECK(gpu.command(type, few) == kErrInvalidParameter);
  }
  CHECK(gpu.device->counters()[4].value == 12);
}

TEST_CASE("much work is done in turns, in order") {
  Gpu gpu;
  REQUIRE(gpu.create(1, 1024, 1024) == kOkNodata);
  const Gpa pixels = gpu.driver->allocate(1024 * 1024 * 4);
  REQUIRE(gpu.attach(1, {{pixels.value, 1024 * 1024 * 4, 0}}) == kOkNodata);
  must(gpu.driver->memory().write(gpu.request, Header{.type = kTransferToHost2d}));
  must(gpu.driver->memory().write(Gpa{gpu.request.value + sizeof(Header)}, Transfer{{0, 0, 1024, 1024}, 0, 1, 0}));
  std::vector<uint16_t> heads;
  for (int i = 0; i < 20; ++i) {
    heads.push_back(gpu.driver->ring(0).add({{gpu.request, 56, false}, {gpu.reply, 24, true}}));
  }
  gpu.driver->kick(0);
  CHECK(gpu.device->counters()[0].value < 10);
  gpu.driver->kick(0);  // changes nothing
  SECTION("to the end") {
    for (const uint16_t head : heads) {
      const auto used = gpu.driver->wait(0);
      REQUIRE(used);
      CHECK((used->head == head && used->written == 24));
    }
    CHECK(gpu.device->counters()[1].value == 20ULL * 1024 * 1024 * 4);
  }
  SECTION("saved in the middle of it") {
    gpu.save_and_restore();
    for (const uint16_t head : heads) {
      const auto used = gpu.driver->wait(0);
      REQUIRE(used);
      CHECK(used->head == head);
    }
  }
}

TEST_CASE("a display is the same after a save, with all its pixels") {
  Gpu gpu;
  gpu.fill(3, 600, 600, counting(600 * 600), kBgra);
  REQUIRE(gpu.create(9, 700, 700) == kOkNodata);
  CHECK(gpu.scanout(3, {1, 2, 300, 400}) == kOkNodata);
  (void)gpu.device->refresh(gpu.image);
  const std::vector<uint32_t> before = gpu.image.pixels;
  gpu.save_and_restore();
  gpu.image = {};
  REQUIRE(gpu.device->refresh(gpu.image));
  CHECK((gpu.image.width == 300 && gpu.image.pixels == before));
  CHECK(gpu.transfer(3, {0, 0, 600, 600}) == kOkNodata);  // the backing is known
  CHECK(gpu.create(9, 1, 1) == kErrInvalidResourceId);
}

TEST_CASE("damaged states of displays are refused") {
  const auto refused = [](const VirtioGpuState& state, const std::vector<GpuPixels>& pixels) {
    StateWriter out;
    out.put("video0", state);
    for (size_t i = 0; i < pixels.size(); ++i) {
      out.put(fmt::format("video0/{}", i), pixels[i]);
    }
    const StateReader reader = must(StateReader::parse(out.bytes()));
    return !VirtioGpu::create({.max_bytes = 1U << 20}, &reader).has_value();
  };
  const GpuResourceState one{1, kBgra, 4, 4, {{4096, 64}}};
  const std::vector<GpuPixels> blank(1);
  CHECK(!refused({}, {}));
  CHECK(!refused({.resources = {one}, .shown = 1, .width = 4, .height = 4}, blank));
  CHECK(refused({.resources = {one}}, {}));
  CHECK(refused({.resources = {one, one}}, std::vector<GpuPixels>(2)));
  CHECK(!refused({.preferred_width = 800, .preferred_height = 600, .events = 1}, {}));
  CHECK(refused({.preferred_width = 800}, {}));
  CHECK(refused({.preferred_width = 800, .preferred_height = 2401}, {}));
  CHECK(refused({.preferred_width = 800, .preferred_height = 600, .events = 2}, {}));
  CHECK(refused({.resources = {one}}, {GpuPixels{.pixels = std::vector<uint32_t>(15, 1)}}));
  CHECK(refused({.resources = {one}, .shown = 1, .width = 5, .height = 4}, blank));
  CHECK(refused({.resources = {one}, .shown = 2, .width = 4, .height = 4}, blank));
  CHECK(refused({.resources = {one}, .cursor = std::vector<uint32_t>(5)}, blank));
  CHECK(refused({.resources = {{1, 0, 4, 4, {}}}}, blank));
  CHECK(refused({.resources = {{1, kBgra, 16384, 16384, {}}}}, blank));
  CHECK(refused({.resources = {{1, kBgra, 4, 4, {{4096, 0}}}}}, blank));
}

}  // namespace lodge::test
