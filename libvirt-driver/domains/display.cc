#include "libvirt-driver/domains/display.h"

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "libvirt-driver/access/tls_credentials.h"
#include "libvirt-driver/domains/guest_files.h"

namespace lodge {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Answer<Addresses> look_up(const std::string& address) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_ADDRCONFIG;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  int code = ::getaddrinfo(address.c_str(), nullptr, &hints, &found);
  if (code == EAI_NONAME || code == EAI_ADDRFAMILY) {  // an address of a kind that no interface has yet is one all the same
    hints.ai_flags = AI_PASSIVE | AI_NUMERICHOST;
    code = ::getaddrinfo(address.c_str(), nullptr, &hints, &found);
  }
  if (code != 0) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "/domain/devices/graphics/listen/@address: '{}': {}", address,
                      ::gai_strerror(code));
  }
  return Addresses(found);
}

Result<Fd> bind_port(const addrinfo& at, uint16_t port) {
  Fd fd(::socket(at.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    return fail_errno(errno, "create a socket");
  }
  sockaddr_storage address{};
  std::memcpy(&address, at.ai_addr, std::min<size_t>(at.ai_addrlen, sizeof address));
  if (at.ai_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(&address)->sin6_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in*>(&address)->sin_port = htons(port);
  }
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // Of two that were bound at the same time the second one fails to listen.
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), at.ai_addrlen) != 0 || ::listen(fd.get(), 16) != 0) {
    return fail_errno(errno, "listen at port {}", port);
  }
  return fd;
}

// At all addresses, or at none.
Result<std::vector<Fd>> bind_all(const std::vector<Addresses>& addresses, int32_t port) {
  std::vector<Fd> fds;
  fds.reserve(addresses.size());
  for (const Addresses& address : addresses) {
    fds.push_back(TRY(bind_port(*address, static_cast<uint16_t>(port))));
  }
  return fds;
}

Answer<std::vector<Fd>> bind_ports(DomainGraphics& graphics, const std::vector<Addresses>& addresses,
                                   const DisplayOptions& options) {
  if (graphics.autoport != YesNo::yes && graphics.port.value_or(-1) > 0) {
    auto bound = bind_all(addresses, *graphics.port);
    if (!bound) {
      return call_error(VIR_ERR_OPERATION_FAILED, "VNC port {}: {}; choose another one, or autoport='yes'", *graphics.port,
                        std::strerror(bound.error().code));
    }
    return std::move(*bound);
  }
  for (int32_t port = options.port_min; port <= options.port_max; ++port) {
    auto bound = bind_all(addresses, port);
    if (bound) {
      graphics.port = port;
      return std::move(*bound);
    }
    if (bound.error().code != EADDRINUSE && bound.error().code != EACCES) {
      return std::unexpected(CallError(context(bound.error(), "VNC").error()));
    }
  }
  return call_error(VIR_ERR_INTERNAL_ERROR, "Unable to find an unused port in range 'display' ({}-{})", options.port_min,
                    options.port_max);
}

// Looked at here, where the error reaches who starts the domain, and read again by the server, which may not open them.
Answer<std::vector<Fd>> open_certificates(const DisplayOptions& options) {
  const access::TlsOptions files{.key_file = options.tls_folder + "/server-key.pem",
                                 .cert_file = options.tls_folder + "/server-cert.pem",
                                 .ca_file = options.tls_folder + "/ca-cert.pem",
                                 .crl_file = "",
                                 .verify_clients = options.tls_verify,
                                 .allowed_dns = {}};
  const auto wrong = [](const Error& error) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "vnc_tls (virtlodged.conf): {}", error.message);
  };
  if (const auto credentials = access::TlsCredentials::load(files); !credentials) {
    return wrong(credentials.error());
  }
  std::vector<Fd> fds;
  for (const std::string& path : {files.ca_file, files.cert_file, files.key_file}) {
    auto fd = open_file(path, O_RDONLY);
    if (!fd) {
      return wrong(fd.error());
    }
    fds.push_back(std::move(*fd));
  }
  return fds;
}

}  // namespace

