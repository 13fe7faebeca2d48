// The commands of a CD drive: ATA/ATAPI-6 for what comes around the packets, MMC-4 and SPC-3 for what they say.
#include <algorithm>

#include "base/units.h"
#include "devices/ide/drive.h"

namespace lodge {

using namespace ide;  // NOLINT(google-build-using-namespace): the names of the documents

namespace {

constexpr uint8_t kLeadOut = 0xAA;
constexpr uint8_t kDataTrack = 0x14;      // digital copy permitted no, position in the Q channel
constexpr uint64_t kLongestCd = 449'850;  // sectors of 100 minutes; longer is a DVD
constexpr uint16_t kProfileCd = 0x0008;
constexpr uint16_t kProfileDvd = 0x0010;

void append_be(std::vector<uint8_t>& out, uint64_t value, size_t size) {
  for (size_t i = size; i-- > 0;) {
    out.push_back(static_cast<uint8_t>(value >> (8 * i)));
  }
}

void put_be(std::vector<uint8_t>& out, size_t at, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    out[at + i] = static_cast<uint8_t>(value >> (8 * (size - 1 - i)));
  }
}

// A position in a TOC: as it is, or in minutes, seconds and frames.
void append_position(std::vector<uint8_t>& out, uint64_t block, bool msf) {
  if (!msf) {
    append_be(out, block, 4);
    return;
  }
  constexpr uint64_t kPregap = 150;
  const uint64_t frames = block + kPregap;
  append_be(out, 0, 1);
  append_be(out, std::min<uint64_t>(frames / (75 * 60), 255), 1);
  append_be(out, frames / 75 % 60, 1);
  append_be(out, frames % 75, 1);
}

std::vector<uint8_t> inquiry_data() {
  std::vector<uint8_t> data{0x05, 0x80, 0x00, 0x21, 31, 0, 0, 0};  // CD drive, removable, ATAPI
  for (const char c : std::string_view("LODGE   CD-ROM          1   ")) {
    data.push_back(static_cast<uint8_t>(c));
  }
  return data;
}

}  // namespace

uint32_t IdeDrive::cdb_be(size_t at, size_t size) const {
  uint32_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    value = value << 8 | cdb(at + i);
  }
  return value;
}

void IdeDrive::atapi_command(uint8_t code) {
  switch (code) {
    case kCmdPacket:
      s_.buffer.assign(kPacketSize, 0);
      s_.block = kPacketSize;
      s_.phase = IdePhase::packet;
      start_block();
      s_.task.count = kReasonCommand;
      return;
    case kCmdIdentifyPacket:
      s_.block = kSector;
      present(identify_packet());
      return;
    case kCmdDeviceReset: reset(Reset::soft); return;
    case kCmdSetFeatures: set_features(); return;
    case kCmdReadSectors:
    case kCmdIdentify:
      set_signature();
      abort(kAborted);
      return;
    case kCmdCheckPower: s_.task.count = 0xFF; [[fallthrough]];
    case kCmdStandbyImmediate:
    case kCmdIdleImmediate:
    case kCmdSleep: succeed(); return;
    default: abort(kAborted); return;
  }
}

void IdeDrive::check_condition(Sense sense) {
  s_.sense_key = sense.key;
  s_.sense_code = sense.code;
  s_.sense_qualifier = sense.qualifier;
  s_.phase = IdePhase::idle;
  s_.status = kReady | kErr;
  s_.error = static_cast<uint8_t>(sense.key << 4 | kAborted);
  s_.task.count = kReasonCommand | kReasonToHost;
  s_.interrupt = true;
}

// As much of `data` as the host has room for, by the way that it asked for.
void IdeDrive::answer(std::vector<uint8_t> data, size_t allocated) {
  data.resize(std::min(data.size(), allocated));
  if (data.empty()) {
    succeed();
  } else if ((s_.task.feature & 1) != 0) {
    s_.buffer = std::move(data);
    s_.at = s_.block_end = 0;
    s_.reply = true;
    s_.to_host = true;
    s_.phase = IdePhase::dma;
    dma_waits();
  } else {
    present(std::move(data));
  }
}

bool IdeDrive::medium_ready() {
  if (s_.tray_open) {
    check_condition(kTrayOpen);
    return false;
  }
  if (backend() == nullptr) {
    check_condition(kTrayClosedEmpty);
    return false;
  }
  return true;
}

