// Virtqueues alone, split and packed: a hostile driver writes the rings; chains are held, finished in any order, given back.
#include "tests/fuzz/common/test_devices.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  test::TestMachine& machine = fuzz::machine();
  fuzz::Input in(data, size);
  const auto flags = in.take<uint8_t>();
  Virtqueue::Options options;
  options.name = "fuzz";
  options.packed = (flags & 1) != 0;
  options.indirect = (flags & 2) != 0;
  options.event_index = (flags & 4) != 0;
  QueueState state;
  state.size = options.packed ? static_cast<uint16_t>(1 + (flags >> 3) % 17) : static_cast<uint16_t>(1U << (flags >> 3) % 5);
  state.descriptors = 0x1000;
  state.driver = 0x2000;
  state.device = 0x3000;
  fuzz::require(machine.memory->fill(Gpa{0}, 0x8000, std::byte{0}).has_value());
  const auto open = [&] { return test::must(Virtqueue::create(options, state, *machine.memory, *machine.control, [] {})); };
  auto queue = open();
  std::vector<Chain> held;
  for (int steps = 0; !in.empty() && steps < 500; ++steps) {
    const auto what = in.take<uint8_t>();
    const auto arg = in.take<uint8_t>();
    switch (what % 10) {
      case 0: (void)machine.memory->write_bytes(Gpa{0x1000 + arg * 2ULL}, in.bytes(what / 10)); break;
      case 1: (void)machine.memory->write_bytes(Gpa{0x2000 + arg % 64U}, in.bytes(what / 10)); break;
      case 2: {
        struct {
          uint64_t at;
          uint32_t length;
          uint16_t a;
          uint16_t b;
        } descriptor{in.take<uint16_t>() * 16ULL, in.take<uint8_t>() * 16U, in.take<uint16_t>(), in.take<uint16_t>()};
        (void)machine.memory->write(Gpa{(what & 128 ? 0x4000ULL : 0x1000ULL) + arg % 20 * 16ULL}, descriptor);
        break;
      }
      case 3: (void)machine.memory->write(Gpa{0x2002}, static_cast<uint16_t>(arg)); break;
      case 4:
      case 5:
        while (auto chain = queue->pop()) {
          std::array<std::byte, 32> bytes{};
          (void)chain->read(arg, bytes);
          chain->set_written(chain->write(arg, bytes));
          uint64_t total = 0;
          for (const ChainSegment& segment : chain->segments()) {
            total += segment.length;
          }
          fuzz::require(total == chain->readable_bytes() + chain->writable_bytes());
          held.push_back(std::move(*chain));
        }
        fuzz::require(held.size() == queue->in_flight() && held.size() <= queue->size() + queue->state().pending.size());
        break;
      case 6:
        if (!held.empty()) {
          held.erase(held.begin() + arg % static_cast<long>(held.size()));
        }
        break;
      case 7:
        queue->disable_kicks();
        (void)queue->enable_kicks();
        break;
      case 8: machine.control->run_once(std::chrono::nanoseconds(0)); break;
      default:
        for (Chain& chain : held) {
          chain.give_back();
        }
        held.clear();
        queue->flush();
        fuzz::require(queue->in_flight() == 0);
        state = queue->state();
        queue = open();
    }
  }
  held.clear();
  return 0;
}
