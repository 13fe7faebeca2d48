#include "libvirt-driver/domains/logs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rotating_file.h"

namespace lodge {
namespace {

std::string backup_name(const std::string& path, uint32_t number) { return fmt::format("{}.{}", path, number); }

void remove_empty(const std::string& path) {
  struct stat facts{};
  for (uint32_t i = 0; ::lstat(backup_name(path, i).c_str(), &facts) == 0; ++i) {
    if (S_ISREG(facts.st_mode) && facts.st_size == 0) {
      ::unlink(backup_name(path, i).c_str());
    }
  }
}

}  // namespace

Result<OpenLog> open_log(const std::string& path, bool append, const LogLimits& limits) {
  OpenLog log;
  const int cut = append ? 0 : O_TRUNC;
  // Not blocking: whoever is to read a pipe may never come.
  log.file = TRY(open_file(path, O_RDWR | O_CREAT | O_APPEND | O_NOCTTY | O_NONBLOCK | cut));
  struct stat facts{};
  if (::fstat(log.file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) {
    return log;
  }
  for (uint32_t i = 0; i < limits.max_backups; ++i) {
    // A link there could name any file of the host.
    log.backups.push_back(TRY(open_file(backup_name(path, i), O_RDWR | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | cut)));
  }
  return log;
}

Result<void> write_log(const OpenLog& log, std::string_view text, const LogLimits& limits) {
  struct stat facts{};
  if (::fstat(log.file.get(), &facts) == 0 && static_cast<uint64_t>(facts.st_size) + text.size() > limits.max_size) {
    roll_over(log.file.get(), log.backups);
  }
  return write_all(log.file.get(), text);
}

void remove_empty_backups(const std::string& log_file, const DomainConfig& live) {
  remove_empty(log_file);
  for_each_char(live, [](const std::string&, const CharSource& source) {
    if (source.type == CharType::file) {
      remove_empty(source.path);
    }
    if (!source.log_file.empty()) {
      remove_empty(source.log_file);
    }
  });
}

}  // namespace lodge
