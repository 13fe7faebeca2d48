#include "devices/display/vga/adapter.h"

#include <bit>
#include <chrono>

#include "devices/display/vga/memory_state.h"
#include "devices/display/vga/render.h"

namespace lodge {
namespace {

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

class VgaAdapter::Ports final : public Part {
 public:
  using Part::Part;
  uint64_t io_read(IoAccess access) override {
    const Lock lock(adapter_.core_mutex_);
    return read_bytes(access, adapter_.core_, [](VgaCore& core, uint64_t at) {
      return core.port_read(static_cast<uint16_t>(vga::kFirstPort + at));
    });
  }
  void io_write(IoAccess access, uint64_t value) override {
    const Lock lock(adapter_.core_mutex_);
    write_bytes(access, value, adapter_.core_, [](VgaCore& core, uint64_t at, uint8_t byte) {
      core.port_write(static_cast<uint16_t>(vga::kFirstPort + at), byte);
    });
  }
};

// Index at 0x1CE; data at 0x1CF, and at 0x1D0 for those who want it aligned.
class VgaAdapter::VbePorts final : public Part {
 public:
  using Part::Part;
  uint64_t io_read(IoAccess access) override {
    const Lock lock(adapter_.core_mutex_);
    return access.offset == 0 ? adapter_.core_.vbe_index() : adapter_.core_.vbe_read(adapter_.core_.vbe_index());
  }
  void io_write(IoAccess access, uint64_t value) override {
    const Lock lock(adapter_.core_mutex_);
    if (access.offset == 0) {
      adapter_.core_.set_vbe_index(static_cast<uint16_t>(value));
    } else {
      adapter_.core_.vbe_write(adapter_.core_.vbe_index(), static_cast<uint16_t>(value));
    }
  }
};

class VgaAdapter::Window final : public Part {
 public:
  using Part::Part;
  uint64_t io_read(IoAccess access) override {
    const Lock lock(adapter_.core_mutex_);
    return read_bytes(access, adapter_.core_,
                      [](VgaCore& core, uint64_t at) { return core.window_read(static_cast<uint32_t>(at)); });
  }
  void io_write(IoAccess access, uint64_t value) override {
    const Lock lock(adapter_.core_mutex_);
    write_bytes(access, value, adapter_.core_,
                [](VgaCore& core, uint64_t at, uint8_t byte) { core.window_write(static_cast<uint32_t>(at), byte); });
  }
};

// BAR 0, when the machine does not map it for the processors.
class VgaAdapter::Frame final : public Part {
 public:
  using Part::Part;
  uint64_t io_read(IoAccess access) override {
    return read_bytes(access, *adapter_.memory_,
                      [](VideoMemory& memory, uint64_t at) { return memory.load(static_cast<uint32_t>(at)); });
  }
  void io_write(IoAccess access, uint64_t value) override {
    write_bytes(access, value, *adapter_.memory_,
                [](VideoMemory& memory, uint64_t at, uint8_t byte) { memory.store(static_cast<uint32_t>(at), byte); });
  }
};

class VgaAdapter::Registers final : public Part {
 public:
  using Part::Part;
  uint64_t io_read(IoAccess access) override {
    const Lock lock(adapter_.core_mutex_);
    return adapter_.register_read(access.offset, access.size);
  }
  void io_write(IoAccess access, uint64_t value) override {
    const Lock lock(adapter_.core_mutex_);
    adapter_.register_write(access.offset, access.size, value);
  }
};

Result<std::unique_ptr<VgaAdapter>> VgaAdapter::create(Options options, const DeviceEnv& env, const StateReader* saved) {
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
  std::unique_ptr<VgaAdapter> self(new VgaAdapter(std::move(options), std::move(memory), state));
  TRY_VOID(self->add_to(env));
  if (saved != nullptr) {
    TRY_VOID(load_video_memory(*saved, id, *self->memory_));
  }
  return self;
}

std::vector<PciCompanion::Bar> VgaAdapter::bars() {
  return {{0, memory_->size(), std::make_shared<Frame>(*this)}, {2, kRegisterBar, std::make_shared<Registers>(*this)}};
}

Result<void> VgaAdapter::add_to(const DeviceEnv& env) {
  const auto add = [this](Bus& bus, uint64_t base, uint64_t size, std::shared_ptr<IoHandler> part) -> Result<void> {
    mappings_.push_back(TRY(bus.add(base, size, options_.id, std::move(part))));
    return {};
  };
  TRY_VOID(add(env.pio, vga::kFirstPort, vga::kLastPort - vga::kFirstPort + 1, std::make_shared<Ports>(*this)));
  TRY_VOID(add(env.pio, vga::kVbeIndexPort, 4, std::make_shared<VbePorts>(*this)));
  return add(env.mmio, kWindow, kWindowSize, std::make_shared<Window>(*this));
}

uint64_t VgaAdapter::register_read(uint64_t offset, uint8_t size) {
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

void VgaAdapter::register_write(uint64_t offset, uint8_t size, uint64_t value) {
  if (offset >= kVgaRegisters && offset + size <= kVgaRegisters + 0x20) {
    write_bytes({.offset = offset, .size = size}, value, core_, [](VgaCore& core, uint64_t at, uint8_t byte) {
      core.port_write(static_cast<uint16_t>(vga::kAttributeIndex + at - kVgaRegisters), byte);
    });
  } else if (offset >= kVbeRegisters && offset < kVbeRegisters + 22 && offset % 2 == 0) {
    core_.vbe_write(static_cast<uint16_t>((offset - kVbeRegisters) / 2), static_cast<uint16_t>(value));
  }
}

void VgaAdapter::bar_mapped(uint8_t index, uint64_t base) {
  if (index == 0 && options_.map) {
    options_.map(base, memory_->size(), memory_->host());
  }
}

void VgaAdapter::bar_unmapped(uint8_t index, uint64_t base) {
  if (index == 0 && options_.map) {
    options_.map(base, memory_->size(), nullptr);
  }
}

void VgaAdapter::reset() {
  const Lock lock(core_mutex_);
  core_.reset();
}

std::optional<ChangedLines> VgaAdapter::refresh(Image& image) {
  if (options_.bring_writes) {
    options_.bring_writes();
  }
  VgaState state;
  {
    const Lock lock(core_mutex_);
    state = core_.state();
  }
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return draw(vga_mode(state, memory_->size()), *memory_, now / kBlink % 2 == 0, image);
}

void VgaAdapter::save(StateWriter& out) const {
  {
    const Lock lock(core_mutex_);
    out.put(options_.id, core_.state());
  }
  save_video_memory(*memory_, options_.id, out);
}

}  // namespace lodge
