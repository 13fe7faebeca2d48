// What a Multiboot 1 loader hands over (specification 0.6.96).
#pragma once

#include "io.h"

struct MultibootInfo {
  uint32_t flags;
  uint32_t mem_lower, mem_upper;
  uint32_t boot_device;
  const char* command_line;
  uint32_t modules;
  const struct MultibootModule* module_list;
  uint32_t symbols[4];
  uint32_t map_length;
  uint32_t map;
  uint32_t drives[2];
  uint32_t config_table;
  const char* loader_name;
};
struct MultibootModule {
  uint32_t start, end;
  const char* text;
  uint32_t reserved;
};
struct __attribute__((packed)) MultibootMapEntry {
  uint32_t size;
  uint64_t base, length;
  uint32_t type;
};

extern "C" void guest_main(uint32_t magic, const MultibootInfo* info);
