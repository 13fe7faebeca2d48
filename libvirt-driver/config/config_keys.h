// The table of virtlodged.conf's keys: which member of DaemonConfig, and which values it takes. A new key is a member with
// its default, a row here, and its paragraph in configs/virtlodged.conf. Constant; any thread.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "libvirt-driver/config/conf_file.h"
#include "libvirt-driver/config/daemon_config.h"

namespace lodge {

struct NumberKey {
  int32_t DaemonConfig::* member;
  int32_t least;
  int32_t most;
};
struct TextKey {
  std::string DaemonConfig::* member;
  const char* (*problem)(std::string_view text);  // null: the text is fine
};
struct ModeKey {  // permissions, octal in a string
  uint32_t DaemonConfig::* member;
};
struct AuthKey {
  AuthKind DaemonConfig::* member;
  bool polkit;  // of local users
};
struct ListKey {
  std::optional<std::vector<std::string>> DaemonConfig::* member;
};
struct BoolKey {  // 0 or 1
  bool DaemonConfig::* member;
};
struct HostUuidKey {};
struct HostUuidSourceKey {};
struct LogOutputsKey {};

struct ConfigKey {
  std::string_view name;
  std::variant<BoolKey, NumberKey, TextKey, ModeKey, AuthKey, ListKey, HostUuidKey, HostUuidSourceKey, LogOutputsKey> kind;
};

// In the order of the file.
[[nodiscard]] std::span<const ConfigKey> config_keys();

// Errors name key, value and what is possible.
[[nodiscard]] Result<void> set_config_key(const ConfigKey& key, const ConfValue& value, DaemonConfig& config);

// The value as the file spells it; "" for an absent list or UUID.
[[nodiscard]] std::string config_key_text(const ConfigKey& key, const DaemonConfig& config);

}  // namespace lodge
