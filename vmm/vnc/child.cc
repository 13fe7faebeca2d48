#include "vmm/vnc/child.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>

#include "base/log.h"
#include "vmm/sandbox/seccomp.h"

namespace lodge::vnc {

void leave(Leaving::Reason reason, std::string_view detail) {
  if (!detail.empty()) {
    log_debug("client", "{}", detail);
  }
  (void)display::send_packet(kLink, display::bytes_of(Leaving{.reason = reason}));
  ::_exit(0);
}

void settle(std::initializer_list<Fd*> descriptors) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int end = kSocket + static_cast<int>(descriptors.size());
  for (Fd* fd : descriptors) {  // above all places first, so that none overwrites another
    *fd = Fd(::fcntl(fd->release(), F_DUPFD, end));
  }
  int place = kSocket;
  for (Fd* fd : descriptors) {
    if (!fd->valid() || ::dup2(fd->release(), place++) < 0) {
      leave(Leaving::trouble, "no descriptor is left");
    }
  }
  ::close_range(static_cast<unsigned>(end), ~0U, 0);
}

void confine(const SharedPicture& picture, bool seccomp) {
  if (!picture.make_read_only() || (seccomp && !enter_sandbox(ThreadKind::vnc_client))) {
    leave(Leaving::trouble, "it cannot be confined");
  }
}

}  // namespace lodge::vnc
