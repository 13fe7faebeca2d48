// The client process: libvncserver with one client, the shared picture as its frame buffer, and the link to the server's
// process. It waits for its client only, up to kClientWait for a message's rest or for room to send.
#include <poll.h>
#include <rfb/rfb.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdarg>
#include <cstdlib>
#include <ctime>

extern "C" {  // which this header forgets
#include <rfb/rfbregion.h>
}

#include "base/log.h"
#include "vmm/display/rate_limit.h"
#include "vmm/vnc/child.h"
#include "vmm/vnc/client_setup.h"
#include "vmm/vnc/keyboard.h"
#include "vmm/vnc/link.h"
#include "vmm/vnc/pointer.h"
#include "vmm/vnc/rfb_extension.h"

namespace lodge::vnc {
namespace {

constexpr int kClientWaitMs = 20'000;
constexpr uint32_t kMessagesPerSecond = 3000;

// The library's own words, for developers.
__attribute__((format(printf, 1, 2))) void log_library(const char* format, ...) {
  if (!log_enabled(LogLevel::debug)) {
    return;
  }
  std::array<char, 256> text{};
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text.data(), text.size(), format, arguments);
  va_end(arguments);
  std::string_view line(text.data());
  log_write(LogLevel::debug, "libvncserver", line.substr(0, line.find('\n')));
}

class Client {
 public:
  explicit Client(ClientSetup setup) : setup_(std::move(setup)) { pointer_.set_absolute(setup_.absolute); }

  [[noreturn]] void run() {
    tell(Want{.kind = Want::fresh});
    wait_for_picture();
    make_screen();
    client_ = rfbNewClient(screen_, kSocket);
    // A page in a browser could reach a socket that is open to its machine; it speaks WebSocket.
    if (client_ == nullptr || client_->wsctx != nullptr || client_->sslctx != nullptr) {
      leave(Leaving::no_rfb);
    }
    while (client_->sock != RFB_INVALID_SOCKET) {
      update_client();
      ask_for_picture();
      wait();
    }
    leave(Leaving::closed);
  }

  // Of the library's callbacks.
  static Client& of(rfbScreenInfoPtr screen) { return *static_cast<Client*>(screen->screenData); }
  void type(const std::vector<Stroke>& strokes) {
    for (const Stroke& stroke : strokes) {
      admit_input();
      tell(display::Key{.code = stroke.code, .down = stroke.down});
    }
  }
  void point(uint8_t mask, int x, int y) {
    const bool spare = inputs_.room(std::chrono::steady_clock::now()) < 0.5;
    const auto event = pointer_.event(mask, x, y, shown_.width, shown_.height, spare);
    if (event) {
      admit_input();
      std::visit([this](const auto& packet) { tell(packet); }, *event);
    }
  }
  // The answer of ExtendedDesktopSize. Success is told to the client with the picture of that size, if the guest heeds it.
  [[nodiscard]] int want_size(int width, int height, std::span<const rfbExtDesktopScreen> screens) {
    if (!setup_.takes_sizes) {
      return rfbExtDesktopSize_ResizeProhibited;
    }
    if (screens.size() != 1 || screens[0].x != 0 || screens[0].y != 0 || screens[0].width != width ||
        screens[0].height != height) {
      return rfbExtDesktopSize_InvalidScreenLayout;
    }
    const SharedPicture::Size size{static_cast<uint32_t>(width), static_cast<uint32_t>(height)};
    if (width <= 0 || height <= 0 || !display::is_size(size.width, size.height)) {
      return rfbExtDesktopSize_OutOfResources;
    }
    admit_input();
    tell(display::Size{.width = size.width, .height = size.height});
    if (size == shown_) {
      client_->newFBSizePending = TRUE;  // no other picture will come
    }
    return rfbExtDesktopSize_Success;
  }
  [[nodiscard]] bool let_in(const char* response, int length) const {
    Challenge challenge;
    std::copy_n(client_->authChallenge, challenge.size(), challenge.begin());
    // SAFETY: bytes are bytes.
    const std::span answer(reinterpret_cast<const uint8_t*>(response), static_cast<size_t>(std::max(length, 0)));
    return lets_in(setup_.access, challenge, answer, std::time(nullptr));
  }
  void typed_scancode(uint32_t scancode, uint32_t keysym, bool down) { type(keyboard_.scancode(scancode, keysym, down)); }
  void typed_keysym(uint32_t keysym, bool down) { type(keyboard_.keysym(keysym, down)); }
  [[nodiscard]] bool enable_steps() {
    knows_steps_ = true;
    pointer_.set_client_steps(!pointer_.absolute());
    return !pointer_.absolute();
  }
  void set_client(rfbClientPtr client) { client_ = client; }

