// The control socket's language: the input arrives in pieces, whose lengths it also chooses, and runs against a fake
// machine. Everything that is answered must be one line of JSON.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tests/support/fake_target.h"
#include "vmm/control/commands.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  FakeTarget target;
  DescriptorTable descriptors;
  std::deque<Fd> received;
  MessageSplitter splitter;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const size_t step = rest.empty() ? 1 : static_cast<uint8_t>(rest.front()) + 1U;
  rest.remove_prefix(rest.empty() ? 0 : 1);
  while (!rest.empty()) {
    const std::string_view piece = rest.substr(0, step);
    rest.remove_prefix(piece.size());
    splitter.feed(piece);
    while (const auto item = splitter.next()) {
      Request request;
      if (item->problem.empty()) {
        request = parse_request(item->text);
      } else {
        request.problem = item->problem;
      }
      int answers = 0;
      execute(request, {target, descriptors, received}, [&](const std::string& line) {
        ++answers;
        if (line.find('\n') != line.size() - 1 || nlohmann::json::parse(line, nullptr, false).is_discarded()) {
          std::abort();
        }
      });
      if (answers != 1) {
        std::abort();
      }
    }
  }
  return 0;
}
