// A hostile driver against virtio-console, with ports that swallow, echo and block.
#include <sys/socket.h>

#include "devices/virtio/console/device.h"
#include "tests/fuzz/common/virtio_harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  fuzz::quiet();
  std::vector<Fd> peers;
  fuzz::Harness harness(
      [&](const StateReader* saved) {
        VirtioConsole::Options options;
        options.id = "console0";
        options.ports.push_back({"", true, make_null_char()});
        int pair[2];
        fuzz::require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
        peers.clear();
        peers.emplace_back(pair[1]);
        options.ports.push_back({"channel", false, make_stream_char(Fd(pair[0]))});
        return fuzz::created(VirtioConsole::create(std::move(options), saved));
      },
      "console0",
      [&](VirtioDevice& device, fuzz::Input& in) {
        const auto what = in.take<uint8_t>();
        char buffer[4096] = {};
        if (what < 100) {
          static_cast<void>(::send(peers[0].get(), buffer, what, MSG_NOSIGNAL | MSG_DONTWAIT));
        } else if (what < 200) {
          static_cast<void>(::recv(peers[0].get(), buffer, sizeof buffer, MSG_DONTWAIT));
        } else if (what < 210) {
          peers[0].reset();
        } else {
          static_cast<VirtioConsole&>(device).set_window(what, in.take<uint16_t>());
        }
      });
  harness.run(fuzz::Input(data, size));
  return 0;
}
