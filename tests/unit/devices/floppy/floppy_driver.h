// A host's side of the floppy controller: commands and DMA by hand.
#pragma once

#include <catch2/catch.hpp>

#include "devices/floppy/controller.h"
#include "devices/floppy/registers.h"
#include "tests/support/memory_image.h"
#include "tests/support/test_machine.h"

namespace lodge::test {

// A 1.44 MB disk in the first drive; the second drive is empty, or there is none.
class FloppyBench {
 public:
  static constexpr uint64_t kMemory = 0x20000;
  struct Setup {
    size_t size = 1440 * kKiB;
    bool read_only = false;
    bool second = false;
    const StateReader* saved = nullptr;
    const std::vector<uint8_t>* content = nullptr;
  };
  FloppyBench() : FloppyBench(Setup{}) {}
  explicit FloppyBench(const Setup& setup) {
    auto disk = std::make_unique<MemoryImage>(setup.size, setup.read_only);
    if (setup.content != nullptr) {
      disk->data = *setup.content;
    }
    image = disk.get();
    FloppyController::Options options;
    FloppyController::Drive drive;
    drive.id = "fda";
    drive.backend = std::move(disk);
    drive.on_io_error = [this](const BlockErrorEvent& event) { events.push_back(event.action); };
    options.drives.push_back(std::move(drive));
    if (setup.second) {
      FloppyController::Drive empty;
      empty.id = "fdb";
      empty.unit = 1;
      options.drives.push_back(std::move(empty));
    }
    floppy = must(FloppyController::create(std::move(options), *machine.env, setup.saved));
    floppy->resume();
  }
  ~FloppyBench() { quiesce(); }
  void quiesce() {
    bool done = false;
    floppy->quiesce([&done] { done = true; });
    CHECK(machine.run_until([&] { return done; }));
  }
  StateBytes save() {
    StateWriter out;
    floppy->save(out);
    return out.bytes();
  }
  // Out of reset, first motor on, 500 kbit/s, DMA.
  void start(uint8_t no_dma = 0) {
    out(2, 0x1C);
    for (int i = 0; i < 4; ++i) {
      CHECK(command({0x08}).size() == 2);
    }
    out(7, 0);
    send({0x03, 0xDF, static_cast<uint8_t>(0x02 | no_dma)});
    send({0x07, 0});
    CHECK(command({0x08}) == std::vector<uint8_t>{0x20, 0});
  }
  uint8_t in(uint64_t port) { return static_cast<uint8_t>(machine.in(0x3F0 + port)); }
  void out(uint64_t port, uint8_t value) { machine.out(0x3F0 + port, value); }
  uint8_t status() { return in(4); }
  bool interrupt() { return machine.lines[6].level; }

  void send(const std::vector<uint8_t>& bytes) {
    for (const uint8_t byte : bytes) {
      REQUIRE((status() & 0xC0) == 0x80);
      out(5, byte);
    }
  }
  // Waits for the result and takes it.
  std::vector<uint8_t> result() {
    REQUIRE(machine.run_until([this] { return (status() & 0xF0) == 0xD0; }));
    std::vector<uint8_t> bytes;
    while ((status() & 0xF0) == 0xD0) {
      bytes.push_back(in(5));
    }
    CHECK(status() == 0x80);
    return bytes;
  }
  std::vector<uint8_t> command(const std::vector<uint8_t>& bytes) {
    send(bytes);
    return result();
  }
  // Channel 2; `mode` 0x44: a device's data to memory, 0x48: to the device.
  void program_dma(uint8_t mode, uint32_t bytes, uint64_t at = kMemory) {
    machine.out(0x0A, 0x06);
    machine.out(0x0B, mode | 2U);
    machine.out(0x0C, 0);
    machine.out(0x04, at & 0xFF);
    machine.out(0x04, at >> 8 & 0xFF);
    machine.out(0x81, at >> 16);
    machine.out(0x05, (bytes - 1) & 0xFF);
    machine.out(0x05, (bytes - 1) >> 8);
    machine.out(0x0A, 0x02);
  }
  std::vector<uint8_t> memory(size_t bytes, uint64_t at = kMemory) {
    std::vector<uint8_t> data(bytes);
    must(machine.memory->read_bytes(Gpa{at}, std::as_writable_bytes(std::span(data))));
    return data;
  }
  void fill(size_t bytes, uint8_t value, uint64_t at = kMemory) {
    must(machine.memory->fill(Gpa{at}, bytes, std::byte{value}));
  }
  // Of the image, sectors by number.
  std::vector<uint8_t> sectors(size_t first, size_t count) const {
    const auto* const begin = image->data.data() + first * 512;
    return {begin, begin + count * 512};
  }

  TestMachine machine;
  MemoryImage* image = nullptr;
  std::vector<ErrorAction> events;
  std::unique_ptr<FloppyController> floppy;
};

using Bytes = std::vector<uint8_t>;

}  // namespace lodge::test
