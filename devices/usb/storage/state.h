// The saved state of a USB disk: how far the command under way has come, with the data that waits for one side or the other.
#pragma once

#include <cstdint>
#include <tuple>
#include <vector>

#include "base/state/schema.h"

namespace lodge {

enum class UsbStoragePhase : uint8_t {
  command,   // a command block is waited for
  data_in,   // to the host
  data_out,  // from it
  status,    // the host is told how it went
  broken,    // the host has said what makes no sense, and has to reset the device (BOT 6.6.1)
};

// What is wanted of the medium.
enum class UsbStorageIo : uint8_t { none, read, write, flush };

struct UsbStorageState {
  UsbStoragePhase phase = UsbStoragePhase::command;
  uint32_t tag = 0;
  uint32_t left = 0;     // bytes that the host still wants to send or to have
  uint32_t residue = 0;  // that it does not get, or sends in vain
  uint8_t outcome = 0;   // of the command: 0 good, 1 failed, 2 a mistake of the host's
  uint64_t position = 0;
  uint64_t bytes = 0;  // of the medium, to be read from there or still to come from the host
  bool durable = false;
  UsbStorageIo wanted = UsbStorageIo::none;
  std::vector<uint8_t> data;  // that was read and not sent, or that is to be written
  uint8_t sense_key = 0;
  uint8_t sense_code = 0;
  uint8_t sense_qualifier = 0;
  friend bool operator==(const UsbStorageState&, const UsbStorageState&) = default;
};

template <>
struct Schema<UsbStorageState> {
  using S = UsbStorageState;
  static constexpr std::string_view name = "usb-storage";
  static constexpr uint16_t version = 1;
  static constexpr auto fields = std::tuple{field(1, "phase", &S::phase),
                                            field(2, "tag", &S::tag),
                                            field(3, "left", &S::left),
                                            field(4, "residue", &S::residue),
                                            field(5, "outcome", &S::outcome),
                                            field(6, "position", &S::position),
                                            field(7, "bytes", &S::bytes),
                                            field(8, "durable", &S::durable),
                                            field(9, "wanted", &S::wanted),
                                            field(10, "data", &S::data),
                                            field(11, "sense-key", &S::sense_key),
                                            field(12, "sense-code", &S::sense_code),
                                            field(13, "sense-qualifier", &S::sense_qualifier)};
};

}  // namespace lodge
