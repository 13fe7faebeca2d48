// PciFunction and PciRoot: headers, BAR sizing and moving, decode, capabilities, INTx, saved state.
#include "devices/pci/function.h"

#include <catch2/catch.hpp>

#include "devices/pci/chipset.h"
#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

class Registers final : public IoHandler {
 public:
  explicit Registers(uint64_t answer) : answer_(answer) {}
  uint64_t io_read(IoAccess) override { return answer_; }
  void io_write(IoAccess, uint64_t) override {}

 private:
  uint64_t answer_;
};

// One BAR of each kind.
class Sample final : public PciFunction {
 public:
  explicit Sample(const DeviceEnv& env) : PciFunction("sample", {0x1234, 0x5678, 0x010203, 4, 0x1111, 0x2222}, env) {
    add_bar(0, BarKind::io, 32, std::make_shared<Registers>(0xA0));
    add_bar(1, BarKind::memory32, 4096, std::make_shared<Registers>(0xA1));
    add_bar(2, BarKind::memory64, 1 << 20, std::make_shared<Registers>(0xA2));
    const uint8_t body[4] = {1, 2, 3, 4};
    const uint8_t writable[4] = {0, 0xFF, 0x0F, 0};
    first = add_capability(0x09, body, writable);
    must(add_msix(4, 5, nullptr));
  }
  using PciFunction::load_pci;
  using PciFunction::set_intx;
  void bar_mapped(uint8_t index, uint64_t base) override { mapped.emplace_back(index, base); }
  void bar_unmapped(uint8_t index, uint64_t base) override { unmapped.emplace_back(index, base); }
  std::vector<std::pair<int, uint64_t>> mapped;
  std::vector<std::pair<int, uint64_t>> unmapped;
  uint8_t first = 0;
};

struct Bench {
  Bench() : function(std::make_shared<Sample>(*machine.env)) { must(machine.root->plug({3, 0}, function, true)); }
  uint32_t get(uint16_t offset, uint8_t size = 4) { return machine.config(3, offset, size); }
  void set(uint16_t offset, uint32_t value, uint8_t size = 4) { machine.set_config(3, offset, value, size); }
  TestMachine machine;
  std::shared_ptr<Sample> function;
};

}  // namespace

TEST_CASE("function_header_is_what_it_was_made_with_and_read_only") {
  Bench bench;
  for (int pass = 0; pass < 2; ++pass) {
    CHECK(bench.get(0x00) == 0x56781234);
    CHECK(bench.get(0x08) == 0x01020304);
    CHECK(bench.get(0x2C) == 0x22221111);
    CHECK(bench.get(0x0E, 1) == 0);
    CHECK((bench.get(0x06, 2) & 0x10) == 0x10);
    CHECK(bench.get(0x3D, 1) == 1);
    for (uint16_t offset : {0x00, 0x06, 0x08, 0x2C, 0x34, 0x3D}) {
      bench.set(offset, 0xFFFFFFFF, offset == 0x3D ? 1 : offset == 6 ? 2 : 4);
    }
  }
  CHECK(bench.get(0x100) == 0);  // no extended space
  CHECK(bench.get(0xFFC) == 0);
}

TEST_CASE("function_command_keeps_only_what_exists") {
  Bench bench;
  bench.set(0x04, 0xFFFF, 2);
  CHECK(bench.get(0x04, 2) == 0x507);
  bench.set(0x04, 0, 2);
  CHECK(bench.get(0x04, 2) == 0);
}

TEST_CASE("bars_report_their_size_and_kind") {
  Bench bench;
  const struct {
    uint16_t at;
    uint32_t expected;
  } cases[] = {{0x10, 0xFFFFFFE1}, {0x14, 0xFFFFF000}, {0x18, 0xFFF0000C},
               {0x1C, 0xFFFFFFFF}, {0x20, 0xFFFF0000}, {0x24, 0}};
  for (const auto& one : cases) {
    bench.set(one.at, 0xFFFFFFFF);
    INFO(one.at);
    CHECK(bench.get(one.at) == one.expected);
  }
}

TEST_CASE("bars_answer_where_they_are_mapped_and_only_while_decoded") {
  Bench bench;
  bench.set(0x10, 0xC000);
  bench.set(0x14, 0xC0000000);
  bench.set(0x18, 0x00000000);
  bench.set(0x1C, 0x00000010);  // above 4 GiB
  CHECK(bench.machine.in(0xC000) == 0xFF);
  CHECK(bench.machine.read(0xC0000000, 1) == 0xFF);
  bench.set(0x04, 1, 2);
  CHECK(bench.machine.in(0xC01F) == 0xA0);
  CHECK(bench.machine.read(0xC0000000, 1) == 0xFF);
  bench.set(0x04, 2, 2);
  CHECK(bench.machine.in(0xC01F) == 0xFF);
  CHECK(bench.machine.read(0xC0000000, 1) == 0xA1);
  CHECK(bench.machine.read(0x1000000000, 1) == 0xA2);
  bench.set(0x14, 0xD0000000);
  CHECK(bench.machine.read(0xC0000000, 1) == 0xFF);
  CHECK(bench.machine.read(0xD0000FFF, 1) == 0xA1);
  CHECK(bench.machine.read(0xD0001000, 1) == 0xFF);
  CHECK(bench.function->mapped.back() == std::pair<int, uint64_t>(1, 0xD0000000));
  CHECK(bench.function->unmapped.back() == std::pair<int, uint64_t>(1, 0xC0000000));
  bench.set(0x14, 0);  // not an address
  CHECK(bench.machine.read(0, 1) == 0xFF);
  bench.set(0x16, 0xE1F0, 2);  // a half at a time
  CHECK(bench.get(0x14) == 0xE1F00000);
  CHECK(bench.machine.read(0xE1F00000, 1) == 0xA1);
  bench.function->reset_pci();
  CHECK(bench.machine.read(0xE1F00000, 1) == 0xFF);
  CHECK(bench.get(0x14) == 0);
  CHECK(bench.function->mapped.size() == bench.function->unmapped.size());
}

