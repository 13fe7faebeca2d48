#include "migration/save_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch.hpp>
#include <cstdio>

#include "migration/crc32c.h"
#include "migration/save_format.h"
#include "migration/save_job.h"

namespace lodge {

struct SampleState {
  uint64_t number = 0;
  std::string text;
};
template <>
struct Schema<SampleState> {
  static constexpr std::string_view name = "sample";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "number", &SampleState::number), field(2, "text", &SampleState::text)};
};

namespace {

constexpr uint64_t kHigh = 0x1'0000'0000;

std::unique_ptr<GuestMemory> make_memory(MemoryBacking backing = MemoryBacking::anonymous) {
  const GuestMemory::Range ranges[] = {{Gpa{0}, 3 * kMiB}, {Gpa{kHigh}, kMiB}};
  MemoryOptions options;
  options.backing = backing;
  return std::move(*GuestMemory::create(ranges, options));
}

void fill_sample(const GuestMemory& memory) {
  CHECK(memory.fill(Gpa{0}, 10, std::byte{1}));
  CHECK(memory.fill(Gpa{5 * kPageSize + 4095}, 2, std::byte{2}));
  CHECK(memory.fill(Gpa{3 * kMiB - 1}, 1, std::byte{3}));
  CHECK(memory.fill(Gpa{kHigh + kMiB / 2}, 70000, std::byte{4}));
}

bool same(const GuestMemory& a, const GuestMemory& b) {
  for (size_t i = 0; i < a.regions().size(); ++i) {
    if (std::memcmp(a.regions()[i].host, b.regions()[i].host, a.regions()[i].size) != 0) {
      return false;
    }
  }
  return true;
}

StateBytes sample_records() {
  StateWriter writer;
  writer.put("a", SampleState{7, "seven"});
  return writer.bytes();
}

Fd new_file() {
  Fd fd(::memfd_create("saved", MFD_CLOEXEC));
  REQUIRE(fd.valid());
  return fd;
}

Fd save(const GuestMemory& memory, SaveOptions options = {}) {
  Fd fd = new_file();
  REQUIRE(write_saved_guest(fd.get(), "{\"name\": \"x\"}", sample_records(), memory, options, {}));
  return fd;
}

Result<std::unique_ptr<SavedGuest>> reopen(const Fd& fd) { return SavedGuest::open(std::move(*fd.duplicate()), "file"); }

std::string refusal(const Fd& fd) {
  const auto guest = reopen(fd);
  return guest ? "" : guest.error().message;
}

size_t front_size(const GuestMemory& memory) {
  return sizeof(save_format::Header) + memory.regions().size() * sizeof(save_format::Region) + 13 + sample_records().size() +
         sizeof(save_format::End);
}

template <class T>
void poke(const Fd& fd, size_t offset, T value) {
  REQUIRE(::pwrite(fd.get(), &value, sizeof value, static_cast<off_t>(offset)) == sizeof value);
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("CRC-32C has its well-known values, however it is cut") {
  const std::string digits = "123456789";
  CHECK(crc32c(std::as_bytes(std::span(digits))) == 0xE306'9283);
  CHECK(crc32c(std::vector<std::byte>(32)) == 0x8A91'36AA);
  const auto bytes = std::as_bytes(std::span(digits));
  CHECK(crc32c(bytes.subspan(2), crc32c(bytes.first(2))) == 0xE306'9283);
}

TEST_CASE("A saved guest comes back as it was") {
  for (const bool checksums : {false, true}) {
    for (const auto backing : {MemoryBacking::anonymous, MemoryBacking::memfd}) {
      const auto memory = make_memory(backing);
      fill_sample(*memory);
      const Fd fd = save(*memory, {checksums});
      const auto guest = reopen(fd);
      REQUIRE(guest);
      CHECK((*guest)->config() == "{\"name\": \"x\"}");
      const auto state = (*guest)->state().get<SampleState>("a");
      REQUIRE(state);
      CHECK(state->number == 7);
      CHECK(state->text == "seven");
      const auto copy = make_memory(backing);
      REQUIRE((*guest)->load_ram(*copy));
      CHECK(same(*memory, *copy));
      CHECK(copy->fill(Gpa{0}, 100, std::byte{9}));  // its own pages: the file does not change
      const auto again = make_memory();
      REQUIRE((*guest)->load_ram(*again));
      CHECK(same(*memory, *again));
    }
  }
}

TEST_CASE("Pages of zeros take no room, and RAM is aligned for mapping") {
  const auto memory = make_memory();
  fill_sample(*memory);
  const Fd fd = save(*memory);
  struct stat info{};
  REQUIRE(::fstat(fd.get(), &info) == 0);
  CHECK(info.st_blocks * 512 <= 32 * 4096);
  save_format::Region region;
  REQUIRE(::pread(fd.get(), &region, sizeof region, sizeof(save_format::Header)) == sizeof region);
  CHECK(region.offset % (2 * kMiB) == 0);
}

TEST_CASE("A file that is cut short anywhere is refused") {
  const auto memory = make_memory();
  fill_sample(*memory);
  const size_t front = front_size(*memory);
  struct stat info{};
  for (size_t length = 0; length < front; ++length) {
    const Fd fd = save(*memory);
    REQUIRE(::ftruncate(fd.get(), static_cast<off_t>(length)) == 0);
    CHECK(has(refusal(fd), "cut short"));
  }
  const Fd fd = save(*memory);
  REQUIRE(::fstat(fd.get(), &info) == 0);
  REQUIRE(::ftruncate(fd.get(), info.st_size - 1) == 0);
  CHECK(has(refusal(fd), "cut short"));
}

TEST_CASE("A flipped bit before RAM is refused") {
  const auto memory = make_memory();
  const Fd fd = save(*memory);
  for (size_t at = 0; at < front_size(*memory); ++at) {
    uint8_t byte = 0;
    REQUIRE(::pread(fd.get(), &byte, 1, static_cast<off_t>(at)) == 1);
    for (int bit = 0; bit < 8; ++bit) {
      poke(fd, at, static_cast<uint8_t>(byte ^ (1 << bit)));
      INFO("byte " << at << " bit " << bit);
      CHECK(!refusal(fd).empty());
    }
    poke(fd, at, byte);
  }
  CHECK(refusal(fd).empty());
}

TEST_CASE("A flipped bit in RAM is refused when the file has checksums of it") {
  const auto memory = make_memory();
  fill_sample(*memory);
  const Fd fd = save(*memory, {true});
  poke(fd, 2 * kMiB + 123, uint8_t{1});
  const auto guest = reopen(fd);
  REQUIRE(guest);
  const auto copy = make_memory();
  const auto outcome = (*guest)->load_ram(*copy);
  REQUIRE(!outcome);
  CHECK(has(outcome.error().message, "checksum of memory"));
}

TEST_CASE("Newer versions and other architectures are refused by name") {
  const auto memory = make_memory();
  Fd fd = save(*memory);
  poke(fd, offsetof(save_format::Header, version), uint32_t{2});
  CHECK(has(refusal(fd), "saved guest v2, this build knows v1"));
  fd = save(*memory);
  poke(fd, offsetof(save_format::Header, architecture), std::array<char, 8>{'a', 'a', 'r', 'c', 'h', '6', '4', 0});
  CHECK(has(refusal(fd), "another architecture"));
  fd = save(*memory);
  poke(fd, offsetof(save_format::Header, endianness), uint32_t{0x0403'0201});
  CHECK(has(refusal(fd), "another architecture"));
}

TEST_CASE("Lengths beyond all limits are refused before anything is allocated") {
  const auto memory = make_memory();
  for (const size_t at : {offsetof(save_format::Header, config_length), offsetof(save_format::Header, records_length)}) {
    const Fd fd = save(*memory);
    poke(fd, at, ~uint64_t{0});
    CHECK(has(refusal(fd), "limits"));
    poke(fd, at, uint64_t{15 * kMiB});
    CHECK(has(refusal(fd), "beyond its end"));
  }
}

TEST_CASE("What is not a saved guest is refused in plain words") {
  const auto missing = SavedGuest::open("/nonexistent/file");
  REQUIRE(!missing);
  CHECK(has(missing.error().message, "'/nonexistent/file': No such file or directory"));
  const auto device = SavedGuest::open("/dev/zero");
  REQUIRE(!device);
  CHECK(has(device.error().message, "not a regular file"));
  const Fd fd = new_file();
  REQUIRE(::ftruncate(fd.get(), 1000) == 0);
  CHECK(has(refusal(fd), "not a saved guest"));
}

TEST_CASE("RAM of another shape is refused") {
  const auto memory = make_memory();
  const Fd fd = save(*memory);
  const GuestMemory::Range ranges[] = {{Gpa{0}, 4 * kMiB}};
  const auto other = std::move(*GuestMemory::create(ranges, {}));
  const auto outcome = (*reopen(fd))->load_ram(*other);
  REQUIRE(!outcome);
  CHECK(has(outcome.error().message, "not laid out"));
}

TEST_CASE("A save job leaves a whole file or none") {
  const auto loop = std::move(*EventLoop::create("test"));
  const auto memory = make_memory();
  fill_sample(*memory);
  const auto run = [&](const std::string& path) {
    std::optional<Result<void>> outcome;
    const auto job =
        SaveJob::start(*loop, {path, "{}", sample_records(), {}}, *memory, [&](Result<void> o) { outcome = std::move(o); });
    while (!outcome) {
      loop->run_once(std::chrono::milliseconds(10));
    }
    return *outcome;
  };
  const std::string folder = fmt::format("/tmp/lodge-save-test-{}", ::getpid());
  REQUIRE(::mkdir(folder.c_str(), 0700) == 0);
  const std::string path = folder + "/guest";
  CHECK(run(path));
  CHECK(run(path));  // replaces it
  const auto guest = SavedGuest::open(path);
  REQUIRE(guest);
  const auto failed = run(folder + "/no/such");
  REQUIRE(!failed);
  CHECK(has(failed.error().message, "No such file or directory"));
  CHECK(!run(folder));  // not a regular file
  const auto given_up = SaveJob::start(*loop, {path + "2", "{}", {}, {}}, *memory, [](const Result<void>&) {});
  CHECK(::unlink(path.c_str()) == 0);
  const auto full = run("/dev/full");
  REQUIRE(!full);
  CHECK(has(full.error().message, "not a regular file"));
  (void)given_up.get();
  const_cast<std::unique_ptr<SaveJob>&>(given_up).reset();
  ::unlink((path + "2").c_str());       // it may have been quicker
  CHECK(::rmdir(folder.c_str()) == 0);  // nothing else was left
}

}  // namespace lodge
