#include "libvirt-driver/host/identity.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/fd.h"
#include "base/hex.h"
#include "libvirt-driver/host/files.h"
#include "libvirt-driver/xml/xml_writer.h"

namespace lodge {
namespace {

bool is_localhost(std::string_view name) { return name.empty() || name.starts_with("localhost"); }

std::optional<HostUuid> uuid_of(const std::string& file) {
  const auto text = host::read_text_if_there(file);
  return text ? parse_host_uuid(*text) : std::nullopt;
}

// A random UUID, kept in a file so that it stays.
Answer<HostUuid> remembered_uuid(const HostPaths& paths) {
  const std::string file = paths.state + "/host-uuid";
  if (const auto known = uuid_of(file)) {
    return *known;
  }
  HostUuid uuid{};
  if (::getrandom(uuid.data(), uuid.size(), 0) != static_cast<ssize_t>(uuid.size())) {
    return call_error(VIR_ERR_INTERNAL_ERROR, "the kernel gave no random numbers for a host UUID");
  }
  uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0fU) | 0x40U);  // version 4
  uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3fU) | 0x80U);
  const std::string what = fmt::format(
      "this host has no UUID of its own (no product_uuid, no machine-id) and none can be kept in {}; set host_uuid", file);
  const std::string temporary = fmt::format("{}.{}", file, ::getpid());
  const Fd fd = TRY_CONTEXT(open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0644), what);
  TRY_VOID_CONTEXT(write_all(fd.get(), uuid_text(uuid) + "\n"), what);
  // link() does not replace: of two daemons that start at once the second takes what the first has written.
  if (::fsync(fd.get()) != 0 || (::link(temporary.c_str(), file.c_str()) != 0 && errno != EEXIST)) {
    const int code = errno;
    ::unlink(temporary.c_str());
    return std::unexpected(CallError(fail_errno(code, "{}", what).error()));
  }
  ::unlink(temporary.c_str());
  if (const auto kept = uuid_of(file)) {
    return *kept;
  }
  return call_error(VIR_ERR_INTERNAL_ERROR, "{} does not hold a UUID; remove it or set host_uuid", file);
}

struct SysinfoEntry {
  const char* name;
  const char* file;
};
struct SysinfoGroup {
  const char* element;
  std::initializer_list<SysinfoEntry> entries;
};

}  // namespace

std::optional<std::string> canonical_name(const std::string& name) {
  addrinfo hints{};
  hints.ai_flags = AI_CANONNAME;
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(name.c_str(), nullptr, &hints, &found) != 0) {
    return std::nullopt;
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  return found->ai_canonname != nullptr ? std::optional<std::string>(found->ai_canonname) : std::nullopt;
}

Answer<std::string> host_name(const HostPaths& paths, const NameResolver& resolve) {
  std::string name = TRY(host::read_text(paths.proc + "/sys/kernel/hostname"));
  if (is_localhost(name)) {
    const std::string configured = host::read_text_if_there(paths.etc + "/hostname").value_or("");
    if (!is_localhost(configured) && configured.find_first_of(" \t\n") == std::string::npos) {
      name = configured;
    }
  }
  if (name.empty()) {
    return call_error(VIR_ERR_INTERNAL_ERROR, "the host has no name; give it one with hostname(1)");
  }
  if (name.find('.') != std::string::npos && !is_localhost(name)) {
    return name;
  }
  auto canonical = resolve(name);
  return canonical && !is_localhost(*canonical) ? std::move(*canonical) : name;
}

std::optional<HostUuid> parse_host_uuid(std::string_view text) {
  HostUuid uuid{};
  size_t digits = 0;
  for (const char c : text) {
    if (c == '-') {
      continue;
    }
    const int digit = hex_digit(c);
    if (digit < 0 || digits == 32) {
      return std::nullopt;
    }
    uuid[digits / 2] = static_cast<uint8_t>(uuid[digits / 2] << 4 | digit);
    ++digits;
  }
  // Firmware that nobody filled in says all zeros, all ones, or one digit again and again.
  const bool unset = std::all_of(uuid.begin(), uuid.end(), [&uuid](uint8_t byte) { return byte == uuid[0]; }) &&
                     uuid[0] >> 4 == (uuid[0] & 0xf);
  if (digits != 32 || unset) {
    return std::nullopt;
  }
  return uuid;
}

std::string uuid_text(const HostUuid& uuid) {
  std::string out;
  for (size_t i = 0; i < uuid.size(); ++i) {
    out += i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "";
    out += fmt::format("{:02x}", uuid[i]);
  }
  return out;
}

Answer<HostUuid> host_uuid(const HostPaths& paths, HostUuidSource source) {
  if (source == HostUuidSource::smbios) {
    if (const auto uuid = uuid_of(paths.sys + "/class/dmi/id/product_uuid")) {
      return *uuid;
    }
  }
  if (const auto uuid = uuid_of(paths.etc + "/machine-id")) {
    return *uuid;
  }
  return remembered_uuid(paths);
}

Answer<std::string> sysinfo_xml(const HostPaths& paths) {
  const std::string dir = paths.sys + "/class/dmi/id/";
  if (!host::exists(dir)) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "Host SMBIOS information is not available");
  }
  const std::initializer_list<SysinfoGroup> groups = {
      {"bios", {{"vendor", "bios_vendor"}, {"version", "bios_version"}, {"date", "bios_date"}, {"release", "bios_release"}}},
      {"system",
       {{"manufacturer", "sys_vendor"},
        {"product", "product_name"},
        {"version", "product_version"},
        {"serial", "product_serial"},
        {"uuid", "product_uuid"},
        {"sku", "product_sku"},
        {"family", "product_family"}}},
      {"baseBoard",
       {{"manufacturer", "board_vendor"},
        {"product", "board_name"},
        {"version", "board_version"},
        {"serial", "board_serial"},
        {"asset", "board_asset_tag"}}},
      {"chassis",
       {{"manufacturer", "chassis_vendor"},
        {"version", "chassis_version"},
        {"serial", "chassis_serial"},
        {"asset", "chassis_asset_tag"}}}};
  XmlWriter xml;
  xml.begin("sysinfo", {{"type", "smbios"}});
  for (const SysinfoGroup& group : groups) {
    bool opened = false;
    for (const SysinfoEntry& entry : group.entries) {
      const auto value = host::read_text_if_there(dir + entry.file);
      if (!value || value->empty()) {
        continue;
      }
      if (!opened) {
        xml.begin(group.element);
        opened = true;
      }
      xml.element("entry", *value, {{"name", entry.name}});
    }
    if (opened) {
      xml.end();
    }
  }
  xml.end();
  return xml.str();
}

}  // namespace lodge
