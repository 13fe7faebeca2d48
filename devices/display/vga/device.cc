#include "devices/display/vga/device.h"

#include <bit>
#include <chrono>

#include "devices/display/vga/memory_state.h"
#include "devices/display/vga/render.h"

namespace lodge {
namespace {

constexpr PciIdentity kIdentity{0x1234, 0x1111, 0x030000, 2, 0x1AF4, 0x1100};
constexpr uint64_t kWindow = 0xA0000;
constexpr uint64_t kWindowSize = 0x20000;
constexpr uint64_t kRegisterBar = 4096;
constexpr uint64_t kVgaRegisters = 0x400;
constexpr uint64_t kVbeRegisters = 0x500;
constexpr uint64_t kExtension = 0x600;  // its size, then the byte order
constexpr uint32_t kLittleEndian = 0x1E1E1E1E;
constexpr std::chrono::milliseconds kBlink(267);  // 16 frames of 60 Hz

// Byte by byte: `read` and `write` do one, with `from` or `to` and its offset.
template <class From, class Read>
uint64_t read_bytes(IoAccess access, From& from, const Read& read) {
  uint64_t value = 0;
  for (uint8_t i = 0; i < access.size; ++i) {
    value |= uint64_t{read(from, access.offset + i)} << (8 * i);
  }
  return value;
}

template <class To, class Write>
void write_bytes(IoAccess access, uint64_t value, To& to, const Write& write) {
  for (uint8_t i = 0; i < access.size; ++i) {
    write(to, access.offset + i, static_cast<uint8_t>(value >> (8 * i)));
  }
}

}  // namespace

class VgaDisplay::Ports final : public Part {
 public:
  using Part::Part;
  uint64_t io_read(IoAccess access) override {
    const Lock lock(display_.core_mutex_);
    return read_bytes(access, display_.core_, [](VgaCore& core, uint64_t at) {
      return core.port_read(static_cast<uint16_t>(vga::kFirstPort + at));
    });
  }
  void io_write(IoAccess access, uint64_t value) override {
    const Lock lock(display_.core_mutex_);
    write_bytes(access, value, display_.core_, [](VgaCore& core, uint64_t at, uint8_t byte) {
      core.port_write(static_cast<uint16_t>(vga::kFirstPort + at), byte);
    });
  }
};

// Index at 0x1CE; data at 0x1CF, and at 0x1D0 for those who want it aligned.
class VgaDisplay::VbePorts final : public Part {
 public:
  using Part::Part;
  uint64_t io_read(IoAccess access) override {
    const Lock lock(display_.core_mutex_);
    return access.offset == 0 ? display_.core_.vbe_index() : display_.core_.vbe_read(display_.core_.vbe_index());
  }
  void io_write(IoAccess access, uint64_t value) override {
    const Lock lock(display_.core_mutex_);
    if (access.offset == 0) {
      display_.core_.set_vbe_index(static_cast<uint16_t>(value));
    } else {
      display_.core_.vbe_write(display_.core_.vbe_index(), static_cast<uint16_t>(value));
    }
  }
};

class VgaDisplay::Window final : public Part {
 public:
  using Part::Part;
  uint64_t io_read(IoAccess access) override {
    const Lock lock(display_.core_mutex_);
    return read_bytes(access, display_.core_,
                      [](VgaCore& core, uint64_t at) { return core.window_read(static_cast<uint32_t>(at)); });
  }
  void io_write(IoAccess access, uint64_t value) override {
    const Lock lock(display_.core_mutex_);
    write_bytes(access, value, display_.core_,
                [](VgaCore& core, uint64_t at, uint8_t byte) { core.window_write(static_cast<uint32_t>(at), byte); });
  }
};

// BAR 0, when the machine does not map it for the processors.
class VgaDisplay::Frame final : public Part {
 public:
  using Part::Part;
  uint64_t io_read(IoAccess access) override {
    return read_bytes(access, *display_.memory_,
                      [](VideoMemory& memory, uint64_t at) { return memory.load(static_cast<uint32_t>(at)); });
  }
  void io_write(IoAccess access, uint64_t value) override {
    write_bytes(access, value, *display_.memory_,
                [](VideoMemory& memory, uint64_t at, uint8_t byte) { memory.store(static_cast<uint32_t>(at), byte); });
  }
};

class VgaDisplay::Registers final : public Part {
 public:
  using Part::Part;
  uint64_t io_read(IoAccess access) override {
    const Lock lock(display_.core_mutex_);
    return display_.register_read(access.offset, access.size);
  }
  void io_write(IoAccess access, uint64_t value) override {
    const Lock lock(display_.core_mutex_);
    display_.register_write(access.offset, access.size, value);
  }
};

VgaDisplay::VgaDisplay(Options options, const DeviceEnv& env, std::unique_ptr<VideoMemory> memory, const VgaState& state)
    : PciFunction(options.id, kIdentity, env),
      options_(std::move(options)),
      memory_(std::move(memory)),
      core_(*memory_, state) {
  add_bar(0, BarKind::memory32, memory_->size(), std::make_shared<Frame>(*this));
  add_bar(2, BarKind::memory32, kRegisterBar, std::make_shared<Registers>(*this));
}

VgaDisplay::~VgaDisplay() { detach(); }

Result<std::shared_ptr<VgaDisplay>> VgaDisplay::create(Options options, const DeviceEnv& env, const StateReader* saved) {
  if (!std::has_single_bit(options.memory) || options.memory < (1U << 20) || options.memory > (256U << 20)) {
    return fail("display '{}': {} bytes of video memory; it is a power of two from 1 MiB to 256 MiB", options.id,
                options.memory);
  }
  const std::string id = options.id;
  auto memory = TRY_CONTEXT(VideoMemory::create(options.memory), "display");
  VgaState state;
  if (saved != nullptr) {
    state = TRY(saved->get<VgaState>(id));
  }
  std::shared_ptr<VgaDisplay> self(new VgaDisplay(std::move(options), env, std::move(memory), state));
  TRY_VOID(self->add_to(env));
  if (saved != nullptr) {
    TRY_VOID(self->load_memory(*saved));
    TRY_VOID(self->load_pci(TRY(saved->get<PciState>(id))));
  }
  return self;
}

Result<void> VgaDisplay::add_to(const DeviceEnv& env) {
  const auto add = [this](Bus& bus, uint64_t base, uint64_t size, std::shared_ptr<IoHandler> part) -> Result<void> {
    mappings_.push_back(TRY(bus.add(base, size, options_.id, std::move(part))));
    return {};
  };
  TRY_VOID(add(env.pio, vga::kFirstPort, vga::kLastPort - vga::kFirstPort + 1, std::make_shared<Ports>(*this)));
  TRY_VOID(add(env.pio, vga::kVbeIndexPort, 4, std::make_shared<VbePorts>(*this)));
  return add(env.mmio, kWindow, kWindowSize, std::make_shared<Window>(*this));
}

uint64_t VgaDisplay::register_read(uint64_t offset, uint8_t size) {
  if (offset >= kVgaRegisters && offset + size <= kVgaRegisters + 0x20) {
    return read_bytes({.offset = offset, .size = size}, core_, [](VgaCore& core, uint64_t at) {
      return core.port_read(static_cast<uint16_t>(vga::kAttributeIndex + at - kVgaRegisters));
    });
  }
  if (offset >= kVbeRegisters && offset < kVbeRegisters + 22 && offset % 2 == 0) {
    return core_.vbe_read(static_cast<uint16_t>((offset - kVbeRegisters) / 2));
  }
  if (offset == kExtension) {
    return 8;
  }
  return offset == kExtension + 4 ? kLittleEndian : 0;
}

void VgaDisplay::register_write(uint64_t offset, uint8_t size, uint64_t value) {
  if (offset >= kVgaRegisters && offset + size <= kVgaRegisters + 0x20) {
    write_bytes({.offset = offset, .size = size}, value, core_, [](VgaCore& core, uint64_t at, uint8_t byte) {
      core.port_write(static_cast<uint16_t>(vga::kAttributeIndex + at - kVgaRegisters), byte);
    });
  } else if (offset >= kVbeRegisters && offset < kVbeRegisters + 22 && offset % 2 == 0) {
    core_.vbe_write(static_cast<uint16_t>((offset - kVbeRegisters) / 2), static_cast<uint16_t>(value));
  }
}

void VgaDisplay::bar_mapped(uint8_t index, uint64_t base) {
  if (index == 0 && options_.map) {
    options_.map(base, memory_->size(), memory_->host());
  }
}

void VgaDisplay::bar_unmapped(uint8_t index, uint64_t base) {
  if (index == 0 && options_.map) {
    options_.map(base, memory_->size(), nullptr);
  }
}

void VgaDisplay::reset() {
  reset_pci();
  const Lock lock(core_mutex_);
  core_.reset();
}

std::optional<ChangedLines> VgaDisplay::refresh(Image& image) {
  VgaState state;
  {
    const Lock lock(core_mutex_);
    state = core_.state();
  }
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return draw(vga_mode(state, memory_->size()), *memory_, now / kBlink % 2 == 0, image);
}

void VgaDisplay::save(StateWriter& out) const {
  out.put(options_.id, pci_state());
  {
    const Lock lock(core_mutex_);
    out.put(options_.id, core_.state());
  }
  save_video_memory(*memory_, options_.id, out);
}

Result<void> VgaDisplay::load_memory(const StateReader& saved) { return load_video_memory(saved, options_.id, *memory_); }

}  // namespace lodge
