// What the guest asks of VirtioGpu (virtio 1.2 section 5.7.6). On the device's loop.
#include <algorithm>

#include "devices/virtio/gpu/device.h"

namespace lodge {
namespace {

using namespace virtio_gpu;  // NOLINT(google-build-using-namespace): the names of the specification

constexpr uint64_t kPixel = sizeof(uint32_t);

// What follows the header; nothing: the command is cut short.
template <GuestPod T>
std::optional<T> body_of(const Chain& chain) {
  T body;
  if (chain.read(sizeof(Header), writable_bytes_of(body)) != sizeof body) {
    return std::nullopt;
  }
  return body;
}

}  // namespace

void VirtioGpu::serve(Virtqueue& queue) {
  work_ = 0;
  queue.process([this](Chain chain) {
    execute(std::move(chain));
    return work_ < kPerTurn;
  });
  held_.store(resources_.bytes(), std::memory_order_relaxed);
  if (work_ >= kPerTurn) {
    again_.at(queue.index()) = queue.loop().after(std::chrono::nanoseconds(0), [this, &queue] {
      again_.at(queue.index()).reset();
      serve(queue);
    });
  }
}

void VirtioGpu::execute(Chain chain) {
  work_ += kCommandCost;
  commands_.fetch_add(1, std::memory_order_relaxed);
  Header header;
  if (chain.read(0, writable_bytes_of(header)) != sizeof header) {
    guest_warning(warnings_, options_.id, "a command of {} bytes; its header has {}", chain.readable_bytes(), sizeof header);
    return;
  }
  const bool control = chain.queue().index() == kControl;
  const bool of_cursor = header.type == kUpdateCursor || header.type == kMoveCursor;
  const Answer answer = control != of_cursor ? command(header.type, chain) : Answer{kErrUnspec};
  if (answer.type >= kErrUnspec) {
    guest_warning(warnings_, options_.id, "command {:#x} fails with {:#x}", header.type, static_cast<uint32_t>(answer.type));
  }
  if (!control && chain.writable_bytes() == 0) {
    return;  // cursor commands come without room for an answer
  }
  Header reply;
  reply.type = answer.type;
  if ((header.flags & kFlagFence) != 0) {
    reply.flags = kFlagFence;
    reply.fence_id = header.fence_id;
    reply.ctx_id = header.ctx_id;
  }
  const size_t written = chain.write(0, bytes_of(reply)) + chain.write(sizeof reply, answer.body);
  if (written != sizeof reply + answer.body.size()) {
    guest_warning(warnings_, options_.id, "the answer to command {:#x} has {} bytes, its buffer {}", header.type,
                  sizeof reply + answer.body.size(), chain.writable_bytes());
  }
  chain.set_written(written);
}

VirtioGpu::Answer VirtioGpu::command(uint32_t type, const Chain& chain) {
  switch (type) {
    case kGetDisplayInfo: return display_info();
    case kGetEdid: return edid(chain);
    default: return {change(type, chain)};
  }
}

// Commands whose answer has no body.
Response VirtioGpu::change(uint32_t type, const Chain& chain) {
  const auto with = []<class T>(std::optional<T> body, const auto& run) { return body ? run(*body) : kErrInvalidParameter; };
  switch (type) {
    case kResourceCreate2d:
      return with(body_of<CreateResource>(chain), [this](const auto& wanted) { return resources_.create(wanted); });
    case kResourceUnref: return with(body_of<ResourceId>(chain), [this](const auto& wanted) { return unref(wanted); });
    case kSetScanout: return with(body_of<SetScanout>(chain), [this](const auto& wanted) { return set_scanout(wanted); });
    case kResourceFlush: return with(body_of<Flush>(chain), [this](const auto& wanted) { return flush(wanted); });
    case kTransferToHost2d: return with(body_of<Transfer>(chain), [this](const auto& wanted) { return transfer(wanted); });
    case kResourceAttachBacking: return attach_backing(chain);
    case kResourceDetachBacking:
      return with(body_of<ResourceId>(chain), [this](const auto& wanted) { return detach_backing(wanted); });
    case kUpdateCursor:
    case kMoveCursor: return with(body_of<Cursor>(chain), [this, type](const auto& wanted) { return cursor(type, wanted); });
    default: return kErrUnspec;
  }
}

VirtioGpu::Answer VirtioGpu::display_info() {
  const GpuPreferredSize::Size size = size_.tell();
  display_info_[0] = {{0, 0, size.width, size.height}, 1, 0};
  return {kOkDisplayInfo, std::as_bytes(std::span(display_info_))};
}

VirtioGpu::Answer VirtioGpu::edid(const Chain& chain) {
  const auto wanted = body_of<GetEdid>(chain);
  if (!wanted) {
    return {kErrInvalidParameter};
  }
  if (wanted->scanout != 0) {
    return {kErrInvalidScanoutId};
  }
  const GpuPreferredSize::Size size = size_.get();
  const auto block = edid_block(size.width, size.height);
  edid_.size = block.size();
  std::ranges::copy(block, edid_.block.begin());
  return {kOkEdid, bytes_of(edid_)};
}

Response VirtioGpu::unref(const ResourceId& wanted) {
  const auto resource = resources_.find(wanted.resource_id);
  if (resource == nullptr) {
    return kErrInvalidResourceId;
  }
  if (picture_.shown().resource == resource) {
    picture_.show_nothing();
  }
  resources_.remove(wanted.resource_id);
  return kOkNodata;
}

Response VirtioGpu::set_scanout(const SetScanout& wanted) {
  if (wanted.scanout_id != 0) {
    return kErrInvalidScanoutId;
  }
  if (wanted.resource_id == 0) {
    picture_.show_nothing();
    return kOkNodata;
  }
  auto resource = resources_.find(wanted.resource_id);
  if (resource == nullptr) {
    return kErrInvalidResourceId;
  }
  if (!GpuPicture::can_show(*resource, wanted.rect)) {
    return kErrInvalidParameter;
  }
  picture_.show(wanted.resource_id, std::move(resource), wanted.rect);
  return kOkNodata;
}

Response VirtioGpu::flush(const Flush& wanted) {
  const auto resource = resources_.find(wanted.resource_id);
  if (resource == nullptr) {
    return kErrInvalidResourceId;
  }
  if (!resource->contains(wanted.rect)) {
    return kErrInvalidParameter;
  }
  flushes_.fetch_add(1, std::memory_order_relaxed);
  if (picture_.shown().resource == resource) {
    picture_.touch();
  }
  return kOkNodata;
}

Response VirtioGpu::transfer(const Transfer& wanted) {
  const auto resource = resources_.find(wanted.resource_id);
  if (resource == nullptr) {
    return kErrInvalidResourceId;
  }
  if (!resource->contains(wanted.rect) || !resource->transfer(*memory_, wanted.rect, wanted.offset)) {
    return kErrInvalidParameter;
  }
  const uint64_t bytes = uint64_t{wanted.rect.width} * wanted.rect.height * kPixel;
  work_ += bytes;
  transferred_.fetch_add(bytes, std::memory_order_relaxed);
  return kOkNodata;
}

Response VirtioGpu::attach_backing(const Chain& chain) {
  const auto wanted = body_of<AttachBacking>(chain);
  if (!wanted || wanted->entries > GpuResources::kMaxEntries) {
    return kErrInvalidParameter;
  }
  entries_.resize(wanted->entries);
  const auto bytes = std::as_writable_bytes(std::span(entries_));
  work_ += bytes.size();
  if (chain.read(sizeof(Header) + sizeof(AttachBacking), bytes) != bytes.size()) {
    return kErrInvalidParameter;
  }
  return resources_.attach(*memory_, wanted->resource_id, entries_);
}

Response VirtioGpu::detach_backing(const ResourceId& wanted) {
  const auto resource = resources_.find(wanted.resource_id);
  if (resource == nullptr || resource->backing().empty()) {
    return kErrInvalidResourceId;
  }
  resources_.detach(wanted.resource_id);
  return kOkNodata;
}

Response VirtioGpu::cursor(uint32_t type, const Cursor& wanted) {
  if (wanted.scanout_id != 0) {
    return kErrInvalidScanoutId;
  }
  if (type == kUpdateCursor && wanted.resource_id == 0) {
    picture_.set_cursor(nullptr);
  } else if (type == kUpdateCursor) {
    const auto resource = resources_.find(wanted.resource_id);
    if (resource == nullptr) {
      return kErrInvalidResourceId;
    }
    constexpr uint32_t kSide = GpuCursorImage::kSide;
    if (resource->width() != kSide || resource->height() != kSide) {
      return kErrInvalidParameter;
    }
    auto image = std::make_shared<GpuCursorImage>();
    for (uint32_t y = 0; y < kSide; ++y) {
      resource->read_line(0, y, std::span(image->pixels).subspan(size_t{y} * kSide, kSide));
    }
    picture_.set_cursor(std::move(image));
  }
  picture_.move_cursor(static_cast<int32_t>(wanted.x), static_cast<int32_t>(wanted.y));
  return kOkNodata;
}

}  // namespace lodge
