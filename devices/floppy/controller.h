// FloppyController: an 82078 (Intel 290474) with two drives and the DMA controllers it moves data by.
//
// Registers from any vCPU thread, one mutex; the medium is read and written on one I/O loop, to which a vCPU only posts.
// Seeks take no time. quiesce, resume, reset, save and media from control.
//
// Moving data: a piece of a track at a time, medium <-> buffer <-> guest, by DMA or byte by byte.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/mutex.h"
#include "devices/block/backend.h"
#include "devices/block/counters.h"
#include "devices/block/error_policy.h"
#include "devices/core/device.h"
#include "devices/floppy/format.h"
#include "devices/floppy/isa_dma.h"
#include "devices/floppy/state.h"

namespace lodge {

class FloppyController final : public Device {
 public:
  static constexpr size_t kDrives = 2;
  struct Drive {
    std::string id;
    uint8_t unit = 0;                              // 0 or 1
    FloppyDriveKind kind = FloppyDriveKind::none;  // none: what its first disk needs
    std::unique_ptr<BlockBackend> backend;         // null: no disk is in it
    ErrorPolicy errors;
    OnBlockError on_io_error;  // may be empty
  };
  struct Options {
    std::vector<Drive> drives;
  };
  [[nodiscard]] static Result<std::unique_ptr<FloppyController>> create(Options options, const DeviceEnv& env,
                                                                        const StateReader* saved);

  [[nodiscard]] std::string_view id() const override { return "floppy"; }
  void quiesce(Done done) override;
  void resume() override;
  void save(StateWriter& out) const override;
  void reset() override;

  // By unit; kind none: there is no such drive.
  [[nodiscard]] FloppyDriveKind kind(size_t unit) const { return seats_.at(unit).kind; }
  [[nodiscard]] const std::string& drive_id(size_t unit) const { return seats_.at(unit).id; }
  [[nodiscard]] std::optional<size_t> find(std::string_view id) const;
  [[nodiscard]] BlockInfo medium(size_t unit) const;  // of size 0: there is none
  [[nodiscard]] std::vector<Counter> drive_counters(size_t unit) const;
  // Whether the drive reads such a disk.
  [[nodiscard]] Result<void> check_medium(size_t unit, const BlockInfo& info) const;
  // Another disk, checked before, or none. `done` runs on control with the old one, which nothing uses any more.
  using Exchanged = std::function<void(std::unique_ptr<BlockBackend> old)>;
  void exchange_medium(size_t unit, std::unique_ptr<BlockBackend> medium, Exchanged done);

 private:
  struct Seat {
    std::string id;
    FloppyDriveKind kind = FloppyDriveKind::none;
    ErrorPolicy errors;
    OnBlockError on_io_error;
    std::unique_ptr<BlockBackend> backend;
    std::optional<FloppyFormat> format;  // of the disk in it
    std::unique_ptr<BlockQueue> queue;   // the loop's
    std::unique_ptr<BlockBackend> medium;
    Exchanged exchanged;
    BlockCounters counters;
  };
  struct Request : BlockRequest {
    FloppyController* controller = nullptr;
    size_t unit = 0;
    std::chrono::steady_clock::time_point began;
  };
  // What became of a command, in its result's first bytes.
  struct Outcome {
    uint8_t st0 = 0;
    uint8_t st1 = 0;
    uint8_t st2 = 0;
  };

  explicit FloppyController(const DeviceEnv& env) : env_(env), irq_(env.line(6)), loop_(env.loops.pick()) {}
  [[nodiscard]] Result<void> attach(Drive drive);
  [[nodiscard]] Result<void> load(const StateReader& saved);

  // Registers (controller.cc).
  [[nodiscard]] uint8_t read_port(uint64_t port);
  void write_port(uint64_t port, uint8_t value);
  [[nodiscard]] uint8_t main_status() const REQUIRES(mutex_);
  [[nodiscard]] uint8_t digital_input() const REQUIRES(mutex_);
  [[nodiscard]] uint8_t read_fifo() REQUIRES(mutex_);
  void write_fifo(uint8_t value) REQUIRES(mutex_);
  void write_output(uint8_t value) REQUIRES(mutex_);
  void reset_chip() REQUIRES(mutex_);
  void leave_reset() REQUIRES(mutex_);
  void raise() REQUIRES(mutex_);
  void lower() REQUIRES(mutex_);
  void update_line() REQUIRES(mutex_);
  [[nodiscard]] bool in_reset() const REQUIRES(mutex_);

