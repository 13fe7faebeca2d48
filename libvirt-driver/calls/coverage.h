// What of libvirt's protocol is offered, as text for people (virtlodged --procedures).
#pragma once

#include <string>

namespace lodge {

[[nodiscard]] std::string coverage_text();

}  // namespace lodge
