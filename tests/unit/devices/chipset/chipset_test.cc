// The chips that firmware sets up: 440FX, PIIX3, PIIX4, and the device that tells it of its machine.
#include <catch2/catch.hpp>

#include "devices/chipset/host_bridge/device.h"
#include "devices/chipset/isa_bridge/device.h"
#include "devices/chipset/power/device.h"
#include "devices/legacy/fw_cfg/device.h"
#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

std::vector<std::byte> bytes(std::string_view text) {
  const auto view = bytes_of(text);
  return {view.begin(), view.end()};
}

constexpr uint64_t kRequest = 0x1000;  // in guest memory
constexpr uint64_t kTarget = 0x2000;

uint32_t big(uint32_t value) { return __builtin_bswap32(value); }
uint64_t big(uint64_t value) { return __builtin_bswap64(value); }

}  // namespace

TEST_CASE("host_bridge_pam_registers_choose_ram_or_rom_for_each_segment") {
  TestMachine machine;
  std::vector<ShadowMap> seen;
  const auto bridge = must(HostBridge::create(
      {.low_ram = 64 * kMiB, .apply = [&](const ShadowMap& map) { seen.push_back(map); }}, *machine.env, nullptr));
  must(machine.root->plug({0, 0}, bridge, false));
  REQUIRE(seen.size() == 1);
  CHECK(seen.back() == ShadowMap{});
  machine.set_config(0, 0x59, 0xFF, 1);
  CHECK(machine.config(0, 0x59, 1) == 0x30);
  CHECK(seen.back().segments[12] == (ShadowMap::kRead | ShadowMap::kWrite));
  machine.set_config(0, 0x5A, 0x2112, 2);
  CHECK(seen.back().segments[0] == ShadowMap::kWrite);
  CHECK(seen.back().segments[1] == ShadowMap::kRead);
  CHECK(seen.back().segments[2] == ShadowMap::kRead);
  CHECK(seen.back().segments[3] == ShadowMap::kWrite);
  machine.set_config(0, 0x5C, 0x33333333);
  CHECK(seen.back().segments[11] == 3);
  CHECK(machine.config(0, 0x60, 1) == 8);  // rows of 8 MiB

  machine.set_config(0, 0x72, 0x4A, 1);
  CHECK(seen.back().smram_open);
  machine.set_config(0, 0x72, 0x1A, 1);  // closed, and locked
  CHECK_FALSE(seen.back().smram_open);
  machine.set_config(0, 0x72, 0x4A, 1);
  CHECK_FALSE(seen.back().smram_open);
  bridge->reset();
  CHECK(seen.back() == ShadowMap{});
  CHECK(machine.config(0, 0x72, 1) == 2);
}

TEST_CASE("host_bridge_restores_what_firmware_chose") {
  TestMachine machine;
  const auto bridge = must(HostBridge::create({}, *machine.env, nullptr));
  must(machine.root->plug({0, 0}, bridge, false));
  machine.set_config(0, 0x58, 0x11113000);
  StateWriter out;
  bridge->save(out);
  const auto reader = must(StateReader::parse(out.bytes()));
  ShadowMap seen;
  const auto again =
      must(HostBridge::create({.low_ram = 0, .apply = [&](const ShadowMap& map) { seen = map; }}, *machine.env, &reader));
  CHECK(seen == bridge->shadow());
  CHECK(seen.segments[12] == 3);
}

