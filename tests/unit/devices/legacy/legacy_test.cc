// UART and power registers: what the guests of tests/guests cannot see from inside (interrupt lines, power
// events).
#include <catch2/catch.hpp>

#include "devices/chipset/power/device.h"
#include "devices/legacy/debug_ports/device.h"
#include "devices/legacy/power/device.h"
#include "devices/legacy/pvpanic/device.h"
#include "devices/legacy/uart16550/device.h"
#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

// A character backend in the test's hands.
class FakeChar final : public CharBackend {
 public:
  void attach(EventLoop&, Client client) override { client_ = std::move(client); }
  void detach() override { client_ = {}; }
  bool is_open() const override { return true; }
  size_t write(std::span<const std::byte> from) override {
    const size_t take = std::min(from.size(), room);
    room -= take;
    output.append(reinterpret_cast<const char*>(from.data()), take);
    return take;
  }
  void drain(std::span<const std::byte> from, std::chrono::milliseconds /*limit*/) override {
    if (last != nullptr) {
      last->assign(reinterpret_cast<const char*>(from.data()), from.size());
    }
  }
  void resume_input() override {
    ++resumed;
    deliver();
  }
  void type(std::string_view text) {
    input.append(text);
    deliver();
  }
  void deliver() {
    if (!input.empty()) {
      input.erase(0, client_.receive(std::as_bytes(std::span(input))));
    }
  }
  void make_room(size_t bytes) {
    room = bytes;
    client_.writable();
  }
  std::string input;
  std::string output;
  std::string* last = nullptr;  // where the output at the end goes
  size_t room = SIZE_MAX;
  int resumed = 0;

 private:
  Client client_;
};

struct Serial {
  explicit Serial(const StateReader* saved = nullptr) {
    Uart16550::Options options;
    options.id = "serial0";
    auto backend = std::make_unique<FakeChar>();
    host = backend.get();
    options.backend = std::move(backend);
    device = must(Uart16550::create(std::move(options), *machine.env, line(), saved));
  }
  RecordingLine& line() { return machine.lines[4]; }
  uint64_t in(uint64_t reg) { return machine.in(0x3F8 + reg); }
  void out(uint64_t reg, uint64_t value) { machine.out(0x3F8 + reg, value); }
  StateBytes save() {
    StateWriter out;
    device->save(out);
    return out.bytes();
  }
  TestMachine machine;
  FakeChar* host = nullptr;
  std::unique_ptr<Uart16550> device;
};

}  // namespace

TEST_CASE("uart_output_reaches_the_backend_in_order") {
  Serial serial;
  std::string text;
  for (int i = 0; i < 5000; ++i) {
    text.push_back(static_cast<char>('a' + i % 26));
    serial.out(0, static_cast<uint8_t>(text.back()));
  }
  CHECK(serial.machine.run_until([&] { return serial.host->output == text; }));
}

TEST_CASE("uart_with_a_slow_other_side_turns_busy_and_loses_nothing") {
  Serial serial;
  serial.host->room = 0;
  std::string text;
  while ((serial.in(5) & 0x20) != 0 && text.size() < 100000) {
    text.push_back(static_cast<char>(text.size() * 7));
    serial.out(0, static_cast<uint8_t>(text.back()));
  }
  REQUIRE(text.size() < 100000);
  for (int i = 0; i < 20; ++i) {
    serial.machine.control->run_once(std::chrono::milliseconds(1));
  }
  CHECK((serial.in(5) & 0x20) == 0);
  serial.out(4, 8);
  serial.out(1, 2);
  CHECK_FALSE(serial.line().level);
  serial.host->make_room(1000);
  CHECK(serial.line().level);  // there is room: the driver is told
  serial.host->make_room(SIZE_MAX);
  CHECK(serial.machine.run_until([&] { return serial.host->output == text; }));
  CHECK((serial.in(5) & 0x60) == 0x60);
}

TEST_CASE("uart_interrupt_follows_cause_mask_and_out2") {
  Serial serial;
  serial.host->type("x");
  CHECK_FALSE(serial.line().level);
  serial.out(1, 1);
  CHECK_FALSE(serial.line().level);  // OUT2 gates it
  serial.out(4, 8);
  CHECK(serial.line().level);
  CHECK(serial.in(2) == 4);
  CHECK(serial.in(0) == 'x');
  CHECK_FALSE(serial.line().level);
  serial.out(1, 3);
  CHECK(serial.line().level);
  CHECK(serial.in(2) == 2);
  CHECK_FALSE(serial.line().level);
}

