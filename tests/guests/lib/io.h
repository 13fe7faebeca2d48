// Ports, memory-mapped registers, barriers and the few library functions a freestanding guest needs.
#pragma once

#include <stddef.h>
#include <stdint.h>

inline void outb(uint16_t port, uint8_t value) { asm volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory"); }
inline void outw(uint16_t port, uint16_t value) { asm volatile("outw %0, %1" ::"a"(value), "Nd"(port) : "memory"); }
inline void outl(uint16_t port, uint32_t value) { asm volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory"); }
inline uint8_t inb(uint16_t port) {
  uint8_t value;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
inline uint16_t inw(uint16_t port) {
  uint16_t value;
  asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
inline uint32_t inl(uint16_t port) {
  uint32_t value;
  asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

template <class T>
T mmio_read(uint32_t at) {
  return *reinterpret_cast<volatile T*>(at);
}
template <class T>
void mmio_write(uint32_t at, T value) {
  *reinterpret_cast<volatile T*>(at) = value;
}

inline void compiler_barrier() { asm volatile("" ::: "memory"); }
// Orders our stores before our later loads, as a driver must around the rings.
inline void full_barrier() { asm volatile("lock; addl $0, (%%esp)" ::: "memory", "cc"); }

extern "C" inline void* memset(void* to, int value, size_t size) {
  void* at = to;
  asm volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
  return to;
}
extern "C" inline void* memcpy(void* to, const void* from, size_t size) {
  void* at = to;
  asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
  return to;
}
inline size_t text_length(const char* text) {
  size_t length = 0;
  while (text[length] != 0) {
    ++length;
  }
  return length;
}
inline bool same_bytes(const void* a, const void* b, size_t size) {
  const auto* x = static_cast<const uint8_t*>(a);
  const auto* y = static_cast<const uint8_t*>(b);
  for (size_t i = 0; i < size; ++i) {
    if (x[i] != y[i]) {
      return false;
    }
  }
  return true;
}
inline bool same_text(const char* a, const char* b) {
  return text_length(a) == text_length(b) && same_bytes(a, b, text_length(a));
}
// True when the space-separated `text` has this word.
inline bool has_word(const char* text, const char* word) {
  const size_t length = text_length(word);
  while (*text != 0) {
    size_t end = 0;
    while (text[end] != 0 && text[end] != ' ') {
      ++end;
    }
    if (end == length && same_bytes(text, word, length)) {
      return true;
    }
    text += end;
    while (*text == ' ') {
      ++text;
    }
  }
  return false;
}

// Memory for rings and buffers, zeroed; never given back.
inline void* allocate(uint32_t size, uint32_t alignment = 4096) {
  static uint32_t next = 4U << 20;
  next = (next + alignment - 1) & ~(alignment - 1);
  void* at = reinterpret_cast<void*>(next);
  next += size;
  memset(at, 0, size);
  return at;
}

// A small generator with a fixed seed: runs repeat exactly.
struct Random {
  uint32_t state = 0x2545f491;
  uint32_t next() {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
  }
};
