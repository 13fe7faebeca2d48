#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "migration/crc32c.h"
#include "migration/save_file.h"
#include "migration/save_format.h"

namespace lodge {
namespace {

namespace format = save_format;

Result<void> read_at(int fd, std::span<std::byte> to, uint64_t offset) {
  while (!to.empty()) {
    const ssize_t n = ::pread(fd, to.data(), to.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return fail_errno(errno, "read");
    }
    if (n == 0) {
      return fail("the file is cut short");
    }
    to = to.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

// What every version of the header has, in this order.
Result<void> check_identity(const format::Header& header) {
  if (header.magic != format::kMagic) {
    return fail("it is not a saved guest (or its save never ended)");
  }
  if (header.version > format::kVersion) {
    return fail("saved guest v{}, this build knows v{}; use a newer lodge-vmm", header.version, format::kVersion);
  }
  if (header.version == 0 || header.header_length != sizeof header) {
    return fail("the file is damaged (header of version {}, {} bytes)", header.version, header.header_length);
  }
  if (header.endianness != format::kEndianness || header.architecture != format::kArchitecture) {
    return fail("it is a guest of another architecture; this build runs x86_64");
  }
  return {};
}

Result<void> check_lengths(const format::Header& header, uint64_t file_size) {
  if ((header.flags & ~format::kKnownFlags) != 0) {
    return fail("it has flags {:#x}, which this build does not know", header.flags & ~format::kKnownFlags);
  }
  if (header.page_size != kPageSize || header.regions > format::kMaxRegions || header.config_length > format::kMaxConfig ||
      header.records_length > format::kMaxRecords) {
    return fail("the file is damaged (lengths in its header are beyond all limits)");
  }
  if (header.file_size > file_size) {
    return fail("the file is cut short: it has {} bytes of {}", file_size, header.file_size);
  }
  return {};
}

Result<void> check_region(const format::Region& region, uint64_t front_end, uint64_t file_size) {
  if (region.size == 0 || !is_aligned(region.base | region.size | region.offset, kPageSize) || region.offset < front_end ||
      !range_fits(region.offset, region.size, file_size)) {
    return fail("the file is damaged (memory region {:#x}+{:#x})", region.base, region.size);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<SavedGuest>> SavedGuest::open(const std::string& path) {
  auto fd = open_file(path, O_RDONLY | O_NONBLOCK);  // a FIFO must not make us wait
  if (!fd) {
    return fail("cannot open the saved guest '{}': {}; check the path and who may read it", path,
                std::generic_category().message(fd.error().code));
  }
  return open(std::move(*fd), path);
}

Result<std::unique_ptr<SavedGuest>> SavedGuest::open(Fd fd, const std::string& name) {
  std::unique_ptr<SavedGuest> guest(new SavedGuest);
  guest->fd_ = std::move(fd);
  guest->name_ = name;
  if (auto outcome = guest->read_all(); !outcome) {
    return context(outcome.error(), fmt::format("saved guest '{}'", name));
  }
  return guest;
}

Result<void> SavedGuest::read_all() {
  struct stat info{};
  if (::fstat(fd_.get(), &info) != 0) {
    return fail_errno(errno, "look at it");
  }
  if (!S_ISREG(info.st_mode)) {
    return fail("it is not a regular file");
  }
  const auto file_size = static_cast<uint64_t>(info.st_size);
  format::Header header;
  TRY_VOID(read_at(fd_.get(), writable_bytes_of(header), 0));
  TRY_VOID(check_identity(header));
  TRY_VOID(check_lengths(header, file_size));
  const uint64_t table_size = header.regions * sizeof(format::Region);
  const uint64_t length = sizeof header + table_size + header.config_length + header.records_length;
  if (length + sizeof(format::End) > header.file_size) {
    return fail("the file is damaged (lengths in its header are beyond its end)");
  }
  StateBytes front(length);
  TRY_VOID(read_at(fd_.get(), front, 0));
  format::End end;
  TRY_VOID(read_at(fd_.get(), writable_bytes_of(end), length));
  if (end.magic != format::kEndMagic || end.length != length || end.crc != crc32c(front) || end.reserved != 0) {
    return fail("the file is damaged (its checksum does not fit)");
  }
  std::span<const std::byte> rest = std::span<const std::byte>(front).subspan(sizeof header);
  for (uint32_t i = 0; i < header.regions; ++i) {
    const auto region = load_le<format::Region>(rest, i * sizeof(format::Region));
    TRY_VOID(check_region(region, length + sizeof end, header.file_size));
    regions_.push_back({region.base, region.size, region.offset, region.crc});
  }
  rest = rest.subspan(table_size);
  config_.assign(reinterpret_cast<const char*>(rest.data()), header.config_length);  // SAFETY: bytes as char
  state_ = TRY(StateReader::parse(rest.subspan(header.config_length)));
  ram_checksums_ = (header.flags & format::kRamChecksums) != 0;
  return {};
}

Result<void> SavedGuest::check_ram(const RamRegion& region) const {
  StateBytes chunk(std::min<uint64_t>(region.size, 4 * kMiB));
  uint32_t crc = 0;
  for (uint64_t at = 0; at < region.size; at += chunk.size()) {
    const auto part = std::span(chunk).first(std::min<uint64_t>(chunk.size(), region.size - at));
    TRY_VOID(read_at(fd_.get(), part, region.offset + at));
    crc = crc32c(part, crc);
  }
  if (crc != region.crc) {
    return fail("the file is damaged (checksum of memory at {:#x})", region.base);
  }
  return {};
}

Result<void> SavedGuest::load_ram(GuestMemory& memory) const {
  const auto regions = memory.regions();
  const bool same = std::ranges::equal(regions, regions_, [](const MemoryRegion& mine, const RamRegion& saved) {
    return mine.base.value == saved.base && mine.size == saved.size;
  });
  if (!same) {
    return fail("saved guest '{}': its memory is not laid out as this machine's; start it with its own configuration",
                name_);
  }
  for (size_t i = 0; i < regions_.size(); ++i) {
    if (ram_checksums_) {
      TRY_VOID_CONTEXT(check_ram(regions_[i]), fmt::format("saved guest '{}'", name_));
    }
    TRY_VOID_CONTEXT(memory.map_file(i, fd_.get(), regions_[i].offset), fmt::format("saved guest '{}'", name_));
  }
  return {};
}

}  // namespace lodge
