// The command line of lodge-vnc.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "vmm/vnc/server.h"

namespace lodge::vnc {

struct CommandLine {
  bool help = false;
  std::string name = "guest";
  int display_fd = -1;
  std::string monitor;              // path of its control socket
  std::vector<std::string> listen;  // "ADDRESS:PORT" or "unix:PATH"
  std::vector<int> listen_fds;
  int control_fd = -1;
  bool password_required = false;
  std::string tls_folder;                     // with the certificates; empty: none
  std::optional<std::array<int, 3>> tls_fds;  // the authority's certificate, the server's, its key
  bool tls_verify_clients = false;
  Share share = Share::allow_exclusive;
  LogLevel log_level = LogLevel::info;
  bool seccomp = true;
};

// Errors: an option that is unknown or makes no sense.
[[nodiscard]] Result<CommandLine> parse_command_line(const std::vector<std::string>& arguments);
[[nodiscard]] std::string help_text();

}  // namespace lodge::vnc
