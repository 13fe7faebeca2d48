// The ATA disk and the bus master, by the registers of ATA/ATAPI-6 and of the PIIX3.
#include "tests/unit/devices/ide/ide_driver.h"

namespace lodge::test {
namespace {

constexpr uint64_t kDisk = IdeBench::kDisk;

std::vector<uint8_t> pattern(size_t size, unsigned seed) {
  std::vector<uint8_t> out(size);
  for (uint8_t& byte : out) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(seed >> 24);
  }
  return out;
}

uint16_t word(const std::vector<uint8_t>& page, size_t at) {
  return static_cast<uint16_t>(page.at(2 * at) | page.at(2 * at + 1) << 8);
}

}  // namespace

TEST_CASE("ide_drives_show_their_signatures_and_absent_ones_nothing") {
  IdeBench bench;
  bench.machine.out(kDisk + 6, 0);
  CHECK(bench.status(kDisk) == 0x50);
  CHECK(bench.reg(kDisk, 2) == 1);
  CHECK(bench.reg(kDisk, 3) == 1);
  CHECK((bench.reg(kDisk, 4) | bench.reg(kDisk, 5)) == 0);
  CHECK(bench.reg(IdeBench::kCd, 4) == 0x14);
  CHECK(bench.reg(IdeBench::kCd, 5) == 0xEB);
  bench.machine.out(kDisk + 6, 0x10);
  CHECK(bench.status(kDisk) == 0);
  CHECK(bench.reg(kDisk, 7) == 0);
  bench.machine.out(kDisk + 7, 0xEC);  // a command for nobody
  CHECK(bench.status(kDisk) == 0);
}

TEST_CASE("ide_channels_answer_only_while_they_are_decoded") {
  IdeBench bench;
  bench.machine.set_config(1, 0x41, 0, 1);
  CHECK(bench.machine.in(0x1F7) == 0xFF);
  CHECK(bench.machine.in(0x177) == 0x00);  // the other one: a CD drive after its reset
  bench.machine.set_config(1, 0x41, 0x80, 1);
  CHECK(bench.machine.in(0x1F7) == 0x50);
  bench.machine.set_config(1, 0x04, 0, 2);
  CHECK(bench.machine.in(0x1F7) == 0xFF);
}

TEST_CASE("ata_identify_says_what_the_disk_is") {
  IdeBench bench;
  bench.command(kDisk, 0xEC);
  CHECK(bench.machine.lines[14].level);
  const auto page = bench.take(kDisk);
  REQUIRE(page.size() == 512);
  CHECK(word(page, 0) == 0x0040);
  CHECK((word(page, 60) | word(page, 61) << 16) == 8 * kMiB / 512);
  CHECK((word(page, 100) | word(page, 101) << 16) == 8 * kMiB / 512);
  CHECK((word(page, 49) & 0x0300) == 0x0300);
  CHECK((word(page, 83) & 0x6400) == 0x6400);
  CHECK(page[20] == 'N');
  CHECK(page[21] == 'S');
  CHECK(std::accumulate(page.begin(), page.end(), 0U) % 256 == 0);
  CHECK(bench.status(kDisk) == 0x50);
}

