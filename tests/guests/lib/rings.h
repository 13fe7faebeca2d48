// Split and packed virtqueues as a driver sees them (virtio 1.2 sections 2.7 and 2.8), by polling.
#pragma once

#include "check.h"

struct Buffer {
  const void* at;
  uint32_t length;
  bool writable;
};

struct Descriptor {
  uint64_t at;
  uint32_t length;
  uint16_t a;  // split: flags; packed: id
  uint16_t b;  // split: next;  packed: flags
};

constexpr uint16_t kNext = 1;
constexpr uint16_t kWrite = 2;
constexpr uint16_t kIndirect = 4;

struct Completion {
  uint16_t id;
  uint32_t written;
};

struct Ring {
  static constexpr unsigned kMaxSize = 1024;
  uint16_t size = 0;
  bool packed = false;
  bool event_index = false;
  Descriptor* descriptors = nullptr;
  volatile uint16_t* driver = nullptr;  // split: available ring; packed: driver event
  volatile uint16_t* device = nullptr;  // split: used ring;      packed: device event
  uint16_t free_count = 0;
  uint16_t free_list[kMaxSize] = {};
  uint16_t chain_length[kMaxSize] = {};
  uint16_t chain_next[kMaxSize] = {};
  // split
  uint16_t available = 0;
  uint16_t kicked = 0;
  uint16_t seen = 0;
  // packed
  uint16_t next = 0;
  bool wrap = true;
  uint16_t used = 0;
  bool used_wrap = true;
  uint16_t free_slots = 0;  // ring slots; free_list holds free ids

  void set_up(uint16_t entries, bool is_packed, bool with_event_index, bool legacy = false) {
    size = entries;
    packed = is_packed;
    event_index = with_event_index;
    const uint32_t available_bytes = 6 + 2U * size;
    if (legacy) {
      const uint32_t first = (16U * size + available_bytes + 4095) & ~4095U;
      auto* all = static_cast<uint8_t*>(allocate(first + 6 + 8U * size));
      descriptors = reinterpret_cast<Descriptor*>(all);
      driver = reinterpret_cast<volatile uint16_t*>(all + 16U * size);
      device = reinterpret_cast<volatile uint16_t*>(all + first);
    } else {
      descriptors = static_cast<Descriptor*>(allocate(16U * size));
      driver = static_cast<volatile uint16_t*>(allocate(packed ? 4 : available_bytes));
      device = static_cast<volatile uint16_t*>(allocate(packed ? 4 : 6 + 8U * size));
    }
    restart();
  }
  void restart() {
    free_count = 0;
    for (uint16_t i = size; i-- > 0;) {
      free_list[free_count++] = i;
    }
    available = kicked = seen = next = used = 0;
    wrap = used_wrap = true;
    free_slots = size;
    memset(descriptors, 0, 16U * size);
    memset(const_cast<uint16_t*>(driver), 0, packed ? 4 : 6 + 2U * size);
    memset(const_cast<uint16_t*>(device), 0, packed ? 4 : 6 + 8U * size);
  }

  // Publishes one request; returns its id.
  uint16_t add(const Buffer* buffers, unsigned count, bool indirect = false) {
    return packed ? add_packed(buffers, count, indirect) : add_split(buffers, count, indirect);
  }

  uint16_t add_split(const Buffer* buffers, unsigned count, bool indirect) {
    if (indirect) {
      auto* table = static_cast<Descriptor*>(allocate(16 * count, 16));
      for (unsigned i = 0; i < count; ++i) {
        table[i] = {reinterpret_cast<uint32_t>(buffers[i].at), buffers[i].length,
                    static_cast<uint16_t>((i + 1 < count ? kNext : 0) | (buffers[i].writable ? kWrite : 0)),
                    static_cast<uint16_t>(i + 1)};
      }
      CHECK(free_count >= 1);
      const uint16_t head = free_list[--free_count];
      descriptors[head] = {reinterpret_cast<uint32_t>(table), 16 * count, kIndirect, 0};
      chain_length[head] = 1;
      return publish_split(head);
    }
    CHECK(free_count >= count);
    const uint16_t head = free_list[free_count - 1];
    chain_length[head] = static_cast<uint16_t>(count);
    for (unsigned i = 0; i < count; ++i) {
      const uint16_t index = free_list[--free_count];
      const bool last = i + 1 == count;
      chain_next[index] = last ? uint16_t{0} : free_list[free_count - 1];
      descriptors[index] = {reinterpret_cast<uint32_t>(buffers[i].at), buffers[i].length,
                            static_cast<uint16_t>((last ? 0 : kNext) | (buffers[i].writable ? kWrite : 0)),
                            chain_next[index]};
    }
    return publish_split(head);
  }
  uint16_t publish_split(uint16_t head) {
    driver[2 + available % size] = head;
    compiler_barrier();
    driver[1] = ++available;
    return head;
  }

