#include "devices/virtio/gpu/device.h"

#include <algorithm>

#include "base/bytes.h"

namespace lodge {
namespace {

std::string record_id(std::string_view id, size_t number) { return fmt::format("{}/{}", id, number); }

// Calls fn(first, count) for each record of a resource's pixels. Stops at false.
template <class Fn>
void each_record(size_t pixels, const Fn& fn) {
  for (size_t first = 0; first < pixels; first += GpuPixels::kRecordPixels) {
    if (!fn(first, std::min(GpuPixels::kRecordPixels, pixels - first))) {
      return;
    }
  }
}

}  // namespace

Result<std::unique_ptr<VirtioGpu>> VirtioGpu::create(Options options, const StateReader* saved) {
  if (options.width == 0 || options.height == 0 || options.width > kMaxEdidWidth || options.height > kMaxEdidHeight) {
    return fail("display '{}': {}x{} is no size of a screen; use up to {}x{}", options.id, options.width, options.height,
                kMaxEdidWidth, kMaxEdidHeight);
  }
  std::unique_ptr<VirtioGpu> self(new VirtioGpu(std::move(options)));
  if (saved != nullptr) {
    TRY_VOID(self->load(*saved));
  }
  return self;
}

std::optional<ChangedLines> VirtioGpu::refresh(Image& image) {
  if (options_.before == nullptr || picture_.shown().taken) {
    return picture_.refresh(image);
  }
  image.serial = 0;
  return options_.before->refresh(image);
}

void VirtioGpu::read_config(uint32_t offset, std::span<std::byte> to) {
  const virtio_gpu::Config config{.events_read = size_.events(), .num_scanouts = 1};
  copy_config(bytes_of(config), offset, to);
}

void VirtioGpu::write_config(uint32_t offset, std::span<const std::byte> from) {
  if (offset == offsetof(virtio_gpu::Config, events_clear) && from.size() == sizeof(uint32_t) &&
      size_.clear(load_le<uint32_t>(from))) {
    post_event();
  }
}

void VirtioGpu::prefer_size(uint32_t width, uint32_t height) {
  if (size_.set({width, height})) {
    post_event();
  }
}

void VirtioGpu::post_event() {
  const Lock lock(mutex_);
  if (loop_ == nullptr) {
    return;  // start_queue() does it
  }
  loop_->post([this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired()) {
      transport_->notify_config();
    }
  });
}

void VirtioGpu::start_queue(Virtqueue& queue) {
  if (queue.index() != kControl) {
    return;
  }
  {
    const Lock lock(mutex_);
    loop_ = &queue.loop();
  }
  if (size_.events() != 0) {
    post_event();
  }
}

void VirtioGpu::kick(Virtqueue& queue) {
  if (!again_.at(queue.index()).active()) {
    serve(queue);
  }
}

void VirtioGpu::stop_queue(Virtqueue& queue, Done done) {
  if (queue.index() == kControl) {
    const Lock lock(mutex_);
    loop_ = nullptr;
  }
  again_.at(queue.index()).reset();
  done();
}

void VirtioGpu::reset() {
  picture_.give_up();
  picture_.set_cursor(nullptr);
  picture_.move_cursor(0, 0);
  resources_.clear();
  held_.store(0, std::memory_order_relaxed);
}

void VirtioGpu::save(std::string_view id, StateWriter& out) const {
  VirtioGpuState state;
  for (const auto& [number, resource] : resources_.all()) {
    GpuResourceState& one = state.resources.emplace_back();
    one = {number, resource->format(), resource->width(), resource->height(), {}};
    for (const GpuResource::Entry& entry : resource->backing()) {
      one.backing.push_back({entry.at.value, entry.length});
    }
  }
  state.events = size_.events();
  const GpuPreferredSize::Size preferred = size_.get();
  if (state.events != 0 || preferred != GpuPreferredSize::Size{options_.width, options_.height}) {
    state.preferred_width = preferred.width;
    state.preferred_height = preferred.height;
  }
  const GpuPicture::Shown shown = picture_.shown();
  state.taken = shown.taken;
  state.shown = shown.resource_id;
  state.x = shown.rect.x;
  state.y = shown.rect.y;
  state.width = shown.rect.width;
  state.height = shown.rect.height;
  state.cursor_x = shown.cursor_x;
  state.cursor_y = shown.cursor_y;
  if (shown.cursor != nullptr) {
    state.cursor.assign(shown.cursor->pixels.begin(), shown.cursor->pixels.end());
  }
  out.put(id, state);
  size_t number = 0;
  for (const auto& [resource_id, resource] : resources_.all()) {
    each_record(resource->pixel_count(), [&, &from = *resource](size_t first, size_t count) {
      GpuPixels record;
      record.pixels.resize(count);
      from.save_pixels(first, record.pixels);
      if (std::ranges::all_of(record.pixels, [](uint32_t pixel) { return pixel == 0; })) {
        record.pixels.clear();
      }
      out.put(record_id(id, number++), record);
      return true;
    });
  }
}

