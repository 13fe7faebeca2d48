#include "libvirt-driver/config/config_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace lodge {
namespace {

const char* any_problem(std::string_view) { return nullptr; }

const char* path_problem(std::string_view text) {
  return text.starts_with('/') ? nullptr : "it must be a path that begins with '/'";
}

const char* path_or_none_problem(std::string_view text) { return text.empty() ? nullptr : path_problem(text); }

const char* name_problem(std::string_view text) {
  return text.empty() || text.find_first_of(" \t:/") != std::string_view::npos ? "it must be a name" : nullptr;
}

const char* address_problem(std::string_view text) {
  return text.empty() || text.find_first_of(" \t/") != std::string_view::npos ? "it must be an address of this host"
                                                                              : nullptr;
}

const char* vnc_password_problem(std::string_view text) {
  constexpr size_t kMost = 8;  // of VNC's authentication
  return text.size() > kMost ? "it must have at most 8 characters" : nullptr;
}

const char* key_secret_problem(std::string_view text) {
  return text.empty() ? nullptr
                      : "Lodge takes no key with a passphrase: write server-key.pem without one (certtool -k, openssl pkey) "
                        "and leave this out";
}

const char* port_problem(std::string_view text) {
  uint32_t port = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (code == std::errc{} && end == text.data() + text.size()) {
    return port >= 1 && port <= 65535 ? nullptr : "ports are 1 to 65535";
  }
  const bool digit_first = text.starts_with('-') || (!text.empty() && text[0] >= '0' && text[0] <= '9');
  return digit_first || name_problem(text) != nullptr ? "it must be a port's number or a service's name" : nullptr;
}

constexpr int32_t kMany = 100000;

constexpr std::array kKeys{
    ConfigKey{"listen_tls", BoolKey{&DaemonConfig::listen_tls}},
    ConfigKey{"listen_tcp", BoolKey{&DaemonConfig::listen_tcp}},
    ConfigKey{"tls_port", TextKey{&DaemonConfig::tls_port, port_problem}},
    ConfigKey{"tcp_port", TextKey{&DaemonConfig::tcp_port, port_problem}},
    ConfigKey{"listen_addr", TextKey{&DaemonConfig::listen_addr, any_problem}},
    ConfigKey{"unix_sock_group", TextKey{&DaemonConfig::unix_sock_group, name_problem}},
    ConfigKey{"unix_sock_ro_perms", ModeKey{&DaemonConfig::unix_sock_ro_perms}},
    ConfigKey{"unix_sock_rw_perms", ModeKey{&DaemonConfig::unix_sock_rw_perms}},
    ConfigKey{"unix_sock_dir", TextKey{&DaemonConfig::unix_sock_dir, path_problem}},
    ConfigKey{"auth_unix_ro", AuthKey{&DaemonConfig::auth_unix_ro, true}},
    ConfigKey{"auth_unix_rw", AuthKey{&DaemonConfig::auth_unix_rw, true}},
    ConfigKey{"auth_tcp", AuthKey{&DaemonConfig::auth_tcp, false}},
    ConfigKey{"auth_tls", AuthKey{&DaemonConfig::auth_tls, false}},
    ConfigKey{"tcp_min_ssf", NumberKey{&DaemonConfig::tcp_min_ssf, 56, 4096}},
    ConfigKey{"sasl_allowed_username_list", ListKey{&DaemonConfig::sasl_allowed_username_list}},
    ConfigKey{"key_file", TextKey{&DaemonConfig::key_file, path_problem}},
    ConfigKey{"cert_file", TextKey{&DaemonConfig::cert_file, path_problem}},
    ConfigKey{"ca_file", TextKey{&DaemonConfig::ca_file, path_problem}},
    ConfigKey{"crl_file", TextKey{&DaemonConfig::crl_file, path_or_none_problem}},
    ConfigKey{"tls_no_verify_certificate", BoolKey{&DaemonConfig::tls_no_verify_certificate}},
    ConfigKey{"tls_no_sanity_certificate", BoolKey{&DaemonConfig::tls_no_sanity_certificate}},
    ConfigKey{"tls_allowed_dn_list", ListKey{&DaemonConfig::tls_allowed_dn_list}},
    ConfigKey{"tls_priority", TextKey{&DaemonConfig::tls_priority, any_problem}},
    ConfigKey{"max_clients", NumberKey{&DaemonConfig::max_clients, 1, kMany}},
    ConfigKey{"max_queued_clients", NumberKey{&DaemonConfig::max_queued_clients, 1, kMany}},
    ConfigKey{"max_anonymous_clients", NumberKey{&DaemonConfig::max_anonymous_clients, 0, kMany}},
    ConfigKey{"min_workers", NumberKey{&DaemonConfig::min_workers, 1, 1000}},
    ConfigKey{"max_workers", NumberKey{&DaemonConfig::max_workers, 1, 1000}},
    ConfigKey{"prio_workers", NumberKey{&DaemonConfig::prio_workers, 1, 1000}},
    ConfigKey{"max_client_requests", NumberKey{&DaemonConfig::max_client_requests, 1, 10000}},
    ConfigKey{"keepalive_interval", NumberKey{&DaemonConfig::keepalive_interval, -1, 86400}},
    ConfigKey{"keepalive_count", NumberKey{&DaemonConfig::keepalive_count, 0, 10000}},
    ConfigKey{"log_level", NumberKey{&DaemonConfig::log_level, 1, 4}},
    ConfigKey{"log_outputs", LogOutputsKey{}},
    ConfigKey{"max_size", NumberKey{&DaemonConfig::max_size, 4096, INT32_MAX}},
    ConfigKey{"max_backups", NumberKey{&DaemonConfig::max_backups, 0, 32}},
    ConfigKey{"vnc_listen", TextKey{&DaemonConfig::vnc_listen, address_problem}},
    ConfigKey{"vnc_password", TextKey{&DaemonConfig::vnc_password, vnc_password_problem}},
    ConfigKey{"vnc_tls", BoolKey{&DaemonConfig::vnc_tls}},
    ConfigKey{"vnc_tls_x509_cert_dir", TextKey{&DaemonConfig::vnc_tls_x509_cert_dir, path_problem}},
    ConfigKey{"vnc_tls_x509_verify", BoolKey{&DaemonConfig::vnc_tls_x509_verify}},
    ConfigKey{"vnc_tls_x509_secret_uuid", TextKey{&DaemonConfig::vnc_tls_x509_secret_uuid, key_secret_problem}},
    ConfigKey{"remote_display_port_min", NumberKey{&DaemonConfig::remote_display_port_min, 1, 65535}},
    ConfigKey{"remote_display_port_max", NumberKey{&DaemonConfig::remote_display_port_max, 1, 65535}},
    ConfigKey{"host_uuid", HostUuidKey{}},
    ConfigKey{"host_uuid_source", HostUuidSourceKey{}},
    ConfigKey{"alias_qemu_socket", BoolKey{&DaemonConfig::alias_qemu_socket}},
    ConfigKey{"host_sock_dir", TextKey{&DaemonConfig::host_sock_dir, path_problem}},
    ConfigKey{"monitor_path", TextKey{&DaemonConfig::monitor_path, path_problem}},
    ConfigKey{"monitor_user", TextKey{&DaemonConfig::monitor_user, name_problem}},
    ConfigKey{"monitor_group", TextKey{&DaemonConfig::monitor_group, name_problem}},
    ConfigKey{"config_dir", TextKey{&DaemonConfig::config_dir, path_problem}},
    ConfigKey{"run_dir", TextKey{&DaemonConfig::run_dir, path_problem}},
    ConfigKey{"state_dir", TextKey{&DaemonConfig::state_dir, path_problem}},
    ConfigKey{"log_dir", TextKey{&DaemonConfig::log_dir, path_problem}},
};

std::string_view auth_name(AuthKind kind) {
  return kind == AuthKind::none ? "none" : kind == AuthKind::sasl ? "sasl" : "polkit";
}

std::string_view source_name(HostUuidSource source) { return source == HostUuidSource::smbios ? "smbios" : "machine-id"; }

std::string in_quotes(std::string_view text) { return fmt::format("\"{}\"", text); }

Result<std::string> text_of(std::string_view key, const ConfValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    return *text;
  }
  return fail("'{}' must be a string: {} = \"...\"", key, key);
}

