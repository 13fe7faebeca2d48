#include "libvirt-driver/daemon.h"

#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include "base/log.h"
#include "base/log_outputs.h"
#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/config/daemon_config.h"
#include "libvirt-driver/forward/relay.h"
#include "libvirt-driver/rpc/server.h"

namespace lodge {
namespace {

constexpr int kFirstPassed = 3;  // descriptors of socket activation begin here (sd_listen_fds(3))
constexpr std::string_view kSocket = "virtlodged-sock";
constexpr std::string_view kSocketRo = "virtlodged-sock-ro";
constexpr std::string_view kAlias = "virtqemud-sock";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// lodge:///session lives below the user's own folders.
void use_user_folders(DaemonConfig& config) {
  const std::string home = environment("HOME");
  const auto folder = [&home](const char* variable, const char* otherwise) {
    const std::string set = environment(variable);
    return set.empty() ? home + otherwise : set;
  };
  const std::string run = folder("XDG_RUNTIME_DIR", "/.cache");
  config.unix_sock_dir = run + "/libvirt";
  config.host_sock_dir = config.unix_sock_dir;
  config.run_dir = run + "/libvirt/lodge";
  config.config_dir = folder("XDG_CONFIG_HOME", "/.config") + "/libvirt/lodge";
  config.state_dir = folder("XDG_DATA_HOME", "/.local/share") + "/libvirt/lodge";
  config.log_dir = folder("XDG_CACHE_HOME", "/.cache") + "/libvirt/lodge/log";
  config.unix_sock_group = "";
  config.unix_sock_rw_perms = 0700;
  config.unix_sock_ro_perms = 0700;
  config.listen_tcp = false;
  config.listen_tls = false;
}

// Only one daemon for the same guests. The lock goes with the process.
Result<Fd> lock_instance(const std::string& path) {
  Fd fd = TRY(open_file(path, O_RDWR | O_CREAT, 0644));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail("another virtlodged runs already (it holds '{}'); stop it first", path);
  }
  if (::ftruncate(fd.get(), 0) != 0) {
    return fail_errno(errno, "empty '{}'", path);
  }
  TRY_VOID(write_all(fd.get(), fmt::format("{}\n", ::getpid())));
  return fd;
}

Result<Fd> listen_unix_at(const std::string& path, uint32_t mode, const DaemonConfig& config) {
  const std::string& group = config.unix_sock_group;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail("the socket path '{}' is longer than {} bytes", path, sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return fail_errno(errno, "create a socket");
  }
  ::unlink(path.c_str());
  const mode_t old = ::umask(0777);  // nobody gets in before the right modes are set
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int bind_error = errno;
  ::umask(old);
  if (bound != 0) {
    return fail_errno(bind_error, "create the socket '{}'", path);
  }
  if (!group.empty()) {
    const ::group* entry = ::getgrnam(group.c_str());
    if (entry == nullptr) {
      log_warning("daemon", "there is no group '{}': '{}' is for root only (unix_sock_group)", group, path);
    } else if (::chown(path.c_str(), static_cast<uid_t>(-1), entry->gr_gid) != 0) {
      return fail_errno(errno, "give '{}' to the group '{}'", path, group);
    }
  }
  if (::chmod(path.c_str(), mode) != 0 || ::listen(fd.get(), config.max_queued_clients) != 0) {
    return fail_errno(errno, "listen at '{}'", path);
  }
  return fd;
}

Result<std::vector<Fd>> listen_tcp_at(const DaemonConfig& config, const std::string& port) {
  const std::string& host = config.listen_addr;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int code = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
  if (code != 0) {
    return fail("listen at '{}' port '{}': {}", host, port, ::gai_strerror(code));
  }
  std::vector<Fd> fds;
  Result<void> outcome;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    Fd fd(::socket(entry->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    if (!fd.valid()) {
      continue;  // no IPv6 here, say
    }
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (entry->ai_family == AF_INET6) {
      ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (::bind(fd.get(), entry->ai_addr, entry->ai_addrlen) != 0 || ::listen(fd.get(), config.max_queued_clients) != 0) {
      outcome = fail_errno(errno, "listen at '{}' port '{}'", host, port);
      continue;
    }
    fds.push_back(std::move(fd));
  }
  ::freeaddrinfo(found);
  if (fds.empty()) {
    return std::unexpected(outcome ? Error{"no address to listen at", 0} : outcome.error());
  }
  return fds;
}

struct PassedSocket {
  Fd fd;
  std::string name;
};

// Sockets from systemd, by the names of their units.
std::vector<PassedSocket> passed_sockets() {
  std::vector<PassedSocket> sockets;
  if (environment("LISTEN_PID") != fmt::format("{}", ::getpid())) {
    return sockets;
  }
  const int count = std::atoi(environment("LISTEN_FDS").c_str());
  std::string names = environment("LISTEN_FDNAMES");
  for (int i = 0; i < count; ++i) {
    const size_t end = std::min(names.find(':'), names.size());
    PassedSocket socket{Fd(kFirstPassed + i), names.substr(0, end)};
    names.erase(0, std::min(end + 1, names.size()));
    ::fcntl(socket.fd.get(), F_SETFD, FD_CLOEXEC);
    sockets.push_back(std::move(socket));
  }
  ::unsetenv("LISTEN_PID");
  ::unsetenv("LISTEN_FDS");
  ::unsetenv("LISTEN_FDNAMES");
  return sockets;
}

// Tells systemd (sd_notify(3)).
void notify(std::string_view text) {
  const std::string path = environment("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return;
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path.front() == '@') {
    address.sun_path[0] = 0;
  }
  const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return;
  }
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  (void)::sendto(fd.get(), text.data(), text.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), size);
}

void raise_limits() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
}

