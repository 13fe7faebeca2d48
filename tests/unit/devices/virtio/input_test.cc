// virtio-input: what the configuration space says, events of keys, steps and places, buffers that come late, LEDs, saves.
#include <linux/input-event-codes.h>

#include <catch2/catch.hpp>

#include "devices/input/router.h"
#include "devices/virtio/input/keyboard.h"
#include "devices/virtio/input/pointer.h"
#include "tests/support/device_driver.h"

namespace lodge::test {
namespace {

using Event = VirtioInputEvent;
constexpr Event kSync{EV_SYN, SYN_REPORT, 0};

Event key(uint16_t code, bool down) { return {EV_KEY, code, down ? 1U : 0U}; }
Event step(uint16_t code, int32_t value) { return {EV_REL, code, static_cast<uint32_t>(value)}; }
Event place(uint16_t code, uint32_t value) { return {EV_ABS, code, value}; }

struct Bench {
  static constexpr uint16_t kEvents = 0;
  static constexpr uint16_t kStatus = 1;
  explicit Bench(VirtioInputKind which, std::function<void()> on_listening = {}) : kind(which) {
    device = make(nullptr, std::move(on_listening));
    driver = std::make_unique<DeviceDriver>(*device, kVirtioVersion1);
    buffers = driver->allocate(64 * sizeof(Event));
  }
  ~Bench() { driver.reset(); }
  std::unique_ptr<VirtioInput> make(const StateReader* saved, std::function<void()> on_listening = {}) const {
    return must(VirtioInput::create(
        {.id = "input0", .kind = kind, .serial = "SN-1", .on_listening = std::move(on_listening)}, saved));
  }
  template <class T>
  T& as() {
    return dynamic_cast<T&>(*device);
  }
  // Gives buffers for this many events.
  void give(int count, uint32_t size = sizeof(Event)) {
    for (int i = 0; i < count; ++i) {
      driver->ring(kEvents).add({{Gpa{buffers.value + next++ % 64 * sizeof(Event)}, size, true}});
    }
    driver->kick(kEvents);
  }
  // What has come so far; `read` counts buffers that were looked at.
  std::vector<Event> events() {
    driver->turn(4);
    std::vector<Event> all;
    while (const auto used = driver->ring(kEvents).used()) {
      const Gpa at{buffers.value + read++ % 64 * sizeof(Event)};
      if (used->written == sizeof(Event)) {
        all.push_back(must(driver->memory().read<Event>(at)));
      }
    }
    return all;
  }
  std::string query(uint8_t select, uint8_t subsel) {
    const std::array wanted{std::byte{select}, std::byte{subsel}};
    device->write_config(0, wanted);
    std::array<std::byte, 136> config{};
    device->read_config(0, config);
    CHECK((config[0] == wanted[0] && config[1] == wanted[1]));
    const auto size = std::to_integer<size_t>(config[2]);
    REQUIRE(size <= 128);
    std::string answer;
    for (size_t i = 0; i < size; ++i) {
      answer.push_back(static_cast<char>(config[8 + i]));
    }
    for (size_t i = size; i < 128; ++i) {
      CHECK(config[8 + i] == std::byte{0});
    }
    return answer;
  }
  bool has(uint8_t type, size_t bit) {
    const std::string bits = query(0x11, type);
    return bit / 8 < bits.size() && (static_cast<uint8_t>(bits[bit / 8]) >> bit % 8 & 1) != 0;
  }
  void save_and_restore() {
    REQUIRE(driver->stop());
    StateWriter out;
    device->save("input0", out);
    const StateReader reader = must(StateReader::parse(out.bytes()));
    device = make(&reader);
    StateWriter again;
    device->save("input0", again);
    CHECK(again.bytes() == out.bytes());
    CHECK(reader.check_all_used());
    driver->replace(*device);
    driver->start();
  }
  VirtioInputKind kind;
  std::unique_ptr<VirtioInput> device;
  std::unique_ptr<DeviceDriver> driver;
  Gpa buffers;
  uint64_t next = 0;
  uint64_t read = 0;
};

}  // namespace

TEST_CASE("input devices answer what they are") {
  Bench keyboard(VirtioInputKind::keyboard);
  CHECK((keyboard.device->virtio_id() == 18 && keyboard.device->pci_class() == 0x090000));
  CHECK(keyboard.query(0x01, 0) == "Lodge Virtio Keyboard");
  CHECK(keyboard.query(0x02, 0) == "SN-1");
  CHECK(keyboard.query(0x03, 0) == std::string("\x06\0\x27\x06\x01\0\x01\0", 8));
  CHECK(keyboard.query(0x10, 0).empty());
  CHECK((keyboard.has(EV_KEY, KEY_A) && keyboard.has(EV_KEY, KEY_RIGHTMETA) && !keyboard.has(EV_KEY, 0)));
  CHECK(!keyboard.has(EV_KEY, BTN_LEFT));
  CHECK((keyboard.has(EV_LED, LED_CAPSL) && !keyboard.query(0x11, EV_REP).empty()));
  CHECK((keyboard.query(0x11, EV_REL).empty() && keyboard.query(0x12, ABS_X).empty()));

  Bench mouse(VirtioInputKind::mouse);
  CHECK(mouse.device->pci_class() == 0x090200);
  CHECK(mouse.query(0x01, 0) == "Lodge Virtio Mouse");
  CHECK(mouse.query(0x10, 0) == std::string(1, '\x01'));  // INPUT_PROP_POINTER
  CHECK((mouse.has(EV_REL, REL_X) && mouse.has(EV_REL, REL_Y) && mouse.has(EV_REL, REL_WHEEL)));
  CHECK((mouse.has(EV_KEY, BTN_LEFT) && mouse.has(EV_KEY, BTN_EXTRA) && !mouse.has(EV_KEY, KEY_A)));
  CHECK((mouse.query(0x11, EV_ABS).empty() && mouse.query(0x11, EV_LED).empty()));

  Bench tablet(VirtioInputKind::tablet);
  CHECK(tablet.query(0x03, 0)[4] == 3);
  CHECK((tablet.has(EV_ABS, ABS_X) && tablet.has(EV_ABS, ABS_Y) && tablet.has(EV_REL, REL_WHEEL)));
  CHECK(!tablet.has(EV_REL, REL_X));
  const std::string range("\0\0\0\0\xFF\x7F\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  CHECK((tablet.query(0x12, ABS_X) == range && tablet.query(0x12, ABS_Y) == range));
  CHECK((tablet.query(0x12, 2).empty() && tablet.query(0x00, 0).empty() && tablet.query(0xFF, 0xFF).empty()));
  CHECK((tablet.query(0x01, 1).empty() && tablet.query(0x11, 0xFF).empty()));
}

TEST_CASE("the driver writes nothing but what it selects, byte by byte or at once") {
  Bench bench(VirtioInputKind::tablet);
  const std::array<std::byte, 8> ones{std::byte{1}, std::byte{0}, std::byte{9}, std::byte{9},
                                      std::byte{9}, std::byte{9}, std::byte{9}, std::byte{9}};
  bench.device->write_config(0, ones);
  bench.device->write_config(8, ones);
  std::array<std::byte, 4> config{};
  bench.device->read_config(0, config);
  CHECK(config == std::array{std::byte{1}, std::byte{0}, std::byte{19}, std::byte{0}});
  bench.device->write_config(1, std::span(ones).first(1));
  bench.device->read_config(0, config);
  CHECK(config == std::array{std::byte{1}, std::byte{1}, std::byte{0}, std::byte{0}});
  std::array<std::byte, 2> beyond{std::byte{7}, std::byte{7}};
  bench.device->read_config(135, beyond);
  CHECK(beyond == std::array{std::byte{0}, std::byte{0}});
  bench.device->read_config(UINT32_MAX, beyond);
}

TEST_CASE("a keyboard tells keys in order once there is a driver") {
  int listened = 0;
  Bench bench(VirtioInputKind::keyboard, [&listened] { ++listened; });
  auto& keyboard = bench.as<VirtioKeyboard>();
  keyboard.key(KEY_A, true);  // nobody is there
  CHECK((!keyboard.takes_keys() && listened == 0));
  bench.driver->start();
  CHECK((keyboard.takes_keys() && listened == 1));
  bench.give(20);
  CHECK(bench.events().empty());
  keyboard.key(KEY_LEFTSHIFT, true);
  keyboard.key(KEY_A, true);
  keyboard.key(KEY_A, true);   // it is down
  keyboard.key(KEY_B, false);  // it is not
  keyboard.key(KEY_A, false);
  keyboard.key(0, true);
  keyboard.key(BTN_LEFT, true);  // there is none
  keyboard.key(0x2FF, true);
  keyboard.key(KEY_LEFTSHIFT, false);
  CHECK(bench.events() == std::vector{key(KEY_LEFTSHIFT, true), kSync, key(KEY_A, true), kSync, key(KEY_A, false), kSync,
                                      key(KEY_LEFTSHIFT, false), kSync});
  keyboard.key(KEY_B, true);
  bench.driver->reset();
  CHECK((!keyboard.takes_keys() && listened == 2));
  bench.driver->start();
  CHECK(bench.events().empty());  // what was pressed is forgotten
  keyboard.key(KEY_B, false);
  keyboard.key(KEY_C, true);
  CHECK(bench.events() == std::vector{key(KEY_C, true), kSync});
}

TEST_CASE("keys wait for buffers, bounded, and each that went down comes up") {
  Bench bench(VirtioInputKind::keyboard);
  auto& keyboard = bench.as<VirtioKeyboard>();
  bench.driver->start();
  for (uint16_t code = 1; code <= 200; ++code) {
    keyboard.key(code, true);
  }
  for (uint16_t code = 1; code <= 200; ++code) {
    keyboard.key(code, false);
  }
  std::vector<Event> all;
  for (int i = 0; i < 50; ++i) {
    bench.give(i % 7);
    const auto some = bench.events();
    all.insert(all.end(), some.begin(), some.end());
    if (i % 10 == 3) {
      bench.save_and_restore();
    }
  }
  bench.give(60);
  const auto some = bench.events();
  all.insert(all.end(), some.begin(), some.end());
  bench.give(60);
  const auto last = bench.events();
  all.insert(all.end(), last.begin(), last.end());
  size_t down = 0;
  size_t up = 0;
  for (size_t i = 0; i < all.size(); i += 2) {
    REQUIRE(i + 1 < all.size());
    CHECK((all[i].type == EV_KEY && all[i + 1] == kSync));
    ++(all[i].value != 0 ? down : up);
  }
  // The first waits no longer, but for a buffer.
  CHECK((down == up && (down == VirtioKeyboard::kRoomToPress || down == VirtioKeyboard::kRoomToPress + 1)));
}

TEST_CASE("a tablet tells places, presses where they were, and turns") {
  Bench bench(VirtioInputKind::tablet);
  auto& tablet = bench.as<VirtioTablet>();
  tablet.place(1, 2, 0, 0);
  CHECK(!tablet.takes_places());
  bench.driver->start();
  CHECK(tablet.takes_places());
  bench.give(60);
  tablet.place(100, 200, 0, 0);
  CHECK(bench.events() == std::vector{place(ABS_X, 100), place(ABS_Y, 200), kSync});
  tablet.place(0xFFFF, 0x7FFF, 0, PointerSink::kLeft);
  tablet.place(5, 5, -2, 0);
  CHECK(bench.events() == std::vector{place(ABS_X, 0x7FFF), place(ABS_Y, 0x7FFF), key(BTN_LEFT, true), kSync,
                                      place(ABS_X, 5), place(ABS_Y, 5), key(BTN_LEFT, false), step(REL_WHEEL, 2), kSync});
}

TEST_CASE("moves without a buffer become one, presses do not") {
  Bench bench(VirtioInputKind::tablet);
  auto& tablet = bench.as<VirtioTablet>();
  bench.driver->start();
  for (uint16_t i = 0; i < 1000; ++i) {
    tablet.place(i, i, 1, 0);
  }
  bench.driver->turn(2);
  tablet.place(7, 8, 0, PointerSink::kRight);
  tablet.place(9, 9, 0, 0);
  bench.give(40);
  CHECK(bench.events() == std::vector{place(ABS_X, 999), place(ABS_Y, 999), step(REL_WHEEL, -1000), kSync, place(ABS_X, 7),
                                      place(ABS_Y, 8), key(BTN_RIGHT, true), kSync, place(ABS_X, 9), place(ABS_Y, 9),
                                      key(BTN_RIGHT, false), kSync});
  for (int i = 0; i < 10000; ++i) {  // more than there is room for
    tablet.place(1, 1, 0, i % 2 == 0 ? PointerSink::kLeft : 0);
  }
  size_t presses = 0;
  std::vector<Event> some;
  do {
    bench.give(30);
    some = bench.events();
    presses += static_cast<size_t>(std::ranges::count(some, EV_KEY, &Event::type));
  } while (!some.empty());
  CHECK((presses <= PointerQueue::kMaxWaiting && presses % 2 == 0));  // and nothing is held
}

TEST_CASE("a mouse tells steps and all five buttons") {
  Bench bench(VirtioInputKind::mouse);
  auto& mouse = bench.as<VirtioMouse>();
  bench.driver->start();
  CHECK(mouse.takes_steps());
  bench.give(60);
  mouse.move(5, -300, 0, 0);
  mouse.move(0, 0, 0, 0);  // nothing
  CHECK(bench.events() == std::vector{step(REL_X, 5), step(REL_Y, -300), kSync});
  mouse.move(0, 0, 1, 0x1F);
  CHECK(bench.events() == std::vector{key(BTN_LEFT, true), key(BTN_RIGHT, true), key(BTN_MIDDLE, true), key(BTN_SIDE, true),
                                      key(BTN_EXTRA, true), step(REL_WHEEL, -1), kSync});
  mouse.move(INT32_MAX, INT32_MIN, 0, 0xFF);
  CHECK(bench.events() == std::vector{step(REL_X, 0x7FFFF), step(REL_Y, -0x7FFFF), kSync});
}

TEST_CASE("an event is told in parts, across a save, in the middle of it") {
  Bench bench(VirtioInputKind::mouse);
  bench.driver->start();
  bench.as<VirtioMouse>().move(1, 2, 0, PointerSink::kLeft);
  bench.as<VirtioMouse>().move(3, 0, 0, PointerSink::kLeft);
  bench.give(2);
  CHECK(bench.events() == std::vector{step(REL_X, 1), step(REL_Y, 2)});
  bench.query(0x11, EV_REL);
  bench.save_and_restore();
  std::array<std::byte, 3> config{};
  bench.device->read_config(0, config);
  CHECK(config == std::array{std::byte{0x11}, std::byte{EV_REL}, std::byte{2}});
  bench.as<VirtioMouse>().move(0, 0, 0, 0);
  bench.give(20);
  CHECK(bench.events() == std::vector{key(BTN_LEFT, true), kSync, step(REL_X, 3), kSync, key(BTN_LEFT, false), kSync});
}

TEST_CASE("buffers that are too small come back empty and cost no event") {
  Bench bench(VirtioInputKind::keyboard);
  bench.driver->start();
  bench.give(3, 7);
  bench.driver->ring(0).add({{bench.buffers, 8, false}});
  bench.driver->kick(0);
  bench.as<VirtioKeyboard>().key(KEY_A, true);
  CHECK(bench.events().empty());
  bench.next = bench.read;
  bench.give(2);
  CHECK(bench.events() == std::vector{key(KEY_A, true), kSync});
  CHECK(bench.device->counters()[2].value == 4);
}

TEST_CASE("the guest lights LEDs, and other statuses do nothing") {
  Bench bench(VirtioInputKind::keyboard);
  bench.driver->start();
  const auto status = [&](const Event& event, uint32_t size = sizeof(Event)) {
    const Gpa at = bench.driver->put(bytes_of(event));
    CHECK(bench.driver->request(Bench::kStatus, {{at, size, false}})->written == 0);
  };
  status({EV_LED, LED_CAPSL, 1});
  status({EV_LED, LED_NUML, 1});
  CHECK(bench.device->leds() == (1U << LED_CAPSL | 1U << LED_NUML));
  status({EV_LED, LED_CAPSL, 0});
  status({EV_LED, LED_MAIL, 1});
  status({EV_LED, 0xFFFF, 1});
  status({EV_REP, 0, 250});
  CHECK(bench.device->leds() == 1U << LED_NUML);
  CHECK(bench.device->counters()[2].value == 0);
  status({EV_LED, LED_SCROLLL, 1}, 7);
  CHECK(bench.device->counters()[2].value == 1);
  bench.save_and_restore();
  CHECK(bench.device->leds() == 1U << LED_NUML);
  bench.driver->reset();
  CHECK(bench.device->leds() == 0);
}

TEST_CASE("input goes to virtio first, to others while it has no driver") {
  Bench bench(VirtioInputKind::keyboard);
  struct Other final : InputSink {
    void key(uint16_t code, bool down) override { keys.emplace_back(code, down); }
    std::vector<std::pair<uint16_t, bool>> keys;
  } other;
  InputRouter router;
  router.add(*bench.device, InputRank::virtio);
  router.add(other, InputRank::ps2);
  router.key(KEY_A, true);
  bench.driver->start();
  bench.give(10);
  router.key(KEY_A, false);  // comes up where it went down
  CHECK(other.keys == std::vector<std::pair<uint16_t, bool>>{{KEY_A, true}, {KEY_A, false}});
  router.key(KEY_B, true);
  CHECK(bench.events() == std::vector{key(KEY_B, true), kSync});
  router.remove(*bench.device);
  router.key(KEY_B, false);
  CHECK(other.keys.size() == 3);
}

TEST_CASE("damaged states of input devices are refused") {
  const auto refused = [](VirtioInputKind kind, const auto& one, const auto& two) {
    StateWriter out;
    out.put("input0", one);
    out.put("input0", two);
    const StateReader reader = must(StateReader::parse(out.bytes()));
    return !VirtioInput::create({.id = "input0", .kind = kind}, &reader).has_value();
  };
  constexpr auto kKeyboard = VirtioInputKind::keyboard;
  CHECK(!refused(kKeyboard, VirtioInputState(), VirtioKeyboardState()));
  CHECK(refused(kKeyboard, VirtioInputState{.leds = 0x80}, VirtioKeyboardState()));
  CHECK(refused(kKeyboard, VirtioInputState{.telling = std::vector<Event>(17)}, VirtioKeyboardState()));
  CHECK(refused(kKeyboard, VirtioInputState(), VirtioKeyboardState{.keys = {249}}));
  CHECK(refused(kKeyboard, VirtioInputState(), VirtioKeyboardState{.waiting = {0x8000}}));
  CHECK(refused(kKeyboard, VirtioInputState(), VirtioKeyboardState{.waiting = std::vector<uint16_t>(1000, 30)}));
  constexpr auto kTablet = VirtioInputKind::tablet;
  CHECK(!refused(kTablet, VirtioInputState(), VirtioPointerState()));
  CHECK(refused(kTablet, VirtioInputState(), VirtioPointerState{.buttons = 0x20}));
  CHECK(refused(kTablet, VirtioInputState(), VirtioPointerState{.waiting = std::vector<PointerEvent>(33)}));
  CHECK(refused(kTablet, VirtioInputState(), VirtioPointerState{.waiting = {{.wheel = INT32_MIN}}}));
  CHECK(!VirtioInput::create({.id = "input0", .serial = std::string(129, 'x')}, nullptr));
}

}  // namespace lodge::test
