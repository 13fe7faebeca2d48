// A NOR flash as UEFI's and Linux's drivers use it: commands, status, CFI, what is kept and when.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "devices/flash/device.h"
#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

constexpr uint64_t kBase = 0xFFC0'0000;
constexpr uint32_t kSize = 8 * kFlashBlock;
constexpr uint64_t kReadyStatus = NorFlash::kReady;
constexpr uint64_t kBadCommand = NorFlash::kReady | NorFlash::kEraseFailed | NorFlash::kProgramFailed;

// Bytes 0, 1, 2... in every block.
Fd new_file(uint32_t size = kSize, unsigned seals = 0) {
  Fd fd(::memfd_create("flash", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  std::vector<uint8_t> bytes(size);
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<uint8_t>(i);
  }
  REQUIRE(::pwrite(fd.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(size));
  if (seals != 0) {
    REQUIRE(::fcntl(fd.get(), F_ADD_SEALS, seals) == 0);
  }
  return fd;
}

class Bench {
 public:
  enum class Kept : uint8_t { in_file, in_memory };
  explicit Bench(Kept kept = Kept::in_file, Fd given = new_file(), const StateReader* saved = nullptr)
      : file(must(given.duplicate())) {
    NorFlash::Options options;
    options.base = kBase;
    options.store =
        must(FlashStore::open({.file = std::move(given), .path = "vars", .written_through = kept == Kept::in_file}));
    options.show = [this](std::span<const std::byte> bytes) {
      shown = bytes;
      ++changes;
    };
    device = must(NorFlash::create(std::move(options), *machine.env, saved));
  }
  void write(uint64_t offset, uint64_t value, uint8_t size = 1) { machine.write(kBase + offset, value, size); }
  uint64_t read(uint64_t offset, uint8_t size = 1) { return machine.read(kBase + offset, size); }
  uint64_t status() {
    write(0, 0x70);
    return read(0);
  }
  uint8_t in_file(uint32_t offset) const {
    uint8_t byte = 0;
    REQUIRE(::pread(file.get(), &byte, 1, offset) == 1);
    return byte;
  }
  void quiesce() {
    bool quiet = false;
    device->quiesce([&quiet] { quiet = true; });
    REQUIRE(machine.run_until([&quiet] { return quiet; }));
  }
  StateBytes save() const {
    StateWriter out;
    device->save(out);
    return out.bytes();
  }

  TestMachine machine;
  Fd file;
  std::span<const std::byte> shown;
  int changes = 0;
  std::unique_ptr<NorFlash> device;
};

}  // namespace

TEST_CASE("a flash shows its array as memory, and takes it away for commands") {
  Bench bench;
  CHECK(bench.shown.size() == kSize);
  CHECK(bench.shown[5] == std::byte{5});
  CHECK(bench.read(0x1234, 4) == 0x37363534);  // between two maps
  bench.write(0, 0x90);
  CHECK(bench.shown.empty());
  bench.write(0, 0xFF);
  CHECK(bench.shown.size() == kSize);
  CHECK(bench.changes == 3);
  bench.write(0, 0xFF);
  bench.write(0, 0x50);
  CHECK(bench.changes == 3);
}

TEST_CASE("UEFI's probe takes it for a flash, neither RAM nor ROM") {
  Bench bench;
  const uint64_t original = bench.read(1);
  bench.write(1, 0x50);
  CHECK(bench.read(1) == original);
  bench.write(1, 0x70);
  CHECK(bench.read(1) == 0x00);
  CHECK(bench.read(1) == kReadyStatus);  // and Linux does not wait for ever
  bench.write(1, 0xFF);
  CHECK(bench.read(1) == original);
}

TEST_CASE("a byte that is programmed loses bits, and is in the file at once") {
  Bench bench;
  for (const uint64_t command : {0x10U, 0x40U}) {
    const uint32_t at = command == 0x10 ? 0x1F0 : 0x2F0;
    bench.write(at, command);
    CHECK(bench.read(at) == kReadyStatus);
    bench.write(at, 0x3C);
    CHECK(bench.in_file(at) == (0xF0 & 0x3C));
    CHECK(bench.read(at) == kReadyStatus);  // the status is shown until another command
    bench.write(at, 0xFF);
    CHECK(bench.read(at) == (0xF0 & 0x3C));
    CHECK(bench.shown[at] == std::byte{0xF0 & 0x3C});
  }
}

TEST_CASE("a block that is erased is all ones, and its neighbours are as before") {
  Bench bench;
  bench.write(0x2345, 0x20);
  bench.write(0x2345, 0xD0);
  CHECK(bench.read(0) == kReadyStatus);
  bench.write(0, 0xFF);
  CHECK(bench.read(0x1FFF) == 0xFF);  // its own value
  CHECK(bench.read(0x1FFE) == 0xFE);
  for (const uint32_t at : {0x2000U, 0x2345U, 0x2FFFU}) {
    CHECK(bench.read(at) == 0xFF);
    CHECK(bench.in_file(at) == 0xFF);
  }
  CHECK(bench.read(0x3001) == 0x01);
  bench.write(0x3000, 0x20);
  bench.write(0x3000, 0xFF);  // not confirmed
  CHECK(bench.status() == kBadCommand);
  bench.write(0, 0xFF);
  CHECK(bench.read(0x3001) == 0x01);
}

TEST_CASE("a buffered program writes all of its bytes or none") {
  Bench bench;
  bench.write(0x1000, 0x20);
  bench.write(0x1000, 0xD0);
  const auto fill = [&bench](uint32_t start, uint32_t count) {
    bench.write(start, 0xE8);
    CHECK((bench.read(start) & 0x80) != 0);  // a buffer is free
    bench.write(start, count - 1);
    for (uint32_t i = 0; i < count; ++i) {
      bench.write(start + i, 0xA0 + i);
    }
  };
  fill(0x1010, 20);
  CHECK(bench.in_file(0x1010) == 0xFF);  // not confirmed yet
  bench.write(0x1010, 0xD0);
  CHECK(bench.status() == kReadyStatus);
  CHECK(bench.in_file(0x1010) == 0xA0);
  CHECK(bench.in_file(0x1023) == 0xB3);
  CHECK(bench.in_file(0x1024) == 0xFF);
  fill(0x1100, 4);
  bench.write(0x1100, 0x77);
  CHECK(bench.status() == kBadCommand);
  CHECK(bench.in_file(0x1100) == 0xFF);
  bench.write(0, 0x50);
  fill(0x1FFE, 2);
  bench.write(0x1FFE, 0xD0);
  CHECK(bench.in_file(0x1FFF) == (0xFF & 0xA1));
  bench.write(0x1FFF, 0xE8);  // over the block's end
  bench.write(0x1FFF, 1);
  bench.write(0x1FFF, 0);
  bench.write(0x2000, 0);
  CHECK(bench.status() == kBadCommand);
  CHECK(bench.in_file(0x1FFF) == 0xA1);
}

TEST_CASE("wide accesses are cycles of one byte, lowest first") {
  Bench bench;
  bench.write(0x20, 0x3C10, 2);  // program, at 0x21
  bench.write(0, 0xFF);
  CHECK(bench.read(0x20) == 0x20);
  CHECK(bench.read(0x21) == (0x21 & 0x3C));
}

TEST_CASE("the CFI query and the identifier say what it is") {
  Bench bench;
  bench.write(0x55, 0x98);
  const auto query = [&bench](uint32_t at) { return bench.read(at); };
  CHECK(query(0x10) == 'Q');
  CHECK(query(0x11) == 'R');
  CHECK(query(0x12) == 'Y');
  CHECK(bench.read(0x13, 2) == 1);  // Intel's command set
  const uint64_t extended = bench.read(0x15, 2);
  CHECK(query(extended) == 'P');
  CHECK(query(extended + 1) == 'R');
  CHECK(query(extended + 2) == 'I');
  CHECK(query(0x27) == 15);         // 32 KiB
  CHECK(bench.read(0x28, 2) == 0);  // eight data lines
  CHECK(1U << bench.read(0x2A, 2) == kFlashBuffer);
  CHECK(query(0x2C) == 1);
  CHECK(bench.read(0x2D, 2) + 1 == kSize / kFlashBlock);
  CHECK(bench.read(0x2F, 2) * 256 == kFlashBlock);
  bench.write(0x3000, 0x90);
  CHECK(bench.read(0x3000) == 0x89);
  CHECK(bench.read(0x3002) == 0);  // not locked
}

TEST_CASE("locks: unlocking succeeds, locking does not") {
  Bench bench;
  bench.write(0, 0x60);
  bench.write(0, 0xD0);
  CHECK(bench.status() == kReadyStatus);
  bench.write(0, 0x60);
  bench.write(0, 0x01);
  CHECK(bench.status() == (kReadyStatus | NorFlash::kProgramFailed));
  bench.write(0, 0x50);
  CHECK(bench.status() == 0);
  CHECK(bench.status() == kReadyStatus);
}

TEST_CASE("what the file cannot take is a failure in the status, and nothing has changed") {
  Bench bench(Bench::Kept::in_file, new_file(kSize, F_SEAL_WRITE));
  bench.write(0x21, 0x10);
  bench.write(0x21, 0x00);
  CHECK(bench.status() == (kReadyStatus | NorFlash::kProgramFailed));
  bench.write(0x1000, 0x20);
  bench.write(0x1000, 0xD0);
  CHECK(bench.status() == kBadCommand);
  bench.write(0, 0xFF);
  CHECK(bench.read(0x21) == 0x21);
  CHECK(bench.read(0x1001) == 0x01);
}

TEST_CASE("a flash without a file forgets, and a saved one does not") {
  Bench first(Bench::Kept::in_memory);
  first.write(0x21, 0x10);
  first.write(0x21, 0x00);
  first.write(0x3000, 0x20);
  first.write(0x3000, 0xD0);
  first.write(0, 0xFF);
  CHECK(first.in_file(0x21) == 0x21);
  first.quiesce();
  const StateReader reader = must(StateReader::parse(first.save()));
  Bench second(Bench::Kept::in_memory, new_file(), &reader);
  CHECK(second.read(0x21) == 0);
  CHECK(second.read(0x3001) == 0xFF);
  CHECK(second.read(0x4001) == 0x01);
  // A guest with a file does not take the bytes of one without.
  NorFlash::Options options;
  options.base = kBase;
  options.store = must(FlashStore::open({.file = new_file(), .path = "vars"}));
  TestMachine machine;
  CHECK_FALSE(NorFlash::create(std::move(options), *machine.env, &reader));
}

TEST_CASE("a command goes on after a save in its middle") {
  for (const int steps : {1, 2, 3, 4, 5}) {
    Fd file = new_file();
    std::optional<Bench> first(std::in_place, Bench::Kept::in_file, must(file.duplicate()));
    const std::pair<uint32_t, uint8_t> cycles[] = {{0x1010, 0xE8}, {0x1010, 2}, {0x1010, 0},
                                                   {0x1011, 0},    {0x1012, 0}, {0x1010, 0xD0}};
    int done = 0;
    for (; done < steps; ++done) {
      first->write(cycles[done].first, cycles[done].second);
    }
    first->quiesce();
    const StateBytes saved = first->save();
    first.reset();
    const StateReader reader = must(StateReader::parse(saved));
    Bench second(Bench::Kept::in_file, std::move(file), &reader);
    CHECK(second.save() == saved);
    CHECK(second.shown.empty());
    for (; done < 6; ++done) {
      second.write(cycles[done].first, cycles[done].second);
    }
    CHECK(second.status() == kReadyStatus);
    second.write(0, 0xFF);
    CHECK(second.read(0x1010, 4) == 0x13000000);
    second.quiesce();
  }
}

TEST_CASE("a reset shows the array and forgets the command") {
  Bench bench;
  bench.write(0, 0x20);
  bench.quiesce();
  bench.device->reset();
  CHECK(bench.shown.size() == kSize);
  bench.write(0, 0xD0);  // confirms nothing
  bench.write(0, 0xFF);
  CHECK(bench.read(1) == 1);
}

TEST_CASE("changes are brought to stable storage, and a pause waits for that") {
  Bench bench;
  for (int i = 0; i < 3; ++i) {
    bench.write(0x21, 0x10);
    bench.write(0x21, 0x00);
    bench.write(0x21, 0xFF);
  }
  bool quiet = false;
  bench.device->quiesce([&quiet] { quiet = true; });
  CHECK_FALSE(quiet);
  REQUIRE(bench.machine.run_until([&quiet] { return quiet; }));
  quiet = false;
  bench.device->quiesce([&quiet] { quiet = true; });
  CHECK(quiet);
}

TEST_CASE("files that are no flash are refused by name") {
  const auto refusal = [](Fd file) {
    const auto store = FlashStore::open({.file = std::move(file), .path = "vars"});
    return store ? std::string() : store.error().message;
  };
  CHECK(refusal(new_file(4095)).find("multiple of 4 KiB") != std::string::npos);
  CHECK(refusal(new_file(0)).find("'vars'") != std::string::npos);
  CHECK(refusal(must(open_file("/dev/null", O_RDWR))).find("not a regular file") != std::string::npos);
}

TEST_CASE("saved states of no command that there is are refused") {
  const auto accepted = [](const NorFlashState& state) {
    StateWriter out;
    out.put("flash0", state);
    const StateReader reader = must(StateReader::parse(out.bytes()));
    NorFlash::Options options;
    options.base = kBase;
    options.store = must(FlashStore::open({.file = new_file(), .path = "vars", .written_through = false}));
    TestMachine machine;
    return NorFlash::create(std::move(options), *machine.env, &reader).has_value();
  };
  NorFlashState good;
  good.has_contents = true;
  CHECK(accepted(good));
  const auto with = [&good](auto change) {
    NorFlashState state = good;
    change(state);
    return state;
  };
  CHECK_FALSE(accepted(with([](auto& s) { s.shows = static_cast<FlashShows>(4); })));
  CHECK_FALSE(accepted(with([](auto& s) { s.awaits = static_cast<FlashAwaits>(7); })));
  CHECK_FALSE(accepted(with([](auto& s) { s.errors = 0x80; })));
  CHECK_FALSE(accepted(with([](auto& s) { s.target = kSize; })));
  CHECK_FALSE(accepted(with([](auto& s) { s.buffer = {1}; })));
  CHECK_FALSE(accepted(with([](auto& s) { s.awaits = FlashAwaits::buffer_data; })));
  CHECK_FALSE(accepted(with([](auto& s) {
    s.awaits = FlashAwaits::buffer_confirm;
    s.buffer_count = 2;
    s.buffer = {1, 2};
    s.target = kSize - 1;
  })));
  CHECK_FALSE(accepted(with([](auto& s) { s.contents = {{0, std::vector<uint8_t>(4095)}}; })));
  CHECK_FALSE(accepted(with([](auto& s) { s.contents = {{kSize / kFlashBlock, std::vector<uint8_t>(4096)}}; })));
}

}  // namespace lodge::test
