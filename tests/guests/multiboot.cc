// What the Multiboot loader promises: magic, memory map, command line, modules, loader name, zeroed .bss, the CPU's state.
#include "lib/multiboot.h"
#include "lib/check.h"

static uint8_t zeroes[70000];

extern "C" void guest_main(uint32_t magic, const MultibootInfo* info) {
  print("multiboot: start\n");
  CHECK_EQ(magic, 0x2badb002);
  CHECK((info->flags & 0x24d) == 0x24d);  // memory, command line, modules, map, loader name
  CHECK(same_text(info->loader_name, "Lodge"));
  print("command line: ", info->command_line, "\n");
  CHECK(same_text(info->command_line, "first second=2 \"third one\""));

  for (const uint8_t byte : zeroes) {
    CHECK_EQ(byte, 0);
  }
  uint32_t cr0, flags;
  uint16_t code;
  asm volatile("movl %%cr0, %0" : "=r"(cr0));
  asm volatile("pushfl; popl %0" : "=r"(flags));
  asm volatile("movw %%cs, %0" : "=r"(code));
  CHECK_EQ(cr0 & 0x80000001, 1);  // protected mode, no paging
  CHECK_EQ(flags & 0x200, 0);     // interrupts are off
  CHECK(code != 0);

  CHECK_EQ(info->mem_lower, 639);
  CHECK(info->mem_upper > 30 * 1024 && info->mem_upper <= 31 * 1024);
  uint32_t ram = 0;
  uint64_t last_end = 0;
  for (uint32_t at = info->map; at < info->map + info->map_length;) {
    const auto* entry = reinterpret_cast<const MultibootMapEntry*>(at);
    print("map ", static_cast<uint32_t>(entry->base), "+", static_cast<uint32_t>(entry->length), " type ", entry->type,
          "\n");
    CHECK(entry->base >= last_end);  // sorted, no overlap
    CHECK(entry->length != 0);
    last_end = entry->base + entry->length;
    if (entry->type == 1) {
      ram += static_cast<uint32_t>(entry->length >> 10);
      if (entry->base == 0x100000) {
        CHECK_EQ(entry->length >> 10, info->mem_upper);
      }
    }
    at += entry->size + 4;
  }
  CHECK(ram > 31 * 1024 && ram < 32 * 1024);

  CHECK_EQ(info->modules, 2);
  const MultibootModule* list = info->module_list;
  for (uint32_t i = 0; i < info->modules; ++i) {
    print("module ", list[i].start, " to ", list[i].end, ": ", list[i].text, "\n");
    CHECK_EQ(list[i].start & 0xfff, 0);  // we asked for page alignment
    CHECK(list[i].end <= 32U << 20);
    const auto* bytes = reinterpret_cast<const uint8_t*>(list[i].start);
    for (uint32_t n = 0; n < list[i].end - list[i].start; ++n) {
      CHECK_EQ(bytes[n], static_cast<uint8_t>(n * 7 + i));
    }
  }
  CHECK_EQ(list[0].end - list[0].start, 5000);
  CHECK_EQ(list[1].end - list[1].start, 12);
  CHECK(list[0].start >= list[1].end || list[1].start >= list[0].end);
  // The text is what the user wrote, arguments too.
  const char* text = list[1].text;
  CHECK(same_text(text + text_length(text) - 9, " arg1 arg"));
  memset(zeroes, 0xff, sizeof zeroes);
  pass();
}
