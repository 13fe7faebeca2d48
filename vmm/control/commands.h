// The commands of the control socket: one table, one row a command. On the control thread.
//
// Adding one: a function and a row in commands.cc; if it needs something new of the machine, a member of ControlTarget.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "vmm/control/arguments.h"
#include "vmm/control/target.h"

namespace lodge {

// Descriptors that clients passed, under the names they gave them.
class DescriptorTable {
 public:
  static constexpr size_t kMax = 64;
  // A descriptor of the same name is replaced. Error: the table is full.
  [[nodiscard]] Result<void> put(const std::string& name, Fd fd);
  [[nodiscard]] Result<Fd> take(const std::string& name);
  [[nodiscard]] size_t size() const { return descriptors_.size(); }

 private:
  std::map<std::string, Fd> descriptors_;
};

// What a command works with.
struct CommandContext {
  ControlTarget& target;
  DescriptorTable& descriptors;
  std::deque<Fd>& received;  // came with the client's messages, oldest first
};

// Runs the request; `reply` gets the line to send, once, now or later.
using Reply = std::function<void(std::string line)>;
void execute(const Request& request, CommandContext context, Reply reply);

// The same as ControlServer wants it. `target` outlives it.
using RunRequest =
    std::function<void(const Request& request, DescriptorTable& descriptors, std::deque<Fd>& received, Reply reply)>;
[[nodiscard]] RunRequest runner(ControlTarget& target);

struct CommandCall;
struct Command {
  std::string_view name;
  std::string_view help;
  std::span<const CommandArgument> arguments;
  void (*run)(CommandCall& call);
  bool settings = false;  // it also takes settings of the configuration, which the function checks
};
[[nodiscard]] std::span<const Command> commands();

}  // namespace lodge
