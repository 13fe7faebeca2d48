#include "libvirt-driver/host/time_zone.h"

#include <libvirt/virterror.h>

#include <algorithm>
#include <cctype>
#include <ctime>
#include <optional>
#include <string>

#include "libvirt-driver/host/files.h"

namespace lodge {
namespace {

constexpr size_t kHeader = 44;
constexpr size_t kCounts = 20;
constexpr size_t kTypeSize = 6;
constexpr uint64_t kMostItems = 100'000;

// Big-endian numbers of a file; past its end all is zero and `good` is false.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  [[nodiscard]] uint64_t number(size_t at, size_t size) {
    if (at > bytes_.size() || bytes_.size() - at < size) {
      good = false;
      return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      value = value << 8 | static_cast<uint8_t>(bytes_[at + i]);
    }
    return value;
  }
  bool good = true;

 private:
  std::string_view bytes_;
};

// A data block (section 3.2): its counts, and the size of its times.
struct Block {
  Block(Reader& in, size_t header, size_t size_of_time) : times(header + kHeader), time_size(size_of_time) {
    const auto count = [&](size_t i) { return std::min(in.number(header + kCounts + i * 4, 4), kMostItems); };
    universal = count(0);
    standard = count(1);
    leaps = count(2);
    changes = count(3);
    types = count(4);
    letters = count(5);
  }
  [[nodiscard]] size_t type_numbers() const { return times + changes * time_size; }
  [[nodiscard]] size_t type_table() const { return type_numbers() + changes; }
  [[nodiscard]] size_t end() const {
    return type_table() + types * kTypeSize + letters + leaps * (time_size + 4) + standard + universal;
  }
  size_t times;
  size_t time_size;
  uint64_t universal = 0, standard = 0, leaps = 0, changes = 0, types = 0, letters = 0;
};

std::optional<int64_t> offset_at(std::string_view bytes, int64_t when) {
  if (!bytes.starts_with("TZif") || bytes.size() < kHeader) {
    return std::nullopt;
  }
  Reader in(bytes);
  Block block(in, 0, 4);
  if (bytes[4] >= '2') {
    block = Block(in, block.end(), 8);
  }
  const auto change = [&](uint64_t i) {
    const uint64_t raw = in.number(block.times + i * block.time_size, block.time_size);
    return block.time_size == 4 ? static_cast<int64_t>(static_cast<int32_t>(raw)) : static_cast<int64_t>(raw);
  };
  uint64_t type = 0;  // before the first change
  for (uint64_t i = 0; i < block.changes && change(i) <= when; ++i) {
    type = in.number(block.type_numbers() + i, 1);
  }
  const auto offset = static_cast<int32_t>(in.number(block.type_table() + type * kTypeSize, 4));
  if (!in.good || type >= block.types) {
    return std::nullopt;
  }
  return offset;
}

}  // namespace

Answer<int64_t> seconds_east(std::string_view name, int64_t when, const std::filesystem::path& folder) {
  const auto good = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string_view("/_-+").find(c) != std::string_view::npos;
  };
  if (name.empty() || name.front() == '/' || !std::ranges::all_of(name, good)) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "/domain/clock/@timezone: '{}' is no name of a time zone", name);
  }
  const std::filesystem::path file = folder / name;
  const auto bytes = host::read_text_if_there(file);  // nothing is read of the text at its end
  const auto offset = bytes ? offset_at(*bytes, when) : std::nullopt;
  if (!offset) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED,
                      "/domain/clock/@timezone: the host knows no time zone '{}' ({}; package tzdata)", name, file.string());
  }
  return *offset;
}

int64_t local_seconds_east(int64_t when) {
  const auto at = static_cast<time_t>(when);
  tm local{};
  ::localtime_r(&at, &local);
  return local.tm_gmtoff;
}

}  // namespace lodge
