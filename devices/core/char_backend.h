// CharBackend: where the bytes of a serial port or a console channel go, with flow control both ways.
//
// Used by the 16550 and by virtio-console. attach() and detach() run on the loop's thread or while nobody runs the loop; all
// callbacks run on the loop. write() and resume_input() may be called from any thread. Make them with the functions below.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/fd.h"
#include "base/io/event_loop.h"
#include "base/result.h"

namespace lodge {

class CharBackend {
 public:
  enum class Event : uint8_t { opened, closed };  // the other side came or went
  struct Client {
    // Input arrived. Returns the bytes taken; when fewer, the rest is kept and input pauses until resume_input().
    std::function<size_t(std::span<const std::byte>)> receive;
    // write() took less than it was given, and now there is room again.
    std::function<void()> writable;
    std::function<void(Event)> event;
  };

  virtual ~CharBackend() = default;
  // One client at a time. When the other side is there already, event(opened) comes from the loop soon after.
  virtual void attach(EventLoop& loop, Client client) = 0;
  // No callback runs afterwards. Before the loop is destroyed.
  virtual void detach() = 0;
  // Someone is on the other side.
  [[nodiscard]] virtual bool is_open() const = 0;
  // Returns the bytes accepted. While nobody is on the other side all are accepted and dropped. Fewer than given: try the
  // rest after writable().
  [[nodiscard]] virtual size_t write(std::span<const std::byte> from) = 0;
  // Writes the last output and waits for the other side to take it, for so long at most; what is left then is lost. For the
  // end of a port's life, by the thread that runs the loop.
  virtual void drain(std::span<const std::byte> from, std::chrono::milliseconds /*limit*/) { (void)write(from); }
  // receive() can take more.
  virtual void resume_input() = 0;
  // What the user connects to: the pty's device, the socket or the file. Empty when there is no such thing.
  [[nodiscard]] virtual std::string path() const { return {}; }
};

// Swallows output, has no input, is always open.
[[nodiscard]] std::unique_ptr<CharBackend> make_null_char();

// Two open descriptors (pipes, terminals, character devices); either may be absent.
[[nodiscard]] std::unique_ptr<CharBackend> make_fd_char(Fd in, Fd out);

// A connected stream socket or an open pty master, both directions.
[[nodiscard]] std::unique_ptr<CharBackend> make_stream_char(Fd both);

// The process's standard input and output; a terminal is put into raw mode until the backend (or the process) ends. Every
// key reaches the guest, interrupt and suspend keys too.
[[nodiscard]] Result<std::unique_ptr<CharBackend>> open_stdio_char();
// Puts the terminal back as it was. Async-signal-safe; for exits that run no destructors.
void restore_stdio_terminal();

// Output to a file, created when absent; no input.
[[nodiscard]] Result<std::unique_ptr<CharBackend>> open_file_char(const std::string& path, bool append);
[[nodiscard]] std::unique_ptr<CharBackend> make_file_char(Fd file);

// A new pseudo-terminal in raw mode; path() is the side for people. Open while some process has it open.
[[nodiscard]] Result<std::unique_ptr<CharBackend>> open_pty_char();

// Everything that the guest writes to `inner` goes to `log` as well, also while nobody is on the other side. A log that
// takes no more (a full disk) loses output, and says so once. One whose room is known (base/rotating_file.h) keeps to it, as
// does the file of make_file_char.
[[nodiscard]] std::unique_ptr<CharBackend> make_logged_char(std::unique_ptr<CharBackend> inner, Fd log, std::string name);
[[nodiscard]] Result<Fd> open_char_log(const std::string& path, bool append);

struct SocketCharOptions {
  std::string path;      // the socket's place in the file system, or
  Fd fd;                 // a listening socket when `server`, else a connected one
  bool server = true;    // listen, one client at a time; else connect
  int reconnect_ms = 0;  // client by path: try again after this long when the connection ends; 0: never
};
[[nodiscard]] Result<std::unique_ptr<CharBackend>> open_socket_char(SocketCharOptions options);

}  // namespace lodge
