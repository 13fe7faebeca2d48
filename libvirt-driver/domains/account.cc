#include "libvirt-driver/domains/account.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include "base/log.h"

namespace lodge {

// At the daemon's start, before it has other threads.
Result<std::optional<Account>> find_account(const AccountNames& names) {
  if (::geteuid() != 0) {
    return std::nullopt;
  }
  const passwd* user = ::getpwnam(names.user.c_str());  // NOLINT(concurrency-mt-unsafe)
  if (user == nullptr) {
    if (names.must_exist) {
      return fail("monitor_user is '{}', but there is no such account; create it, or set monitor_user to one that there is",
                  names.user);
    }
    log_warning("daemon", "there is no account '{}' (systemd-sysusers makes it): guests' monitors run as root", names.user);
    return std::nullopt;
  }
  Account account{.uid = user->pw_uid, .gid = user->pw_gid};
  if (const group* found = ::getgrnam(names.group.c_str())) {  // NOLINT(concurrency-mt-unsafe)
    account.gid = found->gr_gid;
  } else if (names.must_exist) {
    return fail("monitor_group is '{}', but there is no such group; create it, or set monitor_group to one that there is",
                names.group);
  }
  return account;
}

}  // namespace lodge
