// CommandCall: one command under way. The arguments were checked against the table. For commands.cc and queries.cc.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "vmm/control/commands.h"
#include "vmm/control/json_writer.h"

namespace lodge {

struct CommandCall {
  CommandContext context;
  const Arguments& arguments;
  std::function<void(Result<std::string>)> answer;  // JSON text

  [[nodiscard]] ControlTarget& target() const { return context.target; }
  [[nodiscard]] std::string text(std::string_view name) const {
    const auto it = arguments.find(name);
    return it == arguments.end() ? std::string() : std::get<std::string>(it->second);
  }
  [[nodiscard]] uint64_t number(std::string_view name) const {
    const auto it = arguments.find(name);
    return it == arguments.end() ? 0 : std::get<uint64_t>(it->second);
  }
  [[nodiscard]] bool flag(std::string_view name) const {
    const auto it = arguments.find(name);
    return it != arguments.end() && std::get<bool>(it->second);
  }
  void finish(const Result<void>& outcome) const { done()(outcome); }
  void finish(JsonWriter& writer) const { answer(writer.take()); }
  // For verbs that take time.
  [[nodiscard]] ControlTarget::Done done() const {
    return [answer = answer](const Result<void>& outcome) {
      answer(outcome ? Result<std::string>("{}") : std::unexpected(outcome.error()));
    };
  }
};

}  // namespace lodge
