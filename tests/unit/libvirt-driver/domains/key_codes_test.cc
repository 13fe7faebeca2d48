// Key codes of every set that clients may send.
#include "libvirt-driver/domains/key_codes.h"

#include <libvirt/libvirt.h>
#include <linux/input-event-codes.h>

#include <catch2/catch.hpp>
#include <string>

namespace lodge {

TEST_CASE("a key is found by its code in every set") {
  struct Row {
    uint16_t key;
    uint32_t xt, set1, set2, set3, mac, usb, win32, rfb;
  };
  constexpr uint32_t kNone = 0xFFFF;
  for (const Row& row : {Row{KEY_ESC, 0x01, 0x01, 0x76, 0x08, 0x35, 0x29, 0x1B, 0x01},
                         Row{KEY_A, 0x1E, 0x1E, 0x1C, 0x1C, 0x00, 0x04, 0x41, 0x1E},
                         Row{KEY_F2, 0x3C, 0x3C, 0x06, 0x0F, 0x78, 0x3B, 0x71, 0x3C},
                         Row{KEY_LEFTCTRL, 0x1D, 0x1D, 0x14, 0x11, 0x3B, 0xE0, 0xA2, 0x1D},
                         Row{KEY_LEFTALT, 0x38, 0x38, 0x11, 0x19, 0x3A, 0xE2, 0xA4, 0x38},
                         Row{KEY_RIGHTALT, 0x138, 0xE038, 0xE011, 0x39, 0x3D, 0xE6, 0xA5, 0xB8},
                         Row{KEY_DELETE, 0x153, 0xE053, 0xE071, 0x64, 0x75, 0x4C, 0x2E, 0xD3},
                         Row{KEY_KPENTER, 0x11C, 0xE01C, 0xE05A, 0x79, 0x4C, 0x58, kNone, 0x9C},
                         Row{KEY_MINUS, 0x0C, 0x0C, 0x4E, 0x4E, 0x1B, 0x2D, 0xBD, 0x0C},
                         Row{KEY_SYSRQ, 0x54, 0x54, 0x7F, 0x57, kNone, 0x46, 0x2C, 0xB7},
                         Row{KEY_LEFTMETA, 0x15B, 0xE05B, 0xE01F, 0x8B, 0x37, 0xE3, 0x5B, 0xDB}}) {
    INFO("key " << row.key);
    CHECK(linux_key(VIR_KEYCODE_SET_LINUX, row.key) == row.key);
    for (const auto& [set, code] : {std::pair<uint32_t, uint32_t>{VIR_KEYCODE_SET_XT, row.xt},
                                    {VIR_KEYCODE_SET_XT_KBD, row.xt},
                                    {VIR_KEYCODE_SET_ATSET1, row.set1},
                                    {VIR_KEYCODE_SET_ATSET2, row.set2},
                                    {VIR_KEYCODE_SET_ATSET3, row.set3},
                                    {VIR_KEYCODE_SET_OSX, row.mac},
                                    {VIR_KEYCODE_SET_USB, row.usb},
                                    {VIR_KEYCODE_SET_WIN32, row.win32},
                                    {VIR_KEYCODE_SET_QNUM, row.rfb}}) {
      INFO("set " << codeset_name(set));
      if (code != kNone) {
        CHECK(linux_key(set, code) == row.key);
      }
    }
  }
}

TEST_CASE("what is no key is none") {
  for (uint32_t set = 0; set <= VIR_KEYCODE_SET_QNUM; ++set) {
    INFO("set " << codeset_name(set));
    CHECK(!codeset_name(set).empty());
    CHECK(!linux_key(set, 0x10000));
    CHECK(!linux_key(set, UINT32_MAX));
    CHECK((linux_key(set, 0).has_value() == (set == VIR_KEYCODE_SET_OSX)));
  }
  CHECK(linux_key(VIR_KEYCODE_SET_WIN32, 0x10) == KEY_LEFTSHIFT);
  CHECK(linux_key(VIR_KEYCODE_SET_WIN32, 0x12) == KEY_LEFTALT);
  CHECK(!linux_key(VIR_KEYCODE_SET_QNUM + 1, 1));
  CHECK(codeset_name(VIR_KEYCODE_SET_QNUM + 1).empty());
}

}  // namespace lodge
