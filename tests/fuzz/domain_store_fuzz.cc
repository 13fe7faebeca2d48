// The files of definitions and of running guests, as a hostile hand may have left them: refused or read; what is read can be
// written, within the folder, and reads back equal.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/log.h"
#include "libvirt-driver/domains/store.h"

namespace {

void require(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

struct Folders {
  lodge::DriverPaths paths;
  Folders() {
    char pattern[] = "/dev/shm/domain_store_fuzz.XXXXXX";
    const std::string root = ::mkdtemp(pattern);
    paths = {
        .config = root + "/config", .run = root + "/run", .state = root + "/state", .log = root + "/log", .monitor = ""};
    require(lodge::make_folders(paths).has_value());
  }
  ~Folders() { std::filesystem::remove_all(std::filesystem::path(paths.run).parent_path()); }
};

size_t files_in(const std::string& folder) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    count += entry.is_regular_file() ? 1 : 0;
  }
  return count;
}

void put(const std::string& path, const uint8_t* data, size_t size) {
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
  lodge::log_init("fuzz", lodge::LogLevel::off);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  static const Folders folders;
  const DriverPaths& paths = folders.paths;
  put(paths.run + "/a.xml", data, size);
  for (const StoredStatus& status : load_statuses(paths)) {
    require(status.live.name.find('/') == std::string::npos);
    ::unlink((paths.run + "/a.xml").c_str());
    require(save_status(paths, status).has_value());
    require(files_in(paths.run) == 1);
    const auto again = load_statuses(paths);
    require(again.size() == 1 && again[0].live == status.live && again[0].id == status.id && again[0].pid == status.pid &&
            again[0].folder == status.folder && again[0].since == status.since);
    remove_status(paths, status.live.name);
    require(files_in(paths.run) == 0);
  }
  ::unlink((paths.run + "/a.xml").c_str());

  put(paths.config + "/a.xml", data, size);
  for (const StoredDefinition& stored : load_definitions(paths)) {
    require(stored.config.name == "a");
    require(save_definition(paths, stored.config).has_value());
    const auto again = load_definitions(paths);
    require(again.size() == 1 && again[0].config == stored.config);
  }
  ::unlink((paths.config + "/a.xml").c_str());
  return 0;
}