TEST_CASE("bar_put_over_something_else_is_not_mapped_until_it_moves_away") {
  Bench bench;
  bench.set(0x04, 3, 2);
  bench.set(0x14, TestMachine::kEcam);
  CHECK(bench.get(0) == 0x56781234);
  bench.set(0x14, 0xC0000000);
  CHECK(bench.machine.read(0xC0000000, 1) == 0xA1);
  bench.set(0x10, 0xCF8 & ~31U);  // over the configuration ports
  bench.machine.out(0xCF8, 0x80001800, 4);
  CHECK(bench.machine.in(0xCFC, 4) == 0x56781234);
  bench.set(0x10, 0x1FFE0);  // ports that do not exist
  bench.set(0x10, 0xFFFFFFE0);
  CHECK(bench.machine.in(0xFFE0) == 0xFF);
}

TEST_CASE("capabilities_form_a_list_that_ends_and_honours_its_masks") {
  Bench bench;
  uint8_t at = static_cast<uint8_t>(bench.get(0x34, 1));
  CHECK(at == bench.function->first);
  std::vector<uint32_t> ids;
  while (at != 0) {
    REQUIRE(ids.size() < 10);
    ids.push_back(bench.get(at, 1));
    at = static_cast<uint8_t>(bench.get(static_cast<uint16_t>(at + 1), 1));
  }
  CHECK(ids == std::vector<uint32_t>{0x09, 0x11});
  const uint16_t body = static_cast<uint16_t>(bench.function->first + 2);
  bench.set(body, 0xFFFFFFFF, 2);
  bench.set(static_cast<uint16_t>(body + 2), 0xFFFFFFFF, 2);
  CHECK(bench.get(body, 2) == 0xFF01);
  CHECK(bench.get(static_cast<uint16_t>(body + 2), 2) == 0x040F);
}

TEST_CASE("intx_follows_the_device_the_command_bit_and_its_neighbours") {
  Bench bench;
  RecordingLine& line = bench.machine.lines[bench.get(0x3C, 1)];
  bench.function->set_intx(true);
  CHECK(line.level);
  CHECK((bench.get(0x06, 2) & 8) == 8);
  bench.set(0x04, 0x400, 2);
  CHECK_FALSE(line.level);
  CHECK((bench.get(0x06, 2) & 8) == 8);  // pending all the same
  bench.set(0x04, 0, 2);
  CHECK(line.level);
  // Slot 11 shares the line with slot 3.
  const auto other = std::make_shared<Sample>(*bench.machine.env);
  must(bench.machine.root->plug({11, 0}, other, true));
  other->set_intx(true);
  bench.function->set_intx(false);
  CHECK(line.level);
  bench.machine.root->unplug({11, 0});
  CHECK_FALSE(line.level);
}

TEST_CASE("function_that_was_unplugged_answers_and_interrupts_nobody") {
  Bench bench;
  RecordingLine& line = bench.machine.lines[16 + 3];
  bench.set(0x14, 0xC0000000);
  bench.set(0x04, 2, 2);
  CHECK(bench.machine.read(0xC0000000, 4) == 0xA1);
  bench.function->set_intx(true);
  REQUIRE(line.level);
  CHECK(bench.machine.root->unplug({3, 0}) == bench.function);
  CHECK(bench.machine.root->unplug({3, 0}) == nullptr);
  CHECK_FALSE(line.level);
  bench.function->set_intx(true);  // a request that ended late
  CHECK_FALSE(line.level);
  // A vCPU that had the function in hand still writes to it: nothing comes back.
  bench.function->config_write(0x14, 4, 0xC0000000);
  bench.function->config_write(0x04, 2, 2);
  CHECK(bench.machine.read(0xC0000000, 4) == 0xFFFFFFFF);
  CHECK_FALSE(bench.function->in_use());
}

