// Whom monitors run as.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/result.h"

namespace lodge {

struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
};

struct AccountNames {
  std::string user;
  std::string group;
  bool must_exist = false;  // they are the administrator's choice, not the default
};

// Looks them up. None: this daemon is not root and starts monitors as itself; or the default account is not there, of which
// the log tells, and they run as root. Error: a name that must exist does not.
[[nodiscard]] Result<std::optional<Account>> find_account(const AccountNames& names);

}  // namespace lodge