// Backing is in guest memory that is not there yet: its places are checked when they are read.
Result<void> VirtioGpu::load(const StateReader& saved) {
  const std::string& id = options_.id;
  const auto state = TRY(saved.get<VirtioGpuState>(id));
  size_t number = 0;
  for (const GpuResourceState& one : state.resources) {
    TRY_VOID(load_resource(one));
    const auto resource = resources_.find(one.id);
    Result<void> outcome;
    each_record(resource->pixel_count(), [&](size_t first, size_t count) {
      const auto record = saved.get<GpuPixels>(record_id(id, number++));
      if (!record) {
        outcome = std::unexpected(record.error());
      } else if (!record->pixels.empty() && record->pixels.size() != count) {
        outcome = fail("saved display '{}': {} pixels where there are {}", id, record->pixels.size(), count);
      } else {
        resource->load_pixels(first, record->pixels);
      }
      return outcome.has_value();
    });
    TRY_VOID(outcome);
  }
  if (state.preferred_width != 0 || state.preferred_height != 0) {  // older states have none
    if (state.preferred_width == 0 || state.preferred_height == 0 || state.preferred_width > kMaxEdidWidth ||
        state.preferred_height > kMaxEdidHeight || state.events > virtio_gpu::kEventDisplay) {
      return fail("saved display '{}' prefers {}x{}, events {:#x}", id, state.preferred_width, state.preferred_height,
                  state.events);
    }
    size_.load({state.preferred_width, state.preferred_height}, state.events);
  }
  if (state.taken) {
    picture_.show_nothing();
  }
  if (state.shown != 0) {
    auto resource = resources_.find(state.shown);
    const virtio_gpu::Rect rect{state.x, state.y, state.width, state.height};
    if (resource == nullptr || !GpuPicture::can_show(*resource, rect)) {
      return fail("saved display '{}' shows what it does not have", id);
    }
    picture_.show(state.shown, std::move(resource), rect);
  }
  if (!state.cursor.empty()) {
    auto image = std::make_shared<GpuCursorImage>();
    if (state.cursor.size() != image->pixels.size()) {
      return fail("saved display '{}': a cursor of {} pixels", id, state.cursor.size());
    }
    std::ranges::copy(state.cursor, image->pixels.begin());
    picture_.set_cursor(std::move(image));
  }
  picture_.move_cursor(state.cursor_x, state.cursor_y);
  held_.store(resources_.bytes());
  return {};
}

Result<void> VirtioGpu::load_resource(const GpuResourceState& state) {
  std::vector<GpuResource::Entry> entries;
  entries.reserve(state.backing.size());
  for (const GpuEntryState& entry : state.backing) {
    entries.push_back({0, Gpa{entry.address}, entry.length});
  }
  const bool sound = resources_.create({state.id, state.format, state.width, state.height}) == virtio_gpu::kOkNodata &&
                     (entries.empty() || resources_.load_backing(state.id, std::move(entries)) == virtio_gpu::kOkNodata);
  if (!sound) {
    return fail("saved display '{}': resource {} of {}x{} is damaged, or too much", options_.id, state.id, state.width,
                state.height);
  }
  return {};
}

std::vector<Counter> VirtioGpu::counters() const {
  return {{"commands", commands_.load(std::memory_order_relaxed)},
          {"transferred-bytes", transferred_.load(std::memory_order_relaxed)},
          {"flushes", flushes_.load(std::memory_order_relaxed)},
          {"resource-bytes", held_.load(std::memory_order_relaxed)},
          {"guest-mistakes", warnings_.count()}};
}

}  // namespace lodge
