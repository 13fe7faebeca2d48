#include "vmm/vnc/options.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace lodge::vnc {
namespace {

constexpr std::string_view kHelp = R"(usage: lodge-vnc (--display-fd N | --monitor SOCKET) [OPTION...]

Shows a guest's screen to VNC clients and brings what they type.

  --display-fd N          the viewer's end of a display channel, an inherited descriptor
  --monitor SOCKET        attach to the monitor whose control socket this is
  --name GUEST            the guest's name, which clients show
  --listen ADDRESS:PORT   take clients there ([::1]:5900, 127.0.0.1:5900)
  --listen unix:PATH      take clients at this socket
  --listen-fd N           take clients from this inherited, listening socket
  --control-fd N          be told by JSON lines on this inherited, listening socket
  --password-required     nobody comes in before a password is set there
  --tls-cert-dir DIR      clients come in over TLS only; the certificates are in this folder
  --tls-cert-fds CA,CERT,KEY  the same with inherited descriptors of the three files
  --tls-verify-clients    clients need a certificate, too
  --share POLICY          allow-exclusive (default), force-shared or ignore
  --websocket no          clients that speak WebSocket are turned away
  --log-level LEVEL       debug, info (default), warning, error or off
  --seccomp on|off        off: do without the filters of system calls
  --help
)";

Result<int> parse_fd(std::string_view option, std::string_view text) {
  int fd = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
  if (error != std::errc() || end != text.data() + text.size() || fd < 0) {
    return fail("{}: '{}' is no descriptor; give its number", option, text);
  }
  return fd;
}

Result<std::array<int, 3>> parse_fds(std::string_view option, std::string_view text) {
  std::array<int, 3> fds{};
  for (size_t i = 0; i < fds.size(); ++i) {
    const size_t comma = i + 1 < fds.size() ? text.find(',') : text.size();
    if (comma == std::string_view::npos) {
      return fail("{} wants three descriptors, CA,CERT,KEY", option);
    }
    fds[i] = TRY(parse_fd(option, text.substr(0, comma)));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return fds;
}

template <class T, size_t N>
Result<T> parse_word(std::string_view option, std::string_view text, const std::pair<std::string_view, T> (&words)[N]) {
  const auto* it = std::ranges::find(words, text, &std::pair<std::string_view, T>::first);
  if (it == std::end(words)) {
    return fail("{} cannot be '{}'; lodge-vnc --help lists what it can be", option, text);
  }
  return it->second;
}

constexpr std::pair<std::string_view, Share> kShares[] = {
    {"allow-exclusive", Share::allow_exclusive}, {"force-shared", Share::force_shared}, {"ignore", Share::ignore}};
constexpr std::pair<std::string_view, LogLevel> kLevels[] = {{"debug", LogLevel::debug},
                                                             {"info", LogLevel::info},
                                                             {"warning", LogLevel::warning},
                                                             {"error", LogLevel::error},
                                                             {"off", LogLevel::off}};
constexpr std::pair<std::string_view, bool> kSwitch[] = {{"on", true}, {"off", false}};
constexpr std::pair<std::string_view, bool> kNo[] = {{"no", false}};

Result<void> apply(CommandLine& line, std::string_view option, const std::string& value) {
  if (option == "--display-fd") {
    line.display_fd = TRY(parse_fd(option, value));
  } else if (option == "--monitor") {
    line.monitor = value;
  } else if (option == "--name") {
    line.name = value;
  } else if (option == "--listen") {
    line.listen.push_back(value);
  } else if (option == "--listen-fd") {
    line.listen_fds.push_back(TRY(parse_fd(option, value)));
  } else if (option == "--control-fd") {
    line.control_fd = TRY(parse_fd(option, value));
  } else if (option == "--tls-cert-dir") {
    line.tls_folder = value;
  } else if (option == "--tls-cert-fds") {
    line.tls_fds = TRY(parse_fds(option, value));
  } else if (option == "--share") {
    line.share = TRY(parse_word(option, value, kShares));
  } else if (option == "--websocket") {
    (void)TRY(parse_word(option, value, kNo));
  } else if (option == "--log-level") {
    line.log_level = TRY(parse_word(option, value, kLevels));
  } else if (option == "--seccomp") {
    line.seccomp = TRY(parse_word(option, value, kSwitch));
  } else {
    return fail("there is no option '{}'; lodge-vnc --help lists them", option);
  }
  return {};
}

}  // namespace

std::string help_text() { return std::string(kHelp); }

Result<CommandLine> parse_command_line(const std::vector<std::string>& arguments) {
  CommandLine line;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& option = arguments[i];
    if (option == "--help" || option == "-h") {
      line.help = true;
      return line;
    }
    if (option == "--password-required") {
      line.password_required = true;
      continue;
    }
    if (option == "--tls-verify-clients") {
      line.tls_verify_clients = true;
      continue;
    }
    if (i + 1 == arguments.size()) {
      return fail("'{}' is no option or lacks its value; lodge-vnc --help lists them", option);
    }
    TRY_VOID(apply(line, option, arguments[++i]));
  }
  if ((line.display_fd >= 0) == !line.monitor.empty()) {
    return fail("give one of --display-fd and --monitor: whose screen is to be shown?");
  }
  if (line.listen.empty() && line.listen_fds.empty() && line.control_fd < 0) {
    return fail("nobody could come; give --listen, --listen-fd or --control-fd");
  }
  if (!line.tls_folder.empty() && line.tls_fds) {
    return fail("give one of --tls-cert-dir and --tls-cert-fds");
  }
  if (line.tls_verify_clients && line.tls_folder.empty() && !line.tls_fds) {
    return fail("--tls-verify-clients needs --tls-cert-dir or --tls-cert-fds: clients have certificates in TLS only");
  }
  return line;
}

}  // namespace lodge::vnc
