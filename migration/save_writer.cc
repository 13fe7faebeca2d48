#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "migration/crc32c.h"
#include "migration/save_file.h"
#include "migration/save_format.h"

namespace lodge {
namespace {

constexpr uint64_t kStep = 4 * kMiB;  // RAM between two looks at `progress`

Result<void> write_at(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return fail_errno(n == 0 ? ENOSPC : errno, "write");
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

// Most pages with content have some in their first bytes, so the look is short; a page of zeros costs a pass at memory
// speed.
bool is_zero_page(const std::byte* page) {
  constexpr size_t kBlock = 128;
  for (size_t at = 0; at < kPageSize; at += kBlock) {
    uint64_t words[kBlock / 8];
    std::memcpy(words, page + at, kBlock);
    uint64_t any = 0;
    for (const uint64_t word : words) {
      any |= word;
    }
    if (any != 0) {
      return false;
    }
  }
  return true;
}

// Where memory behind a file has content, at or after `at`: holes of a memfd are skipped without touching them.
struct Extent {
  uint64_t begin;
  uint64_t end;
};
Extent next_extent(const MemoryRegion& region, uint64_t at) {
  if (region.fd < 0) {
    return {at, region.size};
  }
  const off_t data = ::lseek(region.fd, static_cast<off_t>(region.fd_offset + at), SEEK_DATA);
  if (data < 0) {
    return errno == ENXIO ? Extent{region.size, region.size} : Extent{at, region.size};
  }
  const off_t hole = ::lseek(region.fd, data, SEEK_HOLE);
  const uint64_t begin = std::min(static_cast<uint64_t>(data) - region.fd_offset, region.size);
  const uint64_t end = hole < 0 ? region.size : std::min(static_cast<uint64_t>(hole) - region.fd_offset, region.size);
  return {align_down(begin, kPageSize), align_up(end, kPageSize)};
}

class RamWriter {
 public:
  RamWriter(int fd, const GuestMemory& memory, const SaveProgressFn& progress)
      : fd_(fd), total_(memory.total_size()), progress_(progress) {}

  // Pages that are not all zero, in runs as long as possible.
  Result<void> write(const MemoryRegion& region, uint64_t offset) {
    uint64_t at = 0;
    while (at < region.size) {
      const Extent extent = next_extent(region, at);
      for (at = extent.begin; at < extent.end;) {
        const uint64_t step = std::min(kStep, extent.end - at);
        TRY_VOID(write_step(region.host + at, step, offset + at));
        at += step;
        if (progress_ && !progress_(done_ + at, total_)) {
          return fail("the save was given up");
        }
      }
    }
    done_ += region.size;
    return {};
  }

 private:
  Result<void> write_step(const std::byte* from, uint64_t size, uint64_t offset) {
    uint64_t at = 0;
    while (at < size) {
      while (at < size && is_zero_page(from + at)) {
        at += kPageSize;
      }
      const uint64_t begin = at;
      while (at < size && !is_zero_page(from + at)) {
        at += kPageSize;
      }
      TRY_VOID(write_at(fd_, std::span(from + begin, at - begin), offset + begin));
    }
    return {};
  }

  int fd_;
  uint64_t total_;
  uint64_t done_ = 0;
  const SaveProgressFn& progress_;
};

}  // namespace

Result<void> write_saved_guest(int fd, std::string_view config, std::span<const std::byte> records,
                               const GuestMemory& memory, const SaveOptions& options, const SaveProgressFn& progress) {
  namespace format = save_format;
  if (config.size() > format::kMaxConfig || records.size() > format::kMaxRecords ||
      memory.regions().size() > format::kMaxRegions) {
    return fail("the guest's configuration or state is too large for a saved guest");
  }
  format::Header header;
  header.header_length = sizeof header;
  header.flags = options.ram_checksums ? format::kRamChecksums : 0;
  header.regions = static_cast<uint32_t>(memory.regions().size());
  header.config_length = config.size();
  header.records_length = records.size();
  const uint64_t table_size = memory.regions().size() * sizeof(format::Region);
  const uint64_t length = sizeof header + table_size + config.size() + records.size();
  uint64_t offset = align_up(length + sizeof(format::End), format::kRamAlignment);
  std::vector<format::Region> table;
  RamWriter ram(fd, memory, progress);
  for (const MemoryRegion& region : memory.regions()) {
    TRY_VOID(ram.write(region, offset));
    const uint32_t crc = options.ram_checksums ? crc32c(std::span(region.host, region.size)) : 0;
    table.push_back({region.base.value, region.size, offset, crc, 0});
    offset = align_up(offset + region.size, format::kRamAlignment);
  }
  header.file_size = offset;

  StateBytes front;
  front.reserve(length + sizeof(format::End));
  const auto add = [&front](std::span<const std::byte> bytes) { state_detail::append_bytes(front, bytes); };
  add(bytes_of(header));
  add(std::as_bytes(std::span(table)));
  add(bytes_of(config));
  add(records);
  format::End end;
  end.length = front.size();
  end.crc = crc32c(front);
  add(bytes_of(end));
  if (::ftruncate(fd, static_cast<off_t>(header.file_size)) != 0) {
    return fail_errno(errno, "write");
  }
  return write_at(fd, front, 0);
}

}  // namespace lodge
