#include "devices/core/bus.h"

#include <algorithm>

namespace lodge {

Bus::Bus(std::string name) : name_(std::move(name)), table_(std::make_shared<const Table>()) {}

Bus::Registration& Bus::Registration::operator=(Registration&& other) noexcept {
  if (this != &other) {
    reset();
    bus_ = std::exchange(other.bus_, nullptr);
    base_ = other.base_;
  }
  return *this;
}

void Bus::Registration::reset() {
  if (Bus* bus = std::exchange(bus_, nullptr)) {
    bus->remove(base_);
  }
}

Result<Bus::Registration> Bus::add(uint64_t base, uint64_t size, std::string_view owner,
                                   std::shared_ptr<IoHandler> handler) {
  uint64_t last = 0;
  if (size == 0 || __builtin_add_overflow(base, size - 1, &last)) {
    return fail("{} range {:#x}+{:#x} of {} is empty or wraps around", name_, base, size, owner);
  }
  const Lock lock(mutex_);
  auto table = std::make_shared<Table>(*table_);
  const auto at = std::ranges::lower_bound(*table, base, {}, &Range::first);
  const bool hits_next = at != table->end() && at->first <= last;
  const bool hits_previous = at != table->begin() && std::prev(at)->last >= base;
  if (hits_next || hits_previous) {
    const Range& other = hits_next ? *at : *std::prev(at);
    return fail("{} range {:#x}-{:#x} of {} overlaps {:#x}-{:#x} of {}", name_, base, last, owner, other.first, other.last,
                other.owner);
  }
  table->insert(at, Range{base, last, std::string(owner), std::move(handler)});
  table_ = std::move(table);
  generation_.fetch_add(1, std::memory_order_release);
  return Registration(this, base);
}

void Bus::remove(uint64_t base) {
  const Lock lock(mutex_);
  auto table = std::make_shared<Table>(*table_);
  std::erase_if(*table, [base](const Range& range) { return range.first == base; });
  table_ = std::move(table);
  generation_.fetch_add(1, std::memory_order_release);
}

const Bus::Range* Bus::Reader::find(uint64_t address, uint8_t size) {
  if (bus_->generation_.load(std::memory_order_acquire) != generation_) {
    const Lock lock(bus_->mutex_);
    table_ = bus_->table_;
    generation_ = bus_->generation_.load(std::memory_order_relaxed);
  }
  const auto after = std::ranges::upper_bound(*table_, address, {}, &Range::first);
  if (after == table_->begin()) {
    return nullptr;
  }
  const Range& range = *std::prev(after);
  return address <= range.last && size - 1U <= range.last - address ? &range : nullptr;
}

bool Bus::Reader::read(uint64_t address, uint8_t size, uint32_t vcpu, uint64_t& value) {
  const Range* range = find(address, size);
  if (range == nullptr) {
    return false;
  }
  // The handler may change the bus; this copy keeps range and handler alive until it returns.
  const std::shared_ptr<const Table> keep = table_;
  value = range->handler->io_read({address - range->first, size, vcpu});
  return true;
}

bool Bus::Reader::write(uint64_t address, uint8_t size, uint32_t vcpu, uint64_t value) {
  const Range* range = find(address, size);
  if (range == nullptr) {
    return false;
  }
  const std::shared_ptr<const Table> keep = table_;
  range->handler->io_write({address - range->first, size, vcpu}, value);
  return true;
}

}  // namespace lodge
