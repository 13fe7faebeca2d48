#include "vmm/boot/smbios.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "base/uuid.h"
#include "vmm/boot/layout.h"

namespace lodge {
namespace {

constexpr size_t kMaxString = 1024;
constexpr uint16_t kNone = 0xfffe;  // "no handle" for error information
constexpr uint16_t kSystemHandle = 0x100;
constexpr uint16_t kChassisHandle = 0x300;
constexpr uint16_t kProcessorHandle = 0x400;
constexpr uint16_t kArrayHandle = 0x1000;
constexpr uint16_t kDeviceHandle = 0x1100;
constexpr uint16_t kMappedHandle = 0x1300;

// One structure: numbers appended in order, strings collected behind it.
class Structure {
 public:
  Structure(uint8_t type, uint16_t handle) { u8(type).u8(0).u16(handle); }
  Structure& u8(uint64_t value) { return put(value, 1); }
  Structure& u16(uint64_t value) { return put(value, 2); }
  Structure& u32(uint64_t value) { return put(value, 4); }
  Structure& u64(uint64_t value) { return put(value, 8); }
  Structure& text(std::string_view value) {
    if (value.empty()) {
      return u8(0);
    }
    strings_.append(value).push_back('\0');
    return u8(++count_);
  }
  // Strings that no field refers to (type 11 counts them only). An empty one would end the list.
  Structure& strings_only(const std::vector<std::string>& values) {
    for (const std::string& value : values) {
      strings_.append(value.empty() ? " " : value).push_back('\0');
    }
    return *this;
  }
  void finish(std::vector<std::byte>& table) {
    bytes_[1] = static_cast<std::byte>(bytes_.size());
    if (strings_.empty()) {
      strings_.push_back('\0');
    }
    strings_.push_back('\0');
    table.insert(table.end(), bytes_.begin(), bytes_.end());
    for (const char c : strings_) {
      table.push_back(static_cast<std::byte>(c));
    }
  }

