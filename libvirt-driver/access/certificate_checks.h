// Looks at the daemon's own certificates before clients do: what they would refuse is told to the administrator at the
// start. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace lodge::access {

// Texts are PEM. Error: names the file, what is wrong with it and what to do.
[[nodiscard]] Result<void> check_server_certificate(std::string_view cert_file, const std::string& cert,
                                                    std::string_view ca_file, const std::string& ca);

}  // namespace lodge::access