TEST_CASE("function_is_in_use_while_an_access_is_under_way_and_closed_after_it") {
  // A handler during whose access the function is unplugged.
  class Slow final : public IoHandler {
   public:
    uint64_t io_read(IoAccess) override {
      during();
      return ++reads;
    }
    void io_write(IoAccess, uint64_t) override {}
    std::function<void()> during;
    uint64_t reads = 0;
  };
  class Function final : public PciFunction {
   public:
    Function(const DeviceEnv& env, const std::shared_ptr<IoHandler>& handler) : PciFunction("slow", {}, env) {
      add_bar(1, BarKind::memory32, 4096, handler);
    }
  };
  TestMachine machine;
  const auto slow = std::make_shared<Slow>();
  const auto function = std::make_shared<Function>(*machine.env, slow);
  must(machine.root->plug({3, 0}, function, false));
  machine.set_config(3, 0x14, 0xC0000000);
  machine.set_config(3, 0x04, 2, 2);
  uint64_t inner = 0;
  slow->during = [&] {
    CHECK(function->in_use());
    machine.root->unplug({3, 0});
    CHECK(function->in_use());
    // Another vCPU, which looks at the bus as it was.
    inner = machine.read(0xC0000000, 4);
  };
  CHECK(machine.read(0xC0000000, 4) == 1);
  CHECK(inner == 0xFFFFFFFF);
  CHECK(slow->reads == 1);
  CHECK_FALSE(function->in_use());
}

TEST_CASE("root_has_one_function_an_address_and_none_elsewhere") {
  Bench bench;
  CHECK_FALSE(bench.machine.root->plug({3, 0}, bench.function, true));
  CHECK_FALSE(bench.machine.root->plug({32, 0}, bench.function, true));
  CHECK_FALSE(bench.machine.root->plug({1, 8}, bench.function, true));
  CHECK(bench.machine.config(4, 0) == 0xFFFFFFFF);
  CHECK(bench.machine.config(4, 0, 1) == 0xFF);
  must(bench.machine.root->plug({3, 3}, std::make_shared<PlainFunction>("p", kPowerPiix4, *bench.machine.env), false));
  CHECK(bench.get(0x0E, 1) == 0x80);  // now there are more functions
  CHECK((bench.get(0x0C, 4) >> 16 & 0xFF) == 0x80);
}

TEST_CASE("root_ports_and_window_show_the_same_bytes") {
  Bench bench;
  for (uint32_t offset = 0; offset < 256; ++offset) {
    bench.machine.out(0xCF8, 0x80001800 | (offset & 0xFC), 4);
    CHECK(bench.machine.in(0xCFC + (offset & 3)) == bench.get(static_cast<uint16_t>(offset), 1));
  }
  CHECK(bench.machine.in(0xCF8, 4) == 0x800018FC);
  bench.machine.out(0xCF9, 0x12);  // not the address register
  bench.machine.out(0xCF8, 0x12, 2);
  CHECK(bench.machine.in(0xCF8, 4) == 0x800018FC);
  CHECK(bench.machine.in(0xCFE, 4) == 0xFFFFFFFF);  // runs out of the data register
  for (const uint32_t bad : {0x00001800U, 0x80011800U}) {
    bench.machine.out(0xCF8, bad, 4);
    CHECK(bench.machine.in(0xCFC, 4) == 0xFFFFFFFF);
    bench.machine.out(0xCFC, 0, 4);
  }
  CHECK(bench.machine.read(TestMachine::kEcam + 0x18000, 8) == 0x56781234 + (uint64_t{bench.get(4)} << 32));
  CHECK(bench.machine.read(TestMachine::kEcam + 0x18003, 2) == 0xFFFF);
}

TEST_CASE("function_restored_before_it_is_plugged_keeps_the_guests_interrupt_line") {
  Bench bench;
  bench.set(0x3C, 0x55, 1);
  const PciState saved = bench.function->pci_state();
  TestMachine machine;
  const auto second = std::make_shared<Sample>(*machine.env);
  must(second->load_pci(saved));
  must(machine.root->plug({3, 0}, second, true));
  CHECK(machine.config(3, 0x3C, 1) == 0x55);
  second->set_intx(true);
  CHECK(machine.lines[19].level);
}

TEST_CASE("window_accesses_that_cross_doublewords_are_ignored") {
  Bench bench;
  for (const uint64_t at : {1, 2, 3}) {
    CHECK(bench.machine.read(TestMachine::kEcam + 0x18000 + at, 8) == ~uint64_t{0});
    bench.machine.write(TestMachine::kEcam + 0x18038 + at, 0, 8);
  }
  CHECK(bench.get(0x3C, 1) != 0);
}

TEST_CASE("function_state_restores_bars_and_is_checked") {
  Bench bench;
  bench.set(0x04, 0x403, 2);
  bench.set(0x10, 0xC000);
  bench.set(0x18, 0xC0000000);
  bench.set(0x3C, 11, 1);
  const PciState saved = bench.function->pci_state();
  Bench second;
  must(second.function->load_pci(saved));
  CHECK(second.function->pci_state() == saved);
  CHECK(second.machine.read(0xC0000000, 1) == 0xA2);
  CHECK(second.machine.in(0xC000) == 0xA0);
  PciState bad = saved;
  bad.bars[2] = 0xC0000010;
  CHECK_FALSE(second.function->load_pci(bad));
  bad = saved;
  bad.bars[5] = 0x1000;
  CHECK_FALSE(second.function->load_pci(bad));
}

}  // namespace lodge::test