TEST_CASE("uart_input_waits_for_room_and_comes_in_order") {
  Serial serial;
  serial.out(2, 1);
  serial.host->type("0123456789abcdefghijklmnopqrstuvwxyz");
  std::string got;
  while ((serial.in(5) & 1) != 0) {
    got.push_back(static_cast<char>(serial.in(0)));
  }
  CHECK(got == "0123456789abcdefghijklmnopqrstuvwxyz");
}

TEST_CASE("uart_clearing_the_fifo_or_reset_lets_waiting_input_in") {
  Serial serial;
  serial.host->type("ab");  // without FIFO the second byte waits
  SECTION("FIFO control") { serial.out(2, 7); }
  SECTION("reset") { serial.device->reset(); }
  CHECK(serial.in(5) == 0x61);
  CHECK(serial.in(0) == 'b');
}

TEST_CASE("uart_state_keeps_bytes_on_their_way") {
  Serial serial;
  serial.out(2, 1);
  serial.out(7, 0x5A);
  serial.host->type("input");
  serial.host->room = 0;
  serial.out(0, 'o');
  bool quiet = false;
  serial.device->quiesce([&] { quiet = true; });
  CHECK(quiet);
  const StateBytes saved = serial.save();
  const auto reader = must(StateReader::parse(saved));
  Serial second(&reader);
  CHECK(second.save() == saved);
  CHECK(second.in(7) == 0x5A);
  CHECK(second.in(0) == 'i');
  second.out(0, 'k');
  CHECK(second.machine.run_until([&] { return second.host->output == "ok"; }));
}

TEST_CASE("uart_writes_its_last_output_at_the_end_unless_it_was_saved") {
  for (const bool saved : {false, true}) {
    Serial serial;
    serial.host->room = 0;
    serial.out(0, 'x');
    serial.machine.turn();
    if (saved) {
      serial.save();
    }
    serial.host->room = 100;
    std::string last;
    serial.host->last = &last;
    serial.device.reset();
    CHECK(last == (saved ? "" : "x"));
  }
}

TEST_CASE("uart_destroyed_with_output_on_its_way_is_gone") {
  Serial serial;
  serial.out(0, 'x');
  serial.device.reset();
  serial.machine.turn();  // what it posted finds nobody
  CHECK(serial.in(5) == 0xFF);
}

TEST_CASE("uart_state_with_too_many_bytes_is_refused") {
  StateWriter out;
  out.put("serial0", Uart16550State{.receive = std::vector<uint8_t>(17)});
  const auto reader = must(StateReader::parse(out.bytes()));
  CHECK_THROWS(Serial(&reader));
}

TEST_CASE("fixed_power_button_raises_the_sci_until_cleared") {
  TestMachine machine;
  const auto power =
      must(FixedPower::create(*machine.env, machine.lines[9], machine.env->power, FixedPower::Placed::from_start, nullptr));
  machine.out(FixedPower::kSmiCommand, FixedPower::kAcpiEnable);
  CHECK((machine.in(0x604, 2) & 1) == 1);
  machine.out(0x602, 0x100, 2);
  power->press_power_button();
  CHECK(machine.lines[9].level);
  CHECK((machine.in(0x600, 2) & 0x100) != 0);
  machine.out(0x600, 0x100, 2);
  CHECK_FALSE(machine.lines[9].level);
  power->press_power_button();
  power->reset();
  CHECK_FALSE(machine.lines[9].level);
  machine.out(FixedPower::kSmiCommand, FixedPower::kAcpiDisable);
  CHECK((machine.in(0x604, 2) & 1) == 0);
}

TEST_CASE("fixed_power_tells_of_hotplug_by_a_general_purpose_event") {
  TestMachine machine;
  const auto power =
      must(FixedPower::create(*machine.env, machine.lines[9], machine.env->power, FixedPower::Placed::from_start, nullptr));
  power->announce_hotplug();
  CHECK_FALSE(machine.lines[9].level);  // not enabled yet, but kept
  machine.out(FixedPower::kGpe0 + 2, 1U << FixedPower::kHotplugGpe);
  CHECK(machine.lines[9].level);
  CHECK(machine.in(FixedPower::kGpe0) == 1U << FixedPower::kHotplugGpe);
  machine.out(FixedPower::kGpe0, 1U << FixedPower::kHotplugGpe);
  CHECK_FALSE(machine.lines[9].level);
  CHECK(machine.in(FixedPower::kGpe0) == 0);
}

