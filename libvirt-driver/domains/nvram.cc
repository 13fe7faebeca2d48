#include "libvirt-driver/domains/nvram.h"

#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <unistd.h>

#include <filesystem>

#include "base/units.h"
#include "libvirt-driver/domains/store.h"

namespace lodge {
namespace {

constexpr uint64_t kMostTemplate = 8 * kMiB;

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// A new file, whole or not there at all.
Answer<void> make(const OsConfig& os, const std::optional<Account>& account) {
  if (os.nvram_template.empty()) {
    return call_error(VIR_ERR_OPERATION_FAILED,
                      "unable to find any master var store for loader: {}; name one by <nvram template='FILE'>", os.loader);
  }
  const auto begin = read_file(os.nvram_template, kMostTemplate);
  if (!begin) {
    return call_error(VIR_ERR_OPERATION_FAILED, "/domain/os/nvram/@template: {}", begin.error().message);
  }
  TRY_VOID(write_atomically(os.nvram, *begin, true));  // with mode 0600
  if (account && ::chown(os.nvram.c_str(), account->uid, account->gid) != 0) {
    return std::unexpected(CallError(fail_errno(errno, "give the file of UEFI variables '{}' away", os.nvram).error()));
  }
  return {};
}

}  // namespace

Answer<void> complete_uefi(DomainConfig& config, std::span<const UefiFirmware> firmwares, const std::string& folder) {
  OsConfig& os = config.os;
  if (!is_uefi(os)) {
    return {};
  }
  const UefiFirmware* found = choose_uefi(firmwares, os.firmware_features, os.loader);
  if (os.loader.empty()) {
    if (os.firmware != Firmware::efi) {
      return call_error(VIR_ERR_XML_ERROR, "/domain/os/loader: a loader of type 'pflash' needs a path");
    }
    if (found == nullptr) {
      return call_error(VIR_ERR_OPERATION_FAILED,
                        "Unable to find any firmware to satisfy 'efi'; install the package ovmf, or ask for fewer features "
                        "(there is no Secure Boot)");
    }
    os.loader = found->code;
    os.loader_readonly = YesNo::yes;
  }
  if (os.loader_type.empty()) {
    os.loader_type = "pflash";
  }
  if (os.nvram_template.empty() && found != nullptr) {
    os.nvram_template = found->vars_template;
  }
  if (os.nvram.empty() && os.loader_stateless != YesNo::yes) {
    os.nvram = fmt::format("{}/{}_VARS.fd", folder, config.name);
  }
  return {};
}

Answer<Fd> open_nvram(const OsConfig& os, bool afresh, const std::optional<Account>& account) {
  if (afresh || !exists(os.nvram)) {
    const std::string folder = std::filesystem::path(os.nvram).parent_path();
    if (!exists(folder)) {
      TRY_VOID(make_folder(folder, 0711));
    }
    TRY_VOID(make(os, account));
  }
  auto fd = open_file(os.nvram, O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (!fd) {
    return call_error(VIR_ERR_OPERATION_FAILED, "/domain/os/nvram: {}", fd.error().message);
  }
  return std::move(*fd);
}

Answer<void> check_undefine_nvram(const OsConfig& os, uint32_t flags) {
  const bool remove = (flags & VIR_DOMAIN_UNDEFINE_NVRAM) != 0;
  const bool keep = (flags & VIR_DOMAIN_UNDEFINE_KEEP_NVRAM) != 0;
  if (remove && keep) {
    return call_error(VIR_ERR_OPERATION_INVALID, "cannot both keep and delete nvram");
  }
  if (!os.nvram.empty() && exists(os.nvram) && !remove && !keep) {
    return call_error(VIR_ERR_OPERATION_INVALID, "cannot undefine domain with nvram");
  }
  return {};
}

Answer<void> remove_nvram(const OsConfig& os, uint32_t flags) {
  if (!os.nvram.empty() && (flags & VIR_DOMAIN_UNDEFINE_NVRAM) != 0 && ::unlink(os.nvram.c_str()) != 0 && errno != ENOENT) {
    return std::unexpected(CallError(fail_errno(errno, "failed to remove nvram: {}", os.nvram).error()));
  }
  return {};
}

}  // namespace lodge
