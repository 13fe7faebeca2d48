#include "devices/ide/device.h"

#include <algorithm>

#include "devices/pci/chipset.h"
#include "devices/pci/registers.h"

namespace lodge {
namespace {

constexpr uint16_t kTiming = 0x40;  // two bytes for each channel, one for both slaves
constexpr uint8_t kDecode = 0x80;   // in the second one
constexpr std::array<uint16_t, 2> kControlPorts{0x3F6, 0x376};
constexpr std::array<uint32_t, 2> kInterrupts{14, 15};
constexpr uint64_t kMasterPorts = 16;
constexpr uint8_t kMasterBar = 4;

}  // namespace

Piix3Ide::Piix3Ide(const DeviceEnv& env, bool decoded) : PciFunction("ide0", kIdePiix3, env), decoded_at_reset_(decoded) {
  constexpr std::array<uint8_t, 5> kTimingMask{0xFF, 0xF3, 0xFF, 0xF3, 0xFF};
  allow_writes(kTiming, kTimingMask);
  add_bar(kMasterBar, BarKind::io, kMasterPorts, unowned(master_));
  for (size_t i = 0; i < kChannels; ++i) {
    channels_[i] = std::make_unique<IdeChannel>(env_, env_.line(kInterrupts[i]));
    channels_[i]->may_master = [this] { return bus_master(); };
  }
}

Result<std::shared_ptr<Piix3Ide>> Piix3Ide::create(Options options, const DeviceEnv& env, const StateReader* saved) {
  std::shared_ptr<Piix3Ide> self(new Piix3Ide(env, options.decoded));
  for (Drive& drive : options.drives) {
    if (drive.at.channel >= kChannels || drive.at.unit >= IdeChannel::kDrives) {
      return fail("there is no unit {} on IDE channel {}", drive.at.unit + 1, drive.at.channel + 1);
    }
    IdeChannel& channel = *self->channels_.at(drive.at.channel);
    if (channel.drive(drive.at.unit) != nullptr) {
      return fail("two drives are unit {} of IDE channel {}", drive.at.unit + 1, drive.at.channel + 1);
    }
    channel.attach(drive.at.unit, TRY(IdeDrive::create(std::move(drive.options))));
  }
  for (const auto& channel : self->channels_) {
    channel->on_expected_data = options.expects_data;
  }
  if (saved != nullptr) {
    TRY_VOID(self->load(*saved));
  } else {
    self->reset();
  }
  TRY_VOID(self->map());
  return self;
}

Result<void> Piix3Ide::map() {
  for (size_t i = 0; i < kChannels; ++i) {
    mappings_[2 * i] = TRY(env_.pio.add(kDataPorts[i], 8, "ide0", unowned(ports_[2 * i])));
    mappings_[2 * i + 1] = TRY(env_.pio.add(kControlPorts[i], 1, "ide0", unowned(ports_[2 * i + 1])));
  }
  return {};
}

Result<void> Piix3Ide::load(const StateReader& saved) {
  TRY_VOID(load_pci(TRY(saved.get<PciState>("ide0"))));
  set_timing(TRY(saved.get<IdeState>("ide0")));
  for (size_t i = 0; i < kChannels; ++i) {
    for (size_t unit = 0; unit < IdeChannel::kDrives; ++unit) {
      if (IdeDrive* drive = channels_[i]->drive(unit)) {
        TRY_VOID(drive->load(TRY(saved.get<IdeDriveState>(drive->id()))));
      }
    }
    TRY_VOID(channels_[i]->load(TRY(saved.get<IdeChannelState>(fmt::format("ide0.{}", i)))));
  }
  return {};
}

void Piix3Ide::save(StateWriter& out) const {
  out.put("ide0", pci_state());
  IdeState state;
  for (size_t i = 0; i < state.timing.size(); ++i) {
    state.timing[i] = config_byte(static_cast<uint16_t>(kTiming + i));
  }
  out.put("ide0", state);
  for (size_t i = 0; i < kChannels; ++i) {
    out.put(fmt::format("ide0.{}", i), channels_[i]->state());
    for (size_t unit = 0; unit < IdeChannel::kDrives; ++unit) {
      if (const IdeDrive* drive = channels_[i]->drive(unit)) {
        out.put(drive->id(), channels_[i]->drive_state(unit));
      }
    }
  }
}

void Piix3Ide::set_timing(const IdeState& state) {
  std::array<uint8_t, 5> timing = state.timing;
  timing[1] &= 0xF3;
  timing[3] &= 0xF3;
  set_config(kTiming, timing);
  update_decoding();
}

void Piix3Ide::update_decoding() {
  for (size_t i = 0; i < kChannels; ++i) {
    const bool io = (config_byte(pci::kCommand) & pci::kCommandIo) != 0;
    decoded_[i] = io && (config_byte(static_cast<uint16_t>(kTiming + 2 * i + 1)) & kDecode) != 0;
  }
}

void Piix3Ide::config_write(uint16_t offset, uint8_t size, uint32_t value) {
  PciFunction::config_write(offset, size, value);
  update_decoding();
  for (const auto& channel : channels_) {
    channel->bus_master_changed();
  }
}

void Piix3Ide::quiesce(Done done) {
  auto left = std::make_shared<std::atomic<size_t>>(kChannels);
  for (const auto& channel : channels_) {
    channel->quiesce([left, done] {
      if (left->fetch_sub(1) == 1) {
        done();
      }
    });
  }
}

void Piix3Ide::resume() {
  for (const auto& channel : channels_) {
    channel->resume();
  }
}

void Piix3Ide::reset() {
  reset_pci();
  for (const auto& channel : channels_) {
    channel->reset();
  }
  IdeState state;
  if (decoded_at_reset_) {
    state.timing[1] = state.timing[3] = kDecode;
  }
  set_timing(state);
}

bool Piix3Ide::expects_data() const {
  return std::ranges::any_of(channels_, [](const auto& channel) { return channel->expects_data(); });
}

std::vector<Piix3Ide::Found> Piix3Ide::drives() const {
  std::vector<Found> all;
  for (const auto& channel : channels_) {
    for (size_t unit = 0; unit < IdeChannel::kDrives; ++unit) {
      if (channel->drive(unit) != nullptr) {
        all.push_back({channel.get(), unit});
      }
    }
  }
  return all;
}

std::optional<Piix3Ide::Found> Piix3Ide::find(std::string_view id) const {
  for (const Found& found : drives()) {
    if (found.drive().id() == id) {
      return found;
    }
  }
  return std::nullopt;
}

uint64_t Piix3Ide::Ports::io_read(IoAccess access) {
  IdeChannel& channel = *owner_.channels_[channel_];
  if (!owner_.decoded_[channel_]) {
    return truncate_to(UINT64_MAX, access.size);
  }
  return part_ == Part::command ? channel.read_command(access) : channel.read_alternate_status();
}

void Piix3Ide::Ports::io_write(IoAccess access, uint64_t value) {
  IdeChannel& channel = *owner_.channels_[channel_];
  if (!owner_.decoded_[channel_]) {
    return;
  }
  if (part_ == Part::command) {
    channel.write_command(access, value);
  } else {
    channel.write_control(static_cast<uint8_t>(value));
  }
}

uint64_t Piix3Ide::Master::io_read(IoAccess access) {
  if (access.offset / 8 != (access.offset + access.size - 1) / 8) {
    return truncate_to(UINT64_MAX, access.size);
  }
  return owner_.channels_[access.offset / 8]->read_master({access.offset % 8, access.size, access.vcpu});
}

void Piix3Ide::Master::io_write(IoAccess access, uint64_t value) {
  if (access.offset / 8 == (access.offset + access.size - 1) / 8) {
    owner_.channels_[access.offset / 8]->write_master({access.offset % 8, access.size, access.vcpu}, value);
  }
}

}  // namespace lodge
