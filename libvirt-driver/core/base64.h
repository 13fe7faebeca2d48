// Base64 (RFC 4648). Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

namespace lodge {

[[nodiscard]] std::string to_base64(std::string_view bytes);
// Rubbish gives what was right before it.
[[nodiscard]] std::string from_base64(std::string_view text);

}  // namespace lodge
