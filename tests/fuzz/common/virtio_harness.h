// What the fuzz targets of the virtio devices share: the input is a program of a hostile driver. Its operations write guest
// memory, publish descriptors, lie about ring indices, kick, touch the config space, and stop, reset, save and restore the
// device in between. Guest memory, rings and loop are real; single-threaded.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "devices/virtio/virtio_device.h"

namespace lodge::fuzz {

inline void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

// Takes values off the input; zeros when it is used up.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(std::as_bytes(std::span(data, size))) {}
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  template <class T>
  T take() {
    T value{};
    const size_t n = std::min(sizeof value, rest_.size());
    std::memcpy(&value, rest_.data(), n);
    rest_ = rest_.subspan(n);
    return value;
  }
  std::span<const std::byte> bytes(size_t size) {
    const auto part = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(part.size());
    return part;
  }

 private:
  std::span<const std::byte> rest_;
};

class Transport final : public VirtioTransport {
 public:
  void notify_config() override {}
  void set_needs_reset() override {}
  int queue_kick_fd(uint16_t) override { return -1; }
  int queue_call_fd(uint16_t) override { return -1; }
};

class Harness {
 public:
  using Make = std::function<std::unique_ptr<VirtioDevice>(const StateReader* saved)>;
  static constexpr uint16_t kRing = 16;
  static constexpr uint64_t kMemory = 256 * 1024;

  // `extra`: one more operation, the target's own. `id`: the device's.
  Harness(Make make, std::string id, std::function<void(VirtioDevice&, Input&)> extra)
      : make_(std::move(make)), id_(std::move(id)), extra_(std::move(extra)) {
    must_memory();
    device_ = make_(nullptr);
    device_->attach(transport_);
    states_.resize(std::min<size_t>(device_->queue_sizes().size(), 8));
  }

  void run(Input in) {
    const auto flags = in.take<uint8_t>();
    packed_ = (flags & 1) != 0;
    indirect_ = (flags & 2) != 0;
    event_index_ = (flags & 4) != 0;
    wanted_ = in.take<uint64_t>() | ((flags & 8) != 0 ? 0 : kVirtioVersion1);
    fresh_queues();
    start();
    for (int steps = 0; !in.empty() && steps < 400; ++steps) {
      step(in);
    }
    stop();
    device_->reset();
  }

 private:
  static GuestMemory& must_memory() {
    static const std::unique_ptr<GuestMemory> memory = [] {
      const GuestMemory::Range range{Gpa{0}, kMemory};
      auto created = GuestMemory::create({&range, 1}, {.transparent_hugepages = false});
      require(created.has_value());
      return std::move(*created);
    }();
    return *memory;
  }
  static EventLoop& loop() {
    static const std::unique_ptr<EventLoop> loop = [] {
      auto created = EventLoop::create("fuzz");
      require(created.has_value());
      return std::move(*created);
    }();
    return *loop;
  }

  void fresh_queues() {
    require(must_memory().fill(Gpa{0}, kMemory, std::byte{0}).has_value());
    for (size_t i = 0; i < states_.size(); ++i) {
      states_[i] = {};
      states_[i].size = kRing;
      states_[i].enabled = true;
      states_[i].descriptors = 0x1000 * (i + 1);
      states_[i].driver = states_[i].descriptors + 0x400;
      states_[i].device = states_[i].descriptors + 0x800;
    }
  }
  void start() {
    device_->activate(Activation{must_memory(), wanted_ & (device_->offered_features() | kVirtioVersion1)});
    for (size_t i = 0; i < states_.size(); ++i) {
      Virtqueue::Options options;
      options.name = "fuzz";
      options.index = static_cast<uint16_t>(i);
      options.packed = packed_;
      options.indirect = indirect_;
      options.event_index = event_index_;
      auto queue = Virtqueue::create(options, states_[i], must_memory(), loop(), [] {});
      require(queue.has_value());
      queues_.push_back(std::move(*queue));
    }
    for (auto& queue : queues_) {
      device_->start_queue(*queue);
      device_->kick(*queue);
    }
  }
  void stop() {
    size_t stopped = 0;
    for (auto& queue : queues_) {
      device_->stop_queue(*queue, [&stopped] { ++stopped; });
    }
    for (int turns = 0; stopped < queues_.size(); ++turns) {
      require(turns < 5000);  // a queue that does not let go
      loop().run_once(std::chrono::milliseconds(1));
    }
    for (size_t i = 0; i < queues_.size(); ++i) {
      queues_[i]->flush();
      require(queues_[i]->in_flight() == 0);
      states_[i] = queues_[i]->state();
    }
    queues_.clear();
  }
  void save_and_restore() {
    stop();
    StateWriter writer;
    device_->save(id_, writer);
    const auto reader = StateReader::parse(writer.bytes());
    require(reader.has_value());
    device_ = make_(&*reader);
    device_->attach(transport_);
    StateWriter again;
    device_->save(id_, again);
    require(again.bytes() == writer.bytes());
    start();
  }

