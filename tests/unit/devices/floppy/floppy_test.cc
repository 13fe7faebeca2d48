// The floppy controller by its data sheet (Intel 290474): resets, commands, results, data, other disks, saves in
// mid-command.
#include "tests/unit/devices/floppy/floppy_driver.h"

namespace lodge::test {
namespace {

TEST_CASE("an image's size says what disk it is, and what drive reads it") {
  for (const auto& [kib, sectors, rate] :
       {std::tuple{360, 9, 1}, {720, 9, 2}, {1200, 15, 0}, {1440, 18, 0}, {2880, 36, 3}}) {
    const FloppyFormat format = must(floppy_format(uint64_t{1024} * static_cast<uint64_t>(kib)));
    CHECK(format.sectors == sectors);
    CHECK(format.rate == rate);
    CHECK(uint64_t{format.cylinders} * format.heads * format.sectors * 512 == format.size());
    CHECK(can_read(drive_for(format), format));
  }
  CHECK(must(floppy_format(1296384)).kib == 1440);
  CHECK(must(floppy_format(512)).kib == 720);
  CHECK_FALSE(floppy_format(0));
  CHECK(floppy_format(2880 * kKiB + 512).error().message.find("known are") != std::string::npos);
  CHECK_FALSE(can_read(FloppyDriveKind::inch3_1440, must(floppy_format(360 * kKiB))));
  CHECK_FALSE(can_read(FloppyDriveKind::inch3_1440, must(floppy_format(2880 * kKiB))));
  CHECK(can_read(FloppyDriveKind::inch3_2880, must(floppy_format(720 * kKiB))));
}

TEST_CASE("a reset ends with an interrupt and four polled drives") {
  FloppyBench bench;
  CHECK(bench.status() == 0);
  bench.out(2, 0x0C);
  CHECK(bench.interrupt());
  CHECK(bench.status() == 0x80);
  CHECK(bench.command({0x08}) == Bytes{0xC0, 0});
  CHECK_FALSE(bench.interrupt());
  CHECK(bench.command({0x08}) == Bytes{0xC1, 0});
  CHECK(bench.command({0x08}) == Bytes{0xC2, 0});
  CHECK(bench.command({0x08}) == Bytes{0xC3, 0});
  CHECK(bench.command({0x08}) == Bytes{0x80});
  bench.out(4, 0x80);  // by the data rate register
  CHECK(bench.interrupt());
  bench.out(2, 0x04);  // the gate keeps it in
  CHECK_FALSE(bench.interrupt());
}

TEST_CASE("without polling a reset says nothing, and a lock keeps that") {
  FloppyBench bench;
  bench.start();
  bench.send({0x13, 0, 0x57, 0});
  CHECK(bench.command({0x94}) == Bytes{0x10});
  bench.out(4, 0x80);
  CHECK_FALSE(bench.interrupt());
  CHECK(bench.command({0x0E})[8] == 0x57);
  CHECK(bench.command({0x14}) == Bytes{0x00});
  bench.out(4, 0x80);
  CHECK(bench.command({0x0E})[8] == 0x20);
}

TEST_CASE("what the chip says of itself") {
  FloppyBench bench;
  bench.start();
  CHECK(bench.command({0x10}) == Bytes{0x90});
  CHECK(bench.command({0x18}) == Bytes{0x41});
  CHECK(bench.command({0x1F}) == Bytes{0x80});
  CHECK(bench.command({0x25}) == Bytes{0x80});
  bench.send({0x12, 0x84});
  CHECK(bench.command({0x0E}) == Bytes{0, 0, 0, 0, 0xDF, 0x02, 0, 0x04, 0x20, 0});
  const Bytes saved = bench.command({0x2E});
  CHECK(saved.size() == 16);
  bench.send({0x03, 1, 2});
  Bytes restore{0x4E};
  restore.insert(restore.end(), saved.begin(), saved.end());
  bench.send(restore);
  CHECK(bench.command({0x0E})[4] == 0xDF);
  bench.send({0x8E, 0xC0});
  CHECK(bench.status() == 0x80);
  CHECK(bench.command({0x8E, 0x80}).size() == 4);
}

TEST_CASE("seeks") {
  FloppyBench bench(FloppyBench::Setup{.second = true});
  bench.start();
  bench.send({0x0F, 4, 33});
  CHECK(bench.interrupt());
  CHECK(bench.command({0x08}) == Bytes{0x24, 33});
  bench.send({0x8F, 0, 3});
  CHECK(bench.command({0x08}) == Bytes{0x20, 30});
  bench.send({0xCF, 0, 5});
  CHECK(bench.command({0x08}) == Bytes{0x20, 35});
  CHECK(bench.command({0x04, 0}) == Bytes{0x28});
  bench.send({0x07, 0});
  CHECK(bench.command({0x08}) == Bytes{0x20, 0});
  CHECK(bench.command({0x04, 0}) == Bytes{0x38});
  bench.send({0x07, 3});  // a drive that there is not
  CHECK(bench.command({0x08}) == Bytes{0x73, 0});
}

TEST_CASE("the disk-change line is there until the heads move over a disk") {
  FloppyBench bench(FloppyBench::Setup{.second = true});
  bench.out(2, 0x1C);
  CHECK(bench.in(7) == 0x80);
  bench.start();
  CHECK(bench.in(7) == 0);
  bench.out(2, 0x0C);
  CHECK(bench.in(7) == 0);
  bench.out(2, 0x2D);
  bench.send({0x07, 1});
  CHECK(bench.command({0x08}) == Bytes{0x21, 0});
  CHECK(bench.in(7) == 0x80);  // still empty
}

TEST_CASE("sectors are read by DMA until the host has enough") {
  FloppyBench bench;
  bench.start();
  bench.fill(2048, 0xAA);
  bench.program_dma(0x44, 1024);
  bench.send({0xE6, 0, 0, 0, 3, 2, 18, 0x1B, 0xFF});
  CHECK(bench.status() == 0x10);
  CHECK(bench.result() == Bytes{0, 0, 0, 0, 0, 5, 2});
  CHECK(bench.memory(1024) == bench.sectors(2, 2));
  CHECK(bench.memory(1, FloppyBench::kMemory + 1024)[0] == 0xAA);
  CHECK((bench.machine.in(0x08) & 4) != 0);  // terminal count, once
  CHECK((bench.machine.in(0x08) & 4) == 0);
}

TEST_CASE("both sides of a cylinder in one command") {
  FloppyBench bench;
  bench.start();
  bench.send({0x0F, 0, 2});
  CHECK(bench.command({0x08}) == Bytes{0x20, 2});
  bench.program_dma(0x44, 36 * 512);
  CHECK(bench.command({0xE6, 0, 2, 0, 1, 2, 18, 0x1B, 0xFF}) == Bytes{4, 0, 0, 3, 0, 1, 2});
  CHECK(bench.memory(36 * 512) == bench.sectors(72, 36));
}

TEST_CASE("the end of a track without terminal count is an error") {
  FloppyBench bench;
  bench.start();
  bench.program_dma(0x44, 4096);
  CHECK(bench.command({0x46, 0, 0, 0, 17, 2, 18, 0x1B, 0xFF}) == Bytes{0x40, 0x80, 0, 0, 0, 18, 2});
  CHECK(bench.memory(1024) == bench.sectors(16, 2));
  bench.program_dma(0x44, 4096);
  CHECK(bench.command({0x46, 0, 0, 0, 17, 2, 20, 0x1B, 0xFF}) == Bytes{0x40, 0x04, 0, 0, 0, 19, 2});
}

TEST_CASE("a transfer waits for its channel") {
  FloppyBench bench;
  bench.start();
  bench.program_dma(0x44, 512);
  bench.machine.out(0x0A, 0x06);
  bench.send({0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF});
  bench.machine.turn(50);
  CHECK(bench.status() == 0x10);
  bench.machine.out(0x0A, 0x02);
  CHECK(bench.result() == Bytes{0, 0, 0, 0, 0, 2, 2});
  CHECK(bench.memory(512) == bench.sectors(0, 1));
}

TEST_CASE("bytes by hand") {
  FloppyBench bench;
  bench.start(1);
  bench.send({0x46, 0, 0, 0, 18, 2, 18, 0x1B, 0xFF});
  REQUIRE(bench.machine.run_until([&] { return (bench.status() & 0x80) != 0; }));
  CHECK(bench.status() == 0xF0);
  CHECK(bench.interrupt());
  Bytes data;
  while (bench.status() == 0xF0) {
    data.push_back(bench.in(5));
  }
  CHECK(data == bench.sectors(17, 1));
  CHECK(bench.result() == Bytes{0x40, 0x80, 0, 0, 0, 18, 2});
  bench.send({0x45, 0, 0, 0, 18, 2, 18, 0x1B, 0xFF});
  for (int i = 0; i < 512; ++i) {
    CHECK(bench.status() == 0xB0);
    bench.out(5, 0x77);
  }
  CHECK(bench.result() == Bytes{0x40, 0x80, 0, 0, 0, 18, 2});
  CHECK(bench.sectors(17, 1) == Bytes(512, 0x77));
}

TEST_CASE("what is written is durable, and the rest of a sector is zero") {
  FloppyBench bench;
  bench.start();
  bench.fill(700, 0x5A);
  bench.program_dma(0x48, 700);
  const Bytes before = bench.sectors(20, 1);
  CHECK(bench.command({0xC5, 4, 0, 1, 1, 2, 18, 0x1B, 0xFF}) == Bytes{4, 0, 0, 0, 1, 3, 2});
  Bytes expected(700, 0x5A);
  expected.resize(1024);
  CHECK(bench.sectors(18, 2) == expected);
  CHECK(bench.sectors(20, 1) == before);
  CHECK(bench.image->durable == 1);
}

TEST_CASE("a protected disk is not written") {
  FloppyBench bench(FloppyBench::Setup{.read_only = true});
  bench.start();
  CHECK((bench.command({0x04, 0})[0] & 0x40) != 0);
  bench.program_dma(0x48, 512);
  CHECK(bench.command({0xC5, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF}) == Bytes{0x40, 0x02, 0, 0, 0, 1, 2});
  CHECK(bench.command({0x4D, 0, 2, 18, 0x50, 0xF6})[1] == 0x02);
}

TEST_CASE("a track is filled by a format command that lays it out as it is") {
  FloppyBench bench;
  bench.start();
  Bytes ids;
  for (uint8_t i = 0; i < 18; ++i) {
    for (const uint8_t byte : {uint8_t{0}, uint8_t{1}, static_cast<uint8_t>(1 + (i * 7) % 18 % 18), uint8_t{2}}) {
      ids.push_back(byte);
    }
  }
  std::vector<bool> named(19);
  for (size_t i = 0; i < 18; ++i) {
    named[ids[i * 4 + 2]] = true;
  }
  REQUIRE(std::count(named.begin(), named.end(), true) == 18);
  must(bench.machine.memory->write_bytes(Gpa{FloppyBench::kMemory}, std::as_bytes(std::span(ids))));
  bench.program_dma(0x48, 72);
  CHECK(bench.command({0x4D, 4, 2, 18, 0x50, 0xF6})[0] == 4);
  CHECK(bench.sectors(18, 18) == Bytes(18 * 512, 0xF6));
  CHECK(bench.sectors(17, 1)[0] == 17);
  CHECK(bench.command({0x4D, 4, 2, 9, 0x50, 0xF6})[1] == 0x02);
  bench.program_dma(0x48, 72);
  ids[2] = 40;
  must(bench.machine.memory->write_bytes(Gpa{FloppyBench::kMemory}, std::as_bytes(std::span(ids))));
  CHECK(bench.command({0x4D, 4, 2, 18, 0x50, 0xAA})[0] == 0x44);
  CHECK(bench.sectors(18, 1) == Bytes(512, 0xF6));
}

TEST_CASE("sectors go by, if rate, side and cylinder are those of the disk") {
  FloppyBench bench(FloppyBench::Setup{.second = true});
  bench.start();
  CHECK(bench.command({0x4A, 0}) == Bytes{0, 0, 0, 0, 0, 1, 2});
  CHECK(bench.command({0x4A, 4}) == Bytes{4, 0, 0, 0, 1, 2, 2});
  CHECK(bench.command({0x0A, 0})[1] == 0x01);  // FM
  bench.out(7, 2);
  CHECK(bench.command({0x4A, 0})[1] == 0x01);
  CHECK(bench.interrupt() == false);
  bench.out(4, 0);
  CHECK(bench.command({0x4A, 0})[0] == 0);
  CHECK(bench.command({0x4A, 1})[1] == 0x01);  // empty
  bench.send({0x0F, 0, 80});
  CHECK(bench.command({0x08}) == Bytes{0x20, 80});
  CHECK(bench.command({0x4A, 0})[1] == 0x01);
}

TEST_CASE("sectors that there are not") {
  FloppyBench bench;
  bench.start();
  CHECK(bench.command({0xE6, 0, 1, 0, 1, 2, 18, 0x1B, 0xFF}) == Bytes{0x40, 0x04, 0x10, 1, 0, 1, 2});
  CHECK(bench.command({0xE6, 0, 0, 1, 1, 2, 18, 0x1B, 0xFF})[1] == 0x04);
  CHECK(bench.command({0xE6, 0, 0, 0, 1, 3, 18, 0x1B, 0xFF})[1] == 0x04);
  CHECK(bench.command({0xE6, 0, 0, 0, 0, 2, 18, 0x1B, 0xFF})[1] == 0x04);
  CHECK(bench.command({0xE6, 0, 0, 0, 19, 2, 18, 0x1B, 0xFF})[1] == 0x04);
  bench.send({0x13, 0, 0x40, 0});  // the heads go there by themselves
  bench.program_dma(0x44, 512);
  CHECK(bench.command({0xE6, 0, 9, 0, 1, 2, 18, 0x1B, 0xFF}) == Bytes{0, 0, 0, 9, 0, 2, 2});
  CHECK(bench.memory(512) == bench.sectors(9 * 36, 1));
}

TEST_CASE("verify moves nothing") {
  FloppyBench bench;
  bench.start();
  CHECK(bench.command({0x56, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF}) == Bytes{0, 0, 0, 1, 0, 1, 2});
  CHECK(bench.command({0xD6, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF}) == Bytes{4, 0, 0, 1, 0, 1, 2});
}

TEST_CASE("an image that is smaller than its disk ends with zeros") {
  FloppyBench bench(FloppyBench::Setup{.size = 2 * 512});
  bench.start();
  bench.out(7, 2);
  bench.fill(2048, 0xAA);
  bench.program_dma(0x44, 1536);
  CHECK(bench.command({0x46, 0, 0, 0, 1, 2, 9, 0x1B, 0xFF})[0] == 0);
  Bytes expected = bench.sectors(0, 2);
  expected.resize(1536);
  CHECK(bench.memory(1536) == expected);
  bench.program_dma(0x48, 512);
  CHECK(bench.command({0x45, 0, 0, 0, 5, 2, 9, 0x1B, 0xFF}) == Bytes{0x40, 0x20, 0x20, 0, 0, 5, 2});
}

TEST_CASE("errors of the storage are the guest's, or wait for a person") {
  FloppyBench bench;
  bench.start();
  bench.image->errors = {EIO};
  bench.program_dma(0x44, 512);
  CHECK(bench.command({0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF}) == Bytes{0x40, 0x20, 0x20, 0, 0, 1, 2});
  CHECK(bench.events == std::vector{ErrorAction::report});
  bench.image->errors = {ENOSPC};
  bench.fill(512, 0x11);
  bench.program_dma(0x48, 512);
  bench.send({0x45, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF});
  REQUIRE(bench.machine.run_until([&] { return bench.events.size() == 2; }));
  CHECK(bench.events[1] == ErrorAction::stop);
  CHECK(bench.status() == 0x10);
  bench.quiesce();
  bench.floppy->resume();
  CHECK(bench.result()[0] == 0);
  CHECK(bench.sectors(0, 1) == Bytes(512, 0x11));
}

TEST_CASE("a reset forgets what is under way, and its data does not come") {
  FloppyBench bench;
  bench.start();
  bench.fill(512, 0xAA);
  bench.image->hold = true;
  bench.program_dma(0x44, 512);
  bench.send({0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF});
  REQUIRE(bench.machine.run_until([&] { return !bench.image->held.empty(); }));
  bench.out(2, 0x18);
  bench.out(2, 0x1C);
  CHECK(bench.command({0x08}) == Bytes{0xC0, 0});
  bench.out(7, 0);
  bench.send({0x46, 0, 0, 0, 2, 2, 18, 0x1B, 0xFF});
  bench.image->let_go();
  CHECK(bench.result() == Bytes{0, 0, 0, 0, 0, 3, 2});
  CHECK(bench.memory(512) == bench.sectors(1, 1));
}

TEST_CASE("disks are exchanged, and the guest is told") {
  FloppyBench bench(FloppyBench::Setup{.second = true});
  bench.start();
  CHECK_FALSE(bench.floppy->check_medium(1, MemoryImage(360 * kKiB).info()));
  CHECK(bench.floppy->check_medium(1, MemoryImage(720 * kKiB).info()));
  CHECK(bench.floppy->find("fdb") == 1U);
  CHECK_FALSE(bench.floppy->find("fdc"));
  std::unique_ptr<BlockBackend> old;
  bool done = false;
  bench.floppy->exchange_medium(0, nullptr, [&](std::unique_ptr<BlockBackend> was) {
    old = std::move(was);
    done = true;
  });
  REQUIRE(bench.machine.run_until([&] { return done; }));
  CHECK(old.get() == bench.image);
  CHECK(bench.floppy->medium(0).size == 0);
  CHECK(bench.in(7) == 0x80);
  CHECK(bench.command({0x4A, 0})[1] == 0x01);
  done = false;
  bench.floppy->exchange_medium(0, std::make_unique<MemoryImage>(720 * kKiB),
                                [&](const std::unique_ptr<BlockBackend>&) { done = true; });
  REQUIRE(bench.machine.run_until([&] { return done; }));
  CHECK(bench.in(7) == 0x80);
  bench.send({0x07, 0});
  CHECK(bench.in(7) == 0);
  CHECK(bench.command({0x08}) == Bytes{0x20, 0});
  CHECK(bench.command({0x4A, 0})[1] == 0x01);
  bench.out(7, 2);
  CHECK(bench.command({0x4A, 0})[1] == 0x00);
}

TEST_CASE("a command that is saved half way goes on elsewhere") {
  FloppyBench from;
  from.start(1);
  from.send({0x46, 0, 0, 0, 1, 2, 2, 0x1B, 0xFF});
  REQUIRE(from.machine.run_until([&] { return from.status() == 0xF0; }));
  Bytes data;
  for (int i = 0; i < 100; ++i) {
    data.push_back(from.in(5));
  }
  from.quiesce();
  const StateReader saved = must(StateReader::parse(from.save()));
  FloppyBench to(FloppyBench::Setup{.saved = &saved});
  CHECK(to.save() == from.save());
  while (to.status() == 0xF0) {
    data.push_back(to.in(5));
  }
  CHECK(data == to.sectors(0, 2));
  CHECK(to.result() == Bytes{0x40, 0x80, 0, 0, 0, 2, 2});
}

TEST_CASE("a request that waits is saved, and made again") {
  FloppyBench from;
  from.start();
  from.fill(512, 0x33);
  from.program_dma(0x48, 512);
  from.quiesce();
  from.send({0x45, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF});
  const StateReader saved = must(StateReader::parse(from.save()));
  FloppyBench to(FloppyBench::Setup{.saved = &saved});
  CHECK(to.result() == Bytes{0, 0, 0, 0, 0, 2, 2});
  CHECK(to.sectors(0, 1) == Bytes(512, 0x33));
}

TEST_CASE("saved nonsense is refused") {
  TestMachine machine;
  const auto loads = [&machine](const FloppyState& state) {
    StateWriter out;
    out.put("floppy", IsaDmaState{});
    out.put("floppy", state);
    const StateReader reader = must(StateReader::parse(out.bytes()));
    return FloppyController::create({}, *machine.env, &reader).has_value();
  };
  FloppyState state;
  CHECK(loads(state));
  state.phase = FloppyPhase::write_medium;
  CHECK_FALSE(loads(state));
  state.command = {0x45, 0, 0, 0, 1, 2, 18, 0x1B};
  CHECK_FALSE(loads(state));
  state.command.push_back(0xFF);
  CHECK(loads(state));
  state.buffer_at = 1;
  CHECK_FALSE(loads(state));
  state = {};
  state.drives.clear();
  CHECK_FALSE(loads(state));
}

// The DMA controllers.

struct DmaBench {
  TestMachine machine;
  std::unique_ptr<IsaDma> dma = must(IsaDma::create(*machine.env, nullptr));
  void set(uint16_t address_port, uint16_t value) {
    machine.out(0x0C, 0);
    machine.out(address_port, value & 0xFF);
    machine.out(address_port, value >> 8);
  }
};

TEST_CASE("words of a DMA channel go byte by byte") {
  DmaBench bench;
  bench.set(0x02, 0x1234);
  CHECK(bench.machine.in(0x02) == 0x34);
  CHECK(bench.machine.in(0x02) == 0x12);
  CHECK(bench.machine.in(0x02) == 0x34);
  bench.machine.out(0x0C, 0);
  CHECK(bench.machine.in(0x02) == 0x34);
  bench.machine.out(0xC4, 0x78);  // a channel of the second controller
  bench.machine.out(0xC4, 0x56);
  CHECK(bench.machine.in(0xC4) == 0x78);
  bench.machine.out(0x8B, 0x42);
  CHECK(bench.machine.in(0x8B) == 0x42);
  bench.machine.out(0x84, 0x43);
  CHECK(bench.machine.in(0x84) == 0x43);
  CHECK(bench.machine.in(0x0F) == 0x0F);
  bench.machine.out(0x0E, 0);
  CHECK(bench.machine.in(0x0F) == 0);
  bench.machine.out(0x0D, 0);
  CHECK(bench.machine.in(0x0F) == 0x0F);
}

TEST_CASE("a DMA channel stays in its page, counts down, and may begin again") {
  DmaBench bench;
  bench.machine.out(0x0B, 0x55);  // channel 1, single, to memory, again and again
  bench.set(0x02, 0xFFFE);
  bench.set(0x03, 3);
  bench.machine.out(0x83, 0x04);
  const std::array data{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{5}};
  CHECK(bench.dma->to_memory(1, data).bytes == 0);
  CHECK(bench.dma->left(1) == 0);
  bench.machine.out(0x0A, 0x01);
  CHECK(bench.dma->left(1) == 4);
  const IsaDma::Moved moved = bench.dma->to_memory(1, data);
  CHECK(moved.bytes == 4);
  CHECK(moved.ended);
  CHECK(must(bench.machine.memory->read<uint8_t>(Gpa{0x4FFFE})) == 1);
  CHECK(must(bench.machine.memory->read<uint8_t>(Gpa{0x40000})) == 3);
  CHECK(bench.dma->left(1) == 4);
  std::array<std::byte, 4> none{};
  CHECK(bench.dma->from_memory(1, none).bytes == 0);
  bench.machine.out(0x08, 0x04);
  CHECK(bench.dma->left(1) == 0);
}

TEST_CASE("a DMA channel that counts its address down") {
  DmaBench bench;
  bench.machine.out(0x0B, 0x6A);  // channel 2, single, downwards, from memory
  bench.set(0x04, 0x1002);
  bench.set(0x05, 2);
  bench.machine.out(0x81, 0);
  bench.machine.out(0x0A, 0x02);
  for (uint8_t i = 0; i < 3; ++i) {
    must(bench.machine.memory->write(Gpa{0x1000ULL + i}, i));
  }
  std::array<std::byte, 3> data{};
  CHECK(bench.dma->from_memory(2, data).ended);
  CHECK(data == std::array{std::byte{2}, std::byte{1}, std::byte{0}});
  CHECK(bench.dma->left(2) == 0);  // masked at its end
}

}  // namespace
}  // namespace lodge::test