TEST_CASE("pirq_router_drives_ioapic_and_isa_interrupt") {
  TestMachine machine;
  PirqRouter router([&](uint32_t gsi) -> IrqLine& { return machine.lines[gsi]; });
  const auto bridge = must(IsaBridge::create(router, *machine.env, nullptr));
  must(machine.root->plug({1, 0}, bridge, false));
  CHECK(machine.config(1, 0x60) == 0x80808080);
  // Slot 2, INTA: input 18 and PIRQ 1. Slot 3: input 19, PIRQ 2.
  router.line(18).set(true);
  CHECK(machine.lines[18].level);
  CHECK_FALSE(machine.lines[10].level);
  machine.set_config(1, 0x61, 10, 1);  // while it is asserted
  CHECK(machine.lines[10].level);
  router.line(22).set(true);  // slot 6 shares it
  router.line(18).set(false);
  CHECK(machine.lines[10].level);
  machine.set_config(1, 0x61, 11, 1);
  CHECK_FALSE(machine.lines[10].level);
  CHECK(machine.lines[11].level);
  machine.set_config(1, 0x61, 2, 1);  // no interrupt of that number is to be had
  CHECK_FALSE(machine.lines[11].level);
  machine.set_config(1, 0x61, 9, 1);
  router.line(9).set(true);  // the SCI, which it shares
  router.line(22).set(false);
  CHECK(machine.lines[9].level);
  router.line(9).set(false);
  CHECK_FALSE(machine.lines[9].level);
}

TEST_CASE("isa_bridge_port_92_keeps_a20_and_resets") {
  TestMachine machine;
  PirqRouter router([&](uint32_t gsi) -> IrqLine& { return machine.lines[gsi]; });
  const auto bridge = must(IsaBridge::create(router, *machine.env, nullptr));
  CHECK(machine.in(0x92) == 2);
  machine.out(0x92, 0xFC);
  CHECK(machine.in(0x92) == 0);
  CHECK(machine.power.empty());
  machine.out(0x92, 3);
  CHECK(machine.in(0x92) == 2);
  CHECK(machine.power.size() == 1);
}

