// Printing to COM1, checks that name file and line, and the end of the run through port 0xf4: status 33 = passed, 3 =
// failed.
#pragma once

#include "io.h"

constexpr uint16_t kCom1 = 0x3f8;

inline void put_char(char c) {
  while ((inb(kCom1 + 5) & 0x20) == 0) {
  }
  outb(kCom1, static_cast<uint8_t>(c));
}
inline void print(const char* text) {
  for (; *text != 0; ++text) {
    put_char(*text);
  }
}
inline void print(uint32_t value) {
  print("0x");
  bool started = false;
  for (int shift = 28; shift >= 0; shift -= 4) {
    const uint32_t digit = (value >> shift) & 15;
    if (digit != 0 || started || shift == 0) {
      started = true;
      put_char("0123456789abcdef"[digit]);
    }
  }
}
template <class First, class Second, class... Rest>
void print(First first, Second second, Rest... rest) {
  print(first);
  print(second, rest...);
}

[[noreturn]] inline void leave(uint8_t value) {
  outb(0xf4, value);
  for (;;) {
    asm volatile("hlt");
  }
}
[[noreturn]] inline void pass() {
  print("PASS\n");
  leave(16);
}
[[noreturn]] inline void fail_at(const char* file, uint32_t line, const char* what) {
  print("FAIL ", file, ":");
  print(line, " (line in hex): ", what, "\n");
  leave(1);
}

#define CHECK(condition)                            \
  do {                                              \
    if (!(condition)) {                             \
      fail_at(__FILE_NAME__, __LINE__, #condition); \
    }                                               \
  } while (false)

#define CHECK_EQ(actual, expected)                                         \
  do {                                                                     \
    const auto actual_ = static_cast<uint32_t>(actual);                    \
    const auto expected_ = static_cast<uint32_t>(expected);                \
    if (actual_ != expected_) {                                            \
      print("  " #actual " is ", actual_, ", expected ", expected_, "\n"); \
      fail_at(__FILE_NAME__, __LINE__, #actual " == " #expected);          \
    }                                                                      \
  } while (false)

// Polls until the condition holds; every round costs an exit, so the host makes progress. Fails after many rounds.
#define WAIT_FOR(condition)                                       \
  do {                                                            \
    uint32_t rounds_ = 0;                                         \
    while (!(condition)) {                                        \
      (void)inb(kCom1 + 5);                                       \
      if (++rounds_ > 400000) {                                   \
        fail_at(__FILE_NAME__, __LINE__, "wait for " #condition); \
      }                                                           \
    }                                                             \
  } while (false)
