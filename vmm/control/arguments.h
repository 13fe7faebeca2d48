// What commands look like, and the check of a request's arguments against that. Used by every program that is asked by JSON
// lines (commands.h here, vmm/vnc/control.cc).
#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "vmm/control/protocol.h"

namespace lodge {

enum class ArgumentKind : uint8_t { text, number, flag, text_or_null };
struct CommandArgument {
  std::string_view name;
  ArgumentKind kind;
  bool required;
};
struct CommandShape {
  std::string_view name;
  std::string_view help;
  std::span<const CommandArgument> arguments;
};

// Errors: an argument that is missing, unknown (unless `others`), or of another kind.
[[nodiscard]] Result<void> check_arguments(const CommandShape& command, const Arguments& arguments, bool others = false);

}  // namespace lodge