rpc::ServerLimits limits_of(const DaemonConfig& config) {
  const auto count = [](int32_t value) { return static_cast<unsigned>(std::max(value, 0)); };
  rpc::ServerLimits limits;
  limits.max_clients = count(config.max_clients);
  limits.max_anonymous = config.max_anonymous_clients == 0 ? limits.max_clients : count(config.max_anonymous_clients);
  limits.max_running = count(config.max_client_requests);
  limits.workers = count(config.max_workers);
  limits.high_workers = count(config.prio_workers);
  limits.keepalive_interval = count(config.keepalive_interval);
  limits.keepalive_count = count(config.keepalive_count);
  return limits;
}

rpc::RulePtr rule_of(const DaemonConfig& config, AuthKind auth, bool read_only) {
  access::AccessRule rule{.read_only = read_only, .auth = auth, .sasl = {}};
  rule.sasl = {.min_ssf_in_clear = config.tcp_min_ssf, .allowed_names = config.sasl_allowed_username_list};
  return std::make_shared<const access::AccessRule>(std::move(rule));
}

Result<std::shared_ptr<const access::TlsCredentials>> tls_credentials(const DaemonConfig& config) {
  if (config.tls_no_verify_certificate && config.auth_tls == AuthKind::none) {
    log_warning("daemon", "with tls_no_verify_certificate and without auth_tls everyone may do everything over TLS");
  }
  return access::TlsCredentials::load({.key_file = config.key_file,
                                       .cert_file = config.cert_file,
                                       .ca_file = config.ca_file,
                                       .crl_file = config.crl_file,
                                       .crl_may_be_absent = config.crl_file == kCrlFile,
                                       .verify_clients = !config.tls_no_verify_certificate,
                                       .check_own = !config.tls_no_sanity_certificate,
                                       .allowed_dns = config.tls_allowed_dn_list,
                                       .priority = config.tls_priority});
}

// What a socket is for, by the name of its unit.
Result<void> take_over(rpc::Server& server, const DaemonConfig& config, PassedSocket socket) {
  const auto is = [&socket](std::string_view part) { return socket.name.find(part) != std::string::npos; };
  log_info("daemon", "takes over the socket '{}'", socket.name);
  (void)::listen(socket.fd.get(), config.max_queued_clients);
  if (is("-tls")) {
    return server.listen_tcp(std::move(socket.fd), rule_of(config, config.auth_tls, false), TRY(tls_credentials(config)));
  }
  if (is("-tcp")) {
    return server.listen_tcp(std::move(socket.fd), rule_of(config, config.auth_tcp, false), nullptr);
  }
  const bool read_only = is("-ro");
  const AuthKind auth = read_only ? config.auth_unix_ro : config.auth_unix_rw;
  return server.listen_unix(std::move(socket.fd), rule_of(config, auth, read_only));
}

std::array<std::string, 2> alias_paths(const DaemonConfig& config) {
  const std::string path = fmt::format("{}/{}", config.unix_sock_dir, kAlias);
  return {path, path + "-ro"};
}

bool somebody_listens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

// qemu:///system, with the modes and rules of the sockets of our own. No unit passes these on.
Result<void> listen_as_qemu(rpc::Server& server, const DaemonConfig& config) {
  const auto [rw, ro] = alias_paths(config);
  TRY_VOID(make_folder(config.unix_sock_dir, 0755));
  if (somebody_listens(rw)) {
    return fail("alias_qemu_socket: a daemon of libvirt's has '{}'; stop it, or set the key to 0", rw);
  }
  TRY_VOID(server.listen_unix(TRY(listen_unix_at(rw, config.unix_sock_rw_perms, config)),
                              rule_of(config, config.auth_unix_rw, false)));
  return server.listen_unix(TRY(listen_unix_at(ro, config.unix_sock_ro_perms, config)),
                            rule_of(config, config.auth_unix_ro, true));
}

