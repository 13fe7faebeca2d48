// FwCfg: the device through which firmware is told of its machine (the interface is QEMU's "fw_cfg", documented with it):
// numbered items, some of them files with a name, read byte by byte or by DMA. A few files can be written by DMA, too.
//
//   0x510  W   16 bits: selects an item      0x511  R  its next byte; past its end zeros
//   0x514  RW  64 bits, big-endian: the address of a request in guest memory; writing the lower half starts it
//
// Registers from any vCPU thread, one mutex, which is not held while a request is worked on; the items change on control
// only. A request's work is bounded by the item: what it wants beyond the item's end is zeros for one page more, then an
// error.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/mutex.h"
#include "devices/core/bus.h"
#include "devices/core/device.h"
#include "devices/legacy/fw_cfg/state.h"

namespace lodge {

// Keys that firmware knows without the directory.
namespace fw_cfg {
inline constexpr uint16_t kSignature = 0x00;
inline constexpr uint16_t kId = 0x01;
inline constexpr uint16_t kUuid = 0x02;
inline constexpr uint16_t kRamSize = 0x03;
inline constexpr uint16_t kNoGraphic = 0x04;
inline constexpr uint16_t kCpus = 0x05;
inline constexpr uint16_t kKernelAddress = 0x07;
inline constexpr uint16_t kKernelSize = 0x08;
inline constexpr uint16_t kInitrdAddress = 0x0A;
inline constexpr uint16_t kInitrdSize = 0x0B;
inline constexpr uint16_t kBootDevice = 0x0C;
inline constexpr uint16_t kNuma = 0x0D;
inline constexpr uint16_t kBootMenu = 0x0E;
inline constexpr uint16_t kMaxCpus = 0x0F;
inline constexpr uint16_t kKernelData = 0x11;
inline constexpr uint16_t kInitrdData = 0x12;
inline constexpr uint16_t kCommandLineAddress = 0x13;
inline constexpr uint16_t kCommandLineSize = 0x14;
inline constexpr uint16_t kCommandLineData = 0x15;
inline constexpr uint16_t kSetupAddress = 0x16;
inline constexpr uint16_t kSetupSize = 0x17;
inline constexpr uint16_t kSetupData = 0x18;
inline constexpr uint16_t kDirectory = 0x19;
inline constexpr uint16_t kFirstFile = 0x20;
inline constexpr uint16_t kIrq0Override = 0x8002;
inline constexpr size_t kMaxName = 55;  // with a zero behind it
}  // namespace fw_cfg

// A file that the guest may write, kept by whoever offers it, who outlives the device. Any vCPU thread.
class FwCfgFile {
 public:
  static constexpr size_t kMaxSize = 64;
  virtual ~FwCfgFile() = default;
  [[nodiscard]] virtual size_t size() const = 0;  // at most kMaxSize, always the same
  virtual void read(std::span<std::byte> whole) const = 0;
  // A part of it, which lies inside.
  virtual void write(size_t offset, std::span<const std::byte> part) = 0;
};

// What is offered.
class FwCfgItems {
 public:
  FwCfgItems();
  void set(uint16_t key, std::vector<std::byte> bytes);
  void set_number(uint16_t key, uint64_t value, size_t size);
  void set_text(uint16_t key, std::string_view text);  // with a zero at its end
  // Bytes that outlive the items (a mapped file).
  void set_view(uint16_t key, std::span<const std::byte> bytes);
  // Files come into the directory by name; a second one of the same name takes the first one's place.
  void add_file(std::string_view name, std::vector<std::byte> bytes);
  void add_number_file(std::string_view name, uint64_t value, size_t size);
  void add_file(std::string_view name, FwCfgFile& file);
  // Numbers the files and writes the directory. Last.
  void finish();
  // Nothing when there is no such item, or when it is a file that can be written.
  [[nodiscard]] std::span<const std::byte> find(uint16_t key) const;
  // Null: it is none that can be written.
  [[nodiscard]] FwCfgFile* find_file(uint16_t key) const;

 private:
  struct Item {
    uint16_t key = 0;
    std::vector<std::byte> bytes;
    std::span<const std::byte> view;  // when there are no bytes
    FwCfgFile* file = nullptr;        // instead of both
  };
  struct File {
    std::string name;
    std::vector<std::byte> bytes;
    FwCfgFile* file = nullptr;  // instead
  };
  void put_file(File file);
  Item& at(uint16_t key);
  std::vector<Item> items_;
  std::vector<File> files_;
};

class FwCfg final : public Device, public IoHandler {
 public:
  static constexpr uint16_t kPort = 0x510;
  static constexpr uint16_t kPorts = 12;
  static constexpr uint64_t kData = 1;
  static constexpr uint64_t kDma = 4;

  [[nodiscard]] static Result<std::unique_ptr<FwCfg>> create(const DeviceEnv& env, const StateReader* saved);
  // On control, with the vCPUs stopped or not yet running.
  void offer(FwCfgItems items);

  [[nodiscard]] std::string_view id() const override { return "fw-cfg"; }
  void save(StateWriter& out) const override;
  void reset() override;
  uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;

 private:
  explicit FwCfg(const DeviceEnv& env) : memory_(env.memory), items_(std::make_shared<const FwCfgItems>()) {}
  void transfer(Gpa request);
  [[nodiscard]] bool read_item(const FwCfgItems& items, uint64_t to, uint32_t length);
  [[nodiscard]] bool write_item(const FwCfgItems& items, uint64_t from, uint32_t length);

  const GuestMemory& memory_;
  Bus::Registration mapping_;
  GuestWarnings warnings_;
  mutable Mutex mutex_;
  std::shared_ptr<const FwCfgItems> items_ GUARDED_BY(mutex_);
  FwCfgState state_ GUARDED_BY(mutex_);
};

}  // namespace lodge
