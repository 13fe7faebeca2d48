// VmCoreInfo: the file etc/vmcoreinfo of fw_cfg (documented with QEMU, "VMCoreInfo device"), into which the guest's kernel
// writes where its ELF note for crash dumps is, so that a dump of its memory can be read although the kernel was placed at
// random:
//
//   0  16 bits  what the host takes: 1, an ELF note     4  32 bits  the note's size
//   2  16 bits  what the guest gave: 0 nothing, 1 ELF   8  64 bits  its physical address       all little-endian
//
// The file from any vCPU thread, one mutex; the rest on control.
#pragma once

#include <memory>
#include <optional>

#include "base/log.h"
#include "base/mutex.h"
#include "devices/core/device.h"
#include "devices/legacy/fw_cfg/device.h"
#include "devices/legacy/vmcoreinfo/state.h"

namespace lodge {

class VmCoreInfo final : public Device, public FwCfgFile {
 public:
  static constexpr const char* kFile = "etc/vmcoreinfo";
  static constexpr size_t kFileSize = 16;
  static constexpr uint32_t kMaxNote = 1U << 20;
  static constexpr uint16_t kElf = 1;

  struct Note {
    uint64_t address = 0;
    uint32_t size = 0;
  };

  [[nodiscard]] static Result<std::unique_ptr<VmCoreInfo>> create(const DeviceEnv& env, const StateReader* saved);
  // What the guest told; nothing when it has not, or what it told is no note in its RAM.
  [[nodiscard]] std::optional<Note> note() const;

  [[nodiscard]] std::string_view id() const override { return "vmcoreinfo0"; }
  void save(StateWriter& out) const override;
  void reset() override;

  [[nodiscard]] size_t size() const override { return kFileSize; }
  void read(std::span<std::byte> whole) const override;
  void write(size_t offset, std::span<const std::byte> part) override;

 private:
  explicit VmCoreInfo(const DeviceEnv& env) : memory_(env.memory) {}
  const GuestMemory& memory_;
  GuestWarnings warnings_;
  mutable Mutex mutex_;
  VmCoreInfoState state_ GUARDED_BY(mutex_);
};

}  // namespace lodge
