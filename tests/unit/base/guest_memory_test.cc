// Guest RAM: holes, overflow, views, dirty tracking, discard, lazy restore.
#include "base/memory/guest_memory.h"

#include <sys/mman.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <thread>

namespace lodge {
namespace {

constexpr uint64_t kHigh = 4 * kGiB;

std::unique_ptr<GuestMemory> memory_with_hole(const MemoryOptions& options = {}) {
  const GuestMemory::Range ranges[] = {{Gpa{0}, 1 * kMiB}, {Gpa{kHigh}, 2 * kMiB}};
  return std::move(*GuestMemory::create(ranges, options));
}

std::vector<uint64_t> dirty(const GuestMemory& memory, size_t index) {
  std::vector<uint64_t> bitmap((memory.regions()[index].size / kPageSize + 63) / 64);
  memory.collect_dirty(index, bitmap);
  return bitmap;
}

}  // namespace

TEST_CASE("memory_is_zero_at_first_and_keeps_what_is_written") {
  for (const MemoryBacking backing : {MemoryBacking::anonymous, MemoryBacking::memfd}) {
    const auto memory = memory_with_hole({.backing = backing});
    CHECK(memory->total_size() == 3 * kMiB);
    CHECK(*memory->read<uint64_t>(Gpa{0x1000}) == 0);
    CHECK(memory->write(Gpa{kHigh + 8}, uint64_t{42}));
    CHECK(*memory->read<uint64_t>(Gpa{kHigh + 8}) == 42);
    CHECK((memory->regions()[0].fd >= 0) == (backing == MemoryBacking::memfd));
  }
}

TEST_CASE("memory_refuses_ranges_that_are_not_ram") {
  const auto memory = memory_with_hole();
  const struct {
    uint64_t base;
    uint64_t length;
    bool good;
  } cases[] = {
      {0, 1 * kMiB, true},
      {1 * kMiB - 1, 1, true},
      {1 * kMiB - 1, 2, false},
      {1 * kMiB, 1, false},
      {kHigh, 2 * kMiB, true},
      {kHigh - 1, 2, false},
      {0, kHigh + 1, false},
      {kHigh, UINT64_MAX, false},
      {UINT64_MAX, 2, false},
      {UINT64_MAX, 1, false},
      {16, UINT64_MAX - 15, false},
      {kHigh + 2 * kMiB, 1, false},
      {kHigh + 4096, 1 * kMiB, true},
  };
  for (const auto& one : cases) {
    INFO(one.base << " + " << one.length);
    CHECK(memory->view(Gpa{one.base}, one.length, Access::read).has_value() == one.good);
    CHECK((memory->iovec_for(Gpa{one.base}, one.length).iov_base != nullptr) == one.good);
  }
  CHECK_FALSE(memory->read<uint32_t>(Gpa{1 * kMiB - 3}));
  CHECK_FALSE(memory->write(Gpa{1 * kMiB - 3}, uint32_t{1}));
  CHECK_FALSE(memory->fill(Gpa{0}, 1 * kMiB + 1, std::byte{1}));
}

TEST_CASE("memory_refuses_impossible_layouts_and_sizes") {
  const GuestMemory::Range huge{Gpa{0}, 1ULL << 62};
  CHECK_FALSE(GuestMemory::create({&huge, 1}, {}));
}

TEST_CASE("dirty_tracking_sees_every_write_path_once") {
  const auto memory = memory_with_hole();
  REQUIRE(memory->write(Gpa{0}, uint8_t{1}));  // not tracked yet
  memory->start_dirty_tracking();
  CHECK(dirty(*memory, 0) == std::vector<uint64_t>(4));
  REQUIRE(memory->write(Gpa{2 * 4096 - 1}, uint16_t{1}));    // pages 1 and 2
  REQUIRE(memory->fill(Gpa{4 * 4096}, 4097, std::byte{1}));  // 4 and 5
  const auto view = *memory->view(Gpa{64 * 4096}, 4096, Access::write);
  view.write(8, uint32_t{7});
  CHECK(dirty(*memory, 0) == std::vector<uint64_t>{0b110110, 1, 0, 0});
  CHECK(dirty(*memory, 0) == std::vector<uint64_t>(4));
  memory->mark_dirty(Gpa{kHigh + 511 * 4096}, 4096);
  memory->mark_dirty(Gpa{kHigh + 511 * 4096}, 4097);  // not RAM: ignored
  memory->mark_dirty(Gpa{0}, 0);
  CHECK(dirty(*memory, 1).back() == 1ULL << 63);
  view.store_release16(0, 1);
  REQUIRE(memory->discard(Gpa{0}, 4096));
  CHECK(dirty(*memory, 0) == std::vector<uint64_t>{1, 1, 0, 0});
  memory->stop_dirty_tracking();
  REQUIRE(memory->write(Gpa{0}, uint8_t{1}));
  memory->start_dirty_tracking();
  CHECK(dirty(*memory, 0) == std::vector<uint64_t>(4));
}

TEST_CASE("dirty_tracking_loses_nothing_between_threads") {
  const auto memory = memory_with_hole();
  memory->start_dirty_tracking();
  std::vector<std::thread> writers;
  for (uint64_t t = 0; t < 2; ++t) {
    writers.emplace_back([&, t] {
      for (uint64_t page = t; page < 512; page += 2) {
        memory->mark_dirty(Gpa{kHigh + page * 4096}, 1);
      }
    });
  }
  std::vector<uint64_t> all(8);
  for (int i = 0; i < 100; ++i) {
    memory->collect_dirty(1, all);
  }
  for (auto& writer : writers) {
    writer.join();
  }
  memory->collect_dirty(1, all);
  CHECK(all == std::vector<uint64_t>(8, ~uint64_t{0}));
}

TEST_CASE("discarded_pages_read_as_zero") {
  for (const MemoryBacking backing : {MemoryBacking::anonymous, MemoryBacking::memfd}) {
    const auto memory = memory_with_hole({.backing = backing});
    REQUIRE(memory->fill(Gpa{0}, 3 * 4096, std::byte{0xAA}));
    CHECK(memory->discard(Gpa{4096}, 4096));
    CHECK(*memory->read<uint64_t>(Gpa{4096}) == 0);
    CHECK(*memory->read<uint8_t>(Gpa{4095}) == 0xAA);
    CHECK(*memory->read<uint8_t>(Gpa{8192}) == 0xAA);
    CHECK_FALSE(memory->discard(Gpa{100}, 4096));
    CHECK_FALSE(memory->discard(Gpa{4096}, 100));
    CHECK_FALSE(memory->discard(Gpa{1 * kMiB}, 4096));
  }
}

TEST_CASE("mapped_file_is_the_memory_and_stays_unchanged") {
  const Fd file(::memfd_create("saved", MFD_CLOEXEC));
  REQUIRE(::ftruncate(file.get(), 4096 + 1 * kMiB) == 0);
  const std::string text = "saved RAM";
  REQUIRE(::pwrite(file.get(), text.data(), text.size(), 4096 + 8192) == static_cast<ssize_t>(text.size()));
  for (const MemoryBacking backing : {MemoryBacking::anonymous, MemoryBacking::memfd}) {
    const auto memory = memory_with_hole({.backing = backing});
    REQUIRE(memory->map_file(0, file.get(), 4096));
    CHECK(*memory->read<uint8_t>(Gpa{8192}) == 's');
    REQUIRE(memory->write(Gpa{8192}, uint8_t{'X'}));
    char first = 0;
    REQUIRE(::pread(file.get(), &first, 1, 4096 + 8192) == 1);
    CHECK(first == 's');
    CHECK(memory->discard(Gpa{8192}, 4096));
    CHECK(*memory->read<uint8_t>(Gpa{8192}) == 0);  // not the file's content again
    CHECK(memory->write(Gpa{8192}, uint8_t{'Y'}));
    CHECK(*memory->read<uint8_t>(Gpa{8192}) == 'Y');
  }
}

}  // namespace lodge
