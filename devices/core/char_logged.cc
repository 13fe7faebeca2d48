// The backend that keeps a log of another one's output.
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/rotating_file.h"
#include "devices/core/char_descriptor.h"

namespace lodge {
namespace {

class LoggedChar final : public CharBackend {
 public:
  LoggedChar(std::unique_ptr<CharBackend> inner, Fd log, LogRoom room, std::string name)
      : inner_(std::move(inner)), log_(std::move(log), std::move(room)), name_(std::move(name)) {}

  void attach(EventLoop& loop, Client client) override { inner_->attach(loop, std::move(client)); }
  void detach() override { inner_->detach(); }
  [[nodiscard]] bool is_open() const override { return inner_->is_open(); }
  [[nodiscard]] size_t write(std::span<const std::byte> from) override {
    const size_t taken = inner_->write(from);
    keep(from.first(taken));
    return taken;
  }
  void drain(std::span<const std::byte> from, std::chrono::milliseconds limit) override {
    keep(from);
    inner_->drain(from, limit);
  }
  void resume_input() override { inner_->resume_input(); }
  [[nodiscard]] std::string path() const override { return inner_->path(); }

 private:
  void keep(std::span<const std::byte> bytes) {
    const auto kept = log_.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    if (!kept && !std::exchange(lost_, true)) {
      log_warning("char", "the log '{}' takes no more: {}; output is missing in it", name_, kept.error().message);
    }
  }

  std::unique_ptr<CharBackend> inner_;
  RotatingFile log_;
  std::string name_;
  bool lost_ = false;
};

}  // namespace

std::unique_ptr<CharBackend> make_logged_char(std::unique_ptr<CharBackend> inner, Fd log, std::string name) {
  set_nonblocking(log.get());  // for pipes
  LogRoom room = take_log_room(log.get());
  return std::make_unique<LoggedChar>(std::move(inner), std::move(log), std::move(room), std::move(name));
}

std::unique_ptr<CharBackend> make_limited_file_char(Fd file, LogRoom room) {
  return std::make_unique<LoggedChar>(make_null_char(), std::move(file), std::move(room), "file");
}

Result<Fd> open_char_log(const std::string& path, bool append) {
  const int mode = append ? 0 : O_TRUNC;
  auto file = open_file(path, O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK | O_APPEND | mode);
  if (!file) {
    return fail("cannot open the log '{}' of a serial or console port: {}; choose a path that may be written", path,
                std::generic_category().message(file.error().code));
  }
  return file;
}

}  // namespace lodge