 private:
  Structure& put(uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; ++i) {
      bytes_.push_back(static_cast<std::byte>(value >> (8 * i)));
    }
    return *this;
  }
  std::vector<std::byte> bytes_;
  std::string strings_;
  uint8_t count_ = 0;
};

Result<void> check_strings(const SmbiosConfig& config) {
  const auto check = [](std::string_view text) -> Result<void> {
    if (text.size() > kMaxString || text.find('\0') != std::string_view::npos) {
      return fail("SMBIOS string '{}...' is longer than {} characters or holds a zero byte", text.substr(0, 20), kMaxString);
    }
    return {};
  };
  for (const std::string* text : {&config.bios_vendor, &config.bios_version, &config.bios_date, &config.manufacturer,
                                  &config.product, &config.version, &config.serial, &config.sku, &config.family,
                                  &config.chassis_manufacturer, &config.chassis_asset, &config.cpu_version}) {
    TRY_VOID(check(*text));
  }
  for (const std::string& text : config.oem_strings) {
    TRY_VOID(check(text));
  }
  if (config.oem_strings.size() > 255) {
    return fail("SMBIOS: {} OEM strings; 255 fit", config.oem_strings.size());
  }
  return {};
}

void add_bios(std::vector<std::byte>& table, const SmbiosConfig& config) {
  Structure bios(0, 0);
  bios.text(config.bios_vendor).text(config.bios_version).u16(0xe800).text(config.bios_date).u8(0);
  bios.u64(1U << 3).u8(0x01).u8(0x14);  // no characteristics; ACPI; targeted content distribution, virtual machine
  bios.u8(0).u8(0).u8(0xff).u8(0xff);   // releases: none stated
  bios.finish(table);
}

void add_system(std::vector<std::byte>& table, const SmbiosConfig& config) {
  constexpr uint8_t kWakeUpPowerSwitch = 6;
  Structure system(1, kSystemHandle);
  system.text(config.manufacturer).text(config.product).text(config.version).text(config.serial);
  for (const uint8_t byte : memory_order(config.uuid)) {
    system.u8(byte);
  }
  system.u8(kWakeUpPowerSwitch).text(config.sku).text(config.family);
  system.finish(table);
}

void add_chassis(std::vector<std::byte>& table, const SmbiosConfig& config) {
  Structure chassis(3, kChassisHandle);
  chassis.text(config.chassis_manufacturer).u8(1).text(config.version).text(config.serial).text(config.chassis_asset);
  chassis.u8(3).u8(3).u8(3).u8(2).u32(0).u8(0).u8(0).u8(0).u8(0).u8(0);  // states safe; no contained elements; no SKU
  chassis.finish(table);
}

void add_processor(std::vector<std::byte>& table, const SmbiosConfig& config, uint32_t socket) {
  constexpr uint16_t kNoCache = 0xffff;
  constexpr uint16_t k64BitMultiCore = 0x000c;
  Structure cpu(4, static_cast<uint16_t>(kProcessorHandle + socket));
  const auto short_count = [](uint32_t count) { return std::min<uint32_t>(count, 0xff); };
  cpu.text("CPU " + std::to_string(socket)).u8(3).u8(1).text(config.manufacturer).u64(0).text(config.cpu_version);
  cpu.u8(0).u16(0).u16(0).u16(0).u8(0x41).u8(1);  // populated and enabled, upgrade "other"
  cpu.u16(kNoCache).u16(kNoCache).u16(kNoCache).u8(0).u8(0).u8(0);
  cpu.u8(short_count(config.cores_per_socket))
      .u8(short_count(config.cores_per_socket))
      .u8(short_count(config.threads_per_socket));
  cpu.u16(k64BitMultiCore).u16(1);
  cpu.u16(config.cores_per_socket).u16(config.cores_per_socket).u16(config.threads_per_socket);
  cpu.finish(table);
}

void add_memory(std::vector<std::byte>& table, const SmbiosConfig& config) {
  constexpr uint64_t kDeviceSize = 16 * kGiB;
  constexpr uint64_t kMaxDevices = 64;
  // Few devices even for huge guests: the table has 64 KiB.
  const uint64_t device_size = std::max(kDeviceSize, align_up((config.ram_size + kMaxDevices - 1) / kMaxDevices, kGiB));
  const uint64_t devices = std::max<uint64_t>(1, (config.ram_size + device_size - 1) / device_size);
  Structure array(16, kArrayHandle);
  array.u8(1).u8(3).u8(6);  // other location, system memory, multi-bit ECC
  array.u32(0x80000000).u16(kNone).u16(devices).u64(config.ram_size);
  array.finish(table);
  for (uint64_t i = 0; i < devices; ++i) {
    const uint64_t mib = std::min(device_size, config.ram_size - i * device_size) / kMiB;
    Structure device(17, static_cast<uint16_t>(kDeviceHandle + i));
    device.u16(kArrayHandle).u16(kNone).u16(0xffff).u16(0xffff).u16(mib < 0x7fff ? mib : 0x7fff);
    device.u8(9).u8(0).text("DIMM " + std::to_string(i)).u8(0).u8(7).u16(2).u16(0);  // DIMM, RAM, other detail
    device.text(config.manufacturer).u8(0).u8(0).u8(0).u8(0).u32(mib < 0x7fff ? 0 : mib).u16(0).u16(0).u16(0).u16(0);
    device.finish(table);
  }
  const auto map = [&table, devices](uint16_t handle, uint64_t base, uint64_t end) {
    Structure range(19, handle);
    range.u32(0xffffffff).u32(0xffffffff).u16(kArrayHandle).u8(devices).u64(base).u64(end - 1);
    range.finish(table);
  };
  map(kMappedHandle, 0, low_ram_end(config.ram_size));
  if (high_ram_end(config.ram_size) > kHighRamStart) {
    map(kMappedHandle + 1, kHighRamStart, high_ram_end(config.ram_size));
  }
}

template <size_t N>
void put(std::array<std::byte, N>& out, size_t at, uint64_t value, unsigned size) {
  for (unsigned i = 0; i < size; ++i) {
    out[at + i] = static_cast<std::byte>(value >> (8 * i));
  }
}

template <size_t N>
void seal(std::array<std::byte, N>& out, size_t checksum_at, size_t first, size_t length) {
  unsigned sum = 0;
  for (size_t i = first; i < first + length; ++i) {
    sum += std::to_integer<unsigned>(out[i]);
  }
  out[checksum_at] = static_cast<std::byte>(0x100 - (sum & 0xff));
}

// Longest structure with its strings, which the 2.x entry point states.
size_t longest_structure(std::span<const std::byte> table, size_t& count) {
  size_t longest = 0;
  count = 0;
  for (size_t at = 0; at < table.size(); ++count) {
    size_t end = at + std::to_integer<size_t>(table[at + 1]);
    while (table[end] != std::byte{0} || table[end + 1] != std::byte{0}) {
      ++end;
    }
    end += 2;
    longest = std::max(longest, end - at);
    at = end;
  }
  return longest;
}

}  // namespace

