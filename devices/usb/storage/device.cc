// The bulk-only transport.
#include "devices/usb/storage/device.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/bytes.h"

namespace lodge {
namespace {

constexpr uint8_t kMassStorage = 8;
constexpr uint8_t kTransparentScsi = 6;
constexpr uint8_t kBulkOnly = 0x50;
constexpr uint8_t kIn = 1;
constexpr uint8_t kOut = 2;
constexpr uint16_t kPacket = 1024;
constexpr uint16_t kFullSpeedPacket = 64;

// Requests (BOT 3).
constexpr uint8_t kReset = 0xFF;
constexpr uint8_t kGetMaxLun = 0xFE;

// Command and status wrappers (BOT 5).
constexpr uint32_t kCommandSignature = 0x43425355;
constexpr uint32_t kStatusSignature = 0x53425355;
constexpr size_t kCommandBytes = 31;
constexpr size_t kStatusBytes = 13;
constexpr size_t kCdbAt = 15;
constexpr size_t kMostCdb = 16;
constexpr uint8_t kPhaseError = 2;

constexpr UsbAnswer kDone{UsbStatus::done, 0};
constexpr UsbAnswer kNak{UsbStatus::nak, 0};
constexpr UsbAnswer kStall{UsbStatus::stall, 0};

UsbIdentity identity(const UsbStorageOptions& options) {
  UsbIdentity who;
  who.speed = options.full_speed ? UsbSpeed::full : UsbSpeed::super;
  who.vendor = 0x0627;
  who.product = 0x1004;
  who.manufacturer = "Lodge";
  who.product_name = "Lodge USB Disk";
  who.serial = options.serial.empty() ? options.id : options.serial;
  who.interface_class = kMassStorage;
  who.interface_subclass = kTransparentScsi;
  who.interface_protocol = kBulkOnly;
  const uint16_t packet = options.full_speed ? kFullSpeedPacket : kPacket;
  who.endpoints = {{kIn | usb::kIn, usb::kBulk, packet, 0}, {kOut, usb::kBulk, packet, 0}};
  return who;
}

}  // namespace

UsbStorage::UsbStorage(UsbStorageOptions options)
    : UsbDevice(options.id, identity(options)),
      options_(std::move(options)),
      block_(options_.backend->info().logical_block),
      buffer_(kBuffer) {
  request_.disk = this;
}

UsbStorage::~UsbStorage() = default;

Result<std::shared_ptr<UsbDevice>> UsbStorage::create(UsbStorageOptions options, const StateReader* saved) {
  const uint32_t block = options.backend->info().logical_block;
  if (block < 512 || block > 4096 || !std::has_single_bit(block)) {
    return fail("disk '{}': blocks of {} bytes cannot be offered by USB; use bus=virtio", options.id, block);
  }
  std::shared_ptr<UsbStorage> self(new UsbStorage(std::move(options)));
  if (saved != nullptr) {
    TRY_VOID(self->load(*saved));
  }
  return self;
}

Result<void> UsbStorage::load(const StateReader& saved) {
  TRY_VOID(load_device(saved));
  auto state = TRY(saved.get<UsbStorageState>(id()));
  const bool moves = state.wanted == UsbStorageIo::read || state.wanted == UsbStorageIo::write;
  if (state.phase > UsbStoragePhase::broken || state.wanted > UsbStorageIo::flush || state.outcome > kPhaseError ||
      state.data.size() > kBuffer || !range_fits(state.position, state.bytes, backend().info().size) ||
      (moves && state.phase == UsbStoragePhase::command) ||
      (state.wanted == UsbStorageIo::write &&
       (state.data.empty() || !range_fits(state.position, state.data.size(), backend().info().size)))) {
    return fail("saved USB disk '{}' is damaged, or its image has become smaller", id());
  }
  s_ = std::move(state);
  return {};
}

void UsbStorage::save(StateWriter& out) const {
  UsbDevice::save(out);
  UsbStorageState state = s_;
  state.data.erase(state.data.begin(), state.data.begin() + static_cast<ptrdiff_t>(sent_));
  out.put(id(), state);
}

std::vector<Counter> UsbStorage::counters() const {
  const BlockCounters* const all = &counters_;
  return counter_list({&all, 1}, warnings_.count());
}

// After a reset, whatever was under way.
void UsbStorage::forget() {
  s_ = {};
  sent_ = 0;
  stale_ = in_flight_;
}

UsbAnswer UsbStorage::own_request(const UsbSetup& setup, std::span<std::byte> data) {
  if ((setup.type & ~usb::kIn) != usb::kClassToInterface || setup.index != 0) {
    return kStall;
  }
  if (setup.request == kReset && !setup.in()) {
    forget();
    return kDone;
  }
  static constexpr std::array<uint8_t, 1> kLastLun{0};
  return setup.request == kGetMaxLun && setup.in() ? usb_answer(kLastLun, data) : kStall;
}

// The endpoints stall until the host resets the device, whatever it clears before (BOT 6.6.1).
UsbAnswer UsbStorage::break_down() {
  guest_warning(warnings_, id(), "a command block makes no sense; the device waits to be reset");
  s_.phase = UsbStoragePhase::broken;
  halt(kIn, true);
  halt(kOut, false);
  return kStall;
}

void UsbStorage::halt_cleared(uint8_t endpoint, bool in) {
  if (s_.phase == UsbStoragePhase::broken) {
    halt(endpoint, in);
  }
}

UsbAnswer UsbStorage::transfer_out(uint8_t /*endpoint*/, std::span<const std::byte> data) {
  if (in_flight_) {
    return kNak;
  }
  switch (s_.phase) {
    case UsbStoragePhase::data_out: return take_data(data);
    case UsbStoragePhase::broken: return kStall;
    case UsbStoragePhase::status:
      if (busy()) {
        return kNak;
      }
      return take_command(data);  // a host that does not want to know
    default: return take_command(data);
  }
}

UsbAnswer UsbStorage::transfer_in(uint8_t /*endpoint*/, std::span<std::byte> room) {
  if (in_flight_) {
    return kNak;
  }
  switch (s_.phase) {
    case UsbStoragePhase::data_in: return send_data(room);
    case UsbStoragePhase::status: return busy() ? kNak : send_status(room);
    case UsbStoragePhase::broken: return kStall;
    default: return kNak;
  }
}

UsbAnswer UsbStorage::take_command(std::span<const std::byte> block) {
  if (block.size() != kCommandBytes || load_le<uint32_t>(block, 0) != kCommandSignature) {
    return break_down();
  }
  const auto length = load_le<uint32_t>(block, 8);
  const bool in = (load_le<uint8_t>(block, 12) & usb::kIn) != 0;
  const auto lun = load_le<uint8_t>(block, 13);
  const auto bytes = load_le<uint8_t>(block, 14);
  if (lun != 0 || bytes == 0 || bytes > kMostCdb) {
    return break_down();
  }
  const Sense before{s_.sense_key, s_.sense_code, s_.sense_qualifier};
  s_ = {};
  s_.sense_key = before.key;
  s_.sense_code = before.code;
  s_.sense_qualifier = before.qualifier;
  s_.tag = load_le<uint32_t>(block, 4);
  s_.left = s_.residue = length;
  sent_ = 0;
  offer_ = 0;
  std::array<uint8_t, kMostCdb> cdb{};
  std::memcpy(cdb.data(), block.data() + kCdbAt, bytes);
  execute(cdb, in);
  // Who has how much for whom (BOT 6.7).
  if (offer_ > length || (offer_ != 0 && offers_in_ != in)) {
    s_.outcome = kPhaseError;
    s_.bytes = 0;
    s_.data.clear();
    s_.wanted = UsbStorageIo::none;
  }
  s_.phase = length == 0 ? UsbStoragePhase::status : in ? UsbStoragePhase::data_in : UsbStoragePhase::data_out;
  start_io();
  return {UsbStatus::done, block.size()};
}

UsbAnswer UsbStorage::send_status(std::span<std::byte> room) {
  if (room.size() < kStatusBytes) {
    return {UsbStatus::babble};
  }
  store_le(room, 0, kStatusSignature);
  store_le(room, 4, s_.tag);
  store_le(room, 8, s_.residue);
  store_le(room, 12, s_.outcome);
  s_.phase = UsbStoragePhase::command;
  return {UsbStatus::done, kStatusBytes};
}

// What was read leaves; when there is no more, the transfer ends, with a short packet if the host wants more.
UsbAnswer UsbStorage::send_data(std::span<std::byte> room) {
  if (busy()) {
    return kNak;
  }
  const size_t bytes = std::min<size_t>({room.size(), s_.data.size() - sent_, s_.left});
  std::ranges::copy(std::as_bytes(std::span(s_.data)).subspan(sent_, bytes), room.begin());
  sent_ += bytes;
  s_.left -= static_cast<uint32_t>(bytes);
  s_.residue -= static_cast<uint32_t>(bytes);
  if (sent_ == s_.data.size()) {
    s_.data.clear();
    sent_ = 0;
    if (s_.bytes != 0 && s_.left != 0) {
      want(UsbStorageIo::read);
      return {bytes == room.size() ? UsbStatus::done : UsbStatus::more, bytes};
    }
  }
  if (s_.left == 0 || (s_.data.empty() && bytes < room.size())) {
    s_.phase = UsbStoragePhase::status;
  }
  return {UsbStatus::done, bytes};
}

UsbAnswer UsbStorage::take_data(std::span<const std::byte> data) {
  if (busy()) {
    return kNak;
  }
  const size_t most = s_.bytes != 0 ? std::min<uint64_t>(s_.bytes, kBuffer - s_.data.size()) : data.size();
  const size_t bytes = std::min<size_t>({data.size(), most, s_.left});
  s_.left -= static_cast<uint32_t>(bytes);
  if (s_.bytes != 0) {  // else the host sends what nobody wants
    for (const std::byte byte : data.first(bytes)) {
      s_.data.push_back(std::to_integer<uint8_t>(byte));
    }
    s_.bytes -= bytes;
    s_.residue -= static_cast<uint32_t>(bytes);
    if (s_.data.size() == kBuffer || s_.bytes == 0) {
      want(UsbStorageIo::write);
    }
  }
  if (s_.left == 0) {
    s_.phase = UsbStoragePhase::status;
    return {UsbStatus::done, data.size()};  // more than was announced is not kept
  }
  return {bytes == data.size() ? UsbStatus::done : UsbStatus::more, bytes};
}

}  // namespace lodge
