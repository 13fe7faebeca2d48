#include "vmm/control/arguments.h"

#include <algorithm>

namespace lodge {
namespace {

using Kind = ArgumentKind;

bool matches(const ArgumentValue& value, Kind kind) {
  switch (kind) {
    case Kind::text: return std::holds_alternative<std::string>(value);
    case Kind::number: return std::holds_alternative<uint64_t>(value);
    case Kind::flag: return std::holds_alternative<bool>(value);
    case Kind::text_or_null:
      return std::holds_alternative<std::string>(value) || std::holds_alternative<std::monostate>(value);
  }
  return false;
}

std::string_view wanted(Kind kind) {
  switch (kind) {
    case Kind::text: return "a text";
    case Kind::number: return "a whole number, not negative";
    case Kind::flag: return "true or false";
    case Kind::text_or_null: return "a text or null";
  }
  return "";
}

// The names, for errors.
std::string known_arguments(const CommandShape& command) {
  std::string text;
  for (const CommandArgument& argument : command.arguments) {
    text += text.empty() ? "" : ", ";
    text += argument.name;
  }
  return text.empty() ? "it takes none" : "it takes " + text;
}

}  // namespace

Result<void> check_arguments(const CommandShape& command, const Arguments& arguments, bool others) {
  for (const auto& [name, value] : arguments) {
    const auto* known = std::ranges::find(command.arguments, std::string_view(name), &CommandArgument::name).base();
    if (known == command.arguments.data() + command.arguments.size()) {
      if (others) {
        continue;
      }
      return fail("{} has no argument '{}'; {}", command.name, name, known_arguments(command));
    }
    if (!matches(value, known->kind)) {
      return fail("{}: argument '{}' is not {}", command.name, name, wanted(known->kind));
    }
  }
  for (const CommandArgument& argument : command.arguments) {
    if (argument.required && !arguments.contains(argument.name)) {
      return fail("{}: argument '{}' is missing", command.name, argument.name);
    }
  }
  return {};
}

}  // namespace lodge
