// Keyboard, mouse and tablet under the xHCI controller: descriptors, reports, protocols, repetition, saves, and who gets
// input.
#include "devices/input/router.h"
#include "devices/usb/hid/keyboard.h"
#include "devices/usb/hid/pointer.h"
#include "tests/support/fake_screen.h"
#include "tests/unit/devices/usb/xhci_driver.h"

namespace lodge::test {
namespace {

using namespace xhci;  // NOLINT(google-build-using-namespace): the names of the document

constexpr uint32_t kReports = 3;
constexpr uint16_t kKeyA = 30, kKeyB = 48, kLeftShift = 42, kKeyLast = 0x2FF;

using Report = std::vector<uint8_t>;

struct Bench : XhciBench {
  explicit Bench(UsbHidKind kind, const StateReader* saved = nullptr, std::function<void()> on_listening = {})
      : Bench(must(create_usb_hid({"hid0", kind, std::move(on_listening)}, saved)), saved) {}
  Bench(std::shared_ptr<UsbDevice> one, const StateReader* saved) : XhciBench({{1, one}}, saved), device(std::move(one)) {
    if (saved == nullptr) {
      slot = driver.attach(1);
    }
  }
  void set_up() { driver.set_up(slot, {{kReports, kTypeInterruptIn, 8}}); }
  // The next report, if there is one.
  std::optional<Report> report() {
    if (!asked) {
      driver.queue(slot, kReports, XhciDriver::kData + 0x1000, 8, kTrbEvent | kTrbShortEvent);
      driver.bell(slot, kReports);
      asked = true;
    }
    const auto event = driver.event();
    if (!event) {
      return std::nullopt;
    }
    driver.seen();
    asked = false;
    REQUIRE((event->code() == Code::success || event->code() == Code::short_packet));
    return driver.memory(XhciDriver::kData + 0x1000, 8 - event->length());
  }
  template <class T>
  T& as() {
    return dynamic_cast<T&>(*device);
  }
  std::shared_ptr<UsbDevice> device;
  uint8_t slot = 1;
  bool asked = false;
};

TEST_CASE("HID devices say what they are") {
  const std::pair<UsbHidKind, uint8_t> kinds[] = {
      {UsbHidKind::tablet, uint8_t{0}}, {UsbHidKind::mouse, uint8_t{2}}, {UsbHidKind::keyboard, uint8_t{1}}};
  for (const auto& [kind, protocol] : kinds) {
    Bench bench(kind);
    const auto configuration = bench.driver.control(bench.slot, 0x80, 6, 0x0200, 0, Report(255)).data;
    REQUIRE(configuration.size() == 9 + 9 + 9 + 7);
    CHECK((configuration[14] == 3 && configuration[15] == (protocol != 0 ? 1 : 0) && configuration[16] == protocol));
    const auto hid = bench.driver.control(bench.slot, 0x81, 6, 0x2100, 0, Report(9)).data;
    CHECK((hid == Report(configuration.begin() + 18, configuration.begin() + 27)));
    const auto report = bench.driver.control(bench.slot, 0x81, 6, 0x2200, 0, Report(255)).data;
    CHECK(report.size() == size_t{hid[7]} + size_t{256} * hid[8]);
    CHECK((report[0] == 5 && report[1] == 1 && report.back() == 0xC0));
  }
}

TEST_CASE("a tablet tells places, and each press and release where it was") {
  Bench bench(UsbHidKind::tablet);
  auto& tablet = bench.as<UsbTablet>();
  tablet.place(1, 2, 0, 0);  // nobody listens yet
  CHECK(!tablet.takes_places());
  bench.set_up();
  CHECK(tablet.takes_places());
  CHECK(!bench.report());
  tablet.place(0x1234, 0x7FFF, 0, 0);
  CHECK(bench.report() == Report{0, 0x34, 0x12, 0xFF, 0x7F, 0});
  tablet.place(10, 10, 0, 0);
  tablet.place(20, 20, 0, 0);  // in one
  tablet.place(20, 20, 0, PointerSink::kLeft);
  tablet.place(30, 30, 0, PointerSink::kLeft);
  tablet.place(40, 0xFFFF, -2, PointerSink::kLeft);
  tablet.place(40, 40, 0, 0);
  CHECK(bench.report() == Report{0, 20, 0, 20, 0, 0});
  CHECK(bench.report() == Report{1, 20, 0, 20, 0, 0});
  CHECK(bench.report() == Report{1, 40, 0, 0xFF, 0x7F, 2});
  CHECK(bench.report() == Report{0, 40, 0, 40, 0, 0});
  CHECK(!bench.report());
  for (int i = 0; i < 1000; ++i) {  // more than there is room for
    tablet.place(static_cast<uint16_t>(i), 0, 0, i % 2 != 0 ? PointerSink::kRight : 0);
  }
  size_t reports = 0;
  std::optional<Report> last;
  while (const auto one = bench.report()) {
    last = one;
    ++reports;
  }
  CHECK(reports == PointerQueue::kMaxWaiting);
  CHECK(*last == Report{2, 999 & 0xFF, 999 >> 8, 0, 0, 0});
}

TEST_CASE("a mouse tells all steps, however many, and knows the boot protocol") {
  Bench bench(UsbHidKind::mouse);
  auto& mouse = bench.as<UsbMouse>();
  bench.set_up();
  mouse.move(300, -5, 1, 0);
  CHECK(bench.report() == Report{0, 127, 0xFB, 0xFF});
  CHECK(bench.report() == Report{0, 127, 0, 0});
  CHECK(bench.report() == Report{0, 46, 0, 0});
  CHECK(!bench.report());
  mouse.move(1, 1, 0, 0);
  CHECK(bench.report());
  CHECK(bench.driver.control(bench.slot, 0xA1, 3, 0, 0, Report(1)).data == Report{1});
  CHECK(bench.driver.control(bench.slot, 0x21, 0x0B, 0, 0, {}).code == Code::success);
  mouse.move(1, 2, 0, PointerSink::kMiddle);
  CHECK(bench.report() == Report{4, 1, 2});
  mouse.move(INT32_MAX, INT32_MIN, INT32_MAX, 0xFF);
  CHECK(bench.report() == Report{0x1F, 127, 0x81});
}

TEST_CASE("a keyboard tells keys in order, modifiers, and that there are too many") {
  Bench bench(UsbHidKind::keyboard);
  auto& keyboard = bench.as<UsbKeyboard>();
  bench.set_up();
  keyboard.key(kLeftShift, true);
  keyboard.key(kKeyA, true);
  keyboard.key(kKeyA, true);  // it is down
  keyboard.key(kKeyA, false);
  keyboard.key(kKeyB, false);  // it is not
  keyboard.key(kLeftShift, false);
  keyboard.key(kKeyLast, true);  // there is none
  CHECK(bench.report() == Report{2, 0, 0, 0, 0, 0, 0, 0});
  CHECK(bench.report() == Report{2, 0, 4, 0, 0, 0, 0, 0});
  CHECK(bench.report() == Report{2, 0, 0, 0, 0, 0, 0, 0});
  CHECK(bench.report() == Report{0, 0, 0, 0, 0, 0, 0, 0});
  CHECK(!bench.report());
  for (uint16_t code = 16; code < 23; ++code) {
    keyboard.key(code, true);
  }
  keyboard.key(16, false);
  std::vector<Report> reports;
  while (const auto one = bench.report()) {
    reports.push_back(*one);
  }
  REQUIRE(reports.size() == 8);
  CHECK(reports[5] == Report{0, 0, 20, 26, 8, 21, 23, 28});
  CHECK(reports[6] == Report{0, 0, 1, 1, 1, 1, 1, 1});
  CHECK(reports[7] == Report{0, 0, 26, 8, 21, 23, 28, 24});
  CHECK(bench.driver.control(bench.slot, 0xA1, 1, 0x0100, 0, Report(8)).data == reports[7]);
}

TEST_CASE("a keyboard's queue is bounded, and a key that went down comes up") {
  Bench bench(UsbHidKind::keyboard);
  auto& keyboard = bench.as<UsbKeyboard>();
  bench.set_up();
  for (int i = 0; i < 1000; ++i) {
    keyboard.key(kKeyA, true);
    keyboard.key(kKeyA, false);
  }
  keyboard.key(kKeyB, true);
  size_t reports = 0;
  std::optional<Report> last;
  while (const auto one = bench.report()) {
    last = one;
    ++reports;
  }
  CHECK((reports == UsbKeyboard::kRoomToPress && *last == Report(8)));
}

TEST_CASE("LEDs, and keys that repeat while they are held") {
  Bench bench(UsbHidKind::keyboard);
  auto& keyboard = bench.as<UsbKeyboard>();
  bench.set_up();
  CHECK(bench.driver.control(bench.slot, 0x21, 9, 0x0200, 0, {0xE2}).code == Code::success);
  CHECK(keyboard.leds() == 2);
  CHECK(bench.driver.control(bench.slot, 0x21, 0x0A, 0x0100, 0, {}).code == Code::success);
  CHECK(bench.driver.control(bench.slot, 0xA1, 2, 0, 0, Report(1)).data == Report{1});
  keyboard.key(kKeyA, true);
  const Report held{0, 0, 4, 0, 0, 0, 0, 0};
  CHECK(bench.report() == held);
  for (int i = 0; i < 3; ++i) {
    std::optional<Report> again;
    CHECK(bench.machine.run_until([&] { return (again = bench.report()).has_value(); }));
    CHECK(again == held);
  }
  keyboard.key(kKeyA, false);
  std::optional<Report> up;
  CHECK(bench.machine.run_until([&] { return (up = bench.report()) == Report(8); }));
  CHECK(!bench.report());
}

TEST_CASE("a guest that ceases to listen is noticed, and what waits is forgotten") {
  int changes = 0;
  Bench bench(UsbHidKind::tablet, nullptr, [&changes] { ++changes; });
  auto& tablet = bench.as<UsbTablet>();
  CHECK(changes == 0);
  bench.set_up();
  CHECK(changes == 1);
  tablet.place(1, 1, 0, 0);
  CHECK(bench.driver.control(bench.slot, 0, 9, 0, 0, {}).code == Code::success);
  CHECK((changes == 2 && !tablet.takes_places()));
  CHECK(bench.driver.control(bench.slot, 0, 9, 1, 0, {}).code == Code::success);
  CHECK(!bench.report());
  bench.driver.set_port(1, kPortPower | kPortReset);
  bench.driver.settle();
  CHECK((changes == 4 && !tablet.takes_places()));
}

TEST_CASE("what waits for the host goes on after a save") {
  for (const UsbHidKind kind : {UsbHidKind::keyboard, UsbHidKind::mouse, UsbHidKind::tablet}) {
    Bench first(kind);
    first.set_up();
    if (kind == UsbHidKind::keyboard) {
      first.as<UsbKeyboard>().key(kKeyA, true);
      CHECK(first.report());
      first.as<UsbKeyboard>().key(kKeyB, true);
    } else if (kind == UsbHidKind::mouse) {
      first.as<UsbMouse>().move(200, 1, 0, 1);
      CHECK(first.report());
    } else {
      first.as<UsbTablet>().place(1, 1, 0, 1);
      CHECK(first.report());
      first.as<UsbTablet>().place(2, 2, 0, 1);
    }
    const StateBytes saved = first.save();
    const StateReader reader = must(StateReader::parse(saved));
    Bench second(kind, &reader);
    first.copy_memory_to(second);
    second.driver.follow(first.driver);
    CHECK((second.save() == saved));
    CHECK(second.device->configured());
    second.controller->resume();
    const auto next = second.report();
    REQUIRE(next);
    CHECK(*next == (kind == UsbHidKind::keyboard ? Report{0, 0, 4, 5, 0, 0, 0, 0}
                    : kind == UsbHidKind::mouse  ? Report{1, 73, 0, 0}
                                                 : Report{1, 2, 0, 2, 0, 0}));
  }
}

TEST_CASE("input goes to the device that the guest listens to, and keys come up where they went down") {
  Bench bench(UsbHidKind::keyboard);
  auto& keyboard = bench.as<UsbKeyboard>();
  FakeInput other;
  InputRouter router;
  CHECK(!router.has_keyboard());
  router.add(other, InputRank::ps2);
  router.add(keyboard, InputRank::usb);  // which comes later
  CHECK((router.has_keyboard() && router.takes_keys() && router.takes_steps() && !router.takes_places()));
  router.key(kKeyA, true);
  bench.set_up();
  router.key(kKeyA, false);
  router.key(kKeyB, true);
  router.move(1, 2, 3, 0);
  router.place(1, 2, 3, 0);
  CHECK(other.take() == "+30 -30 1,2,3,0");
  CHECK(bench.report() == Report{0, 0, 5, 0, 0, 0, 0, 0});
  router.remove(keyboard);
  router.key(kKeyB, false);
  CHECK(other.take() == "-48");
}

}  // namespace
}  // namespace lodge::test
