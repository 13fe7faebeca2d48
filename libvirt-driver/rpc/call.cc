#include "libvirt-driver/rpc/call.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>

#include "libvirt-driver/access/login.h"
#include "libvirt-driver/rpc/procedure_rows.h"

namespace lodge::rpc {

Session::Session(uint64_t id, Peer peer, std::shared_ptr<const access::AccessRule> rule)
    : id_(id),
      peer_(std::move(peer)),
      read_only_(rule->read_only),
      login_(std::make_unique<access::Login>(std::move(rule))) {
  login_->begin(peer_);
}

Session::~Session() = default;

bool Session::open(bool read_only) {
  if (read_only) {
    read_only_ = true;
  }
  return !opened_.exchange(true);
}

uint64_t Session::on_close(std::function<void()> fn) {
  std::unique_lock lock(mutex_);
  if (closed_) {
    lock.unlock();
    fn();
    return 0;
  }
  on_close_.emplace_back(next_, std::move(fn));
  return next_++;
}

void Session::cancel_on_close(uint64_t number) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(on_close_, [&](const auto& entry) { return entry.first == number; });
}

void Session::run_on_close() {
  std::vector<std::pair<uint64_t, std::function<void()>>> due;
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    due.swap(on_close_);
  }
  for (auto& [number, fn] : due) {
    fn();
  }
}

std::string function_name(std::string_view procedure) {
  std::string name = "vir";
  bool begins = true;
  for (const char c : procedure) {
    if (c == '_') {
      begins = true;
    } else {
      name += begins ? c : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      begins = false;
    }
  }
  return name;
}

CallError read_only_error(std::string_view procedure) {
  return {VIR_ERR_OPERATION_DENIED, fmt::format("read only access prevents {}", function_name(procedure))};
}

namespace {

std::vector<Procedure> by_number(std::span<const ProcedureRow> rows) {
  std::vector<Procedure> table;
  for (const ProcedureRow& row : rows) {
    const auto number = static_cast<size_t>(row.number);
    table.resize(std::max(table.size(), number + 1));
    table[number].row = &row;
  }
  return table;
}

}  // namespace

ProcedureTable::ProcedureTable(std::span<const Binding> bindings)
    : remote_(by_number(kRemoteRows)), qemu_(by_number(kQemuRows)) {
  for (const Binding& binding : bindings) {
    auto& table = binding.program == Program::remote ? remote_ : qemu_;
    Procedure& procedure = table[static_cast<size_t>(binding.number)];
    if (procedure.row == nullptr || procedure.invoke != nullptr) {
      fmt::print(stderr, "procedure {} is bound twice or unknown\n", binding.number);
      std::abort();
    }
    procedure.invoke = binding.invoke;
  }
}

std::span<const Procedure> ProcedureTable::all(Program program) const {
  switch (program) {
    case Program::remote: return remote_;
    case Program::qemu: return qemu_;
    default: return {};
  }
}

const Procedure* ProcedureTable::find(Program program, int32_t number) const {
  const auto table = all(program);
  if (number < 0 || static_cast<size_t>(number) >= table.size()) {
    return nullptr;
  }
  const Procedure& procedure = table[static_cast<size_t>(number)];
  return procedure.row != nullptr && !procedure.row->event ? &procedure : nullptr;
}

}  // namespace lodge::rpc
