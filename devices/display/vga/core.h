// VgaCore: the registers of a VGA with the Bochs display interface, and its windows at 0xA0000. It knows no bus and no
// screen: the device gives it accesses, rendering reads its state. Not thread-safe; who owns it locks.
//
// Any byte may be written anywhere: registers keep what hardware keeps, indices wrap, and every access touches a bounded
// number of bytes of video memory.
#pragma once

#include "devices/display/vga/state.h"
#include "devices/display/vga/video_memory.h"

namespace lodge {

class VgaCore {
 public:
  VgaCore(VideoMemory& memory, const VgaState& state) : memory_(memory), s_(state) {}

  // Bytes at ports 3B0 to 3DF.
  [[nodiscard]] uint8_t port_read(uint16_t port);
  void port_write(uint16_t port, uint8_t value);
  // The Bochs display interface's registers; of 16 bits.
  [[nodiscard]] uint16_t vbe_index() const { return s_.vbe_index; }
  void set_vbe_index(uint16_t index) { s_.vbe_index = index; }
  [[nodiscard]] uint16_t vbe_read(uint16_t index) const;
  void vbe_write(uint16_t index, uint16_t value);
  // Bytes of 0xA0000 to 0xBFFFF; `offset` from its start.
  [[nodiscard]] uint8_t window_read(uint32_t offset);
  void window_write(uint32_t offset, uint8_t value);

  void reset() { s_ = VgaState{}; }
  [[nodiscard]] const VgaState& state() const { return s_; }

 private:
  [[nodiscard]] bool colour() const { return (s_.misc & vga::kMiscColour) != 0; }
  [[nodiscard]] bool crtc_here(uint16_t port) const { return (port >= 0x3D0) == colour(); }
  [[nodiscard]] bool window(uint32_t& offset) const;
  void attribute_write(uint8_t value);
  void crtc_write(uint8_t value);
  [[nodiscard]] uint8_t dac_read();
  void dac_write(uint8_t value);
  [[nodiscard]] uint32_t written_planes(uint8_t value) const;
  void vbe_enable(uint16_t value);
  void fit_vbe();

  VideoMemory& memory_;
  VgaState s_;
  bool retrace_ = false;  // what status 1 said last: guests wait for both edges
};

}  // namespace lodge
