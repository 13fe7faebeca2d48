// The file of a saved guest: the input is the file, or (first byte odd) the part behind a sound header, with the checksum
// made right, so that most runs get past it.
#include <sys/mman.h>
#include <unistd.h>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "migration/crc32c.h"
#include "migration/save_file.h"
#include "migration/save_format.h"

namespace {

namespace format = lodge::save_format;

// Header, then the input as table, configuration and records, then a right end record.
std::vector<std::byte> make_sound(std::span<const std::byte> input) {
  format::Header header;
  header.header_length = sizeof header;
  header.file_size = 1 << 22;
  if (input.size() >= 3) {
    header.regions = static_cast<uint32_t>(input[0]) % 4;
    header.flags = static_cast<uint32_t>(input[1]) & 1;
    header.config_length = static_cast<uint64_t>(input[2]);
    input = input.subspan(3);
  }
  const uint64_t taken = header.regions * sizeof(format::Region) + header.config_length;
  header.records_length = input.size() > taken ? input.size() - taken : 0;
  std::vector<std::byte> file;
  lodge::state_detail::append_bytes(file, lodge::bytes_of(header));
  lodge::state_detail::append_bytes(file, input);
  format::End end;
  end.length = file.size();
  end.crc = lodge::crc32c(file);
  lodge::state_detail::append_bytes(file, lodge::bytes_of(end));
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  static const std::unique_ptr<GuestMemory> memory = [] {
    const GuestMemory::Range ranges[] = {{Gpa{0}, kPageSize}};
    return std::move(*GuestMemory::create(ranges, {.transparent_hugepages = false}));
  }();
  if (size == 0) {
    return 0;
  }
  const auto input = std::as_bytes(std::span(data + 1, size - 1));
  const std::vector<std::byte> file =
      (data[0] & 1) != 0 ? make_sound(input) : std::vector<std::byte>(input.begin(), input.end());
  static const int fd = ::memfd_create("fuzz", MFD_CLOEXEC);
  if (::ftruncate(fd, 0) != 0 || ::ftruncate(fd, (data[0] & 1) != 0 ? 1 << 22 : static_cast<off_t>(file.size())) != 0 ||
      ::pwrite(fd, file.data(), file.size(), 0) != static_cast<ssize_t>(file.size())) {
    std::abort();
  }
  const auto guest = SavedGuest::open(Fd(::dup(fd)), "fuzz");
  if (guest) {
    (void)(*guest)->load_ram(*memory);
    (void)(*guest)->state().check_all_used();
  } else if (guest.error().message.empty()) {
    std::abort();
  }
  return 0;
}
