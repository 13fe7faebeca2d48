// lodge-vmm: one guest, one process.
//
//   lodge-vmm run [OPTION...]    runs a guest (--help lists the options)
//   lodge-vmm schema             prints the JSON schema of --config
//   lodge-vmm version
//
// Exit status: 0 when the guest switched itself off, 1 for an error, 2 for wrong usage, else what port 0xf4 says.
#include <malloc.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "migration/save_file.h"
#include "vmm/config/command_line.h"
#include "vmm/config/descriptors.h"
#include "vmm/config/json.h"
#include "vmm/run.h"

namespace {

constexpr int kError = 1;
constexpr int kUsage = 2;

int complain(std::string_view text, int status) {
  fmt::print(stderr, "lodge-vmm: {}\n", text);
  return status;
}

int run(const std::vector<std::string>& arguments) {
  // One heap for all threads: data paths do not allocate, and the C library opens files when it shrinks a thread's own,
  // which no thread's filter lets it do.
  ::mallopt(M_ARENA_MAX, 1);
  for (const std::string& argument : arguments) {
    if (argument == "--help" || argument == "-h") {
      fmt::print("{}", lodge::run_help());
      return 0;
    }
  }
  auto request = lodge::parse_run_arguments(arguments);
  if (!request) {
    return complain(request.error().message, kUsage);
  }
  std::unique_ptr<lodge::SavedGuest> saved;
  if (!request->config.restore.empty() || request->config.restore_fd >= 0) {
    const std::string name = request->config.restore.empty() ? "(descriptor)" : request->config.restore;
    auto opened = request->config.restore_fd >= 0 ? lodge::SavedGuest::open(lodge::Fd(request->config.restore_fd), name)
                                                  : lodge::SavedGuest::open(name);
    if (!opened) {
      return complain(opened.error().message, kError);
    }
    saved = std::move(*opened);
    lodge::MachineConfig base;
    if (const auto outcome = lodge::apply_json(base, saved->config()); !outcome) {
      return complain(fmt::format("saved guest '{}': {}", name, outcome.error().message), kError);
    }
    // What belonged to the run that saved, not to the guest.
    base.control.clear();
    base.restore.clear();
    base.end_file.clear();
    lodge::forget_descriptors(base);
    base.start_paused = false;
    request = lodge::parse_run_arguments(arguments, &base);
    if (!request) {
      return complain(request.error().message, kUsage);
    }
  }
  if (const auto outcome = lodge::validate(request->config); !outcome) {
    return complain(outcome.error().message, kUsage);
  }
  if (request->dry_run) {
    fmt::print("{}", lodge::to_json(request->config));
    return 0;
  }
  if (const auto outcome = lodge::limit_logs(request->config); !outcome) {
    return complain(outcome.error().message, kError);
  }
  lodge::log_init(request->config.name, request->log_level);
  const auto status = lodge::run_guest(request->config, saved.get());
  return status ? *status : complain(status.error().message, kError);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) {
    return complain("usage: lodge-vmm run|schema|version ...; see lodge-vmm run --help", kUsage);
  }
  if (arguments[0] == "run") {
    return run({arguments.begin() + 1, arguments.end()});
  }
  if (arguments[0] == "schema") {
    fmt::print("{}", lodge::config_schema());
    return 0;
  }
  if (arguments[0] == "version" || arguments[0] == "--version") {
    fmt::print("lodge-vmm {}\n", LODGE_VERSION);
    return 0;
  }
  return complain(fmt::format("there is no command '{}'; use run, schema or version", arguments[0]), kUsage);
}