 private:
  template <class Packet>
  void tell(const Packet& packet) {
    // The server reads fast; when it does not there is no use in going on.
    if (const auto outcome = display::send_packet(kLink, display::bytes_of(packet)); !outcome) {
      leave(Leaving::trouble, "the server does not read");
    }
  }

  void admit_input() {
    if (!inputs_.admit(std::chrono::steady_clock::now())) {
      leave(Leaving::input_flood);
    }
  }

  void update_client() {
    const bool size = client_->newFBSizePending != 0;
    rfbUpdateClient(client_);
    if (size && client_->sock != RFB_INVALID_SOCKET) {
      rfbUpdateClient(client_);  // the size goes alone, and pixels may be waited for
    }
  }

  void wait_for_picture() {
    while (setup_.picture->size().width == 0 || waiting_) {
      pollfd link{kLink, POLLIN, 0};
      if (::poll(&link, 1, -1) > 0) {
        take_link();
      }
    }
  }

  void make_screen() {
    shown_ = setup_.picture->size();
    seen_ = setup_.picture->serial();
    screen_ = rfbGetScreen(nullptr, nullptr, static_cast<int>(shown_.width), static_cast<int>(shown_.height), 8, 3, 4);
    if (screen_ == nullptr) {
      leave(Leaving::trouble, "no memory");
    }
    name_ = fmt::format("Lodge ({})", setup_.guest);
    screen_->screenData = this;
    screen_->desktopName = name_.c_str();
    screen_->frameBuffer = frame_buffer();
    screen_->cursor = nullptr;  // the guest draws its own
    screen_->deferUpdateTime = 0;
    screen_->deferPtrUpdateTime = 0;
    screen_->maxClientWait = kClientWaitMs;
    screen_->alwaysShared = TRUE;  // the server's process decides
    set_format();
    if (setup_.access.kind != Access::Kind::open) {
      screen_->authPasswdData = this;
      screen_->passwordCheck = [](rfbClientPtr client, const char* response, int length) -> rfbBool {
        return of(client->screen).let_in(response, length) ? TRUE : FALSE;
      };
    }
    screen_->kbdAddEvent = [](rfbBool down, rfbKeySym keysym, rfbClientPtr client) {
      of(client->screen).typed_keysym(keysym, down != 0);
    };
    screen_->ptrAddEvent = [](int mask, int x, int y, rfbClientPtr client) {
      of(client->screen).point(static_cast<uint8_t>(mask), x, y);
    };
    screen_->setDesktopSizeHook = [](int width, int height, int count, rfbExtDesktopScreen* screens, rfbClientPtr client) {
      return of(client->screen).want_size(width, height, {screens, static_cast<size_t>(count)});
    };
    screen_->newClientHook = [](rfbClientPtr client) {
      of(client->screen).set_client(client);
      return RFB_CLIENT_ACCEPT;
    };
    register_rfb_extension(
        {.key = [this](uint32_t scancode, uint32_t keysym, bool down) { typed_scancode(scancode, keysym, down); },
         .client_steps = [this] { return enable_steps(); }});
  }

  // 0x00RRGGBB
  void set_format() {
    rfbPixelFormat& format = screen_->serverFormat;
    format.depth = 24;
    format.redShift = 16;
    format.greenShift = 8;
    format.blueShift = 0;
    screen_->paddedWidthInBytes = static_cast<int>(shown_.width * sizeof(uint32_t));
  }

  [[nodiscard]] char* frame_buffer() const {
    // SAFETY: the library reads bytes; the memory cannot be written here.
    return reinterpret_cast<char*>(setup_.picture->pixels());
  }

  // A client that does not know that screens change their size keeps the part that it has room for.
  void resize(SharedPicture::Size size) {
    const auto room = client_->useNewFBSize != 0 ? size : first_.value_or(shown_);
    first_ = first_.value_or(shown_);
    shown_ = size;
    rfbNewFramebuffer(screen_, frame_buffer(), static_cast<int>(std::min(size.width, room.width)),
                      static_cast<int>(std::min(size.height, room.height)), 8, 3, 4);
    set_format();
    screen_->setTranslateFunction(client_);
  }

