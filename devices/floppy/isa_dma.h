// IsaDma: the two DMA controllers of a pc (Intel 8237A; channels 0 to 3 move bytes, 5 to 7 words, 4 joins the two) and their
// page registers. Memory to memory transfers are not there, as in no PC.
//
// Part of the device that moves data by it (the floppy controller), so a machine without one does not have these ports.
// Registers from any vCPU thread; to_memory and from_memory from any thread, also with the calling device's own mutex held.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "base/mutex.h"
#include "devices/core/bus.h"
#include "devices/core/device.h"
#include "devices/floppy/isa_dma_state.h"

namespace lodge {

class IsaDma final {
 public:
  static constexpr size_t kChannels = 4;  // for devices: those that move bytes
  [[nodiscard]] static Result<std::unique_ptr<IsaDma>> create(const DeviceEnv& env, const IsaDmaState* saved);

  [[nodiscard]] IsaDmaState state() const;
  void reset();

  struct Moved {
    size_t bytes = 0;    // fewer than asked for: the channel is masked, programmed for the other direction, or at its end
    bool ended = false;  // terminal count was reached
  };
  // A device's data into guest memory, or out of it, as far as its channel (0 to 3) lets it. Memory that is not there takes
  // anything and gives ones.
  [[nodiscard]] Moved to_memory(size_t channel, std::span<const std::byte> data);
  [[nodiscard]] Moved from_memory(size_t channel, std::span<std::byte> data);
  // Bytes until terminal count; 0: the channel does not move now.
  [[nodiscard]] uint32_t left(size_t channel) const;
  // Set-up: `ready` runs after the guest has let channel `channel` move, on the vCPU's thread and without locks of ours.
  void on_ready(size_t channel, std::function<void()> ready) { ready_.at(channel) = std::move(ready); }

 private:
  explicit IsaDma(const DeviceEnv& env) : env_(env) {}
  enum class Way : uint8_t { verify, to_memory, from_memory };
  [[nodiscard]] bool moves(size_t channel) const REQUIRES(mutex_);
  template <class Copy>
  [[nodiscard]] Moved move(size_t channel, Way way, size_t bytes, const Copy& copy);
  [[nodiscard]] uint8_t read_chip(size_t chip, uint64_t reg);
  void write_chip(size_t chip, uint64_t reg, uint8_t value);
  void write_channel(size_t chip, uint64_t reg, uint8_t value) REQUIRES(mutex_);
  void write_control(size_t chip, uint64_t reg, uint8_t value) REQUIRES(mutex_);
  void clear(size_t chip) REQUIRES(mutex_);
  [[nodiscard]] uint8_t& page(uint64_t port) REQUIRES(mutex_);

  const DeviceEnv& env_;
  std::array<std::function<void()>, kChannels> ready_;
  mutable Mutex mutex_;
  IsaDmaState state_ GUARDED_BY(mutex_);

  // One row of ports: a chip's, or those of the page registers.
  class Ports final : public IoHandler {
   public:
    enum class Row : uint8_t { bytes, words, pages };
    Ports(IsaDma& owner, Row row) : owner_(owner), row_(row) {}
    uint64_t io_read(IoAccess access) override;
    void io_write(IoAccess access, uint64_t value) override;

   private:
    IsaDma& owner_;
    Row row_;
  };
  std::array<Ports, 3> ports_{Ports{*this, Ports::Row::bytes}, Ports{*this, Ports::Row::words},
                              Ports{*this, Ports::Row::pages}};
  std::array<Bus::Registration, 3> mappings_;
};

}  // namespace lodge
