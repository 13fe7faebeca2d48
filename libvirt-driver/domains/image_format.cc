#include "libvirt-driver/domains/image_format.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdint>

#include "base/fd.h"

namespace lodge {
namespace {

// qcow2 header (QEMU's docs/interop/qcow2.txt): big-endian magic, version, offset of the backing file's name; from version 3
// on the incompatible features, of which bit 2 tells of an external data file.
constexpr uint64_t kMagic = 0x514649FB;
constexpr size_t kHeader = 80;
constexpr uint64_t kExternalData = 1U << 2;

uint64_t big_endian(const std::array<uint8_t, kHeader>& bytes, size_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    value = (value << 8) | bytes.at(at + i);
  }
  return value;
}

}  // namespace

std::string probe_format(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::array<uint8_t, kHeader> header{};
  if (!fd.valid() || ::pread(fd.get(), header.data(), header.size(), 0) != static_cast<ssize_t>(header.size())) {
    return "raw";
  }
  const uint64_t version = big_endian(header, 4, 4);
  const bool alone = big_endian(header, 8, 8) == 0 && (version < 3 || (big_endian(header, 72, 8) & kExternalData) == 0);
  return big_endian(header, 0, 4) == kMagic && (version == 2 || version == 3) && alone ? "qcow2" : "raw";
}

}  // namespace lodge