TEST_CASE("ata_pio_moves_sectors_both_ways") {
  IdeBench bench;
  const auto data = pattern(300 * 512, 1);
  SECTION("28 bits") {
    bench.command(kDisk, 0x30, 5, 7);
    bench.give(kDisk, {data.begin(), data.begin() + 7 * 512});
    REQUIRE(bench.settle(kDisk));
    CHECK(bench.status(kDisk) == 0x50);
    CHECK(bench.of_disk(5 * 512, 7 * 512) == std::vector<uint8_t>(data.begin(), data.begin() + 7 * 512));
    bench.command(kDisk, 0x20, 4, 9);
    CHECK(bench.take(kDisk) == bench.of_disk(4 * 512, 9 * 512));
    bench.command(kDisk, 0x20, 0, 0);  // 256
    CHECK(bench.take(kDisk) == bench.of_disk(0, 256 * 512));
  }
  SECTION("48 bits, more than the buffer holds") {
    bench.command(kDisk, 0x34, 1000, 300, true);
    bench.give(kDisk, data);
    REQUIRE(bench.settle(kDisk));
    CHECK(bench.of_disk(1000 * 512, 300 * 512) == data);
    bench.command(kDisk, 0x24, 1000, 300, true);
    CHECK(bench.take(kDisk) == data);
  }
  SECTION("several sectors for an interrupt") {
    const int first = bench.machine.lines[14].raised;
    bench.command(kDisk, 0xC4, 0, 20);
    CHECK(bench.take(kDisk) == bench.of_disk(0, 20 * 512));
    CHECK(bench.machine.lines[14].raised - first == 2);  // 16 and 4: set from power-on
    bench.command(kDisk, 0xC6, 0, 0);
    bench.command(kDisk, 0xC4, 0, 8);
    CHECK(bench.failed(kDisk));  // switched off
    bench.command(kDisk, 0xC6, 0, 8);
    CHECK(bench.status(kDisk) == 0x50);
    (void)bench.reg(kDisk, 7);
    const int before = bench.machine.lines[14].raised;
    bench.command(kDisk, 0xC4, 3, 20);
    CHECK(bench.take(kDisk) == bench.of_disk(3 * 512, 20 * 512));
    CHECK(bench.machine.lines[14].raised - before == 3);  // 8, 8 and 4
    bench.command(kDisk, 0xC5, 64, 20);
    bench.give(kDisk, {data.begin(), data.begin() + 20 * 512});
    REQUIRE(bench.settle(kDisk));
    CHECK(bench.of_disk(64 * 512, 20 * 512) == std::vector<uint8_t>(data.begin(), data.begin() + 20 * 512));
  }
  SECTION("cylinders, heads and sectors") {
    bench.machine.out(kDisk + 2, 1);
    bench.machine.out(kDisk + 3, 2);  // the second sector
    bench.machine.out(kDisk + 4, 1);  // of cylinder 1
    bench.machine.out(kDisk + 5, 0);
    bench.machine.out(kDisk + 6, 0xA3);  // and head 3
    bench.machine.out(kDisk + 7, 0x20);
    CHECK(bench.take(kDisk) == bench.of_disk(((1 * 16 + 3) * 63 + 1) * 512, 512));
  }
}

TEST_CASE("ata_addresses_beyond_the_disk_are_not_found") {
  IdeBench bench;
  for (const uint8_t code : {0x20, 0x30, 0xC8, 0xCA, 0x40}) {
    bench.command(kDisk, code, 8 * kMiB / 512 - 1, 2);
    REQUIRE(bench.failed(kDisk));
    CHECK(bench.reg(kDisk, 1) == ide::kIdNotFound);
  }
  bench.command(kDisk, 0x24, ~uint64_t{0} >> 16, 0, true);
  REQUIRE(bench.failed(kDisk));
  bench.command(kDisk, 0xF8);
  CHECK((bench.reg(kDisk, 3) | bench.reg(kDisk, 4) << 8) == 8 * kMiB / 512 - 1);
}

TEST_CASE("ata_dma_follows_the_table") {
  IdeBench bench;
  bench.table({{0x10000, 514}, {0x20002, 1022}, {0x30000, 512}});
  bench.command(kDisk, 0xC8, 16, 4);
  CHECK((bench.status(kDisk) & ide::kDrq) != 0);
  bench.start_master(0, true);
  REQUIRE(bench.machine.run_until([&] { return (bench.master_status(0) & 4) != 0; }));
  CHECK((bench.master_status(0) & 3) == 0);  // neither active nor failed
  CHECK(bench.status(kDisk) == 0x50);
  const auto wanted = bench.of_disk(16 * 512, 2048);
  CHECK(bench.memory(0x10000, 514) == std::vector<uint8_t>(wanted.begin(), wanted.begin() + 514));
  CHECK(bench.memory(0x20002, 1022) == std::vector<uint8_t>(wanted.begin() + 514, wanted.begin() + 1536));
  CHECK(bench.memory(0x30000, 512) == std::vector<uint8_t>(wanted.begin() + 1536, wanted.end()));
  bench.stop_master(0);

  const auto data = pattern(128 * 1024, 7);
  must(bench.machine.memory->write_bytes(Gpa{0x100000}, std::as_bytes(std::span(data))));
  bench.table({{0x100000, 0}, {0x110000, 0}});  // a count of 0 is 64 KiB
  bench.command(kDisk, 0x35, 2048, 256, true);
  bench.start_master(0, false);
  REQUIRE(bench.machine.run_until([&] { return (bench.master_status(0) & 4) != 0; }));
  CHECK(bench.of_disk(2048 * 512, data.size()) == data);
}

