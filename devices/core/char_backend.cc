// The character backends with one fixed other side: null, descriptor pairs, standard input and output, files, streams.
#include "devices/core/char_backend.h"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "devices/core/char_descriptor.h"

namespace lodge {
namespace {

class NullChar final : public CharBackend {
 public:
  void attach(EventLoop& loop, Client client) override {
    client_ = std::move(client);
    alive_ = std::make_shared<bool>(true);
    loop.post([this, alive = alive_] {
      if (*alive && client_.event) {
        client_.event(Event::opened);
      }
    });
  }
  void detach() override {
    if (alive_) {
      *alive_ = false;
    }
    client_ = {};
  }
  ~NullChar() override { detach(); }
  [[nodiscard]] bool is_open() const override { return true; }
  [[nodiscard]] size_t write(std::span<const std::byte> from) override { return from.size(); }
  void resume_input() override {}

 private:
  Client client_;
  std::shared_ptr<bool> alive_;
};

// Owns what DescriptorChar uses.
class PairChar final : public DescriptorChar {
 public:
  PairChar(Fd in, Fd out, std::string path) : in_fd_(std::move(in)), out_fd_(std::move(out)), path_(std::move(path)) {
    for (const Fd* fd : {&in_fd_, &out_fd_}) {
      if (fd->valid()) {
        set_nonblocking(fd->get());
      }
    }
    connect(in_fd_.get(), out_fd_.get());
  }
  ~PairChar() override { detach(); }
  [[nodiscard]] std::string path() const override { return path_; }

 private:
  Fd in_fd_;
  Fd out_fd_;
  std::string path_;
};

class StreamChar final : public DescriptorChar {
 public:
  explicit StreamChar(Fd both) : fd_(std::move(both)) {
    set_nonblocking(fd_.get());
    connect(fd_.get(), fd_.get());
  }
  ~StreamChar() override { detach(); }

 private:
  void on_input_end(int /*error*/) override { disconnect(); }
  void on_disconnected() override { fd_.reset(); }
  Fd fd_;
};

termios saved_terminal{};
std::atomic<bool> terminal_raw{false};

class StdioChar final : public DescriptorChar {
 public:
  StdioChar() : DescriptorChar(Blocking::ask) { connect(STDIN_FILENO, STDOUT_FILENO); }
  ~StdioChar() override {
    detach();
    restore_stdio_terminal();
  }
};

}  // namespace

void restore_stdio_terminal() {
  if (terminal_raw.exchange(false)) {
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved_terminal);
  }
}

std::unique_ptr<CharBackend> make_null_char() { return std::make_unique<NullChar>(); }

std::unique_ptr<CharBackend> make_fd_char(Fd in, Fd out) {
  return std::make_unique<PairChar>(std::move(in), std::move(out), std::string());
}

std::unique_ptr<CharBackend> make_stream_char(Fd both) { return std::make_unique<StreamChar>(std::move(both)); }

Result<std::unique_ptr<CharBackend>> open_stdio_char() {
  if (::isatty(STDIN_FILENO) == 1 && !terminal_raw.load()) {
    if (::tcgetattr(STDIN_FILENO, &saved_terminal) != 0) {
      return fail_errno(errno, "read the settings of the terminal on standard input");
    }
    termios raw = saved_terminal;
    ::cfmakeraw(&raw);
    raw.c_oflag = saved_terminal.c_oflag;  // line feeds of our own messages still return the carriage
    if (::tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0) {
      return fail_errno(errno, "put the terminal on standard input into raw mode");
    }
    terminal_raw.store(true);
    static const int registered = std::atexit(restore_stdio_terminal);
    static_cast<void>(registered);
  }
  return std::make_unique<StdioChar>();
}

std::unique_ptr<CharBackend> make_file_char(Fd file) {
  if (LogRoom room = take_log_room(file.get()); room.limit != 0) {
    return make_limited_file_char(std::move(file), std::move(room));
  }
  return std::make_unique<PairChar>(Fd(), std::move(file), std::string());
}

Result<std::unique_ptr<CharBackend>> open_file_char(const std::string& path, bool append) {
  const int mode = append ? O_APPEND : O_TRUNC;
  auto file = open_file(path, O_WRONLY | O_CREAT | O_NOCTTY | mode);
  if (!file) {
    return fail("cannot open the file '{}' of a serial or console port: {}; choose a path that may be written", path,
                std::generic_category().message(file.error().code));
  }
  return std::make_unique<PairChar>(Fd(), std::move(*file), path);
}

}  // namespace lodge
