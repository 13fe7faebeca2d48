#include "libvirt-driver/config/daemon_config.h"

#include <catch2/catch.hpp>
#include <set>

#include "base/fd.h"
#include "libvirt-driver/config/conf_file.h"

namespace lodge {
namespace {

std::string source_root() { return LODGE_TREE; }

DaemonConfig read(std::string_view text) {
  const auto config = parse_daemon_config(text, "v.conf");
  INFO((config ? "" : config.error().message));
  REQUIRE(config);
  return *config;
}

std::string error_of(std::string_view text) {
  INFO(text);
  const auto config = parse_daemon_config(text, "v.conf");
  REQUIRE(!config);
  return config.error().message;
}

}  // namespace

TEST_CASE("keys_set_their_members") {
  const DaemonConfig config = read(
      "listen_tls = 1\ntls_port = \"https\"\ntcp_port = 16600\nunix_sock_rw_perms = \"0660\"\nauth_unix_rw = \"polkit\"\n"
      "auth_tls = \"sasl\"\ntls_allowed_dn_list = [ \"CN=a\", \"CN=b\" ]\nsasl_allowed_username_list = []\n"
      "max_workers = 40\nkeepalive_interval = -1\nlog_outputs = \"1:file:/var/log/a.log stderr\"\nlog_level = 2\n"
      "host_uuid = \"01234567-89ab-cdef-0123-456789abcdef\"\nhost_uuid_source = \"machine-id\"\nalias_qemu_socket = 1\n"
      "monitor_path = \"/opt/lodge-vmm\"\ncrl_file = \"\"\n");
  CHECK(config.listen_tls);
  CHECK(config.tls_port == "https");
  CHECK(config.tcp_port == "16600");
  CHECK(config.unix_sock_rw_perms == 0660);
  CHECK(config.auth_unix_rw == AuthKind::polkit);
  CHECK(config.auth_tls == AuthKind::sasl);
  CHECK(config.tls_allowed_dn_list == std::vector<std::string>{"CN=a", "CN=b"});
  CHECK(config.sasl_allowed_username_list == std::vector<std::string>{});  // nobody, which is not "anybody"
  CHECK(config.max_workers == 40);
  CHECK(config.keepalive_interval == -1);
  REQUIRE(config.log_outputs.size() == 2);
  CHECK(config.log_outputs[0].level == 1);
  CHECK(config.log_outputs[0].path == "/var/log/a.log");
  CHECK(config.log_outputs[1].level == 2);  // log_level's, although that comes later
  CHECK(config.log_outputs[1].path.empty());
  CHECK(uuid_text(config.host_uuid.value()) == "01234567-89ab-cdef-0123-456789abcdef");
  CHECK(config.host_uuid_source == HostUuidSource::machine_id);
  CHECK(config.alias_qemu_socket);
  CHECK(config.monitor_path == "/opt/lodge-vmm");
}

TEST_CASE("log_level_rules_the_default_output") { CHECK(read("log_level = 1").log_outputs.at(0).level == 1); }

TEST_CASE("unknown_keys_are_refused_with_names_near_them") {
  CHECK(error_of("\nlisten_tsl = 1") ==
        "v.conf:2: there is no key 'listen_tsl'; did you mean 'listen_tcp' or 'listen_tls'?");
  CHECK(error_of("workers = 1").find("'max_workers'") != std::string::npos);
  CHECK(error_of("admin_min_workers = 1").find("there is no key") != std::string::npos);
  CHECK(error_of("zzzzzzzzzzzzzzz = 1").find("lists all") != std::string::npos);
}

TEST_CASE("values_of_another_type_or_out_of_range_are_refused_by_line") {
  for (const char* text : {"listen_tls = 2",
                           "listen_tls = \"1\"",
                           "max_clients = 0",
                           "max_clients = \"5\"",
                           "min_workers = -1",
                           "prio_workers = 1001",
                           "log_level = 5",
                           "tcp_min_ssf = 10",
                           "tls_port = \"0\"",
                           "tls_port = \"70000\"",
                           "tls_port = \"1x\"",
                           "tls_port = \"\"",
                           "unix_sock_ro_perms = 777",
                           "unix_sock_ro_perms = \"0888\"",
                           "unix_sock_ro_perms = \"1777\"",
                           "unix_sock_dir = \"run\"",
                           "auth_tcp = \"polkit\"",
                           "auth_unix_ro = \"magic\"",
                           "auth_unix_ro = 1",
                           "tls_allowed_dn_list = \"CN=a\"",
                           "host_uuid = \"00000000-0000-0000-0000-000000000000\"",
                           "host_uuid = \"x\"",
                           "host_uuid_source = \"dice\"",
                           "log_outputs = \"3:syslog:x\"",
                           "log_outputs = \"9:stderr\"",
                           "log_outputs = \"1:file:relative\"",
                           "monitor_user = \"\"",
                           "unix_sock_group = \"a b\"",
                           "listen_addr = 5"}) {
    const std::string message = error_of(std::string("# one\n") + text);
    INFO(message);
    CHECK(message.starts_with("v.conf:2: "));
  }
}

TEST_CASE("keys_that_do_not_go_together_are_refused") {
  CHECK(error_of("min_workers = 9\nmax_workers = 8").find("above max_workers") != std::string::npos);
  CHECK(error_of("max_clients = 5").find("max_anonymous_clients (20) is above max_clients (5)") != std::string::npos);
}

TEST_CASE("vnc_over_tls_is_as_in_qemu_conf") {
  const DaemonConfig config =
      read("vnc_tls = 1\nvnc_tls_x509_cert_dir = \"/etc/x\"\nvnc_tls_x509_verify = 1\nvnc_tls_x509_secret_uuid = \"\"");
  CHECK(config.vnc_tls);
  CHECK(config.vnc_tls_x509_cert_dir == "/etc/x");
  CHECK(config.vnc_tls_x509_verify);
  CHECK(!DaemonConfig{}.vnc_tls_x509_verify);
  CHECK(error_of("vnc_tls_x509_secret_uuid = \"01234567-89ab-cdef-0123-456789abcdef\"").find("passphrase") !=
        std::string::npos);
}

TEST_CASE("a_missing_file_is_an_error_or_the_defaults") {
  const std::string none = "/nonexistent/virtlodged.conf";
  CHECK(load_daemon_config(none, false)->max_workers == DaemonConfig{}.max_workers);
  const auto error = load_daemon_config(none, true);
  REQUIRE(!error);
  CHECK(error.error().message.find(none) != std::string::npos);
  CHECK(!load_daemon_config("/", false));  // there, but no file
}

TEST_CASE("installed_file_shows_every_key_with_its_default") {
  const std::string text = read_file(source_root() + "/configs/virtlodged.conf", 1 << 20).value();
  REQUIRE(parse_daemon_config(text, "virtlodged.conf"));
  CHECK(parse_conf(text, "virtlodged.conf")->empty());  // all commented out: as installed it changes nothing
  std::set<std::string> shown;
  for (const ConfigKeyHelp& key : daemon_config_keys()) {
    INFO(key.name);
    shown.insert(key.name);
    const std::string line = "\n#" + key.name + " = ";
    const size_t at = text.find(line);
    REQUIRE(at != std::string::npos);
    if (!key.default_text.empty()) {
      const size_t begin = at + line.size();
      CHECK(text.substr(begin, text.find('\n', begin) - begin) == key.default_text);
    }
  }
  // And none that there is not: each commented line without a blank behind '#' is a key's, and can be used as it is.
  std::string enabled;
  for (size_t at = text.find("\n#"); at != std::string::npos; at = text.find("\n#", at + 1)) {
    const size_t end = text.find('\n', at + 1);
    const std::string line = text.substr(at + 2, end - at - 2);
    if (!line.empty() && line[0] != ' ') {
      CHECK(shown.contains(line.substr(0, line.find(' '))));
      enabled += line + "\n";
    }
  }
  const DaemonConfig config = read(enabled);
  CHECK(config.tls_allowed_dn_list.has_value());
  CHECK(config.log_dir == DaemonConfig{}.log_dir);
}

}  // namespace lodge
