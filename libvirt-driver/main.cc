// virtlodged: the daemon of a host, or of a user (--session).
//
//   virtlodged [--config FILE] [--session]   serves until SIGTERM or SIGINT; guests live on
//   virtlodged --procedures                  prints the table of procedures and what of it is offered
//   virtlodged --version
#include <fmt/format.h>

#include <cstdio>
#include <string_view>

#include "libvirt-driver/calls/coverage.h"
#include "libvirt-driver/daemon.h"

namespace {

constexpr int kUsage = 2;

int complain(std::string_view text, int status) {
  fmt::print(stderr, "virtlodged: {}\n", text);
  return status;
}

constexpr std::string_view kHelp =
    "usage: virtlodged [--config FILE] [--session] [--verbose]\n"
    "       virtlodged --procedures | --version | --help\n\n"
    "  --config FILE   another configuration than /etc/libvirt/virtlodged.conf\n"
    "  --session       serve one user: lodge:///session\n"
    "  --verbose       log more\n"
    "  --procedures    print the procedures of libvirt's protocol and which are offered\n";

}  // namespace

int main(int argc, char** argv) {
  lodge::DaemonOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--help" || word == "-h") {
      fmt::print("{}", kHelp);
      return 0;
    }
    if (word == "--version" || word == "-V") {
      fmt::print("virtlodged {}\n", LODGE_VERSION);
      return 0;
    }
    if (word == "--procedures") {
      fmt::print("{}", lodge::coverage_text());
      return 0;
    }
    if (word == "--session") {
      options.session = true;
    } else if (word == "--verbose" || word == "-v") {
      options.verbose = true;
    } else if ((word == "--config" || word == "-f") && i + 1 < argc) {
      options.config_file = argv[++i];
    } else {
      return complain(fmt::format("unknown argument '{}'; see virtlodged --help", word), kUsage);
    }
  }
  const auto outcome = lodge::run_daemon(options);
  return outcome ? 0 : complain(outcome.error().message, 1);
}
