// IdeDrive: one ATA disk or ATAPI CD drive: its registers, its commands, and how far the one under way has come. It does no
// I/O: it says what it wants of the medium (next_io) and is told what became of it (io_done). All calls with the channel's
// mutex held.
//
// Moving data: medium <-> buffer <-> host by PIO, in pieces of at most kBuffer; or medium <-> guest memory by the channel's
// bus master, without the buffer.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/log.h"
#include "devices/block/backend.h"
#include "devices/block/counters.h"
#include "devices/block/error_policy.h"
#include "devices/ide/registers.h"
#include "devices/ide/state.h"

namespace lodge {

struct IdeDriveOptions {
  std::string id;
  bool cdrom = false;
  std::unique_ptr<BlockBackend> backend;  // null: an empty CD drive
  std::string serial;                     // at most 20 bytes reach the guest
  ErrorPolicy errors;
  OnBlockError on_io_error;                // may be empty, as is the next
  std::function<void(bool open)> on_tray;  // the guest opened or closed the tray; any vCPU thread
};

class IdeDrive {
 public:
  static constexpr uint32_t kBuffer = 64 * 1024;
  static constexpr uint32_t kMaxSectors = 65536;

  [[nodiscard]] static Result<std::unique_ptr<IdeDrive>> create(IdeDriveOptions options);
  // What can be a CD.
  [[nodiscard]] static Result<void> check_medium(const BlockInfo& info);
  // Checks what was saved as if a guest had written it.
  [[nodiscard]] Result<void> load(const IdeDriveState& saved);
  [[nodiscard]] const IdeDriveState& state() const { return s_; }
  [[nodiscard]] const std::string& id() const { return options_.id; }
  [[nodiscard]] bool cdrom() const { return options_.cdrom; }

  // Registers.
  [[nodiscard]] uint8_t read(uint64_t reg, bool high_order) const;
  void write(uint64_t reg, uint8_t value);
  void command(uint8_t code);
  [[nodiscard]] uint32_t read_data(uint8_t size);
  void write_data(uint32_t value, uint8_t size);
  [[nodiscard]] bool interrupt() const { return s_.interrupt; }
  void acknowledge() { s_.interrupt = false; }
  // Power-on, a bus reset or a soft reset; what was under way is forgotten. Nothing may be in flight.
  enum class Reset : uint8_t { power_on, soft };
  void reset(Reset kind);
  void show_busy() { s_.status = ide::kBsy; }
  void diagnosed();

  // The medium.
  struct Io {
    BlockRequest::Kind kind = BlockRequest::Kind::read;
    bool durable = false;
    uint64_t offset = 0;
    std::span<std::byte> buffer;  // empty: the bus master's segments, `length` bytes of them at most
    uint64_t length = 0;
  };
  [[nodiscard]] std::optional<Io> next_io();
  [[nodiscard]] bool wants_dma() const { return s_.phase == IdePhase::dma; }
  // By its data register: a sector, or a packet command.
  [[nodiscard]] bool expects_data() const { return s_.phase == IdePhase::data_out || s_.phase == IdePhase::packet; }
  // The rest of an answer that leaves by DMA.
  [[nodiscard]] std::span<const std::byte> dma_reply() const;
  void dma_reply_sent(size_t bytes);
  // `length`: bytes that were moved. True: the command is done.
  void io_started() { s_.status = ide::kBsy | ide::kReady; }
  void io_done(uint64_t length);
  void io_failed(BlockRequest::Kind kind);
  // The bus master cannot go on.
  void dma_failed();
  void dma_waits() { s_.status = ide::kReady | ide::kDrq; }

  [[nodiscard]] BlockBackend* backend() const { return options_.backend.get(); }
  [[nodiscard]] const IdeDriveOptions& options() const { return options_; }
  // Another medium, or none; returns the old one. Nothing is in flight.
  std::unique_ptr<BlockBackend> exchange_medium(std::unique_ptr<BlockBackend> medium);
  [[nodiscard]] bool locked() const { return s_.locked; }
  [[nodiscard]] bool tray_open() const { return s_.tray_open; }
  // The person at the drive presses its button.
  void ask_to_eject();
  BlockCounters& counters() { return counters_; }
  [[nodiscard]] const GuestWarnings& warnings() const { return warnings_; }

 private:
  explicit IdeDrive(IdeDriveOptions options) : options_(std::move(options)) {}
  [[nodiscard]] uint64_t sectors() const { return backend() != nullptr ? backend()->info().size / ide::kSector : 0; }

  // How commands end, and how data begins to move.
  void succeed();
  void abort(uint8_t error);
  void start_block();
  void present(std::vector<uint8_t> answer);
  void move_sectors(bool to_host, bool dma, uint64_t position, uint32_t count);
  void expect_data();
  void data_read();
  void data_written();
  void set_signature();

  // ATA (ata.cc).
  struct Transfer {
    bool to_host = true;
    bool dma = false;
    bool ext = false;
    bool multiple = false;
    bool durable = false;
  };
  void ata_command(uint8_t code);
  [[nodiscard]] static std::optional<Transfer> transfer_of(uint8_t code);
  void transfer(const Transfer& what);
  void verify(bool ext);
  struct Extent {
    uint64_t position = 0;
    uint32_t count = 0;
  };
  [[nodiscard]] std::optional<Extent> extent(bool ext) const;
  void set_address(uint64_t position, bool ext);
  void set_features();
  void set_multiple();
  void smart();
  [[nodiscard]] std::vector<uint8_t> identify_disk() const;    // identify.cc
  [[nodiscard]] std::vector<uint8_t> identify_packet() const;  // identify.cc

  // ATAPI (atapi.cc).
  void atapi_command(uint8_t code);
  void packet();
  void check_condition(ide::Sense sense);
  void answer(std::vector<uint8_t> data, size_t allocated);
  [[nodiscard]] bool medium_ready();
  void read_blocks(uint64_t block, uint64_t count);
  void start_stop_unit();
  void read_toc();
  void get_configuration();
  void get_event_status();
  void mode_sense();
  [[nodiscard]] uint64_t cd_blocks() const { return sectors() / (ide::kCdSector / ide::kSector); }
  [[nodiscard]] uint8_t cdb(size_t at) const { return at < s_.buffer.size() ? s_.buffer[at] : 0; }
  [[nodiscard]] uint32_t cdb_be(size_t at, size_t size) const;

  IdeDriveOptions options_;
  IdeDriveState s_;
  BlockCounters counters_;
  GuestWarnings warnings_;
};

}  // namespace lodge
