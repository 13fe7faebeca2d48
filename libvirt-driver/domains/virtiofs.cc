#include "libvirt-driver/domains/virtiofs.h"

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <filesystem>
#include <map>

#include <fmt/ranges.h>

#include "base/log.h"
#include "libvirt-driver/domains/guest_files.h"
#include "libvirt-driver/domains/json.h"
#include "libvirt-driver/domains/monitor.h"

namespace lodge {
namespace {

constexpr std::string_view kRecord = ".server";  // behind the alias: the process's number and start time
constexpr uint64_t kMaxDescription = 64 * 1024;  // bytes of a JSON description

std::string record_path(const std::string& folder, const std::string& alias) {
  return fmt::format("{}/{}{}", folder, alias, kRecord);
}

void add_switch(std::string& options, OnOff wanted, std::string_view name) {
  if (wanted != OnOff::absent) {
    options += fmt::format(",{}{}", wanted == OnOff::on ? "" : "no_", name);
  }
}

void end_server(const std::string& record) {
  constexpr int kPatience = 1000;  // ms
  const auto text = read_file(record, 100);
  pid_t pid = -1;
  uint64_t start_time = 0;
  if (!text) {
    return;
  }
  const char* const end = text->data() + text->size();
  const auto number = std::from_chars(text->data(), end, pid);
  if (number.ec != std::errc() || number.ptr == end || std::from_chars(number.ptr + 1, end, start_time).ec != std::errc()) {
    return;
  }
  const auto process = find_process(pid, start_time);
  if (process && !wait_for_end(*process, kPatience)) {  // its connection has ended
    kill_process(*process, SIGTERM);
    if (!wait_for_end(*process, kPatience)) {
      kill_process(*process, SIGKILL);
      (void)wait_for_end(*process, kPatience);
    }
  }
}

}  // namespace

std::vector<std::string> vhost_user_folders() { return {"/usr/share/qemu/vhost-user", "/etc/qemu/vhost-user"}; }

Answer<std::string> find_virtiofsd(const std::vector<std::string>& folders) {
  std::map<std::string, std::string> files;
  for (const std::string& folder : folders) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
      if (entry.path().extension() == ".json") {
        files[entry.path().filename()] = entry.path();
      }
    }
  }
  for (const auto& [name, path] : files) {
    const auto text = read_file(path, kMaxDescription);
    const Json description = text ? parse_json(*text) : Json();
    std::string binary = text_in(description, "binary");
    if (text_in(description, "type") == "fs" && ::access(binary.c_str(), X_OK) == 0) {
      return binary;
    }
  }
  return call_error(
      VIR_ERR_OPERATION_FAILED,
      "no virtiofsd is described in {}; install Debian's package virtiofsd (in Debian 12: qemu-system-common), "
      "or name it by <binary path=/>",
      fmt::join(folders, " or "));
}

Answer<std::vector<std::string>> virtiofsd_command(const DomainFilesystem& filesystem, const std::string& program) {
  struct stat facts{};
  if (::stat(filesystem.folder.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) {
    return call_error(VIR_ERR_OPERATION_FAILED, "filesystem '{}': '{}' is not a folder", filesystem.tag, filesystem.folder);
  }
  if (filesystem.folder.find(',') != std::string::npos) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED,
                      "filesystem '{}': virtiofsd cannot be told of '{}', because of its comma; share it by another path",
                      filesystem.tag, filesystem.folder);
  }
  const DomainFilesystem::Binary& binary = filesystem.binary;
  std::string options = fmt::format("source={}", filesystem.folder);
  if (binary.cache != FilesystemCache::absent) {
    options += fmt::format(",cache={}", xml_word(binary.cache));
  }
  if (binary.sandbox != FilesystemSandbox::absent) {
    options += fmt::format(",sandbox={}", xml_word(binary.sandbox));
  }
  add_switch(options, binary.xattr, "xattr");
  add_switch(options, binary.flock, "flock");
  add_switch(options, binary.posix_lock, "posix_lock");
  std::vector<std::string> command{program, fmt::format("--fd={}", kFirstInherited), "-o", options};
  if (binary.threads) {
    command.push_back(fmt::format("--thread-pool-size={}", *binary.threads));
  }
  if (binary.open_files) {
    command.push_back(fmt::format("--rlimit-nofile={}", *binary.open_files));
  }
  return command;
}

Answer<FilesystemEnds> open_filesystem(const DomainFilesystem& filesystem, const std::string& folder) {
  const auto connected = [&](const std::string& path) -> Answer<Fd> {
    auto fd = connect_unix(path);
    if (!fd) {
      return call_error(VIR_ERR_OPERATION_FAILED, "filesystem '{}': {}", filesystem.tag, fd.error().message);
    }
    return std::move(*fd);
  };
  FilesystemEnds ends;
  if (!filesystem.socket.empty()) {
    ends.monitor = TRY(connected(filesystem.socket));
    return ends;
  }
  const std::string program = filesystem.binary.path.empty() ? TRY(find_virtiofsd()) : filesystem.binary.path;
  FilesystemServer server{.alias = filesystem.alias, .command = TRY(virtiofsd_command(filesystem, program)), .listener = {}};
  const std::string path = fmt::format("{}/{}.sock", folder, filesystem.alias);
  server.listener = TRY(listen_at(path));
  ends.monitor = TRY(connected(path));
  ::unlink(path.c_str());  // nobody else is to come
  ends.server = std::move(server);
  return ends;
}

Answer<void> start_filesystem_servers(std::vector<FilesystemServer> servers, const std::string& folder, int log,
                                      const Cgroup& cgroup) {
  for (FilesystemServer& server : servers) {
    Spawned spawned = TRY(spawn({.command = server.command, .fds = {server.listener.get()}, .output = log, .account = {}}));
    if (const auto placed = cgroup.add(spawned.process.pid); !placed) {
      log_warning("domain", "'{}' of process {} runs in the daemon's control group: {}", server.command.front(),
                  spawned.process.pid, placed.error().message);
    }
    // Before it runs: who comes after us must know of it.
    const Fd record = TRY(open_file(record_path(folder, server.alias), O_WRONLY | O_CREAT | O_TRUNC));
    TRY_VOID(write_all(record.get(), fmt::format("{} {}", spawned.process.pid, spawned.process.start_time)));
    TRY_VOID(let_run(spawned, server.command.front()));
    server.listener.reset();  // its end is seen by who has connected
  }
  return {};
}

void end_filesystem_servers(const std::string& folder) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    if (entry.path().extension() == kRecord) {
      end_server(entry.path());
    }
  }
}

}  // namespace lodge
