// The IDE controller with two disks and a CD drive: any register takes any byte, commands, packets and tables of the bus
// master made of the input, media that change, resets, and saves in between, also of states that are the input's.
#include <sys/mman.h>
#include <unistd.h>

#include "devices/block/raw.h"
#include "devices/ide/device.h"
#include "tests/fuzz/common/test_devices.h"

namespace lodge::fuzz {
namespace {

constexpr uint64_t kImage = 96 * 1024;
constexpr uint64_t kMaster = 0xC000;
constexpr uint64_t kTable = 0x1000;

class Bench {
 public:
  explicit Bench(Input in) : in_(in) {
    for (Fd& image : images_) {
      image = Fd(::memfd_create("image", MFD_CLOEXEC));
      require(image.valid() && ::ftruncate(image.get(), kImage) == 0);
    }
  }
  ~Bench() { quiesce(); }

  void run() {
    make(nullptr);
    machine_.set_config(1, 0x20, kMaster | 1);
    machine_.set_config(1, 0x04, 5, 2);
    for (int steps = 0; !in_.empty() && steps < 600; ++steps) {
      step();
    }
  }

 private:
  void make(const StateReader* saved) {
    Piix3Ide::Options options;
    options.decoded = true;
    for (uint8_t i = 0; i < images_.size(); ++i) {
      IdeDriveOptions drive;
      drive.id = std::string("drive") + static_cast<char>('0' + i);
      drive.cdrom = i == 2;
      drive.backend = image(i);
      drive.errors = {ErrorAction::stop, ErrorAction::stop};
      options.drives.push_back({{static_cast<uint8_t>(i / 2), static_cast<uint8_t>(i % 2)}, std::move(drive)});
    }
    auto device = Piix3Ide::create(std::move(options), *machine_.env, saved);
    require(device.has_value());
    ide_ = std::move(*device);
    test::must(machine_.root->plug({1, 0}, ide_, false));
    ide_->resume();
  }
  std::unique_ptr<BlockBackend> image(size_t i) {
    RawOptions raw;
    raw.fd = std::move(*images_.at(i).duplicate());
    raw.read_only = i == 2;
    raw.lock = false;
    return std::move(*open_raw(std::move(raw)));
  }
  void quiesce() {
    if (!ide_) {
      return;
    }
    come_to_rest(*ide_);
    machine_.turn(4);
    machine_.root->unplug({1, 0});
    ide_.reset();
  }
  void save_and_restore() {
    come_to_rest(*ide_);
    const StateReader saved = fuzz::saved(*ide_);
    const StateBytes before = fuzz::bytes(*ide_);
    machine_.turn(4);
    machine_.root->unplug({1, 0});
    ide_.reset();
    make(&saved);
    require(fuzz::bytes(*ide_) == before);
  }
  // A state of which only the encoding is sound.
  void hostile_state() {
    IdeDriveState state;
    state.phase = static_cast<IdePhase>(in_.take<uint8_t>() % 9);
    state.status = in_.take<uint8_t>();
    state.to_host = (in_.take<uint8_t>() & 1) != 0;
    state.reply = (in_.take<uint8_t>() & 1) != 0;
    state.position = in_.take<uint16_t>();
    state.left = in_.take<uint16_t>();
    state.block = in_.take<uint16_t>();
    state.at = in_.take<uint16_t>();
    state.block_end = in_.take<uint16_t>();
    state.buffer.resize(in_.take<uint16_t>() % (64 * 1024 + 2));
    state.heads = in_.take<uint8_t>();
    state.sectors = in_.take<uint8_t>();
    state.multiple = in_.take<uint8_t>();
    come_to_rest(*ide_);
    // A drive that takes it must work on with it.
    const auto found = ide_->drives().at(in_.take<uint8_t>() % 3);
    (void)found.drive().load(state);
    ide_->resume();
  }
  void exchange() {
    const auto found = ide_->drives().at(2);
    bool done = false;
    found.channel->exchange_medium(found.unit, (in_.take<uint8_t>() & 1) != 0 ? image(2) : nullptr,
                                   [&done](const std::unique_ptr<BlockBackend>&) { done = true; });
    turn_until(done);
  }
  void step() {
    static constexpr uint8_t kCommands[] = {0x08, 0x20, 0x24, 0x25, 0x29, 0x30, 0x34, 0x35, 0x39,
                                            0x3D, 0x40, 0x90, 0x91, 0xA0, 0xA1, 0xB0, 0xC4, 0xC5,
                                            0xC6, 0xC8, 0xCA, 0xCE, 0xE7, 0xEA, 0xEC, 0xEF, 0xF8};
    const auto what = in_.take<uint8_t>();
    const uint64_t base = (what & 1) != 0 ? 0x170 : 0x1F0;
    const auto width = static_cast<uint8_t>(1U << (what >> 1 & 3));
    switch (what >> 4) {
      case 0: machine_.out(base + in_.take<uint8_t>() % 8, in_.take<uint32_t>(), width); break;
      case 1: (void)machine_.in(base + in_.take<uint8_t>() % 8, width); break;
      case 2:
      case 3:  // a command with an address on the disk
        machine_.out(base + 6, in_.take<uint8_t>());
        machine_.out(base + 2, in_.take<uint8_t>() % 4 * (in_.take<uint8_t>() % 64));
        machine_.out(base + 3, in_.take<uint8_t>());
        machine_.out(base + 4, what % 4 == 0 ? in_.take<uint8_t>() : 0);
        machine_.out(base + 5, what % 4 == 1 ? in_.take<uint8_t>() : 0);
        machine_.out(base + 7, kCommands[in_.take<uint8_t>() % std::size(kCommands)]);
        break;
      case 4:  // a packet
        machine_.out(0x176, 0);
        machine_.out(0x171, in_.take<uint8_t>());
        machine_.out(0x174, in_.take<uint8_t>());
        machine_.out(0x175, in_.take<uint8_t>());
        machine_.out(0x177, 0xA0);
        for (int i = 0; i < 3; ++i) {
          machine_.out(0x170, in_.take<uint32_t>(), 4);
        }
        break;
      case 5:
      case 6: {  // much data
        const int count = in_.take<uint8_t>() * 8;
        for (int i = 0; i < count; ++i) {
          (what & 8) != 0 ? machine_.out(base, in_.take<uint8_t>(), 4) : void(machine_.in(base, 4));
        }
        break;
      }
      case 7:
      case 8: {  // a table, and go
        const unsigned entries = in_.take<uint8_t>() % 16;
        for (unsigned i = 0; i < entries; ++i) {
          const uint64_t count = in_.take<uint16_t>();
          const uint64_t at = (what & 8) != 0 ? in_.take<uint32_t>() : in_.take<uint16_t>() * 16U;
          const uint64_t end = i + 1 == entries ? uint64_t{1} << 63 : 0;
          test::must(machine_.memory->write(Gpa{kTable + 8ULL * i}, end | count << 32 | at));
        }
        const uint64_t master = kMaster + ((what & 1) != 0 ? 8 : 0);
        machine_.out(master + 4, kTable, 4);
        machine_.out(master, in_.take<uint8_t>());
        break;
      }
      case 9: machine_.out(kMaster + in_.take<uint8_t>() % 16, in_.take<uint32_t>(), width); break;
      case 10: (void)machine_.in(kMaster + in_.take<uint8_t>() % 16, width); break;
      case 11: machine_.out(base + 0x206, in_.take<uint8_t>()); break;
      case 12: machine_.set_config(1, in_.take<uint8_t>() & 0xFC, in_.take<uint32_t>(), 4); break;
      case 13: machine_.turn(in_.take<uint8_t>() % 8); break;
      case 14: (what & 1) != 0 ? exchange() : save_and_restore(); break;
      default:
        if ((what & 1) != 0) {
          hostile_state();
        } else {
          machine_.turn(64);
        }
        break;
    }
  }

  test::TestMachine& machine_ = fuzz::machine();
  Input in_;
  std::array<Fd, 3> images_;
  std::shared_ptr<Piix3Ide> ide_;
};

}  // namespace
}  // namespace lodge::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lodge::fuzz::Bench(lodge::fuzz::Input(data, size)).run();
  return 0;
}
