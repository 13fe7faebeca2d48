// A row of the table of procedures, as procedures.txt describes it.
#pragma once

#include <cstdint>
#include <string_view>

namespace lodge::rpc {

struct ProcedureRow {
  int32_t number;
  std::string_view name;     // "DOMAIN_GET_INFO"
  std::string_view group;    // "lookup"; "event": the server sends it
  std::string_view forward;  // the family of another daemon that serves it ("network"), or ""
  bool high;                 // served by workers that never wait for a guest
  bool deny;                 // never on a read-only connection
  bool event;
};

}  // namespace lodge::rpc
