#include "libvirt-driver/calls/coverage.h"

#include <map>

#include "libvirt-driver/calls/calls.h"

namespace lodge {

std::string coverage_text() {
  const rpc::ProcedureTable table(all_calls());
  struct Count {
    int offered = 0;
    int all = 0;
    std::string missing;
  };
  std::map<std::string, Count> groups;
  for (const rpc::Program program : {rpc::Program::remote, rpc::Program::qemu}) {
    for (const rpc::Procedure& procedure : table.all(program)) {
      if (procedure.row == nullptr || procedure.row->event) {
        continue;
      }
      const bool forwarded = !procedure.row->forward.empty();
      Count& count = groups[forwarded ? fmt::format("{} (of the host's own daemons)", procedure.row->forward)
                                      : std::string(procedure.row->group)];
      ++count.all;
      if (procedure.invoke != nullptr || forwarded) {
        ++count.offered;
      } else {
        count.missing += fmt::format("    {}\n", rpc::function_name(procedure.row->name));
      }
    }
  }
  std::string text;
  Count sum;
  for (const auto& [name, count] : groups) {
    text += fmt::format("{:<40} {:>3} of {:>3}\n{}", name, count.offered, count.all, count.missing);
    sum.offered += count.offered;
    sum.all += count.all;
  }
  return text + fmt::format("{:<40} {:>3} of {:>3}\n", "all procedures", sum.offered, sum.all);
}

}  // namespace lodge