Result<int64_t> number_of(std::string_view key, const ConfValue& value, int64_t least, int64_t most) {
  const auto* number = std::get_if<int64_t>(&value);
  if (number == nullptr) {
    return fail("'{}' must be a number from {} to {}, without quotes", key, least, most);
  }
  if (*number < least || *number > most) {
    return fail("'{}' is {}; {} to {} are possible", key, *number, least, most);
  }
  return *number;
}

// One function for each kind of key.
struct Setter {
  std::string_view key;
  const ConfValue& value;
  DaemonConfig& config;

  Result<void> operator()(const BoolKey& kind) const {
    config.*kind.member = TRY(number_of(key, value, 0, 1)) != 0;
    return {};
  }
  Result<void> operator()(const NumberKey& kind) const {
    config.*kind.member = static_cast<int32_t>(TRY(number_of(key, value, kind.least, kind.most)));
    return {};
  }
  Result<void> operator()(const TextKey& kind) const {
    const auto* number = std::get_if<int64_t>(&value);
    // Ports may be written without quotes.
    const bool as_number = number != nullptr && kind.problem == port_problem;
    std::string text = as_number ? fmt::format("{}", *number) : TRY(text_of(key, value));
    if (const char* problem = kind.problem(text)) {
      return fail("'{}' is \"{}\"; {}", key, text.substr(0, 200), problem);
    }
    config.*kind.member = std::move(text);
    return {};
  }
  Result<void> operator()(const ModeKey& kind) const {
    const std::string text = TRY(text_of(key, value));
    uint32_t mode = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), mode, 8);
    if (code != std::errc{} || end != text.data() + text.size() || mode > 0777) {
      return fail("'{}' is \"{}\"; it must be permissions in octal, up to \"0777\"", key, text.substr(0, 40));
    }
    config.*kind.member = mode;
    return {};
  }
  Result<void> operator()(const AuthKey& kind) const {
    const std::string text = TRY(text_of(key, value));
    for (const AuthKind auth : {AuthKind::none, AuthKind::sasl, AuthKind::polkit}) {
      if (text == auth_name(auth) && (auth != AuthKind::polkit || kind.polkit)) {
        config.*kind.member = auth;
        return {};
      }
    }
    return fail("'{}' is \"{}\"; \"none\"{} \"sasl\" are possible", key, text.substr(0, 40),
                kind.polkit ? ", \"polkit\" and" : " and");
  }
  Result<void> operator()(const ListKey& kind) const {
    const auto* list = std::get_if<std::vector<std::string>>(&value);
    if (list == nullptr) {
      return fail("'{}' must be a list: {} = [ \"...\", \"...\" ]", key, key);
    }
    config.*kind.member = *list;
    return {};
  }
  Result<void> operator()(const HostUuidKey&) const {
    const std::string text = TRY(text_of(key, value));
    config.host_uuid = parse_host_uuid(text);
    if (!config.host_uuid) {
      return fail("'{}' is \"{}\"; it must be a UUID whose digits are not all the same (uuidgen makes one)", key,
                  text.substr(0, 60));
    }
    return {};
  }
  Result<void> operator()(const HostUuidSourceKey&) const {
    const std::string text = TRY(text_of(key, value));
    for (const HostUuidSource source : {HostUuidSource::smbios, HostUuidSource::machine_id}) {
      if (text == source_name(source)) {
        config.host_uuid_source = source;
        return {};
      }
    }
    return fail("'{}' is \"{}\"; \"smbios\" and \"machine-id\" are possible", key, text.substr(0, 40));
  }
  Result<void> operator()(const LogOutputsKey&) const {
    config.log_outputs = TRY(parse_log_outputs(TRY(text_of(key, value)), config.log_level));
    return {};
  }
};

