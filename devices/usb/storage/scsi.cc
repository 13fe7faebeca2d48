// The commands of a SCSI disk (SPC-3, SBC-2).
#include <algorithm>
#include <array>

#include "base/units.h"
#include "devices/usb/storage/device.h"

namespace lodge {
namespace {

enum Command : uint8_t {
  kTestUnitReady = 0x00,
  kRequestSense = 0x03,
  kRead6 = 0x08,
  kWrite6 = 0x0A,
  kInquiry = 0x12,
  kModeSense6 = 0x1A,
  kStartStop = 0x1B,
  kPreventAllow = 0x1E,
  kReadFormatCapacities = 0x23,
  kReadCapacity10 = 0x25,
  kRead10 = 0x28,
  kWrite10 = 0x2A,
  kVerify10 = 0x2F,
  kSynchronizeCache10 = 0x35,
  kModeSense10 = 0x5A,
  kRead16 = 0x88,
  kWrite16 = 0x8A,
  kSynchronizeCache16 = 0x91,
  kServiceActionIn = 0x9E,
  kReportLuns = 0xA0,
  kRead12 = 0xA8,
  kWrite12 = 0xAA,
};
constexpr uint8_t kReadCapacity16 = 0x10;  // a service action
constexpr uint8_t kForceUnitAccess = 0x08;
constexpr uint8_t kNoSense = 0x00;
constexpr uint8_t kIllegalRequest = 0x05;
constexpr uint8_t kDataProtect = 0x07;
constexpr uint8_t kFailed = 1;
constexpr size_t kSerialBytes = 20;
constexpr uint32_t kHeads = 255;
constexpr uint32_t kSectors = 63;

uint64_t be(std::span<const uint8_t> from, size_t at, size_t bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; ++i) {
    value = value << 8 | from[at + i];
  }
  return value;
}

// Not inlined, as the next: GCC 12 takes the growth of an inlined vector for an overflow.
[[gnu::noinline]] void append_be(std::vector<uint8_t>& out, uint64_t value, size_t bytes) {
  for (size_t i = bytes; i-- > 0;) {
    out.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
}

[[gnu::noinline]] void append_text(std::vector<uint8_t>& out, std::string_view text) {
  out.insert(out.end(), text.begin(), text.end());
}

}  // namespace

// `cdb` has 16 bytes.
void UsbStorage::execute(std::span<const uint8_t> cdb, bool in) {
  constexpr Sense kUnknownCommand{kIllegalRequest, 0x20, 0};
  offers_in_ = in;  // of commands without data
  const uint8_t code = cdb[0];
  switch (code) {
    case kTestUnitReady:
    case kStartStop:
    case kPreventAllow:
    case kVerify10: break;
    case kRequestSense: {
      std::vector<uint8_t> sense{0x70, 0, s_.sense_key, 0, 0, 0, 0, 10, 0, 0, 0, 0, s_.sense_code, s_.sense_qualifier, 0, 0,
                                 0,    0};
      s_.sense_key = s_.sense_code = s_.sense_qualifier = kNoSense;
      answer(std::move(sense), cdb[4]);
      break;
    }
    case kInquiry: inquiry(cdb); break;
    case kModeSense6: mode_sense(cdb, false); break;
    case kModeSense10: mode_sense(cdb, true); break;
    case kReadFormatCapacities: {
      std::vector<uint8_t> list{0, 0, 0, 8};
      append_be(list, std::min<uint64_t>(blocks(), UINT32_MAX), 4);
      append_be(list, 2ULL << 24 | block_, 4);  // formatted
      answer(std::move(list), be(cdb, 7, 2));
      break;
    }
    case kReadCapacity10: {
      std::vector<uint8_t> capacity;
      append_be(capacity, std::min<uint64_t>(blocks() - 1, UINT32_MAX), 4);
      append_be(capacity, block_, 4);
      answer(std::move(capacity), 8);
      break;
    }
    case kServiceActionIn: {
      if ((cdb[1] & 0x1F) != kReadCapacity16) {
        fail_command({kIllegalRequest, 0x24, 0});
        break;
      }
      std::vector<uint8_t> capacity;
      append_be(capacity, blocks() - 1, 8);
      append_be(capacity, block_, 4);
      capacity.resize(32);
      answer(std::move(capacity), be(cdb, 10, 4));
      break;
    }
    case kReportLuns: answer({0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, be(cdb, 6, 4)); break;
    case kSynchronizeCache10:
    case kSynchronizeCache16: s_.wanted = UsbStorageIo::flush; break;
    case kRead6:
    case kWrite6:
      move_blocks(cdb, be(cdb, 1, 3) & 0x1FFFFF, cdb[4] != 0 ? cdb[4] : 256, code == kRead6);
      s_.durable = false;  // there is no such bit
      break;
    case kRead10:
    case kWrite10: move_blocks(cdb, be(cdb, 2, 4), be(cdb, 7, 2), code == kRead10); break;
    case kRead12:
    case kWrite12: move_blocks(cdb, be(cdb, 2, 4), be(cdb, 6, 4), code == kRead12); break;
    case kRead16:
    case kWrite16: move_blocks(cdb, be(cdb, 2, 8), be(cdb, 10, 4), code == kRead16); break;
    default: fail_command(kUnknownCommand); break;
  }
}

void UsbStorage::fail_command(Sense sense) {
  s_.outcome = kFailed;
  s_.sense_key = sense.key;
  s_.sense_code = sense.code;
  s_.sense_qualifier = sense.qualifier;
  s_.bytes = 0;
  s_.data.clear();
  sent_ = 0;
}

void UsbStorage::answer(std::vector<uint8_t> data, uint64_t allocated) {
  data.resize(std::min<uint64_t>(data.size(), allocated));
  data.resize(std::min<size_t>(data.size(), s_.left));  // hosts ask for less than they allocate
  offers_in_ = true;
  offer_ = data.size();
  s_.data = std::move(data);
}

void UsbStorage::move_blocks(std::span<const uint8_t> cdb, uint64_t block, uint64_t count, bool read) {
  if (!range_fits(block, count, blocks())) {
    fail_command({kIllegalRequest, 0x21, 0});
    return;
  }
  if (!read && backend().info().read_only) {
    fail_command({kDataProtect, 0x27, 0});
    return;
  }
  s_.position = block * block_;
  s_.bytes = count * block_;
  s_.durable = !read && (cdb[1] & kForceUnitAccess) != 0;
  offers_in_ = read;
  offer_ = s_.bytes;
  if (read && count != 0) {
    s_.wanted = UsbStorageIo::read;
  }
}

void UsbStorage::inquiry(std::span<const uint8_t> cdb) {
  const std::string serial = options_.serial.substr(0, kSerialBytes);
  if ((cdb[1] & 1) == 0) {
    std::vector<uint8_t> data{0, options_.removable ? uint8_t{0x80} : uint8_t{0}, 0x05, 0x02, 31, 0, 0, 0};
    append_text(data, "LODGE   USB DISK        1   ");
    answer(std::move(data), be(cdb, 3, 2));
    return;
  }
  std::vector<uint8_t> page{0, cdb[2], 0, 0};
  switch (cdb[2]) {
    case 0x00: append_text(page, std::string_view("\x00\x80\x83", 3)); break;
    case 0x80: append_text(page, serial); break;
    case 0x83: {  // a name of our own (T10 vendor identification, ASCII)
      const std::string name = "LODGE   " + (serial.empty() ? id().substr(0, kSerialBytes) : serial);
      page.insert(page.end(), {0x02, 0x01, 0x00, static_cast<uint8_t>(name.size())});
      append_text(page, name);
      break;
    }
    default: fail_command({kIllegalRequest, 0x24, 0}); return;
  }
  page[3] = static_cast<uint8_t>(page.size() - 4);
  answer(std::move(page), be(cdb, 3, 2));
}

// Pages 4 (geometry, as a BIOS asks for it) and 8 (caching). Empty: there is no such page.
std::vector<uint8_t> UsbStorage::mode_pages(uint8_t page) const {
  constexpr uint8_t kAll = 0x3F;
  std::vector<uint8_t> pages;
  if (page == 0x04 || page == kAll) {
    std::vector<uint8_t> geometry{0x04, 22};
    append_be(geometry, std::min<uint64_t>(blocks() / (uint64_t{kHeads} * kSectors), 0xFFFFFF), 3);
    geometry.push_back(static_cast<uint8_t>(kHeads));
    geometry.resize(24);
    pages.insert(pages.end(), geometry.begin(), geometry.end());
  }
  if (page == 0x08 || page == kAll) {
    std::vector<uint8_t> caching(20);
    caching[0] = 0x08;
    caching[1] = 18;
    caching[2] = backend().info().write_cache ? 0x04 : 0;
    pages.insert(pages.end(), caching.begin(), caching.end());
  }
  return pages;
}

void UsbStorage::mode_sense(std::span<const uint8_t> cdb, bool long_form) {
  const std::vector<uint8_t> pages = mode_pages(cdb[2] & 0x3F);
  if (pages.empty() || (cdb[2] & 0xC0) == 0xC0) {  // saved values: none
    fail_command({kIllegalRequest, 0x24, 0});
    return;
  }
  const bool changeable = (cdb[2] & 0xC0) == 0x40;
  const uint8_t specific = (backend().info().read_only ? 0x80 : 0) | 0x10;  // forced unit access is known
  std::vector<uint8_t> data;
  if (long_form) {
    append_be(data, pages.size() + 6, 2);
    data.insert(data.end(), {0, specific, 0, 0, 0, 0});
  } else {
    data = {static_cast<uint8_t>(pages.size() + 3), 0, specific, 0};
  }
  const size_t header = data.size();
  data.insert(data.end(), pages.begin(), pages.end());
  if (changeable) {  // nothing is
    size_t at = header;
    while (at + 2 <= data.size()) {
      const size_t bytes = data[at + 1];
      std::fill_n(data.begin() + static_cast<ptrdiff_t>(at + 2), bytes, uint8_t{0});
      at += 2 + bytes;
    }
  }
  answer(std::move(data), long_form ? be(cdb, 7, 2) : cdb[4]);
}

}  // namespace lodge
