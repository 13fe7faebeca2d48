#include "vmm/display/session.h"

#include <catch2/catch.hpp>

#include "tests/support/fake_screen.h"

namespace lodge {
namespace {

struct Fixture {
  test::FakeScreen screen;
  test::FakeInput input;
  std::vector<uint32_t> picture = std::vector<uint32_t>(1000);
  std::optional<ViewerSession> session;
  ViewerSession::Time now{std::chrono::seconds(1)};

  Fixture() { session.emplace(DisplaySinks{&screen, &input, &input}, picture); }
  template <class Packet>
  Result<std::optional<display::Frame>> send(const Packet& packet) {
    return session->handle(display::bytes_of(packet), now);
  }
  display::Frame refresh(uint32_t serial) {
    const auto answer = send(display::Refresh{.serial = serial});
    REQUIRE((answer && answer->has_value()));
    return **answer;
  }
};

TEST_CASE("A refresh brings the changed lines into the picture and names them") {
  Fixture f;
  f.screen.paint(20, 10, {0, 10, true}, 7);
  auto frame = f.refresh(41);
  CHECK((frame.serial == 41 && frame.width == 20 && frame.height == 10));
  CHECK((frame.first == 0 && frame.last == 10 && frame.resized == 1));
  CHECK((f.picture[0] == 7 && f.picture[199] == 7 && f.picture[200] == 0));
  frame = f.refresh(42);
  CHECK((frame.first == frame.last && frame.resized == 0 && frame.width == 20));
  f.screen.paint(20, 10, {3, 5, false}, 9);
  frame = f.refresh(43);
  CHECK((frame.first == 3 && frame.last == 5 && frame.resized == 0));
  CHECK((f.picture[59] == 7 && f.picture[60] == 9 && f.picture[99] == 9 && f.picture[100] == 7));
}

TEST_CASE("Of a picture that is too large its beginning is shown") {
  Fixture f;
  f.screen.paint(30, 100, {0, 100, true}, 5);
  const auto frame = f.refresh(1);
  CHECK((frame.width == 30 && frame.height == 33 && frame.last == 33));
  CHECK((f.picture[989] == 5 && f.picture[990] == 0));
}

TEST_CASE("What a viewer holds is let up when it goes") {
  Fixture f;
  CHECK(f.send(display::Key{.code = 29, .down = 1}));
  CHECK(f.send(display::Key{.code = 30, .down = 1}));
  CHECK(f.send(display::Key{.code = 30, .down = 0}));
  CHECK(f.send(display::Key{.code = 31, .down = 0}));  // was not down
  CHECK(f.send(display::Move{.right = 1, .down = -2, .wheel = 3, .buttons = 1}));
  CHECK(f.send(display::Position{.x = 1}));  // nothing takes it
  CHECK(f.input.take() == "+29 +30 -30 1,-2,3,1");
  f.session.reset();
  CHECK(f.input.take() == "-29 0,0,0,0");
}

// A tablet that the guest listens to or not.
struct FakeTablet final : TabletSink {
  void place(uint16_t x, uint16_t y, int32_t wheel, uint8_t buttons) override {
    text += fmt::format("{},{},{},{} ", x, y, wheel, buttons);
  }
  [[nodiscard]] bool takes_places() const override { return listens; }
  bool listens = false;
  std::string text;
};

TEST_CASE("Places reach a tablet, and the viewer hears once when the guest begins to listen to it") {
  Fixture f;
  FakeTablet tablet;
  f.session.emplace(DisplaySinks{&f.screen, &f.input, &f.input, &tablet}, f.picture);
  CHECK(f.session->pointer_news()->absolute == 0);
  CHECK(!f.session->pointer_news());
  CHECK(f.send(display::Move{.right = 1, .buttons = 2}));
  tablet.listens = true;
  CHECK(f.session->pointer_news()->absolute == 1);
  CHECK(!f.session->pointer_news());
  CHECK(f.input.take() == "1,0,0,2 0,0,0,0");  // the mouse's button comes up
  CHECK(f.send(display::Position{.x = 5, .y = 0x7FFF, .wheel = -1, .buttons = 1}));
  CHECK(tablet.text == "5,32767,-1,1 ");
  f.session.reset();
  CHECK(tablet.text == "5,32767,-1,1 5,32767,0,0 ");
  CHECK(f.input.take().empty());
}

TEST_CASE("The size that a viewer would like reaches the screen") {
  Fixture f;
  CHECK(!f.send(display::Size{.width = 800, .height = 600})->has_value());
  CHECK(f.screen.wanted() == "800x600");
  CHECK(!f.send(display::Size{.width = 0, .height = 600}));
  CHECK(f.screen.wanted() == "800x600");
}

TEST_CASE("A guest with neither keyboard nor mouse is looked at all the same") {
  Fixture f;
  f.session.emplace(DisplaySinks{&f.screen, nullptr, nullptr}, f.picture);
  CHECK(f.send(display::Key{.code = 29, .down = 1}));
  CHECK(f.send(display::Move{.buttons = 1}));
  CHECK(f.refresh(1).width == 10);
}

TEST_CASE("A viewer that floods or sends rubbish is given up") {
  Fixture f;
  for (uint32_t i = 0; i < display::kRefreshesPerSecond; ++i) {
    REQUIRE(f.send(display::Refresh{}));
  }
  CHECK(!f.send(display::Refresh{}));
  for (uint32_t i = 0; i < display::kInputsPerSecond; ++i) {
    REQUIRE(f.send(display::Key{.code = 30, .down = i % 2 == 0 ? uint16_t{1} : uint16_t{0}}));
  }
  CHECK(!f.send(display::Key{.code = 30, .down = 1}));
  f.now += std::chrono::seconds(1);
  CHECK(f.send(display::Refresh{}));
  CHECK(!f.send(uint64_t{0}));
  CHECK(!f.session->handle({}, f.now));
}

}  // namespace
}  // namespace lodge
