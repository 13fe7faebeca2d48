// What the guest tells by writing files of fw_cfg: where its generation ID lies, and where its kernel's note for dumps is.
// By Microsoft's "Virtual Machine Generation ID" and QEMU's documents of vmcoreinfo and fw_cfg.
#include <catch2/catch.hpp>

#include "devices/legacy/fw_cfg/device.h"
#include "devices/legacy/vmcoreinfo/device.h"
#include "devices/legacy/vmgenid/device.h"
#include "tests/support/test_machine.h"

namespace lodge::test {
namespace {

constexpr uint64_t kRequest = 0x1000;
constexpr uint64_t kBuffer = 0x2000;
constexpr uint32_t kFile = 0x20;  // the first file's key
constexpr uint32_t kRead = 2, kSkip = 4, kSelect = 8, kWrite = 16;
constexpr VmGenId::Id kFirst{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
constexpr VmGenId::Id kSecond{0xFF, 0xEE};

template <class T>
T big(T value) {
  return sizeof(T) == 8 ? static_cast<T>(__builtin_bswap64(value))
                        : static_cast<T>(__builtin_bswap32(static_cast<uint32_t>(value)));
}

// A machine whose fw_cfg has one file.
struct Bench {
  explicit Bench(FwCfgFile& file) { offer(file); }
  Bench() = default;
  void offer(FwCfgFile& file) {
    FwCfgItems items;
    items.add_file("etc/file", file);
    fw_cfg->offer(std::move(items));
  }
  // The control word as the device leaves it: 0, or 1 for an error.
  uint32_t transfer(uint32_t control, uint32_t length, uint64_t address = kBuffer) {
    must(machine.memory->write(Gpa{kRequest}, big(control)));
    must(machine.memory->write(Gpa{kRequest + 4}, big(length)));
    must(machine.memory->write(Gpa{kRequest + 8}, big(address)));
    machine.out(0x514, 0, 4);
    machine.out(0x518, big(static_cast<uint32_t>(kRequest)), 4);
    return big(must(machine.memory->read<uint32_t>(Gpa{kRequest})));
  }
  template <class T>
  uint32_t write(const T& value) {
    must(machine.memory->write(Gpa{kBuffer}, value));
    return transfer(kFile << 16 | kSelect | kWrite, sizeof value);
  }
  TestMachine machine;
  std::unique_ptr<FwCfg> fw_cfg = must(FwCfg::create(*machine.env, nullptr));
};

VmGenId::Id id_at(const GuestMemory& memory, uint64_t address) {
  VmGenId::Id id{};
  must(memory.read_bytes(Gpa{address}, std::as_writable_bytes(std::span(id))));
  return id;
}

StateReader saved(const Device& device, StateBytes& bytes) {
  StateWriter out;
  device.save(out);
  bytes = out.bytes();
  return must(StateReader::parse(bytes));
}

struct Note {
  uint16_t host = 1;
  uint16_t guest = 1;
  uint32_t size = 0;
  uint64_t address = 0;
};

}  // namespace

TEST_CASE("a_file_that_can_be_written_is_written_by_dma_and_only_whole") {
  Bench bench;
  const auto device = must(VmCoreInfo::create(*bench.machine.env, nullptr));
  bench.offer(*device);
  CHECK(bench.transfer(kFile << 16 | kSelect | kRead, 16) == 0);
  CHECK(must(bench.machine.memory->read<uint64_t>(Gpa{kBuffer})) == 1);  // what the host takes
  const Note note{.size = 100, .address = 0x3000};
  CHECK(bench.write(note) == 0);
  must(bench.machine.memory->fill(Gpa{kBuffer}, 16, std::byte{0}));
  CHECK(bench.transfer(kFile << 16 | kSelect | kRead, 16) == 0);
  CHECK(must(bench.machine.memory->read<uint32_t>(Gpa{kBuffer + 4})) == 100);
  bench.machine.out(0x510, kFile, 2);  // byte by byte it is the same
  CHECK(bench.machine.in(0x511) == 1);

  CHECK(bench.transfer(kFile << 16 | kSelect | kWrite, 17) == 1);
  CHECK(bench.transfer(kFile << 16 | kSelect | kSkip, 8) == 0);
  CHECK(bench.transfer(kWrite, 9) == 1);
  CHECK(bench.transfer(kWrite, 8, TestMachine::kMemory - 4) == 1);  // not in memory
  CHECK(bench.transfer(kWrite, 0xFFFF'FFFF) == 1);
  CHECK(bench.transfer(0x19U << 16 | kSelect | kWrite, 4) == 1);  // the directory
  CHECK(bench.transfer(0x7777U << 16 | kSelect | kWrite, 0) == 1);
  CHECK(device->note()->size == 100);
}

TEST_CASE("fw_cfg_writes_go_on_where_the_last_one_ended") {
  Bench bench;
  const auto device = must(VmCoreInfo::create(*bench.machine.env, nullptr));
  bench.offer(*device);
  must(bench.machine.memory->write(Gpa{kBuffer}, Note{.size = 8, .address = 0x5000}));
  CHECK(bench.transfer(kFile << 16 | kSelect | kWrite, 8) == 0);
  CHECK(bench.transfer(kWrite, 8, kBuffer + 8) == 0);
  REQUIRE(device->note());
  CHECK(device->note()->address == 0x5000);
}

TEST_CASE("vmcoreinfo_takes_a_note_in_memory_and_nothing_else") {
  Bench bench;
  const auto device = must(VmCoreInfo::create(*bench.machine.env, nullptr));
  bench.offer(*device);
  CHECK_FALSE(device->note());
  const auto told = [&](const Note& note) {
    CHECK(bench.write(note) == 0);
    return device->note().has_value();
  };
  CHECK(told({.size = 1, .address = 0}));
  CHECK(told({.size = VmCoreInfo::kMaxNote, .address = 0x1000}));
  CHECK_FALSE(told({.size = VmCoreInfo::kMaxNote + 1, .address = 0x1000}));
  CHECK_FALSE(told({.guest = 0, .size = 100, .address = 0x1000}));  // nothing
  CHECK_FALSE(told({.guest = 2, .size = 100, .address = 0x1000}));
  CHECK_FALSE(told({.size = 0, .address = 0x1000}));
  CHECK_FALSE(told({.size = 16, .address = TestMachine::kMemory - 15}));
  CHECK_FALSE(told({.size = 16, .address = UINT64_MAX}));
  CHECK(told({.size = 16, .address = TestMachine::kMemory - 16}));

  StateBytes bytes;
  const StateReader reader = saved(*device, bytes);
  const auto again = must(VmCoreInfo::create(*bench.machine.env, &reader));
  REQUIRE(again->note());
  CHECK(again->note()->address == TestMachine::kMemory - 16);
  again->reset();
  CHECK_FALSE(again->note());
}

TEST_CASE("vmgenid_lies_where_it_is_placed") {
  TestMachine machine;
  const auto device = must(VmGenId::create({.id = kFirst, .announce = {}}, *machine.env, nullptr));
  CHECK(device->address() == 0);
  CHECK_FALSE(device->place(Gpa{TestMachine::kMemory - 8}));
  CHECK_FALSE(device->place(Gpa{0x1004}));  // the specification wants it aligned to 8 bytes
  must(device->place(Gpa{0xEF028}));
  CHECK(id_at(*machine.memory, 0xEF028) == kFirst);
  device->resume();  // nobody is told of the first one: the announcement is empty and would throw
  device->reset();
  CHECK(device->address() == 0);
}

TEST_CASE("vmgenid_is_placed_by_firmware") {
  Bench bench;
  const auto device = must(VmGenId::create({.id = kFirst, .announce = {}}, *bench.machine.env, nullptr));
  bench.offer(*device);
  CHECK(bench.write(uint64_t{0x4028}) == 0);
  CHECK(device->address() == 0x4028);
  CHECK(bench.write(uint64_t{0x4029}) == 0);
  CHECK(device->address() == 0);
  CHECK(bench.write(TestMachine::kMemory) == 0);
  CHECK(device->address() == 0);
  CHECK(bench.write(~uint64_t{0}) == 0);
  CHECK(device->address() == 0);
}

TEST_CASE("vmgenid_that_changed_is_told_once_after_a_restore") {
  TestMachine machine;
  const auto first = must(VmGenId::create({.id = kFirst, .announce = {}}, *machine.env, nullptr));
  must(first->place(Gpa{0x4000}));
  StateBytes bytes;
  const StateReader reader = saved(*first, bytes);
  int told = 0;
  const auto same = must(VmGenId::create({.id = kFirst, .announce = [&] { ++told; }}, *machine.env, &reader));
  same->resume();
  CHECK(told == 0);

  const auto copy = must(VmGenId::create({.id = kSecond, .announce = [&] { ++told; }}, *machine.env, &reader));
  CHECK(id_at(*machine.memory, 0x4000) == kSecond);
  CHECK(told == 0);

  // Saved before it went on: the next one tells.
  StateBytes untold;
  const StateReader later = saved(*copy, untold);
  const auto again = must(VmGenId::create({.id = kSecond, .announce = [&] { ++told; }}, *machine.env, &later));
  again->resume();
  again->resume();
  CHECK(told == 1);
}

TEST_CASE("vmgenid_that_the_guest_has_not_placed_changes_no_memory") {
  TestMachine machine;
  StateWriter out;
  out.put("vmgenid0", VmGenIdState{{9}, TestMachine::kMemory - 8, true});  // a guest's nonsense
  const StateReader reader = must(StateReader::parse(out.bytes()));
  int told = 0;
  const auto device = must(VmGenId::create({.id = kSecond, .announce = [&] { ++told; }}, *machine.env, &reader));
  device->resume();
  CHECK(told == 0);
  CHECK(device->address() == 0);
}

}  // namespace lodge::test
