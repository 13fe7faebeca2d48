// The UART: register accesses of any size, input and a slow other side, saved and restored in between.
#include "devices/legacy/uart16550/device.h"
#include "tests/fuzz/common/test_devices.h"

namespace {

class Other final : public lodge::CharBackend {
 public:
  void attach(lodge::EventLoop&, Client client) override { client_ = std::move(client); }
  void detach() override { client_ = {}; }
  bool is_open() const override { return true; }
  size_t write(std::span<const std::byte> from) override {
    const size_t take = std::min(from.size(), room);
    room -= take;
    return take;
  }
  void resume_input() override {}
  void type(std::span<const std::byte> bytes) { lodge::fuzz::require(client_.receive(bytes) <= bytes.size()); }
  void more_room(size_t bytes) {
    room = bytes;
    client_.writable();
  }
  size_t room = 100;

 private:
  Client client_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  test::TestMachine& machine = fuzz::machine();
  Other* other = nullptr;
  const auto create = [&](const StateReader* saved) {
    auto backend = std::make_unique<Other>();
    other = backend.get();
    Uart16550::Options options{.id = "serial0", .port = 0x3F8, .backend = std::move(backend)};
    return test::must(Uart16550::create(std::move(options), *machine.env, machine.lines[4], saved));
  };
  auto uart = create(nullptr);
  fuzz::Input in(data, size);
  while (!in.empty()) {
    const auto what = in.take<uint8_t>();
    const uint64_t port = 0x3F8 + what % 8;
    const auto width = static_cast<uint8_t>(1U << (what >> 3) % 3);
    switch (what >> 5) {
      case 0:
      case 1: (void)machine.in(port, width); break;
      case 2:
      case 3:
      case 4: machine.out(port, in.take<uint32_t>(), width); break;
      case 5: other->type(in.bytes(what & 31)); break;
      case 6: other->more_room(what & 31); break;
      default:
        if ((what & 1) != 0) {
          machine.control->run_once(std::chrono::nanoseconds(0));
        } else if ((what & 2) != 0) {
          uart->reset();
        } else {
          uart->quiesce([] {});
          const StateReader saved = fuzz::saved(*uart);
          const StateBytes before = fuzz::bytes(*uart);
          uart.reset();
          uart = create(&saved);
          fuzz::require(fuzz::bytes(*uart) == before);
        }
    }
  }
  machine.control->run_once(std::chrono::nanoseconds(0));  // what it posted ends before it does
  return 0;
}