  uint16_t add_packed(const Buffer* buffers, unsigned count, bool indirect) {
    Descriptor one[1];
    Descriptor* table = one;
    if (indirect) {
      table = static_cast<Descriptor*>(allocate(16 * count, 16));
    }
    const uint16_t slots = static_cast<uint16_t>(indirect ? 1 : count);
    CHECK(free_slots >= slots);
    free_slots = static_cast<uint16_t>(free_slots - slots);
    const uint16_t id = free_list[--free_count];
    chain_length[id] = slots;
    for (unsigned i = 0; i < count && indirect; ++i) {
      table[i] = {reinterpret_cast<uint32_t>(buffers[i].at), buffers[i].length, 0,
                  static_cast<uint16_t>(buffers[i].writable ? kWrite : 0)};
    }
    const uint16_t head = next;
    uint16_t head_flags = 0;
    for (unsigned i = 0; i < slots; ++i) {
      uint16_t flags = static_cast<uint16_t>((wrap ? 0x80 : 0) | (wrap ? 0 : 0x8000));
      Descriptor& slot = descriptors[next];
      if (indirect) {
        slot.at = reinterpret_cast<uint32_t>(table);
        slot.length = 16 * count;
        flags |= kIndirect;
      } else {
        slot.at = reinterpret_cast<uint32_t>(buffers[i].at);
        slot.length = buffers[i].length;
        flags = static_cast<uint16_t>(flags | (i + 1 < slots ? kNext : 0) | (buffers[i].writable ? kWrite : 0));
      }
      slot.a = id;
      if (i == 0) {
        head_flags = flags;
      } else {
        slot.b = flags;
      }
      if (++next == size) {
        next = 0;
        wrap = !wrap;
      }
    }
    compiler_barrier();
    *const_cast<volatile uint16_t*>(&descriptors[head].b) = head_flags;
    return id;
  }

  // Whether the device wants to be kicked for what was added since the last call.
  bool wants_kick() {
    full_barrier();
    if (packed) {
      return (device[1] & 3) != 1;
    }
    const uint16_t old = kicked;
    kicked = available;
    if (!event_index) {
      return (device[0] & 1) == 0;
    }
    const uint16_t event = device[2 + 4U * size];
    return static_cast<uint16_t>(available - event - 1) < static_cast<uint16_t>(available - old);
  }

  // Takes the next completion.
  bool poll(Completion& out) { return packed ? poll_packed(out) : poll_split(out); }
  bool poll_split(Completion& out) {
    if (device[1] == seen) {
      return false;
    }
    compiler_barrier();
    volatile uint16_t* entry = device + 2 + 4U * (seen % size);
    out.id = entry[0];
    CHECK_EQ(entry[1], 0);
    out.written = entry[2] | uint32_t{entry[3]} << 16;
    CHECK(out.id < size);
    ++seen;
    uint16_t index = out.id;
    for (uint16_t i = 0; i < chain_length[out.id]; ++i) {
      free_list[free_count++] = index;
      index = chain_next[index];
    }
    return true;
  }
  bool poll_packed(Completion& out) {
    const uint16_t flags = *const_cast<volatile uint16_t*>(&descriptors[used].b);
    if (((flags & 0x80) != 0) != used_wrap || ((flags & 0x8000) != 0) != used_wrap) {
      return false;
    }
    compiler_barrier();
    out.id = descriptors[used].a;
    out.written = descriptors[used].length;
    CHECK(out.id < size);
    const uint16_t slots = chain_length[out.id];
    free_list[free_count++] = out.id;
    free_slots = static_cast<uint16_t>(free_slots + slots);
    used = static_cast<uint16_t>(used + slots);
    if (used >= size) {
      used = static_cast<uint16_t>(used - size);
      used_wrap = !used_wrap;
    }
    return true;
  }
  // The driver's wish for interrupts: none, or all.
  void want_interrupts(bool wanted) {
    if (packed) {
      driver[1] = wanted ? 0 : 1;
    } else if (event_index) {
      driver[2 + size] = wanted ? seen : static_cast<uint16_t>(seen - 1);
    } else {
      driver[0] = wanted ? 0 : 1;
    }
    full_barrier();
  }
};
