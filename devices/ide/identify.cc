// What drives say of themselves (ATA/ATAPI-6, 8.15 and 8.16): 256 words.
#include <algorithm>
#include <bit>

#include "devices/ide/drive.h"

namespace lodge {

using namespace ide;  // NOLINT(google-build-using-namespace): the names of the documents

namespace {

constexpr uint64_t kMaxLba28 = 0x0FFF'FFFF;
constexpr uint64_t kMaxChs = 16514064;  // 16383 cylinders, 16 heads, 63 sectors

class Words {
 public:
  void set(size_t word, uint64_t value) {
    bytes_[2 * word] = static_cast<uint8_t>(value);
    bytes_[2 * word + 1] = static_cast<uint8_t>(value >> 8);
  }
  void set32(size_t word, uint64_t value) {
    set(word, value);
    set(word + 1, value >> 16);
  }
  // Text with the bytes of each word exchanged, blanks behind it.
  void text(size_t word, size_t words, std::string_view value) {
    for (size_t i = 0; i < 2 * words; ++i) {
      const char c = i < value.size() ? value[i] : ' ';
      bytes_[2 * word + (i ^ 1)] = static_cast<uint8_t>(c >= 0x20 && c < 0x7F ? c : ' ');
    }
  }
  // Which mode of a kind is selected.
  void modes(size_t word, uint8_t supported, uint8_t selected, uint8_t kind) {
    const unsigned bit = (selected >> 3) == kind ? 1U << (selected & 7) : 0U;
    set(word, supported | bit << 8);
  }
  [[nodiscard]] std::vector<uint8_t> finish() {
    constexpr uint8_t kSignature = 0xA5;
    bytes_[510] = kSignature;
    unsigned sum = 0;
    for (size_t i = 0; i < 511; ++i) {
      sum += bytes_[i];
    }
    bytes_[511] = static_cast<uint8_t>(0x100 - (sum & 0xFF));
    return std::move(bytes_);
  }

 private:
  std::vector<uint8_t> bytes_ = std::vector<uint8_t>(kSector);
};

void common(Words& out, const IdeDriveOptions& options, std::string_view model) {
  out.text(10, 10, options.serial.empty() ? options.id : std::string_view(options.serial));
  out.text(23, 4, "1");
  out.text(27, 20, model);
  out.set(64, 0x0003);  // PIO 3 and 4
  for (size_t word = 65; word <= 68; ++word) {
    out.set(word, 120);  // nanoseconds in a cycle
  }
}

}  // namespace

std::vector<uint8_t> IdeDrive::identify_disk() const {
  Words out;
  const uint64_t total = sectors();
  const auto cylinders = [](uint64_t of, uint64_t heads, uint64_t sectors) {
    return std::min<uint64_t>(std::min(of, kMaxChs) / (heads * sectors), 16383);
  };
  common(out, options_, "LODGE DISK");
  out.set(0, 0x0040);  // fixed
  out.set(1, cylinders(total, 16, 63));
  out.set(3, 16);
  out.set(6, 63);
  out.set(47, 0x8000 | kMostMultiple);
  out.set(49, 0x0F00);  // LBA, DMA, IORDY
  out.set(50, 0x4000);
  out.set(51, 0x0200);
  out.set(53, 7);
  const uint64_t current = cylinders(total, s_.heads, s_.sectors);
  out.set(54, current);
  out.set(55, s_.heads);
  out.set(56, s_.sectors);
  out.set32(57, current * s_.heads * s_.sectors);
  out.set(59, s_.multiple != 0 ? 0x0100U | s_.multiple : 0);
  out.set32(60, std::min(total, kMaxLba28));
  out.modes(63, 0x07, s_.transfer_mode, 4);
  out.set(80, 0x0070);  // ATA/ATAPI-4 to 6
  constexpr unsigned kSmart = 1;
  constexpr unsigned kWriteCache = 1U << 5;
  constexpr unsigned kLookAhead = 1U << 6;
  out.set(82, kSmart | kWriteCache | kLookAhead);
  out.set(83, 0x7400);  // 48-bit addresses, both flushes
  out.set(84, 0x4040);  // forced unit access
  out.set(85, (s_.smart ? kSmart : 0) | (s_.write_cache ? kWriteCache : 0) | kLookAhead);
  out.set(86, 0x3400);
  out.set(87, 0x4040);
  out.modes(88, 0x3F, s_.transfer_mode, 8);
  out.set(93, (s_.device & kDeviceSecond) != 0 ? 0x6900 : 0x6009);  // 80-wire cable
  out.set32(100, total);
  out.set32(102, total >> 32);
  const BlockInfo info = backend()->info();
  if (info.physical_block > kSector && std::has_single_bit(info.physical_block)) {
    out.set(106, 0x6000U | static_cast<unsigned>(std::countr_zero(info.physical_block / kSector)));
  }
  return out.finish();
}

std::vector<uint8_t> IdeDrive::identify_packet() const {
  Words out;
  common(out, options_, "LODGE CD-ROM");
  out.set(0, 0x85C0);   // a removable CD drive that is quick with its packets of 12 bytes
  out.set(49, 0x0B00);  // LBA, DMA, IORDY
  out.set(50, 0x4000);
  out.set(53, 6);
  out.modes(63, 0x07, s_.transfer_mode, 4);
  out.set(71, 30);
  out.set(72, 30);
  out.set(80, 0x0070);
  constexpr unsigned kPacket = 1U << 4;
  constexpr unsigned kDeviceReset = 1U << 9;
  out.set(82, kPacket | kDeviceReset);
  out.set(83, 0x4000);
  out.set(84, 0x4000);
  out.set(85, kPacket | kDeviceReset);
  out.set(87, 0x4000);
  out.modes(88, 0x3F, s_.transfer_mode, 8);
  out.set(93, (s_.device & kDeviceSecond) != 0 ? 0x6900 : 0x6009);
  return out.finish();
}

}  // namespace lodge
