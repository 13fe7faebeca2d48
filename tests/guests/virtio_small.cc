// virtio-rng, console, balloon and net, by words of the command line: the basics of each.
#include "lib/virtio.h"

namespace {

void rng(const VirtioChoice& choice) {
  Virtio virtio(choice, 4);
  virtio.negotiate(0);
  static Ring ring;
  virtio.add_queue(ring, 0, choice.legacy ? 0 : 8);
  virtio.start();
  auto* bytes = static_cast<uint8_t*>(allocate(8192));
  const Buffer two[] = {{bytes, 100, true}, {bytes + 4096, 28, true}};
  uint32_t ones = 0;
  for (int round = 0; round < 40; ++round) {
    const Completion done = virtio.request(ring, 0, two, 2);
    CHECK_EQ(done.written, 128);
    for (uint32_t i = 0; i < 128; ++i) {
      const uint8_t byte = bytes[i < 100 ? i : 4096 + i - 100];
      for (uint32_t bit = 0; bit < 8; ++bit) {
        ones += byte >> bit & 1;
      }
    }
    CHECK_EQ(bytes[100], 0);  // not past the buffer
  }
  print("ones of 40960 bits: ", ones, "\n");
  CHECK(ones > 20480 - 1500 && ones < 20480 + 1500);
  const Buffer wrong = {bytes, 16, false};
  CHECK_EQ(virtio.request(ring, 0, &wrong, 1).written, 0);
  virtio.reset();
}

// The host's side of port 0 is a socket where the runner sends lines and gets them back in capitals, until "end".
void console(const VirtioChoice& choice) {
  Virtio virtio(choice, 3);
  virtio.negotiate(0);
  static Ring in, out;
  virtio.add_queue(in, 0, choice.legacy ? 0 : 16);
  virtio.add_queue(out, 1, choice.legacy ? 0 : 16);
  virtio.start();
  auto* input = static_cast<uint8_t*>(allocate(4096));
  auto* output = static_cast<uint8_t*>(allocate(4096));
  const char hello[] = "ready\n";
  memcpy(output, hello, 6);
  const Buffer greeting[] = {{output, 2, false}, {output + 2, 4, false}};
  CHECK_EQ(virtio.request(out, 1, greeting, 2).written, 0);
  for (;;) {
    const Buffer buffer = {input, 4096, true};
    const Completion done = virtio.request(in, 0, &buffer, 1);
    CHECK(done.written > 0 && done.written <= 4096);
    bool end = false;
    for (uint32_t i = 0; i < done.written; ++i) {
      const uint8_t c = input[i];
      end = end || c == '.';
      output[i] = c >= 'a' && c <= 'z' ? static_cast<uint8_t>(c - 32) : c;
    }
    const Buffer answer = {output, done.written, false};
    (void)virtio.request(out, 1, &answer, 1);
    if (end) {
      return;
    }
  }
}

void balloon(const VirtioChoice& choice) {
  Virtio virtio(choice, 5);
  virtio.negotiate(1U << 2);
  static Ring inflate, deflate;
  virtio.add_queue(inflate, 0, choice.legacy ? 0 : 16);
  virtio.add_queue(deflate, 1, choice.legacy ? 0 : 16);
  virtio.start();
  CHECK_EQ(virtio.config_read<uint32_t>(0), 0);  // nothing is asked for
  auto* pages = static_cast<uint32_t*>(allocate(16 * 4096));
  auto* list = static_cast<uint32_t*>(allocate(4096));
  for (uint32_t i = 0; i < 16; ++i) {
    pages[i * 1024] = 0x12345678;
    list[i] = (reinterpret_cast<uint32_t>(pages) >> 12) + i;
  }
  const Buffer all = {list, 64, false};
  (void)virtio.request(inflate, 0, &all, 1);
  virtio.config_write<uint32_t>(4, 16);
  CHECK_EQ(virtio.config_read<uint32_t>(4), 16);
  for (uint32_t i = 0; i < 16; ++i) {
    CHECK_EQ(pages[i * 1024], 0);  // the host took them
  }
  list[16] = 0xffffffff;  // not RAM: no harm
  list[17] = 0x000fee00;
  const Buffer bad = {list + 16, 7, false};
  (void)virtio.request(inflate, 0, &bad, 1);
  const Buffer bad_too = {list + 16, 8, false};
  (void)virtio.request(inflate, 0, &bad_too, 1);
  (void)virtio.request(deflate, 1, &all, 1);
  virtio.config_write<uint32_t>(4, 0);
  pages[0] = 1;
  CHECK_EQ(pages[0], 1);
  virtio.reset();
}

uint16_t swap(uint16_t value) { return static_cast<uint16_t>(value << 8 | value >> 8); }

// An ARP request for 10.77.0.1 goes out; with a tap there is an answer.
void net(const VirtioChoice& choice, bool answered) {
  Virtio virtio(choice, 1);
  virtio.negotiate(1U << 5 | 1U << 16);  // address and link status
  CHECK((virtio.features & 1U << 5) != 0);
  static Ring receive, send;
  virtio.add_queue(receive, 0, choice.legacy ? 0 : 64);
  virtio.add_queue(send, 1, choice.legacy ? 0 : 64);
  virtio.start();
  uint8_t mac[6];
  for (uint32_t i = 0; i < 6; ++i) {
    mac[i] = virtio.config_read<uint8_t>(i);
  }
  CHECK_EQ(mac[0], 0x52);
  CHECK_EQ(virtio.config_read<uint16_t>(6) & 1, 1);
  const uint32_t header = choice.legacy ? 10 : 12;
  auto* incoming = static_cast<uint8_t*>(allocate(16 * 2048));
  uint16_t ids[16];
  for (uint32_t i = 0; i < 16; ++i) {
    const Buffer buffer = {incoming + 2048 * i, 2048, true};
    ids[i] = receive.add(&buffer, 1);
  }
  virtio.kick(0);
  auto* frame = static_cast<uint8_t*>(allocate(2048));
  const auto arp = reinterpret_cast<uint16_t*>(frame + header);
  memset(frame + header, 0xff, 6);
  memcpy(frame + header + 6, mac, 6);
  const uint16_t words[] = {swap(0x0806), swap(1), swap(0x0800), swap(0x0604), swap(1)};
  memcpy(arp + 6, words, 10);
  memcpy(arp + 11, mac, 6);
  const uint8_t addresses[] = {10, 77, 0, 2, 0, 0, 0, 0, 0, 0, 10, 77, 0, 1};
  memcpy(arp + 14, addresses, 14);
  const Buffer whole = {frame, header + 60, false};
  const Buffer parts[] = {{frame, header, false}, {frame + header, 60, false}};
  for (int i = 0; i < 5; ++i) {
    CHECK_EQ(virtio.request(send, 1, parts, 2).written, 0);
    CHECK_EQ(virtio.request(send, 1, &whole, 1).written, 0);
  }
  const Buffer tiny = {frame, 3, false};  // shorter than its header
  (void)virtio.request(send, 1, &tiny, 1);
  CHECK_EQ(virtio.status() & 0x40, 0);
  bool got = false;
  for (uint32_t rounds = 0; answered && !got; ++rounds) {
    CHECK(rounds < 400000);
    Completion done{};
    if (!receive.poll(done)) {
      (void)inb(kCom1 + 5);
      continue;
    }
    uint32_t index = 0;
    while (index < 16 && ids[index] != done.id) {
      ++index;
    }
    CHECK(index < 16 && done.written > header);
    const uint8_t* answer = incoming + 2048 * index + header;
    const auto* answer_words = reinterpret_cast<const uint16_t*>(answer);
    got = answer_words[6] == swap(0x0806) && answer_words[10] == swap(2) && same_bytes(answer + 28, addresses + 10, 4) &&
          same_bytes(answer, mac, 6);
  }
  virtio.reset();
}
}  // namespace

extern "C" void guest_main(uint32_t, const MultibootInfo* info) {
  const char* words = info->command_line;
  print("virtio_small: ", words, "\n");
  const VirtioChoice choice(words);
  if (has_word(words, "rng")) {
    rng(choice);
  }
  if (has_word(words, "console")) {
    console(choice);
  }
  if (has_word(words, "balloon")) {
    balloon(choice);
  }
  if (has_word(words, "net")) {
    net(choice, has_word(words, "tap"));
  }
  pass();
}
