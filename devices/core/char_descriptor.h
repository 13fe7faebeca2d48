// DescriptorChar: the common part of all character backends that move bytes over descriptors. Only char_*.cc include it.
#pragma once

#include <array>
#include <memory>

#include "base/mutex.h"
#include "base/rotating_file.h"
#include "devices/core/char_backend.h"

namespace lodge {

class DescriptorChar : public CharBackend {
 public:
  // How write() avoids to block: the descriptor is in non-blocking mode, or it must be asked first (shared ones: stdio).
  enum class Blocking : uint8_t { never, ask };

  explicit DescriptorChar(Blocking blocking = Blocking::never) : blocking_(blocking) {}
  ~DescriptorChar() override;

  void attach(EventLoop& loop, Client client) override;
  void detach() override;
  [[nodiscard]] bool is_open() const override;
  [[nodiscard]] size_t write(std::span<const std::byte> from) override;
  void drain(std::span<const std::byte> from, std::chrono::milliseconds limit) override;
  void resume_input() override;

  // Sets the descriptors in use (-1: that direction is absent) and marks the other side as there. Loop thread.
  void connect(int in, int out);
  // The other side is gone: closes nothing, forgets the descriptors, tells the client.
  void disconnect();

 protected:
  // Hooks for those that wait for the other side. Loop thread.
  virtual void on_attached() {}
  virtual void on_detached() {}
  virtual void on_disconnected() {}
  // End of input or an error on `in`.
  virtual void on_input_end(int error);
  [[nodiscard]] EventLoop* loop() const { return loop_; }

 private:
  void watch_input();
  void read_input();
  bool deliver();
  void continue_input();
  void watch_output();
  void output_ready();

  const Blocking blocking_;
  EventLoop* loop_ = nullptr;
  Client client_;
  EventLoop::Watch input_;
  EventLoop::Watch output_;
  std::shared_ptr<bool> alive_;  // of the attachment: posted work checks it

  mutable Mutex mutex_;
  int in_ = -1;
  int out_ GUARDED_BY(mutex_) = -1;
  bool open_ GUARDED_BY(mutex_) = false;
  bool waiting_output_ GUARDED_BY(mutex_) = false;
  EventLoop* post_to_ GUARDED_BY(mutex_) = nullptr;

  std::array<std::byte, 4096> buffer_{};
  size_t buffered_ = 0;  // bytes in buffer_
  size_t taken_ = 0;     // of those, bytes the client has
};

// Non-blocking mode for a descriptor that is ours alone.
void set_nonblocking(int fd);

// A file that keeps to its room; no input (char_logged.cc).
[[nodiscard]] std::unique_ptr<CharBackend> make_limited_file_char(Fd file, LogRoom room);

}  // namespace lodge
