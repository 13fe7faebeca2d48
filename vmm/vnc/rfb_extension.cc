#include "vmm/vnc/rfb_extension.h"

#include <arpa/inet.h>
#include <array>
#include <cstring>

namespace lodge::vnc {
namespace {

constexpr int kPointerMotion = -257;
constexpr int kExtendedKey = -258;
constexpr uint8_t kQemuMessage = 255;
constexpr uint8_t kKeyEvent = 0;

RfbExtensionHooks hooks;  // the library's functions carry no object before a client is
bool wants_pointer_kind = false;

struct __attribute__((packed)) OneRect {
  uint8_t type = rfbFramebufferUpdate;
  uint8_t padding = 0;
  uint16_t rects = htons(1);
  uint16_t x = 0, y = 0, width = 0, height = 0;
  int32_t encoding = 0;
};
static_assert(sizeof(OneRect) == 16);

// An update of one rectangle without pixels; `x` carries a meaning.
bool send_rect(rfbClientPtr client, int encoding, uint16_t x) {
  OneRect rect;
  rect.x = htons(x);
  rect.width = htons(static_cast<uint16_t>(client->screen->width));
  rect.height = htons(static_cast<uint16_t>(client->screen->height));
  rect.encoding = static_cast<int32_t>(htonl(static_cast<uint32_t>(encoding)));
  std::array<char, sizeof rect> bytes;
  std::memcpy(bytes.data(), &rect, sizeof rect);
  return rfbWriteExact(client, bytes.data(), bytes.size()) > 0;
}

rfbBool enable(rfbClientPtr client, void**, int encoding) {
  if (encoding == kExtendedKey) {
    return send_rect(client, kExtendedKey, 0) ? TRUE : FALSE;
  }
  if (encoding == kPointerMotion) {
    wants_pointer_kind = true;
    return send_rect(client, kPointerMotion, hooks.client_steps() ? 0 : 1) ? TRUE : FALSE;
  }
  return FALSE;
}

rfbBool handle(rfbClientPtr client, void*, const rfbClientToServerMsg* message) {
  struct __attribute__((packed)) {
    uint8_t kind;
    uint16_t down;
    uint32_t keysym;
    uint32_t scancode;
  } event{};
  std::array<char, sizeof event> bytes;
  if (message->type != kQemuMessage || rfbReadExact(client, bytes.data(), bytes.size()) <= 0) {
    return FALSE;  // the library drops the client
  }
  std::memcpy(&event, bytes.data(), sizeof event);
  if (event.kind != kKeyEvent) {
    return FALSE;
  }
  hooks.key(ntohl(event.scancode), ntohl(event.keysym), event.down != 0);
  return TRUE;
}

std::array<int, 3> encodings{kExtendedKey, kPointerMotion, 0};
rfbProtocolExtension extension{.newClient = nullptr,
                               .init = nullptr,
                               .pseudoEncodings = encodings.data(),
                               .enablePseudoEncoding = enable,
                               .handleMessage = handle,
                               .close = nullptr,
                               .usage = nullptr,
                               .processArgument = nullptr,
                               .next = nullptr};

}  // namespace

void register_rfb_extension(RfbExtensionHooks wanted) {
  hooks = std::move(wanted);
  rfbRegisterProtocolExtension(&extension);
}

void tell_pointer_kind(rfbClientPtr client, bool absolute) {
  if (wants_pointer_kind) {
    (void)send_rect(client, kPointerMotion, absolute ? 1 : 0);
  }
}

}  // namespace lodge::vnc