  void ask_for_picture() {
    if (client_->sock == RFB_INVALID_SOCKET || client_->state != rfbClientRec::RFB_NORMAL) {
      return;
    }
    const bool wanted = sraRgnEmpty(client_->requestedRegion) == 0;
    if (wanted != waiting_) {
      tell(Want{.seen = seen_, .kind = wanted ? Want::newer : Want::nothing});
      waiting_ = wanted;
    }
  }

  void wait() {
    std::array<pollfd, 2> waiting{pollfd{client_->sock, POLLIN, 0}, pollfd{kLink, POLLIN, 0}};
    if (client_->sock == RFB_INVALID_SOCKET || ::poll(waiting.data(), waiting.size(), -1) <= 0) {
      return;
    }
    if (waiting[1].revents != 0) {
      take_link();
    }
    if (waiting[0].revents != 0) {
      take_message();
    }
  }

  void take_message() {
    if (!messages_.admit(std::chrono::steady_clock::now())) {
      leave(Leaving::message_flood);
    }
    uint8_t shared = 0;
    if (client_->state == rfbClientRec::RFB_INITIALISATION) {
      (void)::recv(client_->sock, &shared, sizeof shared, MSG_PEEK);
    }
    const bool before = client_->state == rfbClientRec::RFB_NORMAL;
    rfbProcessClientMessage(client_);
    if (!before && client_->sock != RFB_INVALID_SOCKET && client_->state == rfbClientRec::RFB_NORMAL) {
      tell(Entered{.shared = shared != 0});
    }
  }

  void take_link() {
    std::array<std::byte, display::kMaxPacket> buffer;
    const auto received = display::receive_packet(kLink, buffer);
    if (received && !*received) {
      return;
    }
    if (!received || (*received)->size == 0) {
      leave(Leaving::closed, "the server is gone");
    }
    const auto message = parse_from_server(std::span(buffer).first(std::min((*received)->size, buffer.size())));
    if (!message) {
      leave(Leaving::trouble, message.error().message);
    }
    if (const auto* pointer = std::get_if<display::Pointer>(&*message)) {
      pointer_.set_absolute(pointer->absolute != 0);
      pointer_.set_client_steps(knows_steps_ && pointer->absolute == 0);
      if (client_ != nullptr && client_->state == rfbClientRec::RFB_NORMAL) {
        tell_pointer_kind(client_, pointer->absolute != 0);
      }
      return;
    }
    waiting_ = false;
    if (client_ != nullptr) {
      take_changes();
    }
  }

  void take_changes() {
    const uint32_t serial = setup_.picture->serial();
    if (const auto size = setup_.picture->size(); size != shown_) {
      resize(size);
    }
    setup_.picture->changes(seen_, shown_, [this](const Rect& rect) {
      rfbMarkRectAsModified(screen_, static_cast<int>(rect.x), static_cast<int>(rect.y),
                            static_cast<int>(rect.x + rect.width), static_cast<int>(rect.y + rect.height));
    });
    seen_ = serial;
  }

  ClientSetup setup_;
  std::string name_;
  rfbScreenInfoPtr screen_ = nullptr;
  rfbClientPtr client_ = nullptr;
  SharedPicture::Size shown_;
  std::optional<SharedPicture::Size> first_;  // that the client was told, once it has changed
  uint32_t seen_ = 0;
  bool waiting_ = true;  // for Changed
  bool knows_steps_ = false;
  Keyboard keyboard_;
  PointerTranslator pointer_;
  display::RateLimit inputs_{kInputsPerSecond};
  display::RateLimit messages_{kMessagesPerSecond};
};

}  // namespace

void client_main(ClientSetup setup) {
  settle({&setup.socket, &setup.link});
  if (setup.credentials != nullptr) {
    setup.credentials->forget();  // nothing here needs the key
  }
  unsigned seed = 0;
  if (::getrandom(&seed, sizeof seed, 0) != sizeof seed) {
    leave(Leaving::trouble, "no random numbers");
  }
  ::srandom(seed);  // challenges that nobody foresees
  rfbLog = log_library;
  rfbErr = log_library;
  confine(*setup.picture, setup.seccomp);
  static Client client(std::move(setup));
  client.run();
}

}  // namespace lodge::vnc
