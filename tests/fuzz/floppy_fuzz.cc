// The floppy controller and its DMA: any port takes any byte, commands made of the input, disks that change, resets, and
// saves in between, also of states that are the input's.
#include <sys/mman.h>
#include <unistd.h>

#include "devices/block/raw.h"
#include "devices/floppy/controller.h"
#include "tests/fuzz/common/test_devices.h"

namespace lodge::fuzz {
namespace {

constexpr uint64_t kSizes[] = {360 * kKiB, 720 * kKiB, 1440 * kKiB, 2880 * kKiB, 512 * 5, 1296384};

class Bench {
 public:
  explicit Bench(Input in) : in_(in) {
    for (Fd& image : images_) {
      image = Fd(::memfd_create("image", MFD_CLOEXEC));
      require(image.valid() &&
              ::ftruncate(image.get(), static_cast<off_t>(kSizes[in_.take<uint8_t>() % std::size(kSizes)])) == 0);
    }
  }
  ~Bench() { quiesce(); }

  void run() {
    require(make(nullptr));
    for (int steps = 0; !in_.empty() && steps < 600; ++steps) {
      step();
    }
  }

 private:
  bool make(const StateReader* saved) {
    FloppyController::Options options;
    for (uint8_t i = 0; i < images_.size(); ++i) {
      FloppyController::Drive drive;
      drive.id = std::string("fd") + static_cast<char>('a' + i);
      drive.unit = i;
      drive.backend = image(i);
      drive.errors = {ErrorAction::stop, ErrorAction::stop};
      options.drives.push_back(std::move(drive));
    }
    auto device = FloppyController::create(std::move(options), *machine_.env, saved);
    if (!device) {
      return false;
    }
    floppy_ = std::move(*device);
    floppy_->resume();
    return true;
  }
  std::unique_ptr<BlockBackend> image(size_t i) {
    RawOptions raw;
    raw.fd = std::move(*images_.at(i).duplicate());
    raw.lock = false;
    return std::move(*open_raw(std::move(raw)));
  }
  void quiesce() {
    if (!floppy_) {
      return;
    }
    come_to_rest(*floppy_);
    machine_.turn(4);
    floppy_.reset();
  }
  void save_and_restore() {
    come_to_rest(*floppy_);
    const StateReader saved = fuzz::saved(*floppy_);
    const StateBytes before = fuzz::bytes(*floppy_);
    machine_.turn(4);
    floppy_.reset();
    require(make(&saved));
    require(fuzz::bytes(*floppy_) == before);
  }
  // A state of which only the encoding is sound.
  void hostile_state() {
    FloppyState state;
    state.output = in_.take<uint8_t>();
    state.specify = {in_.take<uint8_t>(), in_.take<uint8_t>()};
    state.rate = in_.take<uint8_t>();
    state.phase = static_cast<FloppyPhase>(in_.take<uint8_t>() % 7);
    state.command.resize(in_.take<uint8_t>() % 12);
    for (uint8_t& byte : state.command) {
      byte = in_.take<uint8_t>();
    }
    state.result.resize(in_.take<uint8_t>() % 9);
    state.buffer.resize(in_.take<uint16_t>() % (64 * 1024 + 2));
    state.buffer_at = in_.take<uint16_t>();
    state.head = in_.take<uint8_t>() & 3;
    state.sector = in_.take<uint8_t>();
    state.count = in_.take<uint8_t>();
    state.sense_pending = in_.take<uint8_t>();
    state.drives.at(0).cylinder = in_.take<uint8_t>();
    quiesce();
    StateWriter out;
    out.put("floppy", IsaDmaState{});
    out.put("floppy", state);
    const auto reader = StateReader::parse(out.bytes());
    require(reader.has_value());
    if (!make(&*reader)) {
      require(make(nullptr));
    }
  }
  void exchange() {
    bool done = false;
    floppy_->exchange_medium(in_.take<uint8_t>() & 1, (in_.take<uint8_t>() & 1) != 0 ? image(1) : nullptr,
                             [&done](const std::unique_ptr<BlockBackend>&) { done = true; });
    turn_until(done);
  }
  void start() {
    machine_.out(0x3F2, 0);
    machine_.out(0x3F2, 0x3CU | (in_.take<uint8_t>() & 1U));
    machine_.out(0x3F7, in_.take<uint8_t>());
  }
  void step() {
    static constexpr uint8_t kCommands[] = {0x02, 0x03, 0x04, 0x45, 0x46, 0xC5, 0xE6, 0x07, 0x08, 0x09,
                                            0x4A, 0x0C, 0x4D, 0x0E, 0x0F, 0x10, 0x12, 0x13, 0x14, 0x94,
                                            0x56, 0xD6, 0x17, 0x18, 0x2E, 0x33, 0x4E, 0x8E, 0x8F, 0xCF};
    const auto what = in_.take<uint8_t>();
    switch (what & 15) {
      case 0: machine_.out(0x3F0 + in_.take<uint8_t>() % 6, in_.take<uint8_t>()); break;
      case 1: (void)machine_.in(0x3F0 + in_.take<uint8_t>() % 8, static_cast<uint8_t>(1U << (what >> 4 & 1))); break;
      case 2:
        machine_.out(in_.take<uint8_t>() & 0x0F, in_.take<uint32_t>(), static_cast<uint8_t>(1U << (what >> 4 & 3)));
        break;
      case 3: (void)machine_.in(in_.take<uint8_t>() % 0xE0); break;
      case 4: machine_.out(0x80U + (in_.take<uint8_t>() & 0x5FU), in_.take<uint8_t>()); break;
      case 5: start(); break;
      case 6:  // a channel that goes
        machine_.out(0x0B, 0x42U | (unsigned{what} >> 4) << 2);
        machine_.out(0x04, in_.take<uint8_t>());
        machine_.out(0x05, in_.take<uint8_t>());
        machine_.out(0x81, in_.take<uint8_t>());
        machine_.out(0x0A, 0x02);
        break;
      case 7:
      case 8:
      case 9:  // a command
        machine_.out(0x3F5, kCommands[in_.take<uint8_t>() % std::size(kCommands)]);
        for (int i = what >> 4; i > 0; --i) {
          machine_.out(0x3F5, in_.take<uint8_t>() & 0x1F);
        }
        break;
      case 10: {  // much data
        const int count = in_.take<uint8_t>() * 4;
        for (int i = 0; i < count; ++i) {
          (what & 16) != 0 ? machine_.out(0x3F5, in_.take<uint8_t>()) : void(machine_.in(0x3F5));
        }
        break;
      }
      case 11: machine_.turn(in_.take<uint8_t>() % 16); break;
      case 12: exchange(); break;
      case 13: save_and_restore(); break;
      case 14: hostile_state(); break;
      default: machine_.turn(64); break;
    }
  }

  test::TestMachine& machine_ = fuzz::machine();
  Input in_;
  std::array<Fd, 2> images_;
  std::unique_ptr<FloppyController> floppy_;
};

}  // namespace
}  // namespace lodge::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lodge::fuzz::Bench(lodge::fuzz::Input(data, size)).run();
  return 0;
}
