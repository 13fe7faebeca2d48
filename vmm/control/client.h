// ControlClient: asks a monitor over its control socket, as programs beside it do. Blocking, with a limit on each wait.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"

namespace lodge {

class ControlClient {
 public:
  [[nodiscard]] static Result<ControlClient> connect(const std::string& path);
  // Runs a command; `arguments`: a JSON object. `descriptor`: to pass along. Error: the monitor's, or there is none.
  [[nodiscard]] Result<void> execute(std::string_view command, std::string_view arguments, int descriptor = -1);

 private:
  ControlClient(Fd socket, std::string path) : socket_(std::move(socket)), path_(std::move(path)) {}
  [[nodiscard]] Result<std::string> line();

  Fd socket_;
  std::string path_;
  std::string input_;
};

}  // namespace lodge