Result<SmbiosImage> build_smbios(const SmbiosConfig& config) {
  TRY_VOID(check_strings(config));
  SmbiosImage image;
  std::vector<std::byte>& table = image.table;
  add_bios(table, config);
  add_system(table, config);
  add_chassis(table, config);
  constexpr uint32_t kMaxSockets = 256;  // more say nothing new to anyone and would outgrow the table
  for (uint32_t socket = 0; socket < std::min(config.sockets, kMaxSockets); ++socket) {
    add_processor(table, config, socket);
  }
  if (!config.oem_strings.empty()) {
    Structure oem(11, 0xb00);
    oem.u8(config.oem_strings.size()).strings_only(config.oem_strings);
    oem.finish(table);
  }
  add_memory(table, config);
  Structure boot(32, 0x2000);
  boot.u16(0).u32(0).u8(0);  // reserved, then "no errors"
  boot.finish(table);
  Structure end(127, 0x7f00);
  end.finish(table);
  if (table.size() > kSmbiosEnd - kSmbiosTable.value) {
    return fail("SMBIOS tables of {} KiB do not fit; shorten the strings", table.size() / kKiB);
  }

  std::array<std::byte, 24>& e64 = image.entry64;
  std::copy_n(bytes_of("_SM3_").begin(), 5, e64.begin());
  put(e64, 6, e64.size(), 1);
  put(e64, 7, 3, 1);  // version 3.0, document revision 0
  put(e64, 10, 1, 1);
  put(e64, 12, table.size(), 4);
  put(e64, 16, kSmbiosTable.value, 8);
  seal(e64, 5, 0, e64.size());

  std::array<std::byte, 31>& e32 = image.entry32;
  size_t count = 0;
  const size_t longest = longest_structure(table, count);
  std::copy_n(bytes_of("_SM_").begin(), 4, e32.begin());
  put(e32, 5, e32.size(), 1);
  put(e32, 6, 2, 1);
  put(e32, 7, 8, 1);
  put(e32, 8, longest, 2);
  std::copy_n(bytes_of("_DMI_").begin(), 5, e32.begin() + 16);
  put(e32, 22, table.size(), 2);
  put(e32, 24, kSmbiosTable.value, 4);
  put(e32, 28, count, 2);
  put(e32, 30, 0x28, 1);
  seal(e32, 21, 16, 15);
  seal(e32, 4, 0, e32.size());
  return image;
}

Result<void> write_smbios(const GuestMemory& memory, const SmbiosImage& image) {
  TRY_VOID_CONTEXT(memory.write_bytes(kSmbiosEntry, image.entry64), "write SMBIOS");
  TRY_VOID_CONTEXT(memory.write_bytes(kSmbiosEntry32, image.entry32), "write SMBIOS");
  TRY_VOID_CONTEXT(memory.write_bytes(kSmbiosTable, image.table), "write SMBIOS");
  return {};
}

}  // namespace lodge
