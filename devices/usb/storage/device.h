// UsbStorage: a disk at USB: SCSI commands by the bulk-only transport (USB Mass Storage Class, Bulk-Only Transport 1.0, here
// BOT), over a BlockBackend.
//
// Everything on the controller's loop, where its I/O is, too, or while it is quiet. Data go through a buffer of 64 KiB;
// while that is being read or written the host gets `nak`. A reset does not wait for I/O: its outcome is then dropped, and
// no command begins before.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/log.h"
#include "devices/block/backend.h"
#include "devices/block/counters.h"
#include "devices/block/error_policy.h"
#include "devices/usb/device.h"
#include "devices/usb/storage/state.h"

namespace lodge {

struct UsbStorageOptions {
  std::string id;  // "disk0"
  std::unique_ptr<BlockBackend> backend;
  std::string serial;  // at most 20 bytes reach the guest
  bool removable = false;
  bool full_speed = false;  // for a controller of USB 1.1, else USB 3.0
  ErrorPolicy errors;
  OnBlockError on_io_error;  // may be empty
};

class UsbStorage final : public UsbDevice {
 public:
  static constexpr size_t kBuffer = 64 * 1024;
  // Errors: the medium has blocks of no sensible size; the state is damaged.
  [[nodiscard]] static Result<std::shared_ptr<UsbDevice>> create(UsbStorageOptions options, const StateReader* saved);
  ~UsbStorage() override;

  void quiesce(Done done) override;
  void resume() override;
  void save(StateWriter& out) const override;
  [[nodiscard]] std::vector<Counter> counters() const override;
  [[nodiscard]] const BlockBackend& backend() const { return *options_.backend; }
  // It was taken out and is quiet: others may have its image. Control.
  void give_up() { options_.backend->give_up(); }

 private:
  struct Sense {
    uint8_t key, code, qualifier;
  };
  struct Request : BlockRequest {
    UsbStorage* disk = nullptr;
    std::chrono::steady_clock::time_point began;
  };
  explicit UsbStorage(UsbStorageOptions options);
  [[nodiscard]] Result<void> load(const StateReader& saved);

  // The transport (device.cc).
  UsbAnswer transfer_in(uint8_t endpoint, std::span<std::byte> room) override;
  UsbAnswer transfer_out(uint8_t endpoint, std::span<const std::byte> data) override;
  UsbAnswer own_request(const UsbSetup& setup, std::span<std::byte> data) override;
  void configuration_changed() override { forget(); }
  void halt_cleared(uint8_t endpoint, bool in) override;
  UsbAnswer take_command(std::span<const std::byte> block);
  UsbAnswer send_status(std::span<std::byte> room);
  UsbAnswer send_data(std::span<std::byte> room);
  UsbAnswer take_data(std::span<const std::byte> data);
  UsbAnswer break_down();
  void forget();

  // The medium (io.cc).
  void want(UsbStorageIo what);
  void start_io();
  [[nodiscard]] bool open_queue();
  void completed(int error);
  void succeed();
  void settle();
  [[nodiscard]] bool busy() const { return in_flight_ || s_.wanted != UsbStorageIo::none; }

  // Commands (scsi.cc).
  void execute(std::span<const uint8_t> cdb, bool in);
  void answer(std::vector<uint8_t> data, uint64_t allocated);
  void fail_command(Sense sense);
  void move_blocks(std::span<const uint8_t> cdb, uint64_t block, uint64_t count, bool read);
  void inquiry(std::span<const uint8_t> cdb);
  void mode_sense(std::span<const uint8_t> cdb, bool long_form);
  [[nodiscard]] std::vector<uint8_t> mode_pages(uint8_t page) const;
  [[nodiscard]] uint64_t blocks() const { return backend().info().size / block_; }

  UsbStorageOptions options_;
  uint32_t block_;
  UsbStorageState s_;
  size_t sent_ = 0;     // of s_.data
  uint64_t offer_ = 0;  // bytes that a command has for the host, or wants of it; of the command being begun
  bool offers_in_ = true;
  std::vector<std::byte> buffer_;  // of the I/O in flight
  std::unique_ptr<BlockQueue> queue_;
  Request request_;
  bool in_flight_ = false;
  bool stale_ = false;  // nobody waits for its outcome
  bool quiet_ = true;
  bool halted_ = false;  // the storage failed, and a person is asked
  std::vector<Done> on_quiet_;
  BlockCounters counters_;
  GuestWarnings warnings_;
};

}  // namespace lodge
