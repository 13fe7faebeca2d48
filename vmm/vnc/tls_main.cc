// The TLS process of a client: a relay between the client and the process with libvncserver, where no key is.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "vmm/vnc/child.h"
#include "vmm/vnc/client_setup.h"
#include "vmm/vnc/relay.h"

namespace lodge::vnc {
namespace {

Leaving::Reason reason_of(Relay::End end) {
  switch (end) {
    case Relay::End::closed: return Leaving::closed;
    case Relay::End::no_rfb: return Leaving::no_rfb;
    case Relay::End::no_tls: return Leaving::no_tls;
    case Relay::End::tls_failed: return Leaving::tls_failed;
    case Relay::End::certificate: return Leaving::certificate;
    case Relay::End::password: return Leaving::password;
  }
  return Leaving::trouble;
}

}  // namespace

void tls_main(TlsSetup setup) {
  settle({&setup.socket, &setup.link, &setup.inner});
  Challenge challenge{};
  if (::getrandom(challenge.data(), challenge.size(), 0) != static_cast<ssize_t>(challenge.size())) {
    leave(Leaving::trouble, "no random numbers");
  }
  for (const int fd : {kSocket, kInner}) {
    if (::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) {
      leave(Leaving::trouble, "a socket cannot be made one that does not block");
    }
  }
  const int on = 1;
  ::setsockopt(kSocket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // fails for a unix socket, which needs it not
  confine(*setup.picture, setup.seccomp);
  static Relay relay(kSocket, kInner, *setup.credentials, std::move(setup.access), challenge);
  const Relay::Outcome outcome = relay.run();
  leave(reason_of(outcome.end), outcome.detail);
}

}  // namespace lodge::vnc
