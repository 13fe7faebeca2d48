// virtio-blk: every request type, both ring layouts, legacy, indirect, several in flight, two queues, wrong requests, reset
// in mid-operation, a broken ring. The runner compares the image afterwards.
#include "lib/virtio.h"

namespace {
enum : uint32_t { kIn = 0, kOut = 1, kFlush = 4, kGetId = 8, kDiscard = 11, kWriteZeroes = 13 };
constexpr uint64_t kWanted = 1U << 2 | 1U << 6 | 1U << 9 | 1U << 12 | 1U << 13 | 1U << 14;
constexpr uint32_t kSectors = 8192;  // 4 MiB, as the runner made it

struct Header {
  uint32_t type, reserved;
  uint64_t sector;
};
struct Range {
  uint64_t sector;
  uint32_t sectors, flags;
};

Ring rings[2];
uint8_t* data;
uint8_t* data2;
Header* header;
volatile uint8_t* status;

struct Disk {
  Virtio& virtio;
  uint16_t queue = 0;
  bool indirect = false;

  uint8_t run(uint32_t type, uint64_t sector, const void* at, uint32_t length, bool from_device,
              uint32_t* written = nullptr) {
    *header = {type, 0, sector};
    *status = 0xee;
    Buffer buffers[3] = {{header, 16, false}, {at, length, from_device}, {const_cast<uint8_t*>(status), 1, true}};
    if (length == 0) {
      buffers[1] = buffers[2];
    }
    const Completion done = virtio.request(rings[queue], queue, buffers, length == 0 ? 2 : 3, indirect);
    if (written != nullptr) {
      *written = done.written;
    }
    return *status;
  }
  uint8_t write(uint64_t sector, const void* from, uint32_t sectors) {
    return run(kOut, sector, from, sectors * 512, false);
  }
  uint8_t read(uint64_t sector, void* to, uint32_t sectors) { return run(kIn, sector, to, sectors * 512, true); }
};

void fill(uint8_t* at, uint32_t bytes, uint32_t seed) {
  auto* words = reinterpret_cast<uint32_t*>(at);
  for (uint32_t i = 0; i < bytes / 4; ++i) {
    words[i] = seed * 0x01000193 + i;
  }
}

void start(Virtio& virtio, uint16_t queues) {
  virtio.negotiate(kWanted);
  for (uint16_t i = 0; i < queues; ++i) {
    if (rings[i].size == 0) {
      virtio.add_queue(rings[i], i, i == 1 && !virtio.choice.legacy ? 16 : 0);  // a smaller ring than offered, too
    } else {
      rings[i].restart();
      virtio.enable_queue(rings[i], i);
    }
  }
  virtio.start();
}

void all_requests(Virtio& virtio, Disk disk) {
  fill(data, 8192, 1 + disk.queue);
  const uint32_t base = 64 * disk.queue;
  CHECK_EQ(disk.write(base, data, 16), 0);
  uint32_t written = 99;
  CHECK_EQ(disk.run(kIn, base, data2, 8192, true, &written), 0);
  CHECK_EQ(written, 8193);  // data and status
  CHECK(same_bytes(data, data2, 8192));
  CHECK_EQ(disk.run(kFlush, 0, nullptr, 0, false, &written), 0);
  CHECK_EQ(written, 1);

  memset(data2, 0xaa, 20);
  CHECK_EQ(disk.run(kGetId, 0, data2, 20, true), 0);
  CHECK(same_text(reinterpret_cast<char*>(data2), "SN-0123"));

  CHECK(virtio.choice.legacy || (virtio.features & (1U << 13 | 1U << 14)) == (1U << 13 | 1U << 14));
  if ((virtio.features & 1U << 14) != 0) {
    fill(data, 4096, 7);
    CHECK_EQ(disk.write(base + 16, data, 8), 0);
    auto* range = reinterpret_cast<Range*>(data2);
    range[0] = {base + 18, 4, 0};
    CHECK_EQ(disk.run(kWriteZeroes, 0, range, 16, false), 0);
    CHECK_EQ(disk.read(base + 16, data2, 8), 0);
    memset(data + 1024, 0, 2048);
    CHECK(same_bytes(data, data2, 4096));
    range[0] = {base + 32, 8, 0};
    CHECK_EQ(disk.run(kDiscard, 0, range, 16, false), 0);
    range[0] = {kSectors - 1, 2, 0};  // past the end
    CHECK_EQ(disk.run(kDiscard, 0, range, 16, false), 1);
    CHECK_EQ(disk.run(kWriteZeroes, 0, range, 16, false), 1);
    range[0] = {0, 1, 0x80};  // an unknown flag
    CHECK_EQ(disk.run(kDiscard, 0, range, 16, false), 2);
    CHECK_EQ(disk.run(kDiscard, 0, range, 15, false) != 0, 1);  // not a whole range
  }

  // Wrong requests: an error for the request, life for the device.
  CHECK_EQ(disk.run(77, 0, data, 512, false), 2);
  CHECK_EQ(disk.read(kSectors, data2, 1), 1);
  CHECK_EQ(disk.read(kSectors - 1, data2, 2), 1);
  CHECK_EQ(disk.write(0xffffffffffffffffULL, data, 1), 1);
  CHECK_EQ(disk.run(kIn, 0, data2, 100, true), 1);  // not whole sectors
  CHECK_EQ(disk.read(kSectors - 1, data2, 1), 0);
  CHECK((virtio.status() & 0x40) == 0);
}

// Header split over descriptors, data in pieces, status at the end of a bigger buffer.
void odd_layouts(Virtio& virtio, Disk disk) {
  auto* raw = reinterpret_cast<const uint8_t*>(header);
  fill(data, 1536, 3);
  *header = {kOut, 0, 200};
  *status = 0xee;
  const Buffer pieces[] = {{raw, 4, false},           {raw + 4, 12, false},      {data, 100, false},
                           {data + 100, 1000, false}, {data + 1100, 436, false}, {const_cast<uint8_t*>(status), 1, true}};
  virtio.request(rings[disk.queue], disk.queue, pieces, 6, disk.indirect);
  CHECK_EQ(*status, 0);
  *header = {kIn, 0, 200};
  data2[1536] = 0xee;
  const Buffer joined[] = {{raw, 16, false}, {data2, 1537, true}};
  virtio.request(rings[disk.queue], disk.queue, joined, 2, disk.indirect);
  CHECK_EQ(data2[1536], 0);
  CHECK(same_bytes(data, data2, 1536));
}

// As many requests at once as the ring takes, several times around it.
void many_in_flight(Virtio& virtio, Disk disk) {
  Ring& ring = rings[disk.queue];
  const uint32_t batch = ring.size / 3 < 40 ? ring.size / 3 : 40;
  static Header* headers = static_cast<Header*>(allocate(64 * sizeof(Header)));
  static uint8_t* results = static_cast<uint8_t*>(allocate(64));
  static uint8_t* sectors = static_cast<uint8_t*>(allocate(64 * 512));
  const uint32_t rounds = 5 * ring.size / (3 * batch) + 2;
  for (uint32_t round = 0; round < rounds; ++round) {
    fill(sectors, batch * 512, 100 + round);
    const bool write = round % 2 == 0;
    if (!write) {
      fill(data, batch * 512, 100 + round - 1);
    }
    for (uint32_t i = 0; i < batch; ++i) {
      headers[i] = {write ? kOut : kIn, 0, 1000 + i};
      results[i] = 0xee;
      const Buffer buffers[] = {{&headers[i], 16, false}, {sectors + 512 * i, 512, !write}, {&results[i], 1, true}};
      ring.add(buffers, 3, disk.indirect);
      if ((i % 7 == 6 || i + 1 == batch) && ring.wants_kick()) {
        virtio.kick(disk.queue);
      }
    }
    for (uint32_t i = 0; i < batch; ++i) {
      Completion done{};
      WAIT_FOR(ring.poll(done));
      CHECK_EQ(done.written, write ? 1 : 513);
    }
    for (uint32_t i = 0; i < batch; ++i) {
      CHECK_EQ(results[i], 0);
    }
    CHECK(write || same_bytes(sectors, data, batch * 512));
  }
}

void interrupts(Virtio& virtio, Disk disk) {
  Ring& ring = rings[disk.queue];
  (void)virtio.take_isr();
  ring.want_interrupts(true);
  CHECK_EQ(disk.read(0, data2, 1), 0);
  uint8_t seen = 0;
  WAIT_FOR((seen |= virtio.take_isr()) != 0);
  CHECK_EQ(seen, 1);
  CHECK_EQ(virtio.take_isr(), 0);  // reading cleared it
  ring.want_interrupts(false);
  CHECK_EQ(disk.read(0, data2, 1), 0);
  for (int i = 0; i < 200; ++i) {
    CHECK_EQ(virtio.take_isr(), 0);
  }
}

// A full ring of writes is on its way when the device is reset; afterwards it works as new.
void reset_in_flight(Virtio& virtio, uint16_t queues) {
  for (int round = 0; round < 20; ++round) {
    Ring& ring = rings[0];
    *header = {kOut, 0, 2000};
    const Buffer buffers[] = {{header, 16, false}, {data, 65536, false}, {const_cast<uint8_t*>(status), 1, true}};
    const unsigned count = static_cast<unsigned>(round % 5 * 8 + 1);
    for (unsigned i = 0; i < count && i < ring.size / 3U; ++i) {
      ring.add(buffers, 3);
    }
    virtio.kick(0);
    start(virtio, queues);  // begins with the reset
    Disk disk{virtio};
    CHECK_EQ(disk.read(0, data2, 1), 0);
  }
}

// Rings that break the rules: the device asks for a reset, which heals it.
void broken_rings(Virtio& virtio, uint16_t queues) {
  for (int kind = 0; kind < 5; ++kind) {
    Ring& ring = rings[0];
    Buffer buffer{reinterpret_cast<const void*>(0xb0000000), 512, false};  // no RAM there
    if (kind == 0) {
      ring.add(&buffer, 1);
    } else if (kind == 1) {  // readable after writable
      const Buffer wrong[] = {{data, 1, true}, {data, 16, false}};
      ring.add(wrong, 2);
    } else if (kind == 2) {
      buffer.at = reinterpret_cast<const void*>(0xfffffff0);
      buffer.length = 0xffffffff;
      ring.add(&buffer, 1);
    } else if (kind == 3) {  // an indirect table of odd length
      ring.add(&buffer, 1);
      const uint16_t at = ring.packed ? 0 : ring.driver[2 + (ring.available - 1) % ring.size];
      Descriptor& bad = ring.packed ? ring.descriptors[(ring.next + ring.size - 1) % ring.size] : ring.descriptors[at];
      bad.length = 17;
      bad.at = reinterpret_cast<uint32_t>(data);
      (ring.packed ? bad.b : bad.a) |= kIndirect;
    } else if (ring.packed) {  // a chain without an end
      for (unsigned i = 0; i < ring.size; ++i) {
        ring.descriptors[i] = {reinterpret_cast<uint32_t>(data), 1, 0, static_cast<uint16_t>(kNext | 0x80)};
      }
    } else {  // the index runs ahead
      ring.driver[1] = static_cast<uint16_t>(ring.available + ring.size + 1);
    }
    virtio.kick(0);
    WAIT_FOR((virtio.status() & 0x40) != 0);
    start(virtio, queues);
    CHECK((virtio.status() & 0x40) == 0);
    Disk disk{virtio};
    CHECK_EQ(disk.read(0, data2, 1), 0);
  }
}
}  // namespace