TEST_CASE("piix4_power_block_goes_where_firmware_puts_it") {
  TestMachine machine;
  const auto power =
      must(FixedPower::create(*machine.env, machine.lines[9], machine.env->power, FixedPower::Placed::by_firmware, nullptr));
  must(machine.root->plug({1, 0}, power, false));
  CHECK(machine.in(0x608, 4) == 0xFFFFFFFF);
  CHECK((machine.config(1, 0x58) & 0x0200'0000) != 0);  // no system management mode is to be had
  machine.set_config(1, 0x40, 0x601);
  CHECK(machine.in(0x600, 4) == 0xFFFFFFFF);
  machine.set_config(1, 0x80, 1, 1);
  CHECK(machine.in(0x600, 4) == 0);
  CHECK(machine.config(1, 0x40) == 0x601);
  machine.set_config(1, 0x40, 0xB001);
  CHECK(machine.in(0x600, 4) == 0xFFFFFFFF);
  CHECK(machine.in(0xB000, 4) == 0);
  CHECK(machine.in(0xB010, 4) == 0);
  machine.set_config(1, 0x90, 0x701);
  machine.set_config(1, 0xD2, 9, 1);
  machine.out(0x702, 0x48);  // a transfer to nobody
  CHECK(machine.in(0x700) == 4);
  machine.out(0x700, 4);
  CHECK(machine.in(0x700) == 0);
  machine.out(0xB2, 0xF1);
  machine.out(0xB3, 0x55);
  CHECK(machine.in(0xB2, 2) == 0x55F1);
  CHECK((machine.in(0xB004, 2) & 1) == 1);
  StateWriter out;
  power->save(out);
  const auto reader = must(StateReader::parse(out.bytes()));
  TestMachine other;
  const auto again =
      must(FixedPower::create(*other.env, other.lines[9], other.env->power, FixedPower::Placed::by_firmware, &reader));
  CHECK((other.in(0xB004, 2) & 1) == 1);
  machine.set_config(1, 0x40, 0xFFFF);  // beyond what there is
  machine.set_config(1, 0x40, 0x0041);  // over what others have
  power->reset();
  CHECK(machine.config(1, 0x40) == 1);
}

TEST_CASE("fw_cfg_gives_items_byte_by_byte_and_files_by_name") {
  TestMachine machine;
  const auto device = must(FwCfg::create(*machine.env, nullptr));
  FwCfgItems items;
  items.add_file("etc/zeta", bytes("last"));
  items.add_file("etc/alpha", bytes("first"));
  items.add_number_file("etc/zeta", 0x1234, 2);
  items.set_text(fw_cfg::kCommandLineData, "quiet");
  device->offer(std::move(items));
  const auto read = [&](uint16_t key, size_t count) {
    machine.out(0x510, key, 2);
    std::string out;
    while (count-- > 0) {
      out.push_back(static_cast<char>(machine.in(0x511)));
    }
    return out;
  };
  CHECK(read(fw_cfg::kSignature, 4) == "QEMU");
  CHECK(read(fw_cfg::kId, 5) == std::string("\3\0\0\0\0", 5));
  CHECK(read(fw_cfg::kCommandLineData, 6) == std::string("quiet\0", 6));
  CHECK(read(0x7777, 4) == std::string(4, '\0'));
  const std::string directory = read(fw_cfg::kDirectory, 4 + 2 * 64);
  CHECK(directory.substr(0, 4) == std::string("\0\0\0\2", 4));
  CHECK(directory.substr(4, 8) == std::string("\0\0\0\5\0\x20\0\0", 8));
  CHECK(directory.substr(12, 10) == std::string("etc/alpha\0", 10));
  CHECK(read(0x20, 5) == "first");
  CHECK(read(0x21, 2) == std::string("\x34\x12", 2));
  machine.out(0x510, 0x20);  // one byte selects nothing
  CHECK(machine.in(0x511) == 0);
}

TEST_CASE("fw_cfg_dma_reads_skips_and_refuses") {
  TestMachine machine;
  const auto device = must(FwCfg::create(*machine.env, nullptr));
  FwCfgItems items;
  items.add_file("file", bytes("0123456789"));
  device->offer(std::move(items));
  CHECK(machine.in(0x514, 4) == 0x554D4551);  // "QEMU" as the bytes lie
  CHECK(machine.in(0x518, 4) == 0x47464320);  // " CFG"
  const auto transfer = [&](uint32_t control, uint32_t length, uint64_t address = kTarget) {
    must(machine.memory->write(Gpa{kRequest}, big(control)));
    must(machine.memory->write(Gpa{kRequest + 4}, big(length)));
    must(machine.memory->write(Gpa{kRequest + 8}, big(address)));
    machine.out(0x514, 0, 4);
    machine.out(0x518, big(static_cast<uint32_t>(kRequest)), 4);
    return big(must(machine.memory->read<uint32_t>(Gpa{kRequest})));
  };
  const auto target = [&](size_t size) {
    std::string out(size, ' ');
    must(machine.memory->read_bytes(Gpa{kTarget}, std::as_writable_bytes(std::span(out))));
    return out;
  };
  CHECK(transfer(0x20 << 16 | 8 | 4, 3) == 0);  // select, skip
  CHECK(transfer(2, 4) == 0);
  CHECK(target(4) == "3456");
  CHECK(transfer(2, 6) == 0);  // past its end
  CHECK(target(6) == std::string("789\0\0\0", 6));
  CHECK(transfer(2, 0xFFFF'FFFF) == 1);
  CHECK(transfer(0x20 << 16 | 8 | 2, 4, 0xFFFF'FFFF'FFFF'FFFE) == 1);
  CHECK(transfer(0x20 << 16 | 8 | 2, 4, TestMachine::kMemory - 2) == 1);
  CHECK(transfer(0x20 << 16 | 8 | 16, 4) == 1);  // nothing is written
  CHECK(transfer(0, 0) == 0);
  machine.out(0x514, 0xFFFF'FFFF, 4);
  machine.out(0x518, 0xFFFF'FFFF, 4);  // a request that is nowhere
  machine.out(0x518, big(static_cast<uint32_t>(TestMachine::kMemory - 4)), 4);
}

}  // namespace lodge::test
