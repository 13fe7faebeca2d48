// A host's side of the IDE controller: registers by hand.
#pragma once

#include <catch2/catch.hpp>

#include "devices/ide/device.h"
#include "tests/support/memory_image.h"
#include "tests/support/test_machine.h"

namespace lodge::test {

// A disk at the first channel's master, a CD drive at the second one's.
class IdeBench {
 public:
  static constexpr uint64_t kDisk = 0x1F0;
  static constexpr uint64_t kCd = 0x170;
  static constexpr uint64_t kMaster = 0xC000;
  static constexpr uint64_t kTable = 0x8000;

  explicit IdeBench(const StateReader* saved = nullptr, size_t disk_size = 8 * kMiB, size_t cd_size = kMiB,
                    const std::vector<uint8_t>* content = nullptr) {
    Piix3Ide::Options options;
    options.decoded = true;
    auto disk = std::make_unique<MemoryImage>(disk_size);
    auto cd = std::make_unique<MemoryImage>(cd_size, true);
    if (content != nullptr) {
      disk->data = *content;
    }
    image = disk.get();
    medium = cd.get();
    IdeDriveOptions first;
    first.id = "disk0";
    first.serial = "SN-0123";
    first.backend = std::move(disk);
    first.errors = {ErrorAction::report, ErrorAction::enospc};
    first.on_io_error = [this](const BlockErrorEvent& event) { events.push_back(event.action); };
    IdeDriveOptions second;
    second.id = "cd0";
    second.cdrom = true;
    if (cd_size != 0) {
      second.backend = std::move(cd);
    }
    second.on_tray = [this](bool open) { tray.push_back(open); };
    options.drives.push_back({{0, 0}, std::move(first)});
    options.drives.push_back({{1, 0}, std::move(second)});
    ide = must(Piix3Ide::create(std::move(options), *machine.env, saved));
    must(machine.root->plug({1, 0}, ide, false));
    if (saved == nullptr) {
      machine.set_config(1, 0x20, kMaster | 1);
      machine.set_config(1, 0x04, 5, 2);
    }
    ide->resume();
  }
  ~IdeBench() { quiesce(); }
  void quiesce() {
    bool done = false;
    ide->quiesce([&done] { done = true; });
    CHECK(machine.run_until([&] { return done; }));
  }
  StateBytes save() {
    StateWriter out;
    ide->save(out);
    return out.bytes();
  }

  uint8_t status(uint64_t base) { return static_cast<uint8_t>(machine.in(base + 0x206)); }
  uint8_t reg(uint64_t base, uint64_t number) { return static_cast<uint8_t>(machine.in(base + number)); }
  bool settle(uint64_t base) {
    return machine.run_until([&] { return (status(base) & ide::kBsy) == 0; });
  }
  void command(uint64_t base, uint8_t code, uint64_t lba = 0, uint16_t count = 0, bool ext = false) {
    if (ext) {
      machine.out(base + 2, count >> 8);
      machine.out(base + 3, lba >> 24);
      machine.out(base + 4, lba >> 32);
      machine.out(base + 5, lba >> 40);
    }
    machine.out(base + 2, count & 0xFF);
    machine.out(base + 3, lba);
    machine.out(base + 4, lba >> 8);
    machine.out(base + 5, lba >> 16);
    machine.out(base + 6, 0xE0 | (ext ? 0 : (lba >> 24) & 0x0F));
    machine.out(base + 7, code);
  }
  // Everything the drive has for the host, an interrupt for each block.
  std::vector<uint8_t> take(uint64_t base) {
    std::vector<uint8_t> out;
    while (settle(base) && (status(base) & ide::kDrq) != 0) {
      (void)reg(base, 7);
      const uint64_t value = machine.in(base, 2);
      out.push_back(static_cast<uint8_t>(value));
      out.push_back(static_cast<uint8_t>(value >> 8));
    }
    return out;
  }
  void give(uint64_t base, const std::vector<uint8_t>& bytes) {
    for (size_t i = 0; i < bytes.size(); i += 4) {
      REQUIRE(settle(base));
      REQUIRE((status(base) & ide::kDrq) != 0);
      uint32_t value = 0;
      std::memcpy(&value, bytes.data() + i, std::min<size_t>(4, bytes.size() - i));
      machine.out(base, value, 4);
    }
  }
  void packet(const std::vector<uint8_t>& bytes, bool dma = false, uint16_t limit = 0xFFFE) {
    machine.out(kCd + 6, 0);
    machine.out(kCd + 1, dma ? 1 : 0);
    machine.out(kCd + 4, limit & 0xFF);
    machine.out(kCd + 5, limit >> 8);
    machine.out(kCd + 7, 0xA0);
    std::vector<uint8_t> whole(bytes);
    whole.resize(12);
    give(kCd, whole);
  }
  // The answer to a packet command; nothing when it failed.
  std::vector<uint8_t> ask(const std::vector<uint8_t>& bytes) {
    packet(bytes);
    return take(kCd);
  }
  struct Sense {
    int key;
    int code;
    int qualifier;
    friend bool operator==(const Sense&, const Sense&) = default;
  };
  Sense sense() {
    const auto data = ask({0x03, 0, 0, 0, 18});
    REQUIRE(data.size() == 18);
    return {data[2], data[12], data[13]};
  }
  bool failed(uint64_t base) { return settle(base) && (status(base) & ide::kErr) != 0; }

  // The bus master's table.
  void table(const std::vector<std::pair<uint32_t, uint32_t>>& entries, bool end = true) {
    for (size_t i = 0; i < entries.size(); ++i) {
      const bool last = end && i + 1 == entries.size();
      must(machine.memory->write(Gpa{kTable + 8 * i}, entries[i].first));
      must(machine.memory->write(Gpa{kTable + 8 * i + 4}, (entries[i].second & 0xFFFF) | (last ? 0x8000'0000U : 0U)));
    }
  }
  void start_master(uint64_t channel, bool to_memory) {
    const uint64_t at = kMaster + 8 * channel;
    machine.out(at + 4, kTable, 4);
    machine.out(at + 2, 6);
    machine.out(at, to_memory ? 9 : 1);
  }
  uint8_t master_status(uint64_t channel) { return static_cast<uint8_t>(machine.in(kMaster + 8 * channel + 2)); }
  void stop_master(uint64_t channel) { machine.out(kMaster + 8 * channel, 0); }
  std::vector<uint8_t> memory(uint64_t at, size_t size) {
    std::vector<uint8_t> out(size);
    must(machine.memory->read_bytes(Gpa{at}, std::as_writable_bytes(std::span(out))));
    return out;
  }
  std::vector<uint8_t> of_disk(size_t at, size_t size) const {
    return {image->data.begin() + static_cast<std::ptrdiff_t>(at),
            image->data.begin() + static_cast<std::ptrdiff_t>(at + size)};
  }

  TestMachine machine;
  MemoryImage* image = nullptr;
  MemoryImage* medium = nullptr;
  std::vector<ErrorAction> events;
  std::vector<bool> tray;
  std::shared_ptr<Piix3Ide> ide;
};

}  // namespace lodge::test