extern "C" void guest_main(uint32_t, const MultibootInfo* info) {
  print("virtio_blk: ", info->command_line, "\n");
  data = static_cast<uint8_t*>(allocate(65536));
  data2 = static_cast<uint8_t*>(allocate(65536));
  header = static_cast<Header*>(allocate(16, 16));
  status = static_cast<volatile uint8_t*>(allocate(1, 16));

  Virtio virtio(VirtioChoice(info->command_line), 2);
  CHECK_EQ(virtio.config_read<uint32_t>(0), kSectors);
  CHECK_EQ(virtio.config_read<uint32_t>(4), 0);
  CHECK((virtio.offered() & kWanted) == kWanted);
  CHECK_EQ(virtio.config_read<uint16_t>(34), 2);
  const uint16_t queues = 2;
  start(virtio, queues);
  for (uint16_t queue = 0; queue < queues; ++queue) {
    const bool both[] = {false, true};
    for (const bool indirect : both) {
      if (indirect && (virtio.features & kFeatureIndirect) == 0) {
        continue;
      }
      const Disk disk{virtio, queue, indirect};
      all_requests(virtio, disk);
      odd_layouts(virtio, disk);
      many_in_flight(virtio, disk);
      interrupts(virtio, disk);
    }
  }
  print("requests done\n");
  reset_in_flight(virtio, queues);
  print("resets done\n");
  broken_rings(virtio, queues);
  // The mark for the runner.
  memset(data, 0x5a, 1024);
  Disk disk{virtio};
  CHECK_EQ(disk.write(4000, data, 2), 0);
  CHECK_EQ(disk.run(kFlush, 0, nullptr, 0, false), 0);
  pass();
}
