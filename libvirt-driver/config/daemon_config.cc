#include "libvirt-driver/config/daemon_config.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>

#include "base/fd.h"
#include "libvirt-driver/config/conf_file.h"
#include "libvirt-driver/config/config_keys.h"

namespace lodge {
namespace {

constexpr uint64_t kMaxFile = uint64_t{1} << 20;

// How many letters must be put in, taken out or changed to get from one to the other.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, change}));
    }
  }
  return row.back();
}

// "; did you mean 'a' or 'b'?", or where all are listed.
std::string suggestion(std::string_view key) {
  constexpr size_t kNear = 3;
  key = key.substr(0, 64);
  std::vector<std::pair<size_t, std::string_view>> near;
  for (const ConfigKey& candidate : config_keys()) {
    const size_t far = distance(key, candidate.name);
    const bool part = key.size() >= 3 && (candidate.name.find(key) != std::string_view::npos);
    if (far <= kNear || part) {
      near.emplace_back(far, candidate.name);
    }
  }
  std::sort(near.begin(), near.end());
  near.resize(std::min<size_t>(near.size(), 3));
  std::string out;
  for (const auto& [far, name] : near) {
    out += fmt::format("{}'{}'", out.empty() ? "; did you mean " : " or ", name);
  }
  return out.empty() ? "; virtlodged.conf as installed lists all" : out + "?";
}

Result<void> check_together(const DaemonConfig& config, std::string_view file) {
  if (config.min_workers > config.max_workers) {
    return fail("{}: min_workers ({}) is above max_workers ({})", file, config.min_workers, config.max_workers);
  }
  if (config.remote_display_port_min > config.remote_display_port_max) {
    return fail("{}: remote_display_port_min ({}) is above remote_display_port_max ({})", file,
                config.remote_display_port_min, config.remote_display_port_max);
  }
  if (config.max_anonymous_clients > config.max_clients) {
    return fail("{}: max_anonymous_clients ({}) is above max_clients ({})", file, config.max_anonymous_clients,
                config.max_clients);
  }
  if (config.listen_tcp && config.auth_tcp == AuthKind::polkit) {
    return fail("{}: auth_tcp cannot be \"polkit\", which knows local users only; \"sasl\" or \"none\" can", file);
  }
  return {};
}

}  // namespace

Result<DaemonConfig> parse_daemon_config(std::string_view text, std::string_view file) {
  DaemonConfig config;
  std::vector<ConfEntry> entries = TRY(parse_conf(text, file));
  // Outputs may leave out their level, which is log_level's wherever that stands in the file.
  const auto level = std::find_if(entries.begin(), entries.end(), [](const ConfEntry& e) { return e.key == "log_level"; });
  if (level != entries.end()) {
    std::rotate(entries.begin(), level, level + 1);
  }
  for (const ConfEntry& entry : entries) {
    const auto keys = config_keys();
    const auto key = std::find_if(keys.begin(), keys.end(), [&entry](const ConfigKey& k) { return k.name == entry.key; });
    if (key == keys.end()) {
      return fail("{}:{}: there is no key '{}'{}", file, entry.line, entry.key.substr(0, 64), suggestion(entry.key));
    }
    TRY_VOID_CONTEXT(set_config_key(*key, entry.value, config), fmt::format("{}:{}", file, entry.line));
  }
  if (std::none_of(entries.begin(), entries.end(), [](const ConfEntry& e) { return e.key == "log_outputs"; })) {
    config.log_outputs = {{config.log_level, ""}};
  }
  config.monitor_account_set = std::any_of(entries.begin(), entries.end(), [](const ConfEntry& e) {
    return e.key == "monitor_user" || e.key == "monitor_group";
  });
  TRY_VOID(check_together(config, file));
  return config;
}

Result<DaemonConfig> load_daemon_config(const std::string& file, bool must_exist) {
  auto text = read_file(file, kMaxFile);
  if (!text) {
    if (text.error().code == ENOENT && !must_exist) {
      return DaemonConfig{};
    }
    return std::unexpected(std::move(text).error());
  }
  return parse_daemon_config(*text, file);
}

Result<std::vector<LogOutput>> parse_log_outputs(std::string_view text, int default_level) {
  std::vector<LogOutput> out;
  for (size_t at = text.find_first_not_of(' '); at != std::string_view::npos; at = text.find_first_not_of(' ', at)) {
    const size_t end = std::min(text.find(' ', at), text.size());
    std::string_view item = text.substr(at, end - at);
    const std::string whole(item.substr(0, 200));
    at = end;
    LogOutput output{default_level, ""};
    if (item.size() > 1 && item[1] == ':' && item[0] >= '0' && item[0] <= '9') {
      output.level = item[0] - '0';
      item.remove_prefix(2);
    }
    if (output.level < 1 || output.level > 4) {
      return fail("log output '{}' has level {}; 1 (debug) to 4 (errors) are possible", whole, output.level);
    }
    if (item.starts_with("file:/")) {
      output.path = item.substr(5);
    } else if (item != "stderr") {
      return fail("log output '{}' is not possible; \"N:stderr\" (systemd keeps it in the journal) and \"N:file:/PATH\" are",
                  whole);
    }
    out.push_back(std::move(output));
  }
  return out;
}

std::vector<ConfigKeyHelp> daemon_config_keys() {
  const DaemonConfig defaults;
  std::vector<ConfigKeyHelp> out;
  for (const ConfigKey& key : config_keys()) {
    out.push_back({std::string(key.name), config_key_text(key, defaults)});
  }
  return out;
}

}  // namespace lodge
