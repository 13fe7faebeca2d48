// ConsolePort: one port of a virtio console: its two queues and the character backend behind. Only on the device's loop.
#pragma once

#include <memory>
#include <string>

#include "devices/core/char_backend.h"
#include "devices/virtio/console/state.h"
#include "devices/virtio/virtio_device.h"

namespace lodge {

class VirtioConsole;

class ConsolePort {
 public:
  ConsolePort(VirtioConsole& device, uint32_t number, std::string name, bool console, std::unique_ptr<CharBackend> backend)
      : device_(device), number_(number), name_(std::move(name)), console_(console), backend_(std::move(backend)) {}

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool console() const { return console_; }
  [[nodiscard]] CharBackend& backend() { return *backend_; }
  [[nodiscard]] ConsolePortState& state() { return state_; }
  [[nodiscard]] const ConsolePortState& state() const { return state_; }

  void attach(EventLoop& loop);
  void detach();
  void set_input(Virtqueue* queue) { input_ = queue; }
  void set_output(Virtqueue* queue) { output_ = queue; }
  void stop_output();
  // The driver gave input buffers, or some process opened the port.
  void resume_input();
  // Sends what the driver has given.
  void pump_output();
  // Tells the driver whether someone is on our side, when that changed.
  void tell_open();

 private:
  static constexpr uint64_t kPerTurn = 64 * 1024;  // bytes of output before other work of the loop has its turn
  [[nodiscard]] size_t receive(std::span<const std::byte> bytes);
  [[nodiscard]] bool send(Chain& chain, uint64_t& budget);

  VirtioConsole& device_;
  const uint32_t number_;
  const std::string name_;
  const bool console_;
  std::unique_ptr<CharBackend> backend_;
  ConsolePortState state_;
  EventLoop* loop_ = nullptr;
  Virtqueue* input_ = nullptr;
  Virtqueue* output_ = nullptr;
  Chain sending_;  // partly out
  bool blocked_ = false;
  EventLoop::Timer again_;
};

}  // namespace lodge
