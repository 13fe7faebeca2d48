// The CD drive, by MMC-4 and the packet parts of ATA/ATAPI-6.
#include "tests/unit/devices/ide/ide_driver.h"

namespace lodge::test {
namespace {

constexpr uint64_t kCd = IdeBench::kCd;
using Bytes = std::vector<uint8_t>;

IdeBench::Sense failure(IdeBench& bench, const Bytes& cdb) {
  bench.packet(cdb);
  REQUIRE(bench.failed(kCd));
  return bench.sense();
}

std::unique_ptr<BlockBackend> exchange(IdeBench& bench, std::unique_ptr<BlockBackend> medium) {
  std::unique_ptr<BlockBackend> old;
  bool done = false;
  const auto found = *bench.ide->find("cd0");
  found.channel->exchange_medium(0, std::move(medium), [&](std::unique_ptr<BlockBackend> out) {
    old = std::move(out);
    done = true;
  });
  REQUIRE(bench.machine.run_until([&] { return done; }));
  return old;
}

}  // namespace

TEST_CASE("atapi_identify_and_inquiry_name_a_cd_drive") {
  IdeBench bench;
  bench.machine.out(kCd + 7, 0xEC);
  CHECK(bench.failed(kCd));  // no disk; the registers say what it is
  CHECK(bench.reg(kCd, 4) == 0x14);
  bench.machine.out(kCd + 7, 0xA1);
  const auto page = bench.take(kCd);
  REQUIRE(page.size() == 512);
  CHECK((page[0] | page[1] << 8) == 0x85C0);
  const auto inquiry = bench.ask({0x12, 0, 0, 0, 36});
  REQUIRE(inquiry.size() == 36);
  CHECK((inquiry[0] & 0x1F) == 5);
  CHECK(inquiry[1] == 0x80);
  CHECK(bench.ask({0x12, 0, 0, 0, 5}).size() == 6);  // an odd end is read with the word
}

TEST_CASE("atapi_reads_by_pio_in_blocks_of_the_hosts_size") {
  IdeBench bench;
  CHECK(bench.ask({0x25}) == Bytes{0, 0, 1, 0xFF, 0, 0, 8, 0});
  const Bytes wanted(bench.medium->data.begin() + 3 * 2048, bench.medium->data.begin() + 45 * 2048);
  const Bytes cdb{0x28, 0, 0, 0, 0, 3, 0, 0, 42};
  const int before = bench.machine.lines[15].raised;
  bench.packet(cdb, false, 2048);
  CHECK(bench.take(kCd) == wanted);
  CHECK(bench.machine.lines[15].raised - before == 43);  // each block, and the end
  CHECK(bench.reg(kCd, 2) == 3);
  bench.packet(cdb, false, 0xFFFF);
  CHECK(bench.take(kCd) == wanted);
  CHECK(bench.ask({0xA8, 0, 0, 0, 0, 0, 0, 0, 0, 1}).size() == 2048);
  CHECK(bench.ask({0x28, 0, 0, 0, 0, 0, 0, 0, 0}).empty());
  CHECK(failure(bench, {0x28, 0, 0, 0, 1, 0xFF, 0, 0, 2}) == IdeBench::Sense{5, 0x21, 0});
  CHECK(failure(bench, {0xA8, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}) == IdeBench::Sense{5, 0x21, 0});
}

TEST_CASE("atapi_reads_and_answers_by_dma") {
  IdeBench bench;
  bench.table({{0x10000, 4096}, {0x20000, 4096}});
  bench.packet({0x28, 0, 0, 0, 0, 9, 0, 0, 4}, true);
  bench.start_master(1, true);
  REQUIRE(bench.machine.run_until([&] { return (bench.master_status(1) & 4) != 0; }));
  CHECK(bench.memory(0x20000, 4096) ==
        Bytes(bench.medium->data.begin() + 11 * 2048, bench.medium->data.begin() + 13 * 2048));
  bench.stop_master(1);
  (void)bench.reg(kCd, 7);
  bench.table({{0x30000, 8}});
  bench.packet({0x25}, true);
  bench.start_master(1, true);
  REQUIRE(bench.machine.run_until([&] { return (bench.master_status(1) & 4) != 0; }));
  CHECK(bench.memory(0x30000, 8) == Bytes{0, 0, 1, 0xFF, 0, 0, 8, 0});
}

TEST_CASE("atapi_describes_disc_and_drive") {
  IdeBench bench;
  CHECK(bench.ask({0x43, 0, 0, 0, 0, 0, 0, 0, 100}) ==
        Bytes{0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xAA, 0, 0, 0, 2, 0});
  CHECK(bench.ask({0x43, 2, 0, 0, 0, 0, 0xAA, 0, 100}) == Bytes{0, 10, 1, 1, 0, 0x14, 0xAA, 0, 0, 0, 8, 62});
  CHECK(bench.ask({0x43, 0, 1, 0, 0, 0, 0, 0, 100}).size() == 12);
  CHECK(failure(bench, {0x43, 0, 2, 0, 0, 0, 0, 0, 100}) == IdeBench::Sense{5, 0x24, 0});
  const auto configuration = bench.ask({0x46, 0, 0, 0, 0, 0, 0, 1, 0});
  REQUIRE(configuration.size() > 20);
  CHECK(configuration[7] == 8);  // the profile: CD-ROM
  CHECK((configuration[2] << 8 | configuration[3]) == static_cast<int>(configuration.size()) - 4);
  CHECK(bench.ask({0x46, 2, 0, 3, 0, 0, 0, 1, 0}).size() == 16);
  CHECK(bench.ask({0x51, 0, 0, 0, 0, 0, 0, 0, 100}).size() == 34);
  CHECK(bench.ask({0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8}).size() == 8);
  CHECK(bench.ask({0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 100}).size() == 28);
  CHECK(bench.ask({0x5A, 0, 0x3F, 0, 0, 0, 0, 0, 100}).size() == 36);
  CHECK(failure(bench, {0x5A, 0, 0x05, 0, 0, 0, 0, 0, 100}) == IdeBench::Sense{5, 0x24, 0});
  CHECK(failure(bench, {0xFF}) == IdeBench::Sense{5, 0x20, 0});
  CHECK(bench.sense() == IdeBench::Sense{0, 0, 0});  // asking takes it
}

TEST_CASE("atapi_locks_ejects_and_loads") {
  IdeBench bench;
  CHECK(bench.ask({0x1E, 0, 0, 0, 1}).empty());
  CHECK(failure(bench, {0x1B, 0, 0, 0, 2}) == IdeBench::Sense{5, 0x53, 2});
  CHECK(bench.ask({0x1E}).empty());
  CHECK(bench.ask({0x1B, 0, 0, 0, 2}).empty());
  CHECK(bench.tray == std::vector<bool>{true});
  CHECK(failure(bench, {0x00}) == IdeBench::Sense{2, 0x3A, 2});
  CHECK(bench.ask({0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8}) == Bytes{0, 6, 4, 0x10, 3, 1, 0, 0});
  CHECK(bench.ask({0x1B, 0, 0, 0, 3}).empty());
  CHECK(bench.tray == std::vector<bool>{true, false});
  CHECK(failure(bench, {0x00}) == IdeBench::Sense{6, 0x28, 0});
  CHECK(bench.ask({0x00}).empty());
  CHECK((bench.status(kCd) & ide::kErr) == 0);
  CHECK(bench.ask({0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8}) == Bytes{0, 6, 4, 0x10, 2, 2, 0, 0});
  CHECK(bench.ask({0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8}) == Bytes{0, 6, 4, 0x10, 0, 2, 0, 0});
}

TEST_CASE("atapi_medium_changes_under_the_guest") {
  IdeBench bench;
  auto other = std::make_unique<MemoryImage>(4096, true);
  const MemoryImage* is = other.get();
  bench.medium->hold = true;  // a read is in flight
  bench.packet({0x28, 0, 0, 0, 0, 0, 0, 0, 2});
  REQUIRE(bench.machine.run_until([&] { return bench.medium->held.size() == 1; }));
  bool done = false;
  std::unique_ptr<BlockBackend> old;
  bench.ide->find("cd0")->channel->exchange_medium(0, std::move(other), [&](std::unique_ptr<BlockBackend> out) {
    old = std::move(out);
    done = true;
  });
  bench.machine.turn(10);
  CHECK_FALSE(done);
  bench.medium->let_go();
  REQUIRE(bench.machine.run_until([&] { return done; }));
  CHECK(old.get() == bench.medium);
  CHECK(failure(bench, {0x25}) == IdeBench::Sense{6, 0x28, 0});
  CHECK(bench.ask({0x25}) == Bytes{0, 0, 0, 1, 0, 0, 8, 0});
  CHECK(bench.ask({0x28, 0, 0, 0, 0, 1, 0, 0, 1}) == Bytes(is->data.begin() + 2048, is->data.end()));
  CHECK(exchange(bench, nullptr).get() == is);
  CHECK(failure(bench, {0x00}) == IdeBench::Sense{2, 0x3A, 1});
  bench.ide->find("cd0")->channel->ask_to_eject(0);
  CHECK(bench.ask({0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8})[4] == 1);
}

TEST_CASE("atapi_without_a_medium_says_so_and_survives_everything") {
  IdeBench bench(nullptr, 8 * kMiB, 0);
  for (int code = 0; code < 256; ++code) {
    bench.packet({static_cast<uint8_t>(code), 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF});
    (void)bench.take(kCd);
    CHECK((bench.status(kCd) & (ide::kBsy | ide::kDrq)) == 0);
  }
  CHECK(failure(bench, {0x28, 0, 0, 0, 0, 0, 0, 0, 1}).key == 2);
}

TEST_CASE("atapi_device_reset_and_errors_of_the_storage") {
  IdeBench bench;
  bench.medium->errors = {EIO};
  CHECK(failure(bench, {0x28, 0, 0, 0, 0, 0, 0, 0, 1}) == IdeBench::Sense{3, 0x11, 0});
  bench.packet({0x28, 0, 0, 0, 0, 0, 0, 0, 8});
  REQUIRE(bench.settle(kCd));
  bench.machine.out(kCd + 7, 0x08);
  CHECK(bench.status(kCd) == 0);
  CHECK(bench.reg(kCd, 5) == 0xEB);
}

TEST_CASE("atapi_read_goes_on_after_a_save_in_its_middle") {
  IdeBench bench;
  bench.packet({0x28, 0, 0, 0, 0, 0, 0, 0, 100}, false, 2048);
  Bytes got;
  for (int i = 0; i < 40'000; ++i) {
    REQUIRE(bench.settle(kCd));
    const uint64_t value = bench.machine.in(kCd, 2);
    got.push_back(static_cast<uint8_t>(value));
    got.push_back(static_cast<uint8_t>(value >> 8));
  }
  bench.quiesce();
  const StateBytes saved = bench.save();
  const auto reader = must(StateReader::parse(saved));
  IdeBench second(&reader);
  CHECK(second.save() == saved);
  const Bytes rest = second.take(kCd);
  got.insert(got.end(), rest.begin(), rest.end());
  CHECK(got == Bytes(bench.medium->data.begin(), bench.medium->data.begin() + 100 * 2048));
}

}  // namespace lodge::test