Result<void> open_sockets(rpc::Server& server, const DaemonConfig& config) {
  auto passed = passed_sockets();
  if (config.alias_qemu_socket) {
    TRY_VOID(listen_as_qemu(server, config));
  }
  for (PassedSocket& socket : passed) {
    TRY_VOID(take_over(server, config, std::move(socket)));
  }
  if (!passed.empty()) {
    return {};
  }
  TRY_VOID(make_folder(config.unix_sock_dir, 0755));
  const auto rw = rule_of(config, config.auth_unix_rw, false);
  const auto ro = rule_of(config, config.auth_unix_ro, true);
  const auto at = [&config](std::string_view name) { return fmt::format("{}/{}", config.unix_sock_dir, name); };
  TRY_VOID(server.listen_unix(TRY(listen_unix_at(at(kSocket), config.unix_sock_rw_perms, config)), rw));
  TRY_VOID(server.listen_unix(TRY(listen_unix_at(at(kSocketRo), config.unix_sock_ro_perms, config)), ro));
  if (config.listen_tls) {
    const auto credentials = TRY(tls_credentials(config));
    for (Fd& fd : TRY(listen_tcp_at(config, config.tls_port))) {
      TRY_VOID(server.listen_tcp(std::move(fd), rule_of(config, config.auth_tls, false), credentials));
    }
  }
  if (config.listen_tcp) {
    for (Fd& fd : TRY(listen_tcp_at(config, config.tcp_port))) {
      TRY_VOID(server.listen_tcp(std::move(fd), rule_of(config, config.auth_tcp, false), nullptr));
    }
  }
  return {};
}

std::vector<LogPlace> log_places(const DaemonConfig& config) {
  std::vector<LogPlace> places;
  places.reserve(config.log_outputs.size());
  for (const LogOutput& output : config.log_outputs) {
    places.push_back({static_cast<LogLevel>(output.level - 1), output.path});  // libvirt counts from 1
  }
  return places;
}

bool wants_sasl(const DaemonConfig& config) {
  const std::array kinds{config.auth_unix_ro, config.auth_unix_rw, config.auth_tcp, config.auth_tls};
  return std::ranges::find(kinds, AuthKind::sasl) != kinds.end();
}

// Ends the server when told to.
asio::awaitable<void> wait_for_signal(rpc::Server& server, asio::signal_set& signals) {
  const auto [error, number] = co_await signals.async_wait(kAwait);
  log_info("daemon", "ends by signal {}; guests live on", number);
  notify("STOPPING=1");
  server.stop();
}

}  // namespace

Result<void> run_daemon(const DaemonOptions& options) {
  log_init("", options.verbose ? LogLevel::debug : LogLevel::info);
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGHUP, SIG_IGN);
  raise_limits();
  const std::string file = options.config_file.empty() ? std::string(kDaemonConfigFile) : options.config_file;
  DaemonConfig config = TRY(load_daemon_config(file, !options.config_file.empty()));
  if (options.session) {
    use_user_folders(config);
  }
  if (!options.verbose) {
    TRY_VOID(log_to(log_places(config)));
  }
  DriverOptions driver_options;
  driver_options.paths = {.config = config.config_dir,
                          .run = config.run_dir,
                          .state = config.state_dir,
                          .log = config.log_dir,
                          .monitor = config.monitor_path};
  driver_options.session = options.session;
  driver_options.logs = {.max_size = static_cast<uint64_t>(config.max_size),
                         .max_backups = static_cast<uint32_t>(config.max_backups)};
  driver_options.display = {.listen = config.vnc_listen,
                            .password = config.vnc_password,
                            .port_min = config.remote_display_port_min,
                            .port_max = config.remote_display_port_max,
                            .tls = config.vnc_tls,
                            .tls_folder = config.vnc_tls_x509_cert_dir,
                            .tls_verify = config.vnc_tls_x509_verify};
  driver_options.services = {.folder = config.host_sock_dir, .session = options.session};
  driver_options.uri = options.session ? "lodge:///session" : "lodge:///system";
  if (!options.session) {
    driver_options.account = TRY_CONTEXT(
        find_account({.user = config.monitor_user, .group = config.monitor_group, .must_exist = config.monitor_account_set}),
        file);
  }
  TRY_VOID(make_folders(driver_options.paths));
  const Fd lock = TRY(lock_instance(config.run_dir + "/virtlodged.pid"));
  const rpc::ProcedureTable procedures(all_calls());
  // The driver works on the server's threads, the server calls the driver: no client is let in before both are there, and
  // all threads have ended before either goes.
  rpc::Server server(limits_of(config), procedures);
  asio::signal_set signals(server.network(), SIGTERM, SIGINT);  // from here on a signal waits until it is served
  Driver driver(
      server.network(), [&server](std::function<void()> fn) { asio::post(server.workers(), std::move(fn)); },
      driver_options);
  server.serve(driver);
  server.forward_by([services = driver_options.services](asio::io_context& network, rpc::ForwardClient& client) {
    return std::make_unique<forward::Relay>(network, client, services);
  });
  driver.host().set_uuid(config.host_uuid, config.host_uuid_source);
  if (wants_sasl(config)) {
    TRY_VOID(access::init_sasl());
  }
  TRY_VOID(driver.load());
  TRY_VOID(open_sockets(server, config));
  asio::co_spawn(server.network(), wait_for_signal(server, signals), asio::detached);
  notify("READY=1");
  log_info("daemon", "virtlodged {} serves {}", LODGE_VERSION, driver_options.uri);
  server.run();
  if (config.alias_qemu_socket) {  // clients would take it for a libvirt that is there and does not answer
    std::ranges::for_each(alias_paths(config), [](const std::string& path) { ::unlink(path.c_str()); });
  }
  return {};
}

}  // namespace lodge
