// The screen and the keyboard of a guest, without a display server.
#include <fcntl.h>
#include <fmt/ranges.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/key_codes.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr uint32_t kHoldMs = 100;  // for clients that do not say how long

Answer<DomainScreenshotRet> domain_screenshot(Call& call, const DomainScreenshotArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainScreenshot"));
  const DomainView view = TRY(find(call, args.dom))->view();
  const auto run = TRY(Driver::running(view));
  const auto& videos = view.live->devices.videos;
  if (std::ranges::all_of(videos, [](const DomainVideo& video) { return video.model == VideoModel::none; })) {
    return call_error(VIR_ERR_OPERATION_UNSUPPORTED, "no screens to take screenshot from");
  }
  if (args.screen >= std::max(videos.front().heads.value_or(1), 1U)) {
    return call_error(VIR_ERR_INVALID_ARG, "no such screen");
  }
  const Fd image(::memfd_create("screen", MFD_CLOEXEC));
  if (!image.valid()) {
    return std::unexpected(CallError(fail_errno(errno, "create a file for the screenshot").error()));
  }
  const std::string name = fmt::format("screen-{}-{}", call.session->id(), image.get());
  std::vector<Fd> fds;
  fds.push_back(TRY(image.duplicate()));
  TRY(run->monitor->execute("getfd", {{"fdname", name}}, std::move(fds), Monitor::kPatience));
  TRY(run->monitor->execute("screendump", {{"fdname", name}}));
  // Of its own, from the beginning, and read-only: nothing that the client sends ends up in it.
  call.stream = StreamRequest{.fd = TRY(open_file(fmt::format("/proc/self/fd/{}", image.get()), O_RDONLY | O_NONBLOCK)),
                              .what = fmt::format("the screenshot of domain '{}'", view.name),
                              .on_open = {},
                              .on_closed = {}};
  return DomainScreenshotRet{.mime = "image/x-portable-pixmap"};
}

Answer<void> domain_send_key(Call& call, const DomainSendKeyArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainSendKey"));
  const auto run = TRY(Driver::running(TRY(find(call, args.dom))->view()));
  if (codeset_name(args.codeset).empty()) {
    return call_error(VIR_ERR_INVALID_ARG, "Unsupported codeset {}", args.codeset);
  }
  std::vector<uint16_t> keys;
  for (const uint32_t code : args.keycodes) {
    const auto key = linux_key(args.codeset, code);
    if (!key) {
      return call_error(VIR_ERR_INVALID_ARG, "cannot translate keycode {} of {} codeset", code, codeset_name(args.codeset));
    }
    keys.push_back(*key);
  }
  if (keys.empty()) {
    return call_error(VIR_ERR_INVALID_ARG, "no keycodes are given");
  }
  const uint32_t hold = args.holdtime != 0 ? args.holdtime : kHoldMs;
  const Json arguments{{"keys", fmt::format("{}", fmt::join(keys, ","))}, {"hold-ms", hold}};
  TRY(run->monitor->execute("send-key", arguments, {}, Monitor::kPatience + std::chrono::milliseconds(hold)));
  return {};
}

constexpr std::array kCalls{
    bind<Proc::domain_screenshot, domain_screenshot>(),
    bind<Proc::domain_send_key, domain_send_key>(),
};

}  // namespace

Bindings screen_calls() { return kCalls; }

}  // namespace lodge