TEST_CASE("fixed_power_tells_of_shutdown_and_reset") {
  TestMachine machine;
  const auto power =
      must(FixedPower::create(*machine.env, machine.lines[9], machine.env->power, FixedPower::Placed::from_start, nullptr));
  machine.out(0x604, 0x0001, 2);
  machine.out(0x604, 0x0400, 2);  // a type without the enable bit
  machine.out(0x604, 0x2400, 2);  // a type that is not S5
  machine.out(0x604, 1, 1);
  machine.out(0x605, 0x24, 1);  // the same by bytes
  CHECK(machine.in(0x604, 2) == 0x0401);
  machine.out(0x64, 0xFD);
  power->reset_port().io_write({0, 1, 0}, 2);
  CHECK(machine.power.empty());
  machine.out(0x605, 0x20, 1);
  machine.out(0x64, 0xFE);
  power->reset_port().io_write({0, 1, 0}, 6);
  CHECK(machine.power ==
        std::vector<std::pair<PowerEvent, int>>{{PowerEvent::shutdown, 0}, {PowerEvent::reset, 0}, {PowerEvent::reset, 0}});
}

TEST_CASE("fixed_power_timer_counts_and_goes_on_after_restore") {
  TestMachine machine;
  auto power =
      must(FixedPower::create(*machine.env, machine.lines[9], machine.env->power, FixedPower::Placed::from_start, nullptr));
  const auto first = machine.in(0x608, 4);
  CHECK(machine.run_until([&] { return machine.in(0x608, 4) > first; }));
  StateWriter out;
  power->save(out);
  const auto saved = machine.in(0x608, 4);
  const auto reader = must(StateReader::parse(out.bytes()));
  power.reset();
  power =
      must(FixedPower::create(*machine.env, machine.lines[9], machine.env->power, FixedPower::Placed::from_start, &reader));
  const auto after = machine.in(0x608, 4);
  CHECK(after >= first);
  CHECK(after < saved + 3579545 * 5);
}

TEST_CASE("reduced_power_events_shutdown_and_reset") {
  TestMachine machine;
  const uint64_t base = 0xFEB00000;
  const auto power = must(ReducedPower::create(*machine.env, base, machine.lines[9], machine.env->power, nullptr));
  power->press_power_button();
  CHECK(machine.lines[9].raised == 1);
  CHECK_FALSE(machine.lines[9].level);
  CHECK(machine.read(base + 4, 4) == ReducedPower::kPowerButton);
  CHECK(machine.read(base + 4, 4) == 0);
  power->announce_hotplug();
  power->press_power_button();
  CHECK(machine.lines[9].raised == 3);
  CHECK(machine.read(base + 4, 4) == (ReducedPower::kPowerButton | ReducedPower::kHotplug));
  machine.write(base, 0x14, 1);  // the type without the enable bit
  machine.write(base, 0x20, 1);  // enabled, but not S5
  machine.write(base + 2, 2, 1);
  CHECK(machine.power.empty());
  machine.write(base, 0x34, 1);
  machine.write(base + 2, 1, 1);
  CHECK(machine.power == std::vector<std::pair<PowerEvent, int>>{{PowerEvent::shutdown, 0}, {PowerEvent::reset, 0}});
}

TEST_CASE("pvpanic_tells_of_the_end_and_of_a_crash_kernel") {
  TestMachine machine;
  const auto device = must(PvPanic::create(*machine.env, machine.env->power));
  CHECK(machine.in(0x505) == 3);
  machine.out(0x505, 4);  // an event of later versions
  CHECK(machine.power.empty());
  machine.out(0x505, 2);
  machine.out(0x505, 2);  // told already
  machine.out(0x505, 3);
  CHECK(machine.power == std::vector<std::pair<PowerEvent, int>>{{PowerEvent::crash_loaded, 0}, {PowerEvent::panicked, 0}});
  device->reset();
  machine.out(0x505, 2);
  CHECK(machine.power.size() == 3);
}

TEST_CASE("debug_exit_gives_the_usual_status") {
  TestMachine machine;
  const auto device = must(DebugExit::create(*machine.env, machine.env->power));
  machine.out(0xF4, 16);
  machine.out(0xF4, 0xFF);
  CHECK(machine.power == std::vector<std::pair<PowerEvent, int>>{{PowerEvent::exit, 33}, {PowerEvent::exit, 255}});
  const auto console = must(DebugConsole::create(*machine.env));
  CHECK(machine.in(0x402) == 0xE9);
}

}  // namespace lodge::test