void IdeDrive::packet() {
  const auto code = static_cast<PacketCommand>(cdb(0));
  // How much the host takes at a time by PIO; odd counts are for the last part only.
  const uint32_t limit = s_.task.mid | uint32_t{s_.task.high} << 8;
  s_.block = limit < 2 || limit == 0xFFFF ? 0xFFFE : limit & ~1U;
  s_.phase = IdePhase::idle;
  s_.status = kReady;
  s_.error = 0;
  if (s_.changed && code != kInquiry && code != kRequestSense && code != kGetConfiguration && code != kGetEventStatus) {
    s_.changed = false;
    check_condition(kMediumChanged);
    return;
  }
  const Sense before{s_.sense_key, s_.sense_code, s_.sense_qualifier};
  s_.sense_key = s_.sense_code = s_.sense_qualifier = 0;
  switch (code) {
    case kTestUnitReady:
      if (medium_ready()) {
        succeed();
      }
      return;
    case kRequestSense: {
      std::vector<uint8_t> data(18);
      data[0] = 0x70;  // current error
      data[2] = before.key;
      data[7] = 10;
      data[12] = before.code;
      data[13] = before.qualifier;
      answer(std::move(data), cdb(4));
      return;
    }
    case kInquiry: answer(inquiry_data(), cdb_be(3, 2)); return;
    case kStartStopUnit: start_stop_unit(); return;
    case kPreventAllow:
      s_.locked = (cdb(4) & 1) != 0;
      succeed();
      return;
    case kReadCapacity:
      if (medium_ready()) {
        std::vector<uint8_t> data;
        append_be(data, std::min<uint64_t>(cd_blocks(), UINT32_MAX) - 1, 4);
        append_be(data, kCdSector, 4);
        answer(std::move(data), 8);
      }
      return;
    case kRead10: read_blocks(cdb_be(2, 4), cdb_be(7, 2)); return;
    case kRead12: read_blocks(cdb_be(2, 4), cdb_be(6, 4)); return;
    case kSeek10:
      if (medium_ready()) {
        cdb_be(2, 4) < cd_blocks() ? succeed() : check_condition(kPastEnd);
      }
      return;
    case kReadToc: read_toc(); return;
    case kGetConfiguration: get_configuration(); return;
    case kGetEventStatus: get_event_status(); return;
    case kReadDiscInformation:
      if (medium_ready()) {
        std::vector<uint8_t> data(34);
        data[1] = 32;
        data[2] = 0x0E;  // finished, its last session too
        data[3] = data[4] = data[5] = data[6] = 1;
        data[7] = 0x20;  // unrestricted use
        answer(std::move(data), cdb_be(7, 2));
      }
      return;
    case kModeSense10: mode_sense(); return;
    case kMechanismStatus: {
      std::vector<uint8_t> data(8);
      data[1] = s_.tray_open ? 0x10 : 0;
      answer(std::move(data), cdb_be(8, 2));
      return;
    }
    default: check_condition(kUnknownPacket); return;
  }
}

void IdeDrive::read_blocks(uint64_t block, uint64_t count) {
  constexpr uint32_t kRatio = kCdSector / kSector;
  if (!medium_ready()) {
    return;
  }
  if (!range_fits(block, count, cd_blocks())) {
    check_condition(kPastEnd);
  } else if (count > kMaxSectors / kRatio) {
    check_condition(kBadField);  // more than any host asks for at once
  } else if (count == 0) {
    succeed();
  } else {
    move_sectors(true, (s_.task.feature & 1) != 0, block * kRatio, static_cast<uint32_t>(count * kRatio));
  }
}

void IdeDrive::start_stop_unit() {
  const bool load_or_eject = (cdb(4) & 2) != 0;
  const bool start = (cdb(4) & 1) != 0;
  if (!load_or_eject || s_.tray_open != start) {  // to turn or not to turn; or the tray is there already
    succeed();
    return;
  }
  if (!start && s_.locked) {
    check_condition(kTrayLocked);
    return;
  }
  constexpr uint8_t kNewMedium = 2;
  constexpr uint8_t kRemoved = 3;
  s_.tray_open = !start;
  s_.changed = start && backend() != nullptr;
  s_.media_event = !start ? kRemoved : backend() != nullptr ? kNewMedium : uint8_t{0};
  if (options_.on_tray) {
    options_.on_tray(s_.tray_open);
  }
  succeed();
}

void IdeDrive::read_toc() {
  if (!medium_ready()) {
    return;
  }
  const bool msf = (cdb(1) & 2) != 0;
  const uint8_t format = (cdb(2) & 0x0F) != 0 ? cdb(2) & 0x0F : cdb(9) >> 6;
  std::vector<uint8_t> data{0, 0, 1, 1};  // length; first and last track or session
  if (format == 0) {
    const uint8_t first = cdb(6);
    if (first > 1 && first != kLeadOut) {
      check_condition(kBadField);
      return;
    }
    if (first <= 1) {
      data.insert(data.end(), {0, kDataTrack, 1, 0});
      append_position(data, 0, msf);
    }
    data.insert(data.end(), {0, kDataTrack, kLeadOut, 0});
    append_position(data, cd_blocks(), msf);
  } else if (format == 1) {  // the first track of the last session
    data.insert(data.end(), {0, kDataTrack, 1, 0});
    append_position(data, 0, msf);
  } else {
    check_condition(kBadField);
    return;
  }
  put_be(data, 0, data.size() - 2, 2);
  answer(std::move(data), cdb_be(7, 2));
}

