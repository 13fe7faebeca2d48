// The file of a saved guest: configuration, state records, RAM. Layout: docs/state-format.md.
//
// Writing blocks and takes long: on a thread of its own (save_job.h), with the guest quiet. Reading: on control, before the
// machine exists. A file is as hostile as a guest: every length is checked before anything is allocated.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/memory/guest_memory.h"
#include "base/state/record.h"

namespace lodge {

struct SaveOptions {
  bool ram_checksums = false;  // then a restore reads all of RAM before the guest runs
};

// Called now and then with the bytes of RAM that are done; false: give up.
using SaveProgressFn = std::function<bool(uint64_t done, uint64_t total)>;

// Writes the whole file to `fd` (empty, seekable). The header comes last: until then it is no saved guest.
[[nodiscard]] Result<void> write_saved_guest(int fd, std::string_view config, std::span<const std::byte> records,
                                             const GuestMemory& memory, const SaveOptions& options,
                                             const SaveProgressFn& progress);

class SavedGuest {
 public:
  // Errors name the file and what is wrong with it.
  [[nodiscard]] static Result<std::unique_ptr<SavedGuest>> open(const std::string& path);
  [[nodiscard]] static Result<std::unique_ptr<SavedGuest>> open(Fd fd, const std::string& name);

  [[nodiscard]] const std::string& config() const { return config_; }
  [[nodiscard]] const StateReader& state() const { return state_; }
  // Puts RAM in place: pages of the file appear when they are touched first, so the file must stay as it is (it may be
  // unlinked or replaced by another). Error: the machine's memory has another shape.
  [[nodiscard]] Result<void> load_ram(GuestMemory& memory) const;

 private:
  struct RamRegion {
    uint64_t base;
    uint64_t size;
    uint64_t offset;
    uint32_t crc;
  };
  SavedGuest() = default;
  [[nodiscard]] Result<void> read_all();
  [[nodiscard]] Result<void> check_ram(const RamRegion& region) const;

  Fd fd_;
  std::string name_;
  std::string config_;
  StateReader state_;
  std::vector<RamRegion> regions_;
  bool ram_checksums_ = false;
};

}  // namespace lodge
