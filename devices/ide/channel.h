// IdeChannel: one cable: up to two drives, the registers that both hear, the interrupt and the bus master.
//
// Registers from any vCPU thread, one mutex. The medium is read and written on one I/O loop, which the channel keeps; a vCPU
// only posts. While a request is in flight its drive is busy, and a reset is over when it has come back. quiesce, resume,
// reset, save and media from control.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "devices/core/device.h"
#include "devices/ide/drive.h"

namespace lodge {

class IdeChannel {
 public:
  static constexpr size_t kDrives = 2;

  IdeChannel(const DeviceEnv& env, IrqLine& irq) : env_(env), irq_(irq), loop_(env.loops.pick()) {}
  IdeChannel(const IdeChannel&) = delete;
  IdeChannel& operator=(const IdeChannel&) = delete;

  // Set-up.
  void attach(size_t unit, std::unique_ptr<IdeDrive> drive) { drives_.at(unit) = std::move(drive); }
  [[nodiscard]] Result<void> load(const IdeChannelState& saved);

  [[nodiscard]] uint64_t read_command(IoAccess access);  // the eight ports of the command block
  void write_command(IoAccess access, uint64_t value);
  [[nodiscard]] uint8_t read_alternate_status();
  void write_control(uint8_t value);
  [[nodiscard]] uint64_t read_master(IoAccess access);
  void write_master(IoAccess access, uint64_t value);
  // The function may (not) read and write memory.
  void bus_master_changed() { wake(); }

  void quiesce(std::function<void()> done);
  void resume();
  void reset();
  [[nodiscard]] IdeChannelState state() const;
  [[nodiscard]] IdeDriveState drive_state(size_t unit) const;

  [[nodiscard]] IdeDrive* drive(size_t unit) const { return drives_.at(unit).get(); }
  // Another medium, or none. `done` runs on control with the old one, which nothing uses any more.
  using Exchanged = std::function<void(std::unique_ptr<BlockBackend> old)>;
  void exchange_medium(size_t unit, std::unique_ptr<BlockBackend> medium, Exchanged done);
  struct Medium {
    BlockInfo info;  // of size 0: there is none
    bool tray_open = false;
    bool locked = false;
  };
  [[nodiscard]] Medium medium(size_t unit) const;
  // The drive that is selected waits for data to be written to its register.
  [[nodiscard]] bool expects_data() const;
  [[nodiscard]] std::vector<Counter> counters(size_t unit) const;
  void ask_to_eject(size_t unit);

 private:
  struct Request : BlockRequest {
    IdeChannel* channel = nullptr;
    size_t unit = 0;
    std::chrono::steady_clock::time_point began;
  };
  struct Segment {
    Gpa at;
    uint32_t length;
  };
  // What a drive has on the loop.
  struct Seat {
    Request request;
    std::unique_ptr<BlockQueue> queue;  // the loop's
    std::vector<Segment> segments;      // of guest memory, of the request in flight
    IdeMasterCursor cursor;             // from before they were gathered
    bool in_flight = false;             // guarded as the drives are
    bool reset_waits = false;
    bool halted = false;  // its storage failed, and a person is asked
    std::unique_ptr<BlockBackend> medium;
    Exchanged exchanged;
  };
  [[nodiscard]] IdeDrive* selected() const REQUIRES(mutex_) { return drives_[state_.selected].get(); }
  void update_interrupt() REQUIRES(mutex_);
  void tell_expected_data() REQUIRES(mutex_);
  void start_command(uint8_t code) REQUIRES(mutex_);
  void wake();
  void work();  // on the loop
  [[nodiscard]] bool prepare(size_t unit) REQUIRES(mutex_);
  [[nodiscard]] bool open_queue(size_t unit) REQUIRES(mutex_);
  void send_reply(size_t unit) REQUIRES(mutex_);
  enum class Gathered : uint8_t { some, nothing, error };
  [[nodiscard]] Gathered gather(uint64_t most, uint32_t multiple, std::vector<Segment>& out) REQUIRES(mutex_);
  [[nodiscard]] bool next_segment() REQUIRES(mutex_);
  void fail_master(IdeDrive& drive) REQUIRES(mutex_);
  void finish_master() REQUIRES(mutex_);
  void completed(size_t unit, int error);
  void take_error(size_t unit, int error, BlockErrorEvent& event) REQUIRES(mutex_);
  void finish_exchange(size_t unit);
  void settle();  // on the loop: reports a quiesce that waits

  const DeviceEnv& env_;
  IrqLine& irq_;
  EventLoop& loop_;
  std::array<std::unique_ptr<IdeDrive>, kDrives> drives_;  // what they hold is guarded by mutex_
  std::array<Seat, kDrives> seats_;
  mutable Mutex mutex_;
  IdeChannelState state_ GUARDED_BY(mutex_);
  bool running_ GUARDED_BY(mutex_) = false;
  bool woken_ GUARDED_BY(mutex_) = false;
  bool level_ GUARDED_BY(mutex_) = false;
  std::vector<std::function<void()>> on_quiet_;  // the loop's

 public:
  std::function<bool()> may_master;        // the function is a bus master
  std::function<void()> on_expected_data;  // a drive waits for data; the lock is held
};

}  // namespace lodge