  // Commands (commands.cc).
  [[nodiscard]] static size_t command_length(uint8_t first);
  [[nodiscard]] bool command_is_whole() const REQUIRES(mutex_);
  void run_command() REQUIRES(mutex_);
  void answer(std::vector<uint8_t> result, bool interrupt) REQUIRES(mutex_);
  void done_without_result() REQUIRES(mutex_);
  void seek(size_t unit, uint8_t cylinder) REQUIRES(mutex_);
  void step_end(size_t unit, uint8_t st0) REQUIRES(mutex_);
  void sense_interrupt() REQUIRES(mutex_);
  void sense_drive() REQUIRES(mutex_);
  void dump_registers() REQUIRES(mutex_);
  void save_state() REQUIRES(mutex_);
  void restore_state() REQUIRES(mutex_);
  void read_id() REQUIRES(mutex_);
  void configure() REQUIRES(mutex_);
  [[nodiscard]] uint8_t byte(size_t at) const REQUIRES(mutex_) { return at < s_.command.size() ? s_.command[at] : 0; }
  [[nodiscard]] size_t unit() const REQUIRES(mutex_) { return byte(1) & 3U; }

  // Moving data (transfer.cc).
  void start_transfer() REQUIRES(mutex_);
  void start_format() REQUIRES(mutex_);
  [[nodiscard]] std::optional<Outcome> medium_fault(bool write) const REQUIRES(mutex_);
  void start_piece() REQUIRES(mutex_);
  void piece_moved() REQUIRES(mutex_);
  void buffer_taken() REQUIRES(mutex_);
  void buffer_filled() REQUIRES(mutex_);
  void format_track() REQUIRES(mutex_);
  void medium_read(std::vector<uint8_t> data) REQUIRES(mutex_);
  void medium_written() REQUIRES(mutex_);
  void pump() REQUIRES(mutex_);  // by DMA, as far as it goes
  void finish(Outcome outcome) REQUIRES(mutex_);
  void advance_ids() REQUIRES(mutex_);
  [[nodiscard]] bool by_dma() const REQUIRES(mutex_);
  [[nodiscard]] const FloppyFormat* format() const REQUIRES(mutex_);
  [[nodiscard]] uint8_t operation() const REQUIRES(mutex_);

  // The medium, on the loop (medium.cc).
  void wake();
  void work();
  [[nodiscard]] bool prepare() REQUIRES(mutex_);
  void completed(int error);
  void take_outcome(Seat& seat, int error, BlockErrorEvent& event) REQUIRES(mutex_);
  void finish_exchange(size_t unit);
  void settle();

  class Ports final : public IoHandler {
   public:
    Ports(FloppyController& owner, uint8_t first) : owner_(owner), first_(first) {}
    uint64_t io_read(IoAccess access) override;
    void io_write(IoAccess access, uint64_t value) override;

   private:
    FloppyController& owner_;
    uint8_t first_;
  };

  const DeviceEnv& env_;
  IrqLine& irq_;
  EventLoop& loop_;
  std::unique_ptr<IsaDma> dma_;
  mutable Mutex mutex_;
  FloppyState s_ GUARDED_BY(mutex_);
  std::array<Seat, kDrives> seats_;  // what can change is guarded by mutex_
  bool running_ GUARDED_BY(mutex_) = false;
  bool woken_ GUARDED_BY(mutex_) = false;
  bool halted_ GUARDED_BY(mutex_) = false;  // the storage failed, and a person is asked
  bool in_flight_ GUARDED_BY(mutex_) = false;
  bool abandoned_ GUARDED_BY(mutex_) = false;  // what is in flight belongs to a command from before a reset
  Request request_;                            // the loop's while it is in flight, with
  std::vector<uint8_t> data_;                  // its bytes
  std::vector<Done> on_quiet_;                 // the loop's
  GuestWarnings warnings_;
  Ports ports_{*this, 0};
  Ports input_port_{*this, 7};
  std::array<Bus::Registration, 2> mappings_;
};

}  // namespace lodge