  void step(Input& in) {
    const auto operation = in.take<uint8_t>();
    const size_t queue = in.take<uint8_t>() % states_.size();
    QueueState& ring = states_[queue];
    switch (operation % 12) {
      case 0: {
        const auto at = in.take<uint16_t>();
        const auto bytes = in.bytes(in.take<uint8_t>());
        static_cast<void>(must_memory().write_bytes(Gpa{at * 4ULL}, bytes));
        return;
      }
      case 1: {  // a descriptor, mostly plausible
        struct {
          uint64_t at;
          uint32_t length;
          uint16_t flags;
          uint16_t next;
        } descriptor{in.take<uint16_t>() * 4ULL, in.take<uint16_t>(), in.take<uint8_t>(), in.take<uint8_t>()};
        const auto index = in.take<uint8_t>();
        descriptor.at = (index & 0x80) != 0 ? descriptor.at << 48 : descriptor.at;
        static_cast<void>(must_memory().write(Gpa{ring.descriptors + 16ULL * (index % kRing)}, descriptor));
        return;
      }
      case 2: {  // publishes a chain
        const auto head = static_cast<uint16_t>(in.take<uint8_t>() % (kRing + 1));
        const auto index = must_memory().read<uint16_t>(Gpa{ring.driver + 2}).value_or(0);
        static_cast<void>(must_memory().write(Gpa{ring.driver + 4 + 2ULL * (index % kRing)}, head));
        static_cast<void>(must_memory().write(Gpa{ring.driver + 2}, static_cast<uint16_t>(index + 1)));
        return;
      }
      case 3: static_cast<void>(must_memory().write(Gpa{ring.driver + 2}, in.take<uint16_t>())); return;
      case 4:
      case 5: device_->kick(*queues_[queue]); return;
      case 6: loop().run_once(std::chrono::nanoseconds(0)); return;
      case 7:
        stop();
        start();
        return;
      case 8:
        stop();
        device_->reset();
        fresh_queues();
        start();
        return;
      case 9: save_and_restore(); return;
      case 10: {
        const auto offset = in.take<uint8_t>();
        std::array<std::byte, 8> value{};
        device_->write_config(offset, in.bytes(1ULL << (queue % 4)));
        device_->read_config(offset, value);
        return;
      }
      default: extra_(*device_, in); return;
    }
  }

  Make make_;
  std::string id_;
  std::function<void(VirtioDevice&, Input&)> extra_;
  Transport transport_;
  std::unique_ptr<VirtioDevice> device_;
  std::vector<QueueState> states_;
  std::vector<std::unique_ptr<Virtqueue>> queues_;
  bool packed_ = false;
  bool indirect_ = false;
  bool event_index_ = false;
  uint64_t wanted_ = 0;
};

// Guest mistakes are what this is about: not printed.
inline void quiet() {
  static const bool once = [] {
    log_init("", LogLevel::off);
    return true;
  }();
  static_cast<void>(once);
}

template <class T>
std::unique_ptr<VirtioDevice> created(Result<std::unique_ptr<T>> device) {
  require(device.has_value());
  return std::move(*device);
}

}  // namespace lodge::fuzz