void IdeDrive::get_configuration() {
  enum Wanted : uint8_t { kAll, kCurrent, kOne };
  const uint8_t wanted = cdb(1) & 3;
  const uint32_t from = cdb_be(2, 2);
  const bool medium = backend() != nullptr && !s_.tray_open;
  const uint16_t profile = !medium ? uint16_t{0} : cd_blocks() > kLongestCd ? kProfileDvd : kProfileCd;
  std::vector<uint8_t> data(8);
  put_be(data, 6, profile, 2);
  const auto feature = [&](uint16_t code, uint8_t flags, std::initializer_list<uint8_t> body) {
    constexpr uint8_t kIsCurrent = 1;
    if (wanted == kOne ? code != from : code < from || (wanted == kCurrent && (flags & kIsCurrent) == 0)) {
      return;
    }
    append_be(data, code, 2);
    data.push_back(flags);
    data.push_back(static_cast<uint8_t>(body.size()));
    data.insert(data.end(), body);
  };
  const auto in_use = [profile](uint16_t one) { return static_cast<uint8_t>(profile == one ? 1 : 0); };
  feature(0x0000, 0x03, {0, kProfileDvd, in_use(kProfileDvd), 0, 0, kProfileCd, in_use(kProfileCd), 0});
  feature(0x0001, 0x0B, {0, 0, 0, 2, 1, 0, 0, 0});            // core: ATAPI
  feature(0x0003, 0x03, {0x29, 0, 0, 0});                     // a tray that can be locked and ejects
  feature(0x0010, medium ? 1 : 0, {0, 0, 8, 0, 0, 1, 0, 0});  // random access, blocks of 2048 bytes
  feature(0x001E, in_use(kProfileCd), {0, 0, 0, 0});
  feature(0x001F, in_use(kProfileDvd), {});
  put_be(data, 0, data.size() - 4, 4);
  answer(std::move(data), cdb_be(7, 2));
}

void IdeDrive::get_event_status() {
  constexpr uint8_t kPolled = 1;
  constexpr uint8_t kMediaClass = 4;
  constexpr uint8_t kNothing = 0x80;
  if ((cdb(1) & kPolled) == 0) {  // nobody is told later
    check_condition(kBadField);
    return;
  }
  std::vector<uint8_t> data{0, 0, kNothing, 1U << kMediaClass};
  if ((cdb(4) & (1U << kMediaClass)) != 0) {
    data[2] = kMediaClass;
    data.push_back(std::exchange(s_.media_event, 0));
    data.push_back(static_cast<uint8_t>((s_.tray_open ? 1 : 0) | (backend() != nullptr && !s_.tray_open ? 2 : 0)));
    data.push_back(0);
    data.push_back(0);
  }
  put_be(data, 0, data.size() - 2, 2);
  answer(std::move(data), cdb_be(7, 2));
}

void IdeDrive::mode_sense() {
  enum Page : uint8_t { kErrorRecovery = 0x01, kCapabilities = 0x2A, kAllPages = 0x3F };
  const uint8_t page = cdb(2) & 0x3F;
  const uint8_t control = cdb(2) >> 6;
  if (control == 3) {  // nothing is kept for good
    check_condition({5, 0x39, 0});
    return;
  }
  if (page != kErrorRecovery && page != kCapabilities && page != kAllPages) {
    check_condition(kBadField);
    return;
  }
  std::vector<uint8_t> data(8);
  data[2] = s_.tray_open ? 0x71 : backend() != nullptr ? 0x01 : 0x70;  // medium type: open, data CD, none
  if (page != kCapabilities) {
    data.insert(data.end(), {kErrorRecovery, 6, 0, 5, 0, 0, 0, 0});
  }
  if (page != kErrorRecovery) {
    std::vector<uint8_t> capabilities(20);
    capabilities[0] = kCapabilities;
    capabilities[1] = 18;
    capabilities[2] = 0x3B;                                              // reads CD-R, CD-RW, DVD-ROM, DVD-R
    capabilities[4] = 0x70;                                              // mode 2 and several sessions
    capabilities[6] = static_cast<uint8_t>(0x29 | (s_.locked ? 2 : 0));  // tray, ejects, locks
    put_be(capabilities, 8, 5540, 2);                                    // KB in a second
    put_be(capabilities, 12, 64, 2);                                     // KiB of buffer
    put_be(capabilities, 14, 5540, 2);
    data.insert(data.end(), capabilities.begin(), capabilities.end());
  }
  put_be(data, 0, data.size() - 2, 2);
  answer(std::move(data), cdb_be(7, 2));
}

}  // namespace lodge
