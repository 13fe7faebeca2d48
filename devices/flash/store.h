// FlashStore: the bytes of a flash, as memory that a guest can be shown, and the file that has them too, if there is one.
//
// Made on control; then used by one thread at a time (the device's mutex). The guest may read the memory while it changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace lodge {

struct FlashStoreOptions {
  Fd file;                      // open for reading and writing if `written_through`
  std::string path;             // for errors
  bool written_through = true;  // else the file is what the flash begins with, and changes stay in memory
  // The file that another process has locked is waited for this long.
  uint32_t lock_patience_ms = 1000;
};

class FlashStore {
 public:
  // Errors name the file, the cause and the remedy.
  [[nodiscard]] static Result<std::unique_ptr<FlashStore>> open(FlashStoreOptions options);
  ~FlashStore();
  FlashStore(const FlashStore&) = delete;
  FlashStore& operator=(const FlashStore&) = delete;

  [[nodiscard]] uint32_t size() const { return size_; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {host_, size_}; }
  [[nodiscard]] bool volatile_contents() const { return !options_.written_through; }
  [[nodiscard]] const Fd& file() const { return options_.file; }  // none with volatile contents
  [[nodiscard]] const std::string& path() const { return options_.path; }

  // The file first, then memory; false: the file could not take it, and nothing has changed. The range lies inside.
  [[nodiscard]] bool replace(uint32_t offset, std::span<const std::byte> bytes);
  // Memory only: a saved guest's bytes.
  void load(uint32_t offset, std::span<const std::byte> bytes);

 private:
  FlashStore(FlashStoreOptions options, std::byte* host, uint32_t size)
      : options_(std::move(options)), host_(host), size_(size) {}
  FlashStoreOptions options_;
  std::byte* host_;
  uint32_t size_;
};

}  // namespace lodge
