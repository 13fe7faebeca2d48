// SMBIOS structures (DMTF DSP0134 3.x): what dmidecode and management agents in the guest read.
// Called by the machine on the control thread before boot; pure functions.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/memory/guest_memory.h"
#include "base/result.h"

namespace lodge {

struct SmbiosConfig {
  std::string bios_vendor = "Lodge";
  std::string bios_version = "1";
  std::string bios_date = "01/01/2024";
  std::string manufacturer = "Lodge";
  std::string product = "Virtual machine";
  std::string version;
  std::string serial;
  std::string sku;
  std::string family;
  std::string chassis_manufacturer = "Lodge";
  std::string chassis_asset;
  std::string cpu_version = "virtual";
  std::vector<std::string> oem_strings;  // type 11, when there are any
  std::array<uint8_t, 16> uuid{};        // in the order of its text form
  uint64_t ram_size = 0;
  uint32_t sockets = 1;
  uint32_t cores_per_socket = 1;
  uint32_t threads_per_socket = 1;
};

struct SmbiosImage {
  std::array<std::byte, 24> entry64{};  // "_SM3_"
  std::array<std::byte, 31> entry32{};  // "_SM_"
  std::vector<std::byte> table;
};

// Fails when a string is too long or holds a zero byte, or the table outgrows its place.
[[nodiscard]] Result<SmbiosImage> build_smbios(const SmbiosConfig& config);
[[nodiscard]] Result<void> write_smbios(const GuestMemory& memory, const SmbiosImage& image);

}  // namespace lodge