struct Printer {
  const DaemonConfig& config;

  std::string operator()(const BoolKey& kind) const { return config.*kind.member ? "1" : "0"; }
  std::string operator()(const NumberKey& kind) const { return fmt::format("{}", config.*kind.member); }
  std::string operator()(const TextKey& kind) const { return in_quotes(config.*kind.member); }
  std::string operator()(const ModeKey& kind) const { return fmt::format("\"{:04o}\"", config.*kind.member); }
  std::string operator()(const AuthKey& kind) const { return in_quotes(auth_name(config.*kind.member)); }
  std::string operator()(const ListKey& kind) const {
    std::string out;
    for (const std::string& item : (config.*kind.member).value_or(std::vector<std::string>{})) {
      out += (out.empty() ? "[ " : ", ") + in_quotes(item);
    }
    return out.empty() ? out : out + " ]";
  }
  std::string operator()(const HostUuidKey&) const {
    return config.host_uuid ? in_quotes(uuid_text(*config.host_uuid)) : std::string();
  }
  std::string operator()(const HostUuidSourceKey&) const { return in_quotes(source_name(config.host_uuid_source)); }
  std::string operator()(const LogOutputsKey&) const {
    std::string out;
    for (const LogOutput& output : config.log_outputs) {
      out += out.empty() ? "" : " ";
      out += fmt::format("{}:{}", output.level, output.path.empty() ? "stderr" : "file:" + output.path);
    }
    return in_quotes(out);
  }
};

}  // namespace

std::span<const ConfigKey> config_keys() { return kKeys; }

Result<void> set_config_key(const ConfigKey& key, const ConfValue& value, DaemonConfig& config) {
  return std::visit(Setter{key.name, value, config}, key.kind);
}

std::string config_key_text(const ConfigKey& key, const DaemonConfig& config) {
  return std::visit(Printer{config}, key.kind);
}

}  // namespace lodge
