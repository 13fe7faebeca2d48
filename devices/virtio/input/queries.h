// What the configuration space of a virtio input device says (virtio 1.2 section 5.8.4). Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace lodge {

enum class VirtioInputKind : uint8_t { tablet, mouse, keyboard };

namespace virtio_input {

// Values of `select`.
inline constexpr uint8_t kIdName = 0x01;
inline constexpr uint8_t kIdSerial = 0x02;
inline constexpr uint8_t kIdDevids = 0x03;
inline constexpr uint8_t kPropBits = 0x10;
inline constexpr uint8_t kEvBits = 0x11;
inline constexpr uint8_t kAbsInfo = 0x12;

inline constexpr size_t kMaxAnswer = 128;
inline constexpr uint16_t kLastKey = 248;  // KEY_MICMUTE, the last that a keyboard has

struct Answer {
  uint8_t size = 0;  // of `bytes`; 0: the device has no such thing
  std::array<uint8_t, kMaxAnswer> bytes{};
};

// The answer to what the driver selected. `serial`: at most kMaxAnswer bytes of it are told.
[[nodiscard]] Answer answer(VirtioInputKind kind, std::string_view serial, uint8_t select, uint8_t subsel);

}  // namespace virtio_input
}  // namespace lodge
