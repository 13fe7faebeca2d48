#include "devices/flash/device.h"

#include <algorithm>

namespace lodge {
namespace {

enum Command : uint8_t {
  kProgram = 0x10,
  kErase = 0x20,
  kProgramToo = 0x40,
  kClearStatus = 0x50,
  kLocks = 0x60,
  kReadStatus = 0x70,
  kIdentifier = 0x90,
  kQuery = 0x98,
  kSuspend = 0xB0,
  kConfirm = 0xD0,  // and "go on" after a suspend
  kBuffered = 0xE8,
  kReadArray = 0xFF,
};
constexpr uint8_t kUnlock = 0xD0;  // after kLocks
constexpr uint8_t kNoCommand = NorFlash::kEraseFailed | NorFlash::kProgramFailed;
constexpr auto kErased = std::byte{0xFF};

constexpr std::array<std::byte, kFlashBlock> erased_block() {
  std::array<std::byte, kFlashBlock> block{};
  block.fill(kErased);
  return block;
}
constexpr auto kErasedBlock = erased_block();

}  // namespace

NorFlash::NorFlash(Options options)
    : options_(std::move(options)), size_(options_.store->size()), cfi_(cfi_table(options_.store->size())) {}

Result<std::unique_ptr<NorFlash>> NorFlash::create(Options options, const DeviceEnv& env, const StateReader* saved) {
  std::unique_ptr<NorFlash> self(new NorFlash(std::move(options)));
  const FlashStore& store = *self->options_.store;
  if (!store.volatile_contents()) {
    self->flusher_ = std::make_shared<FlashFlusher>(env.loops.pick(), TRY(store.file().duplicate()), store.path());
  }
  self->mapping_ = TRY(env.mmio.add(self->options_.base, self->size_, self->options_.id, unowned(*self)));
  const Lock lock(self->mutex_);
  if (saved != nullptr) {
    TRY_VOID_CONTEXT(self->load(TRY(saved->get<NorFlashState>(self->options_.id))), self->options_.id);
  }
  self->update_shown();
  return self;
}

Result<void> NorFlash::load(const NorFlashState& state) {
  const bool collects = state.awaits == FlashAwaits::buffer_data || state.awaits == FlashAwaits::buffer_confirm;
  if (state.shows > FlashShows::query || state.awaits > FlashAwaits::buffer_confirm || (state.errors & ~kNoCommand) != 0 ||
      state.target >= size_ || state.buffer_count > kFlashBuffer || state.buffer.size() > state.buffer_count ||
      (!collects && state.buffer_count != 0) || (collects && state.buffer_count == 0) ||
      (state.awaits == FlashAwaits::buffer_data && state.buffer.size() == state.buffer_count) ||
      (state.awaits == FlashAwaits::buffer_confirm && state.buffer.size() != state.buffer_count) ||
      state.buffer.size() > size_ - state.target) {
    return fail("the saved state is of no command that there is");
  }
  if (state.has_contents != options_.store->volatile_contents()) {
    return fail("the saved guest's flash {}; start it in the same way",
                state.has_contents ? "was kept in memory, this one has a file" : "had a file, this one is kept in memory");
  }
  for (uint32_t offset = 0; state.has_contents && offset < size_; offset += kFlashBlock) {
    options_.store->load(offset, kErasedBlock);
  }
  for (const FlashBlockState& block : state.contents) {
    if (!state.has_contents || block.index >= size_ / kFlashBlock || block.bytes.size() != kFlashBlock) {
      return fail("the saved state has a block {} of {} bytes", block.index, block.bytes.size());
    }
    options_.store->load(block.index * kFlashBlock, std::as_bytes(std::span(block.bytes)));
  }
  state_ = state;
  state_.contents.clear();
  return {};
}

void NorFlash::save(StateWriter& out) const {
  const Lock lock(mutex_);
  NorFlashState state = state_;
  state.has_contents = options_.store->volatile_contents();
  const std::span<const std::byte> bytes = options_.store->bytes();
  for (uint32_t index = 0; state.has_contents && index < size_ / kFlashBlock; ++index) {
    const auto block = bytes.subspan(size_t{index} * kFlashBlock, kFlashBlock);
    if (!std::ranges::equal(block, kErasedBlock)) {
      FlashBlockState& saved = state.contents.emplace_back();
      saved.index = index;
      std::ranges::transform(block, std::back_inserter(saved.bytes),
                             [](std::byte b) { return std::to_integer<uint8_t>(b); });
    }
  }
  out.put(options_.id, state);
}

// The chip's reset line: whatever it was told is forgotten, and the array is shown.
void NorFlash::reset() {
  const Lock lock(mutex_);
  state_ = {};
  update_shown();
  flush();
}

void NorFlash::quiesce(Done done) {
  {
    const Lock lock(mutex_);
    flush();
  }
  if (flusher_) {
    flusher_->when_done(std::move(done));
  } else {
    done();
  }
}

std::vector<Counter> NorFlash::counters() const {
  const Lock lock(mutex_);
  return {{"programs", programs_}, {"erases", erases_}};
}

uint64_t NorFlash::io_read(IoAccess access) {
  const Lock lock(mutex_);
  uint64_t value = 0;
  for (uint32_t i = 0; i < access.size; ++i) {
    value |= uint64_t{read_byte(static_cast<uint32_t>(access.offset) + i)} << (8 * i);
  }
  if (state_.shows == FlashShows::status) {
    state_.ready = true;
  }
  return value;
}

void NorFlash::io_write(IoAccess access, uint64_t value) {
  const Lock lock(mutex_);
  for (uint32_t i = 0; i < access.size; ++i) {
    write_byte(static_cast<uint32_t>(access.offset) + i, static_cast<uint8_t>(value >> (8 * i)));
  }
  update_shown();
  if (shown_) {
    flush();
  }
}

uint8_t NorFlash::read_byte(uint32_t offset) const {
  switch (state_.shows) {
    case FlashShows::array: return std::to_integer<uint8_t>(options_.store->bytes()[offset]);
    case FlashShows::status: return static_cast<uint8_t>((state_.ready ? kReady : 0) | state_.errors);
    case FlashShows::identifier: return flash_identifier(offset);
    case FlashShows::query: return offset % kFlashBlock < kCfiSize ? cfi_.at(offset % kFlashBlock) : uint8_t{0};
  }
  return 0xFF;
}

void NorFlash::write_byte(uint32_t offset, uint8_t value) {
  switch (state_.awaits) {
    case FlashAwaits::command: command(offset, value); return;
    case FlashAwaits::program_data: program(offset, {&value, 1}); return;
    case FlashAwaits::erase_confirm:
      if (value == kConfirm) {
        erase();
      } else {
        finish(kNoCommand);
      }
      return;
    case FlashAwaits::lock_operation: finish(value == kUnlock ? 0 : kProgramFailed); return;  // nothing can be locked
    case FlashAwaits::buffer_count:
      state_.buffer_count = uint32_t{value} + 1;
      state_.awaits = FlashAwaits::buffer_data;
      return;
    case FlashAwaits::buffer_data: buffer_byte(offset, value); return;
    case FlashAwaits::buffer_confirm:
      if (value == kConfirm) {
        const std::vector<uint8_t> bytes = std::move(state_.buffer);
        program(state_.target, bytes);
      } else {
        finish(kNoCommand);
      }
      return;
  }
}

void NorFlash::command(uint32_t offset, uint8_t value) {
  switch (value) {
    case kProgram:
    case kProgramToo: await(FlashAwaits::program_data, offset); return;
    case kErase: await(FlashAwaits::erase_confirm, offset); return;
    case kLocks: await(FlashAwaits::lock_operation, offset); return;
    case kBuffered: await(FlashAwaits::buffer_count, offset); return;
    // A chip is ready again at once; but UEFI's driver knows a flash by a status of 0 after this, and Linux's waits until it
    // is ready. So the status is "busy" once.
    case kClearStatus:
      state_.errors = 0;
      state_.ready = false;
      return;
    case kReadStatus:
    case kSuspend:  // nothing takes time
    case kConfirm: state_.shows = FlashShows::status; return;
    case kIdentifier: state_.shows = FlashShows::identifier; return;
    case kQuery: state_.shows = FlashShows::query; return;
    case kReadArray: state_.shows = FlashShows::array; return;
    default:
      guest_warning(warnings_, options_.id, "command {:#04x} is not one of this flash", value);
      state_.shows = FlashShows::array;
      return;
  }
}

void NorFlash::await(FlashAwaits what, uint32_t offset) {
  state_.awaits = what;
  state_.target = offset;
  state_.shows = FlashShows::status;
  state_.ready = true;
}

void NorFlash::finish(uint8_t errors) {
  state_.errors |= errors;
  state_.awaits = FlashAwaits::command;
  state_.target = 0;
  state_.buffer_count = 0;
  state_.buffer.clear();
}

// The bytes come in a row, within one block.
void NorFlash::buffer_byte(uint32_t offset, uint8_t value) {
  if (state_.buffer.empty()) {
    state_.target = offset;
  }
  const auto next = state_.target + static_cast<uint32_t>(state_.buffer.size());
  if (offset != next || offset / kFlashBlock != state_.target / kFlashBlock) {
    finish(kNoCommand);
    return;
  }
  state_.buffer.push_back(value);
  if (state_.buffer.size() == state_.buffer_count) {
    state_.awaits = FlashAwaits::buffer_confirm;
  }
}

void NorFlash::program(uint32_t offset, std::span<const uint8_t> bytes) {
  std::array<std::byte, kFlashBuffer> merged{};
  const auto old = options_.store->bytes().subspan(offset, bytes.size());
  for (size_t i = 0; i < bytes.size(); ++i) {
    merged.at(i) = old[i] & std::byte{bytes[i]};
  }
  const bool done = options_.store->replace(offset, std::span(merged).first(bytes.size()));
  unflushed_ = true;
  programs_ += bytes.size();
  finish(done ? 0 : kProgramFailed);
}

void NorFlash::erase() {
  const bool done = options_.store->replace(state_.target / kFlashBlock * kFlashBlock, kErasedBlock);
  unflushed_ = true;
  ++erases_;
  finish(done ? 0 : kEraseFailed);
}

void NorFlash::update_shown() {
  const bool wanted = state_.shows == FlashShows::array && state_.awaits == FlashAwaits::command;
  if (wanted != shown_) {
    shown_ = wanted;
    if (options_.show) {
      options_.show(wanted ? options_.store->bytes() : std::span<const std::byte>());
    }
  }
}

void NorFlash::flush() {
  if (std::exchange(unflushed_, false) && flusher_) {
    flusher_->ask();
  }
}

}  // namespace lodge
