// Piix3Ide: the IDE controller of a pc at 00:01.1 (Intel 290550), with two channels at their classic ports and interrupts 14
// and 15, and the bus masters' ports where the function's fifth BAR says.
//
// Registers from any vCPU thread; the rest from control. What happens on a cable: channel.h. What a drive does: drive.h.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "devices/core/device.h"
#include "devices/ide/channel.h"
#include "devices/pci/function.h"

namespace lodge {

class Piix3Ide final : public Device, public PciFunction {
 public:
  static constexpr size_t kChannels = 2;
  struct Place {
    uint8_t channel = 0;  // 0 or 1
    uint8_t unit = 0;
  };
  struct Drive {
    Place at;
    IdeDriveOptions options;
  };
  struct Options {
    std::vector<Drive> drives;
    bool decoded = false;  // as if firmware had switched the channels on
    // A drive waits for data that the guest writes to its register. On any thread, the channel's lock held; may be empty.
    std::function<void()> expects_data = {};
  };
  static constexpr std::array<uint16_t, kChannels> kDataPorts{0x1F0, 0x170};
  [[nodiscard]] static Result<std::shared_ptr<Piix3Ide>> create(Options options, const DeviceEnv& env,
                                                                const StateReader* saved);

  [[nodiscard]] std::string_view id() const override { return "ide0"; }
  void quiesce(Done done) override;
  void resume() override;
  void save(StateWriter& out) const override;
  void reset() override;
  void config_write(uint16_t offset, uint8_t size, uint32_t value) override;

  // The drives, for queries and for what people do at them.
  struct Found {
    IdeChannel* channel = nullptr;
    size_t unit = 0;
    [[nodiscard]] IdeDrive& drive() const { return *channel->drive(unit); }
  };
  [[nodiscard]] std::vector<Found> drives() const;
  [[nodiscard]] std::optional<Found> find(std::string_view id) const;
  // A drive waits for data. Any thread.
  [[nodiscard]] bool expects_data() const;

 private:
  Piix3Ide(const DeviceEnv& env, bool decoded);
  [[nodiscard]] Result<void> map();
  [[nodiscard]] Result<void> load(const StateReader& saved);
  void set_timing(const IdeState& state);
  void update_decoding();
  // A channel's ports.
  class Ports final : public IoHandler {
   public:
    enum class Part : uint8_t { command, control };
    Ports(Piix3Ide& owner, size_t channel, Part part) : owner_(owner), channel_(channel), part_(part) {}
    uint64_t io_read(IoAccess access) override;
    void io_write(IoAccess access, uint64_t value) override;

   private:
    Piix3Ide& owner_;
    size_t channel_;
    Part part_;
  };
  class Master final : public IoHandler {
   public:
    explicit Master(Piix3Ide& owner) : owner_(owner) {}
    uint64_t io_read(IoAccess access) override;
    void io_write(IoAccess access, uint64_t value) override;

   private:
    Piix3Ide& owner_;
  };

  bool decoded_at_reset_;
  std::array<std::unique_ptr<IdeChannel>, kChannels> channels_;
  std::array<std::atomic<bool>, kChannels> decoded_{};
  Master master_{*this};
  std::array<Ports, 4> ports_{Ports{*this, 0, Ports::Part::command}, Ports{*this, 0, Ports::Part::control},
                              Ports{*this, 1, Ports::Part::command}, Ports{*this, 1, Ports::Part::control}};
  std::array<Bus::Registration, 4> mappings_;
};

}  // namespace lodge
