// DaemonConfig: what virtlodged.conf sets. Keys that libvirtd.conf has too are spelled and meant the same; defaults are the
// values here, and configs/virtlodged.conf documents each. A value; read once at the start.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "libvirt-driver/access/access_rule.h"
#include "libvirt-driver/host/identity.h"

namespace lodge {

inline constexpr std::string_view kDaemonConfigFile = "/etc/libvirt/virtlodged.conf";
inline constexpr std::string_view kCrlFile = "/etc/pki/CA/cacrl.pem";  // the one that need not be there

using access::AuthKind;

// 1 debug, 2 information, 3 warnings, 4 errors
struct LogOutput {
  int level = 3;
  std::string path;  // empty: standard error, which systemd keeps in the journal
};

struct DaemonConfig {
  // Network. Off under systemd, whose socket units decide (the daemon takes the sockets it is given).
  bool listen_tls = false;
  bool listen_tcp = false;
  std::string tls_port = "16514";  // number or service name
  std::string tcp_port = "16509";
  std::string listen_addr;  // empty: all

  // Local sockets, when not given by systemd.
  std::string unix_sock_group = "libvirt";
  uint32_t unix_sock_ro_perms = 0777;
  uint32_t unix_sock_rw_perms = 0770;
  std::string unix_sock_dir = "/run/libvirt";

  // Who is asked who they are.
  AuthKind auth_unix_ro = AuthKind::none;
  AuthKind auth_unix_rw = AuthKind::none;
  AuthKind auth_tcp = AuthKind::sasl;
  AuthKind auth_tls = AuthKind::none;  // the certificate suffices
  int32_t tcp_min_ssf = 112;           // least strength of SASL's encryption on plain TCP, bits
  std::optional<std::vector<std::string>> sasl_allowed_username_list;  // patterns; absent: any

  std::string key_file = "/etc/pki/libvirt/private/serverkey.pem";
  std::string cert_file = "/etc/pki/libvirt/servercert.pem";
  std::string ca_file = "/etc/pki/CA/cacert.pem";
  std::string crl_file = std::string(kCrlFile);  // empty: none
  bool tls_no_verify_certificate = false;
  bool tls_no_sanity_certificate = false;
  std::optional<std::vector<std::string>> tls_allowed_dn_list;  // patterns; absent: any
  std::string tls_priority = "NORMAL";

  // Work.
  int32_t max_clients = 5000;
  int32_t max_queued_clients = 1000;
  int32_t max_anonymous_clients = 20;  // connected but not authenticated; 0: no limit of its own
  int32_t min_workers = 5;
  int32_t max_workers = 20;
  int32_t prio_workers = 5;
  int32_t max_client_requests = 5;
  int32_t keepalive_interval = 5;  // seconds; -1: never
  int32_t keepalive_count = 5;

  int32_t log_level = 3;  // for outputs that name none
  std::vector<LogOutput> log_outputs = {{3, ""}};

  // Guests' logs, as virtlogd.conf has them.
  int32_t max_size = 2 << 20;  // bytes; a full log's text moves into its backups
  int32_t max_backups = 3;

  // Guests' screens, as qemu.conf has them.
  std::string vnc_listen = "127.0.0.1";
  std::string vnc_password;  // empty: none
  bool vnc_tls = false;
  std::string vnc_tls_x509_cert_dir = "/etc/pki/libvirt-vnc";
  bool vnc_tls_x509_verify = false;
  std::string vnc_tls_x509_secret_uuid;  // always empty: there are no keys with a passphrase
  int32_t remote_display_port_min = 5900;
  int32_t remote_display_port_max = 65535;

  std::optional<HostUuid> host_uuid;
  HostUuidSource host_uuid_source = HostUuidSource::smbios;

  // Lodge's own.
  bool alias_qemu_socket = false;              // also answer at virtqemud-sock, so that tools treat us as qemu:///system
  std::string host_sock_dir = "/run/libvirt";  // where the host's own libvirt daemons listen
  std::string monitor_path = "/usr/libexec/lodge-vmm";
  std::string monitor_user = "lodge-vmm";
  std::string monitor_group = "kvm";
  bool monitor_account_set = false;                  // the file names one of them: it must exist
  std::string config_dir = "/etc/libvirt/lodge";     // definitions of guests
  std::string run_dir = "/run/libvirt/lodge";        // running guests: sockets, state
  std::string state_dir = "/var/lib/libvirt/lodge";  // saved guests, snapshots, firmware variables
  std::string log_dir = "/var/log/libvirt/lodge";    // one log for each guest
};

// Errors: "FILE:LINE: ..." for the first thing that is wrong. An unknown key is wrong; the message has the names near it.
[[nodiscard]] Result<DaemonConfig> parse_daemon_config(std::string_view text, std::string_view file);

// The same of a file. `must_exist` false: a file that is not there gives the defaults.
[[nodiscard]] Result<DaemonConfig> load_daemon_config(const std::string& file, bool must_exist);

// "2:stderr 1:file:/var/log/x.log"; level may be left out ("stderr"). Others of libvirt's kinds are refused by name.
[[nodiscard]] Result<std::vector<LogOutput>> parse_log_outputs(std::string_view text, int default_level);

// Every key with its default as the file would spell it (`"/run/libvirt"`, `5`); no default: "" (lists that are absent).
struct ConfigKeyHelp {
  std::string name;
  std::string default_text;
};
[[nodiscard]] std::vector<ConfigKeyHelp> daemon_config_keys();

}  // namespace lodge
