// Clients that are joined with a guest's screen without its listening sockets (virt-viewer --attach).
#include <sys/socket.h>

#include <array>

#include "libvirt-driver/calls/calls.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

Answer<void> add_client(Call& call, const DomainName& name, uint32_t index, uint32_t flags, Fd client) {
  const DomainView view = TRY(find(call, name))->view();
  const auto run = TRY(Driver::running(view));
  if (index >= view.live->devices.graphics.size()) {
    return call_error(VIR_ERR_INTERNAL_ERROR, "No graphics backend with index {}", index);
  }
  const std::string fdname = fmt::format("client-{}", call.session->id());
  const Json arguments{{"fdname", fdname}, {"skip-auth", (flags & VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH) != 0}};
  TRY(call.driver.ask_display(view.name, *run, "add-client", arguments, std::move(client)));
  return {};
}

Answer<void> domain_open_graphics(Call& call, const DomainOpenGraphicsArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH, "virDomainOpenGraphics"));
  if (call.fds.size() != 1) {
    return call_error(VIR_ERR_RPC, "one descriptor must come with the call, {} did", call.fds.size());
  }
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(call.fds.front().get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) {
    return call_error(VIR_ERR_INVALID_ARG, "fd in virDomainOpenGraphics must be a socket");
  }
  return add_client(call, args.dom, args.idx, args.flags, std::move(call.fds.front()));
}

Answer<void> domain_open_graphics_fd(Call& call, const DomainOpenGraphicsFdArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH, "virDomainOpenGraphicsFD"));
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return std::unexpected(CallError(fail_errno(errno, "create a socket").error()));
  }
  Fd ours(ends[0]);
  TRY_VOID(add_client(call, args.dom, args.idx, args.flags, Fd(ends[1])));
  call.reply_fds.push_back(std::move(ours));
  return {};
}

constexpr std::array kCalls{
    bind<Proc::domain_open_graphics, domain_open_graphics>(),
    bind<Proc::domain_open_graphics_fd, domain_open_graphics_fd>(),
};

}  // namespace

Bindings graphics_calls() { return kCalls; }

}  // namespace lodge