Answer<DisplayFiles> open_display(DomainConfig& live, const std::string& folder, const DisplayOptions& options) {
  DisplayFiles files;
  if (live.devices.graphics.empty()) {
    return files;
  }
  if (options.tls) {
    files.certificates = TRY(open_certificates(options));
  }
  DomainGraphics& graphics = live.devices.graphics.front();
  std::vector<Addresses> addresses;
  for (GraphicsListen& listen : graphics.listens) {
    if (listen.type == ListenType::address) {
      listen.address = listen.address.empty() ? options.listen : listen.address;
      addresses.push_back(TRY(look_up(listen.address)));
    } else if (listen.type == ListenType::socket) {
      listen.socket = listen.socket.empty() ? folder + "/vnc.sock" : listen.socket;
      files.listeners.push_back(TRY(listen_at(listen.socket)));
    }
  }
  if (!addresses.empty()) {
    for (Fd& fd : TRY(bind_ports(graphics, addresses, options))) {
      files.listeners.push_back(std::move(fd));
    }
  }
  files.control = TRY(listen_at(folder + std::string(kDisplayControl)));
  return files;
}

std::vector<std::string> display_command(const std::string& monitor, const DomainConfig& live, const DisplayOptions& options,
                                         size_t listeners) {
  int next = kFirstInherited;
  const DomainGraphics& graphics = live.devices.graphics.front();
  std::vector<std::string> command{std::filesystem::path(monitor).replace_filename(kDisplayProgram).string(), "--display-fd",
                                   std::to_string(next++), "--name", live.name};
  for (size_t i = 0; i < listeners; ++i) {
    command.insert(command.end(), {"--listen-fd", std::to_string(next++)});
  }
  command.insert(command.end(), {"--control-fd", std::to_string(next++)});
  if (options.tls) {
    command.insert(command.end(), {"--tls-cert-fds", fmt::format("{},{},{}", next, next + 1, next + 2)});
    if (options.tls_verify) {
      command.emplace_back("--tls-verify-clients");
    }
  }
  if (password_of(graphics, options).required) {
    command.emplace_back("--password-required");
  }
  if (graphics.share_policy != SharePolicy::absent) {
    command.insert(command.end(), {"--share", std::string(xml_word(graphics.share_policy))});
  }
  return command;
}

DisplayPassword password_of(const DomainGraphics& graphics, const DisplayOptions& options) {
  DisplayPassword result;
  result.required = graphics.no_login || !graphics.password.empty() || !options.password.empty();
  if (result.required && !graphics.no_login) {
    result.password = graphics.password.empty() ? options.password : graphics.password;
    result.expires = parse_utc(graphics.password_valid_to);
  }
  return result;
}

bool Display::set(Process process) {
  {
    const std::scoped_lock lock(mutex_);
    if (!closed_) {
      process_ = std::move(process);
      begin_ = std::chrono::steady_clock::now();
      return true;
    }
  }
  end(process);
  return false;
}

std::pair<pid_t, uint64_t> Display::identity() const {
  const std::scoped_lock lock(mutex_);
  return {process_.pid, process_.start_time};
}

Result<Fd> Display::watch() const {
  const std::scoped_lock lock(mutex_);
  return process_.pid > 0 ? process_.pidfd.duplicate() : fail("there is no display server");
}

bool Display::ended() {
  constexpr std::chrono::seconds kHealthy(10);  // one that lived for so long had no trouble with its start
  constexpr int kMostFailures = 5;
  const std::scoped_lock lock(mutex_);
  if (process_.pid > 0) {
    (void)wait_for_end(process_, 0);
    process_ = {};
    failures_ = std::chrono::steady_clock::now() - begin_ > kHealthy ? 0 : failures_ + 1;
  }
  return !closed_ && failures_ < kMostFailures;
}

void Display::close() {
  Process process;
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    process = std::exchange(process_, {});
  }
  if (process.pid > 0) {
    end(process);
  }
}

void Display::end(const Process& process) {
  constexpr int kPatience = 1000;  // ms
  kill_process(process, SIGTERM);
  if (!wait_for_end(process, kPatience)) {
    kill_process(process, SIGKILL);
    (void)wait_for_end(process, kPatience);
  }
}

}  // namespace lodge