TEST_CASE("ata_dma_waits_for_a_table_that_is_long_enough") {
  IdeBench bench;
  bench.table({{0x10000, 512}});
  bench.command(kDisk, 0xC8, 0, 2);
  bench.start_master(0, true);
  REQUIRE(bench.machine.run_until([&] { return (bench.master_status(0) & 1) == 0; }));
  CHECK((bench.master_status(0) & 6) == 0);
  CHECK((bench.status(kDisk) & (ide::kBsy | ide::kDrq)) != 0);
  bench.stop_master(0);
  bench.start_master(0, true);
  REQUIRE(bench.machine.run_until([&] { return (bench.master_status(0) & 4) != 0; }));
  CHECK(bench.memory(0x10000, 512) == bench.of_disk(512, 512));
}

TEST_CASE("ata_dma_longer_tables_leave_the_master_active") {
  IdeBench bench;
  bench.table({{0x10000, 4096}});
  bench.command(kDisk, 0xC8, 0, 1);
  bench.start_master(0, true);
  REQUIRE(bench.machine.run_until([&] { return (bench.master_status(0) & 4) != 0; }));
  CHECK((bench.master_status(0) & 1) == 1);
  bench.stop_master(0);
  CHECK((bench.master_status(0) & 1) == 0);
}

TEST_CASE("ata_dma_outside_of_memory_fails_the_command") {
  IdeBench bench;
  SECTION("a segment") { bench.table({{0xE000'0000, 512}}); }
  SECTION("a table without an end") {
    for (uint32_t i = 0; i < 8192; ++i) {
      must(bench.machine.memory->write(Gpa{IdeBench::kTable + 8ULL * i}, uint64_t{2} << 32 | 0x100000));
    }
  }
  bench.command(kDisk, 0x25, 0, 128, true);
  bench.start_master(0, true);
  REQUIRE(bench.machine.run_until([&] { return (bench.master_status(0) & 2) != 0; }));
  CHECK(bench.failed(kDisk));
}

TEST_CASE("ata_dma_needs_a_bus_master") {
  IdeBench bench;
  bench.machine.set_config(1, 0x04, 1, 2);
  bench.table({{0x10000, 512}});
  bench.command(kDisk, 0xC8, 9, 1);
  bench.start_master(0, true);
  bench.machine.turn(10);
  CHECK((bench.master_status(0) & 4) == 0);
  bench.machine.set_config(1, 0x04, 5, 2);
  REQUIRE(bench.machine.run_until([&] { return (bench.master_status(0) & 4) != 0; }));
  CHECK(bench.memory(0x10000, 512) == bench.of_disk(9 * 512, 512));
}

TEST_CASE("ata_interrupts_are_acknowledged_by_the_status_and_can_be_kept_back") {
  IdeBench bench;
  bench.command(kDisk, 0xEC);
  CHECK(bench.machine.lines[14].level);
  (void)bench.status(kDisk);  // the alternate one does not
  CHECK(bench.machine.lines[14].level);
  (void)bench.reg(kDisk, 7);
  CHECK_FALSE(bench.machine.lines[14].level);
  bench.machine.out(0x3F6, 2);
  bench.command(kDisk, 0xE5);
  CHECK_FALSE(bench.machine.lines[14].level);
  CHECK(bench.reg(kDisk, 2) == 0xFF);
  bench.machine.out(0x3F6, 0);
  CHECK_FALSE(bench.machine.lines[15].level);
}

TEST_CASE("ata_reset_waits_for_the_request_in_flight") {
  IdeBench bench;
  bench.image->hold = true;
  bench.command(kDisk, 0x20, 0, 1);
  REQUIRE(bench.machine.run_until([&] { return bench.image->held.size() == 1; }));
  bench.machine.out(0x3F6, 4);
  bench.machine.out(0x3F6, 0);
  bench.machine.turn(5);
  CHECK((bench.status(kDisk) & ide::kBsy) != 0);
  bench.command(kDisk, 0xEC);  // not taken
  bench.image->let_go();
  REQUIRE(bench.settle(kDisk));
  CHECK(bench.status(kDisk) == 0x50);
  CHECK(bench.reg(kDisk, 3) == 1);
  bench.command(kDisk, 0x20, 1, 1);
  CHECK(bench.take(kDisk) == bench.of_disk(512, 512));
}

TEST_CASE("ata_flushes_and_writes_through") {
  IdeBench bench;
  bench.command(kDisk, 0xE7);
  REQUIRE(bench.settle(kDisk));
  CHECK(bench.image->flushes == 1);
  bench.machine.out(kDisk + 1, 0x82);  // no write cache
  bench.machine.out(kDisk + 7, 0xEF);
  REQUIRE(bench.settle(kDisk));
  CHECK(bench.image->flushes == 2);
  bench.command(kDisk, 0x30, 0, 1);
  bench.give(kDisk, pattern(512, 3));
  REQUIRE(bench.settle(kDisk));
  CHECK(bench.image->durable == 1);
  bench.machine.out(kDisk + 1, 0x02);
  bench.machine.out(kDisk + 7, 0xEF);
  bench.table({{0x10000, 512}});
  bench.command(kDisk, 0x3D, 0, 1, true);  // forced
  bench.start_master(0, false);
  REQUIRE(bench.machine.run_until([&] { return (bench.master_status(0) & 4) != 0; }));
  CHECK(bench.image->durable == 2);
}

TEST_CASE("ata_errors_are_reported_or_wait_for_a_person") {
  IdeBench bench;
  SECTION("a read") {
    bench.image->errors = {0, EIO};
    bench.command(kDisk, 0x24, 10, 200, true);
    CHECK(bench.take(kDisk).size() == 128 * 512);
    REQUIRE(bench.failed(kDisk));
    CHECK(bench.reg(kDisk, 1) == ide::kUncorrectable);
    CHECK(bench.reg(kDisk, 3) == 10 + 128);
    CHECK(bench.events == std::vector<ErrorAction>{ErrorAction::report});
  }
  SECTION("a write to a full disk, by DMA") {
    bench.image->errors = {ENOSPC};
    must(bench.machine.memory->fill(Gpa{0x10000}, 1024, std::byte{0x5A}));
    bench.table({{0x10000, 1024}});
    bench.command(kDisk, 0xCA, 4, 2);
    bench.start_master(0, false);
    REQUIRE(bench.machine.run_until([&] { return !bench.events.empty(); }));
    CHECK(bench.events == std::vector<ErrorAction>{ErrorAction::stop});
    bench.quiesce();
    const StateBytes saved = bench.save();
    const auto reader = must(StateReader::parse(saved));
    IdeBench second(&reader);
    must(second.machine.memory->fill(Gpa{0x10000}, 1024, std::byte{0x5A}));
    second.table({{0x10000, 1024}});
    REQUIRE(second.machine.run_until([&] { return (second.master_status(0) & 4) != 0; }));
    CHECK(second.of_disk(4 * 512, 1024) == std::vector<uint8_t>(1024, 0x5A));
    bench.ide->resume();  // and the first one, too
    REQUIRE(bench.machine.run_until([&] { return (bench.master_status(0) & 4) != 0; }));
    CHECK(bench.of_disk(4 * 512, 1024) == std::vector<uint8_t>(1024, 0x5A));
  }
}

TEST_CASE("ata_interrupt_that_waits_at_a_save_is_no_new_one_for_the_bus_master") {
  IdeBench bench;
  bench.command(kDisk, 0x40, 0, 1);  // its status is not read
  REQUIRE(bench.machine.run_until([&] { return (bench.master_status(0) & 4) != 0; }));
  bench.machine.out(IdeBench::kMaster + 2, 4);  // the driver has seen it here
  REQUIRE((bench.master_status(0) & 4) == 0);
  bench.quiesce();
  const StateBytes saved = bench.save();
  const auto reader = must(StateReader::parse(saved));
  IdeBench second(&reader);
  CHECK((second.master_status(0) & 4) == 0);
  CHECK(second.machine.lines[14].level);
  CHECK(second.save() == saved);
}

TEST_CASE("ata_transfer_goes_on_after_a_save_in_its_middle") {
  IdeBench bench;
  const auto data = pattern(200 * 512, 11);
  bench.command(kDisk, 0x34, 100, 200, true);
  bench.give(kDisk, {data.begin(), data.begin() + 70'000});  // in the second piece
  bench.quiesce();
  const StateBytes saved = bench.save();
  const auto reader = must(StateReader::parse(saved));
  IdeBench second(&reader, 8 * kMiB, kMiB, &bench.image->data);
  CHECK(reader.check_all_used());
  CHECK(second.save() == saved);
  second.give(kDisk, {data.begin() + 70'000, data.end()});
  REQUIRE(second.settle(kDisk));
  CHECK(second.of_disk(100 * 512, data.size()) == data);
}

TEST_CASE("ata_saved_state_that_goes_beyond_the_disk_is_refused") {
  IdeBench bench;
  bench.command(kDisk, 0x34, 8 * kMiB / 512 - 200, 200, true);
  bench.quiesce();
  const StateBytes saved = bench.save();
  const auto reader = must(StateReader::parse(saved));
  Piix3Ide::Options options;
  for (const uint8_t channel : {uint8_t{0}, uint8_t{1}}) {
    IdeDriveOptions drive;
    drive.id = channel == 0 ? "disk0" : "cd0";
    drive.cdrom = channel == 1;
    drive.backend = std::make_unique<MemoryImage>(kMiB);
    options.drives.push_back({{channel, 0}, std::move(drive)});
  }
  TestMachine machine;
  CHECK_FALSE(Piix3Ide::create(std::move(options), *machine.env, &reader));
}

TEST_CASE("ata_features_smart_and_diagnostics") {
  IdeBench bench;
  const auto features = [&](uint8_t feature, uint8_t count) {
    bench.machine.out(kDisk + 1, feature);
    bench.command(kDisk, 0xEF, 0, count);
    return !bench.failed(kDisk);
  };
  CHECK(features(3, 0x22));
  CHECK(features(3, 0x45));
  CHECK_FALSE(features(3, 0x47));
  CHECK_FALSE(features(0x77, 0));
  bench.command(kDisk, 0xEC);
  CHECK((word(bench.take(kDisk), 88) >> 8) == 0x20);  // Ultra DMA 5 is chosen
  const auto smart = [&](uint8_t feature) {
    bench.machine.out(kDisk + 1, feature);
    bench.command(kDisk, 0xB0, 0xC24F00, 0);
    return !bench.failed(kDisk);
  };
  CHECK(smart(0xDA));
  CHECK(bench.reg(kDisk, 4) == 0x4F);
  CHECK(smart(0xD0));
  const auto page = bench.take(kDisk);
  REQUIRE(page.size() == 512);
  CHECK(std::accumulate(page.begin(), page.end(), 0U) % 256 == 0);
  CHECK(smart(0xD9));
  CHECK_FALSE(smart(0xD0));
  bench.machine.out(kDisk + 6, 0x10);
  bench.machine.out(kDisk + 7, 0x90);
  bench.machine.out(kDisk + 6, 0);
  bench.command(kDisk, 0x90);
  CHECK(bench.reg(kDisk, 1) == 1);
  bench.command(kDisk, 0x01);
  CHECK(bench.failed(kDisk));
}

}  // namespace lodge::test
