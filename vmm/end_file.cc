#include "vmm/end_file.h"

#include <fcntl.h>

#include "base/log.h"
#include "vmm/control/json_writer.h"

namespace lodge {

Result<EndFile> EndFile::create(const std::string& path, Fd open) {
  if (path.empty() || open.valid()) {
    return EndFile(std::move(open));
  }
  auto fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_NONBLOCK);
  if (!fd) {
    return fail("cannot open the end file '{}': {}; choose a path that may be written", path,
                std::generic_category().message(fd.error().code));
  }
  return EndFile(std::move(*fd));
}

void EndFile::write(std::string_view reason, int exit_status, std::string_view detail) const {
  if (!fd_.valid()) {
    return;
  }
  JsonWriter writer;
  writer.begin_object().member("reason", reason).member("exit", exit_status);
  if (!detail.empty()) {
    writer.member("detail", detail);
  }
  if (const auto outcome = write_all(fd_.get(), writer.end_object().take() + "\n"); !outcome) {
    log_warning("main", "end file: {}", outcome.error().message);
  }
}

}  // namespace lodge
