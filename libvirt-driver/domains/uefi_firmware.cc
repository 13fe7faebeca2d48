#include "libvirt-driver/domains/uefi_firmware.h"

#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "base/fd.h"
#include "base/log.h"
#include "libvirt-driver/domains/json.h"
#include "libvirt-driver/host/offered.h"

namespace lodge {
namespace {

constexpr uint64_t kMostBytes = 64 * 1024;         // of a descriptor
constexpr const char* kQemusPc = "pc-i440fx-7.2";  // descriptors name machines as QEMU does

// Texts of a list; what is no text is left out.
std::vector<std::string> texts(const Json& object, const char* name) {
  std::vector<std::string> found;
  const Json& list = member_in(object, name);
  for (const Json& item : list.is_array() ? list : Json::array()) {
    if (item.is_string()) {
      found.push_back(item.get<std::string>());
    }
  }
  return found;
}

bool has(const std::vector<std::string>& list, std::string_view what) { return std::ranges::find(list, what) != list.end(); }

bool for_our_pc(const Json& descriptor) {
  const auto ours = [](const std::string& machine) {
    return machine == "pc" || ::fnmatch(machine.c_str(), kQemusPc, 0) == 0;
  };
  return std::ranges::any_of(objects_in(member_in(descriptor, "targets")), [&ours](const Json& target) {
    return text_in(target, "architecture") == offered::kArch && std::ranges::any_of(texts(target, "machines"), ours);
  });
}

// The file of a part of the mapping; empty: none, or none that is raw.
std::string raw_file(const Json& mapping, const char* part) {
  const Json& file = member_in(mapping, part);
  return text_in(file, "format") == "raw" ? text_in(file, "filename") : std::string();
}

}  // namespace

std::vector<std::string> firmware_folders() { return {"/usr/share/qemu/firmware", "/etc/qemu/firmware"}; }

Result<std::optional<UefiFirmware>> parse_firmware(std::string_view text, const std::string& file) {
  const Json descriptor = parse_json(text);
  if (!descriptor.is_object()) {
    return fail("{} is no firmware descriptor: it is not an object in JSON", file);
  }
  const Json& mapping = member_in(descriptor, "mapping");
  const std::string mode = text_in(mapping, "mode");
  if (!has(texts(descriptor, "interface-types"), "uefi") || !for_our_pc(descriptor) ||
      text_in(mapping, "device") != "flash" || (!mode.empty() && mode != "split")) {
    return std::nullopt;
  }
  UefiFirmware firmware{.descriptor = file,
                        .code = raw_file(mapping, "executable"),
                        .vars_template = raw_file(mapping, "nvram-template"),
                        .features = texts(descriptor, "features")};
  // There is no system management mode, and so nothing that could keep Secure Boot's variables from the guest.
  const bool needs_smm = has(firmware.features, "requires-smm") || has(firmware.features, "secure-boot");
  if (!firmware.code.starts_with('/') || !firmware.vars_template.starts_with('/') || needs_smm) {
    return std::nullopt;
  }
  return firmware;
}

std::vector<UefiFirmware> installed_uefi(std::span<const std::string> folders) {
  std::map<std::string, std::string> files;  // paths by name
  for (const std::string& folder : folders) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      if (entry.path().extension() == ".json" && !entry.path().filename().string().starts_with('.')) {
        files[entry.path().filename()] = entry.path();
      }
    }
  }
  std::vector<UefiFirmware> found;
  for (const auto& [name, path] : files) {
    const auto text = read_file(path, kMostBytes);
    if (text && text->empty()) {
      continue;
    }
    auto firmware = text ? parse_firmware(*text, path) : Result<std::optional<UefiFirmware>>(std::unexpected(text.error()));
    if (!firmware) {
      log_warning("firmware", "{}; it is left out", firmware.error().message);
    } else if (*firmware) {
      found.push_back(std::move(**firmware));
    }
  }
  return found;
}

const UefiFirmware* choose_uefi(std::span<const UefiFirmware> firmwares, std::span<const FirmwareFeature> features,
                                std::string_view code) {
  const auto fits = [&](const UefiFirmware& firmware) {
    const bool as_wanted = std::ranges::all_of(features, [&firmware](const FirmwareFeature& feature) {
      return feature.enabled == YesNo::absent || has(firmware.features, feature.name) == (feature.enabled == YesNo::yes);
    });
    return as_wanted && (code.empty() || firmware.code == code);
  };
  const auto it = std::ranges::find_if(firmwares, fits);
  return it != firmwares.end() ? &*it : nullptr;
}

}  // namespace lodge
