// FirmwareMap: what the processors of a machine with firmware find below 1 MiB and at the top of 4 GiB: the firmware's ROM
// (a BIOS's end below 1 MiB, too), and RAM where the host bridge says so. Everything is memory slots of KVM, so neither code
// nor data of firmware leaves the guest, but for one thing: writes into RAM below ROM, which come as register accesses.
//
// map() on any one thread during set-up; apply() on the vCPU that changed the host bridge, or on control, one at a time.
// Other vCPUs see parts that change disappear for a moment; firmware changes them while no other processor runs.
#pragma once

#include <memory>
#include <vector>

#include "devices/chipset/host_bridge/device.h"
#include "devices/core/bus.h"
#include "vmm/boot/mapped_file.h"
#include "vmm/config/machine_config.h"
#include "vmm/kvm/vm.h"

namespace lodge {

class FirmwareMap final : public IoHandler {
 public:
  // Errors name the file and what is wrong with it.
  [[nodiscard]] static Result<std::unique_ptr<FirmwareMap>> create(FirmwareKind kind, MappedFile rom, KvmVm& vm,
                                                                   const GuestMemory& memory, Bus& mmio);
  // The guest's RAM but for 0xA0000 to 0xFFFFF, and the ROM at its own place.
  [[nodiscard]] Result<void> map();
  void apply(const ShadowMap& shadow);

  uint64_t io_read(IoAccess access) override;
  void io_write(IoAccess access, uint64_t value) override;

 private:
  enum class Backing : uint8_t { none, ram, ram_read_only, rom };
  struct Piece {
    uint64_t base = 0;
    uint64_t size = 0;
    Backing backing = Backing::none;
    uint32_t slot = 0;  // 0: not mapped yet
    [[nodiscard]] bool same(const Piece& other) const {
      return base == other.base && size == other.size && backing == other.backing;
    }
  };
  FirmwareMap(uint64_t window, MappedFile rom, KvmVm& vm, const GuestMemory& memory)
      : window_(window), rom_(std::move(rom)), vm_(vm), memory_(memory) {}
  [[nodiscard]] std::vector<Piece> pieces_of(const ShadowMap& shadow) const;
  [[nodiscard]] void* host_of(const Piece& piece) const;
  void unmap(const Piece& piece) const;
  [[nodiscard]] bool map(Piece& piece);

  const uint64_t window_;  // how much of the ROM's end is seen below 1 MiB
  MappedFile rom_;
  KvmVm& vm_;
  const GuestMemory& memory_;
  Bus::Registration mapping_;
  std::vector<Piece> pieces_;
  std::vector<uint32_t> free_slots_;
  std::array<std::atomic<uint8_t>, ShadowMap::kSegments> segments_{};  // for accesses that leave the guest
};

}  // namespace lodge
