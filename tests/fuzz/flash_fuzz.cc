// The NOR flash: commands and accesses of any size at any place, hostile saved states, saves in the middle of commands. A
// model with the two rules that matter (programs clear bits, erases set a block's) watches the bytes.
#include <sys/mman.h>
#include <unistd.h>

#include "devices/flash/device.h"
#include "tests/fuzz/common/test_devices.h"

namespace {

constexpr uint64_t kBase = 0xFFC0'0000;
constexpr uint32_t kSize = 4 * lodge::kFlashBlock;
constexpr uint8_t kCommands[] = {0xFF, 0x70, 0x50, 0x90, 0x98, 0x10, 0x40, 0x20, 0xD0, 0xE8, 0x60, 0xB0};

lodge::FlashStoreOptions options(bool in_file) {
  lodge::Fd fd(::memfd_create("flash", MFD_CLOEXEC));
  lodge::fuzz::require(::ftruncate(fd.get(), kSize) == 0);
  return {.file = std::move(fd), .path = "flash", .written_through = in_file};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  test::TestMachine& machine = fuzz::machine();
  fuzz::Input in(data, size);
  const uint8_t start = in.take<uint8_t>();
  const bool in_file = (start & 1) != 0;
  FlashStoreOptions first = options(in_file);
  Fd file = test::must(first.file.duplicate());
  std::span<const std::byte> shown;
  const auto create = [&](FlashStoreOptions from, const StateReader* saved) -> std::unique_ptr<NorFlash> {
    NorFlash::Options wanted;
    wanted.base = kBase;
    wanted.store = test::must(FlashStore::open(std::move(from)));
    wanted.show = [&shown](std::span<const std::byte> bytes) { shown = bytes; };
    auto device = NorFlash::create(std::move(wanted), *machine.env, saved);
    return device ? std::move(*device) : nullptr;
  };
  const auto quiesce = [&machine](NorFlash& device) {
    bool quiet = false;
    device.quiesce([&quiet] { quiet = true; });
    fuzz::require(machine.run_until([&quiet] { return quiet; }));
  };
  std::unique_ptr<NorFlash> device;
  if ((start & 0xF0) == 0xF0) {  // a hostile saved state
    NorFlashState state;
    state.shows = static_cast<FlashShows>(in.take<uint8_t>() % 5);
    state.awaits = static_cast<FlashAwaits>(in.take<uint8_t>() % 8);
    state.errors = in.take<uint8_t>();
    state.ready = (in.take<uint8_t>() & 1) != 0;
    state.target = in.take<uint16_t>();
    state.buffer_count = in.take<uint16_t>();
    state.buffer.resize(in.take<uint16_t>() % 300);
    state.has_contents = (in.take<uint8_t>() & 3) != 0 ? !in_file : in_file;
    if (state.has_contents) {
      state.contents.push_back({in.take<uint8_t>() % 5U, std::vector<uint8_t>(4000 + in.take<uint8_t>())});
    }
    StateWriter out;
    out.put("flash0", state);
    const auto reader = StateReader::parse(out.bytes());
    device = create(std::move(first), &*reader);
    if (device == nullptr) {
      return 0;
    }
  } else {
    device = create(std::move(first), nullptr);
  }
  while (!in.empty()) {
    const auto what = in.take<uint8_t>();
    const auto width = static_cast<uint8_t>(1U << (what & 3));
    const uint64_t at = kBase + in.take<uint16_t>() % (kSize + 8);
    switch (what >> 4) {
      case 0:
        quiesce(*device);
        device->reset();
        fuzz::require(shown.size() == kSize);
        break;
      case 1: {
        quiesce(*device);
        const StateReader saved = fuzz::saved(*device);
        const StateBytes before = fuzz::bytes(*device);
        device.reset();
        device = create(in_file ? FlashStoreOptions{.file = test::must(file.duplicate()), .path = "flash"} : options(false),
                        &saved);
        fuzz::require(device != nullptr && fuzz::bytes(*device) == before);
        break;
      }
      case 2:
      case 3:
      case 4: (void)machine.read(at, width); break;
      case 5:
      case 6: machine.write(at, in.take<uint64_t>(), width); break;
      case 7: {  // a whole program
        const auto value = in.take<uint8_t>();
        machine.write(kBase, 0xFF, 1);
        machine.write(kBase, 0xFF, 1);
        machine.write(kBase, 0xFF, 1);
        if (shown.size() != kSize || at >= kBase + kSize) {
          break;
        }
        const auto old = std::to_integer<uint8_t>(shown[at - kBase]);
        machine.write(at, 0x10, 1);
        machine.write(at, value, 1);
        machine.write(at, 0xFF, 1);
        fuzz::require(machine.read(at, 1) == (old & value));
        break;
      }
      case 8: {  // a whole erase
        machine.write(at, 0x20, 1);
        machine.write(at, 0xD0, 1);
        machine.write(at, 0xFF, 1);
        break;
      }
      default: machine.write(at, kCommands[in.take<uint8_t>() % std::size(kCommands)], 1); break;
    }
    if (in_file && !shown.empty() && (what & 4) != 0) {  // the file has what the guest sees
      std::byte byte{};
      const auto probe = static_cast<off_t>(at - kBase) % kSize;
      fuzz::require(::pread(file.get(), &byte, 1, probe) == 1 && byte == shown[static_cast<size_t>(probe)]);
    }
  }
  quiesce(*device);
  return 0;
}
