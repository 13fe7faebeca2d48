// The parallel port: any access to its registers, an other side that takes as much as the input says, saved and restored.
#include "devices/legacy/parallel/device.h"
#include "tests/fuzz/common/test_devices.h"

namespace {

using namespace lodge;

class Printer final : public CharBackend {
 public:
  explicit Printer(size_t& room) : room_(room) {}
  void attach(EventLoop&, Client client) override { client_ = std::move(client); }
  void detach() override { client_ = {}; }
  [[nodiscard]] bool is_open() const override { return true; }
  size_t write(std::span<const std::byte> from) override {
    const size_t take = std::min(from.size(), room_);
    room_ -= take;
    return take;
  }
  void resume_input() override {}
  void writable() const { client_.writable(); }

 private:
  size_t& room_;
  Client client_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  test::TestMachine& machine = fuzz::machine();
  fuzz::Input in(data, size);
  size_t room = 0;
  Printer* printer = nullptr;
  const auto create = [&](const StateReader* saved) {
    auto backend = std::make_unique<Printer>(room);
    printer = backend.get();
    ParallelPort::Options options;
    options.id = "parallel0";
    options.backend = std::move(backend);
    return ParallelPort::create(std::move(options), *machine.env, machine.lines[7], saved);
  };
  std::unique_ptr<ParallelPort> device;
  if (in.take<uint8_t>() == 0xFF) {  // a hostile saved state
    ParallelState state{in.take<uint8_t>(), in.take<uint8_t>(), true, true, {}};
    state.transmit.resize(in.take<uint16_t>());
    StateWriter out;
    out.put("parallel0", state);
    const auto reader = StateReader::parse(out.bytes());
    auto made = create(&*reader);
    if (!made) {
      return 0;
    }
    device = std::move(*made);
  } else {
    device = test::must(create(nullptr));
  }
  while (!in.empty()) {
    const auto what = in.take<uint8_t>();
    const uint64_t port = 0x378 + what % 3;
    const auto width = static_cast<uint8_t>(what % 3 == 2 || (what & 0x10) == 0 ? 1 : 2);
    switch (what >> 5) {
      case 0: device->reset(); break;
      case 1: {
        const StateReader saved = fuzz::saved(*device);
        const StateBytes before = fuzz::bytes(*device);
        device.reset();
        device = test::must(create(&saved));
        fuzz::require(fuzz::bytes(*device) == before);
        break;
      }
      case 2:
        room = in.take<uint16_t>();
        printer->writable();
        break;
      case 3: machine.turn(1); break;
      case 4: (void)machine.in(port, width); break;
      case 5: machine.out(port, in.take<uint16_t>(), width); break;
      default:  // a guest that prints much
        for (unsigned i = in.take<uint8_t>() * 16U; i > 0; --i) {
          machine.out(0x378, i);
          machine.out(0x37A, 0x1D);
          machine.out(0x37A, 0x1C);
        }
        break;
    }
  }
  device->quiesce([] {});
  (void)fuzz::saved(*device);
  return 0;
}
