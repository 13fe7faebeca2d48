// VmGenId: the virtual machine generation ID (Microsoft, "Virtual Machine Generation ID", 2012): 16 bytes of guest memory
// that the system finds by ACPI. A guest that goes on from a saved state with another ID, as a copy does, is told by an ACPI
// event; its system then makes new random numbers and looks after what must not be there twice.
//
// Where the bytes lie is said by firmware, which allocates them (it writes their address into the file etc/vmgenid_addr of
// fw_cfg, as QEMU has it), or by whoever places them where a kernel is started directly.
//
// The file from any vCPU thread, one mutex; the rest on control.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "base/log.h"
#include "base/mutex.h"
#include "devices/core/device.h"
#include "devices/legacy/fw_cfg/device.h"
#include "devices/legacy/vmgenid/state.h"

namespace lodge {

class VmGenId final : public Device, public FwCfgFile {
 public:
  using Id = std::array<uint8_t, 16>;
  static constexpr const char* kAddressFile = "etc/vmgenid_addr";  // 8 bytes, little-endian
  static constexpr const char* kIdFile = "etc/vmgenid_guid";       // what firmware copies into memory
  static constexpr size_t kIdFileSize = 4096;                      // a page of its own
  static constexpr size_t kIdOffset = 40;                          // in it: further than a table's header is long

  struct Options {
    Id id{};                           // as it lies in memory
    std::function<void()> announce{};  // raises the ACPI event
  };
  // With a saved state that has another ID, the new one is in memory from now on and the guest is told at resume().
  [[nodiscard]] static Result<std::unique_ptr<VmGenId>> create(Options options, const DeviceEnv& env,
                                                               const StateReader* saved);
  // Puts the ID there. Error: that is no RAM.
  [[nodiscard]] Result<void> place(Gpa address);
  [[nodiscard]] const Id& generation() const { return options_.id; }
  // Where the guest finds it; 0: nowhere yet.
  [[nodiscard]] uint64_t address() const;

  [[nodiscard]] std::string_view id() const override { return "vmgenid0"; }
  void resume() override;
  void save(StateWriter& out) const override;
  void reset() override;

  // etc/vmgenid_addr.
  [[nodiscard]] size_t size() const override { return sizeof(uint64_t); }
  void read(std::span<std::byte> whole) const override;
  void write(size_t offset, std::span<const std::byte> part) override;

 private:
  VmGenId(Options options, const DeviceEnv& env) : options_(std::move(options)), memory_(env.memory) {}
  [[nodiscard]] bool fits(uint64_t address) const;
  [[nodiscard]] bool placed() const REQUIRES(mutex_);

  Options options_;
  const GuestMemory& memory_;
  GuestWarnings warnings_;
  mutable Mutex mutex_;
  uint64_t address_ GUARDED_BY(mutex_) = 0;  // as the guest gave it
  bool untold_ GUARDED_BY(mutex_) = false;
};

}  // namespace lodge
