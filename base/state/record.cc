#include "base/state/record.h"

#include <cassert>

namespace lodge {
namespace {

constexpr size_t kMaxName = 256;

void append_name(StateBytes& out, std::string_view name) {
  assert(name.size() <= kMaxName);
  state_detail::append_pod(out, static_cast<uint16_t>(name.size()));
  const auto bytes = std::as_bytes(std::span(name));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

Result<std::string> take_name(std::span<const std::byte>& in) {
  uint16_t size = 0;
  TRY_VOID(state_detail::take_pod(in, size));
  if (size > kMaxName || size > in.size()) {
    return fail("record name of {} bytes is too long", size);
  }
  std::string name(reinterpret_cast<const char*>(in.data()), size);  // SAFETY: bytes as char
  in = in.subspan(size);
  return name;
}

}  // namespace

void StateWriter::put_raw(std::string_view kind, std::string_view id, uint16_t version, StateBytes payload) {
  append_name(out_, kind);
  append_name(out_, id);
  state_detail::append_pod(out_, version);
  state_detail::append_pod(out_, uint16_t{0});  // flags: none defined
  state_detail::append_pod(out_, static_cast<uint32_t>(payload.size()));
  out_.insert(out_.end(), payload.begin(), payload.end());
}

Result<StateReader> StateReader::parse(std::span<const std::byte> bytes) {
  StateReader reader;
  while (!bytes.empty()) {
    std::string kind = TRY(take_name(bytes));
    std::string id = TRY(take_name(bytes));
    Record record;
    uint16_t flags = 0;
    uint32_t size = 0;
    TRY_VOID(state_detail::take_pod(bytes, record.version));
    TRY_VOID(state_detail::take_pod(bytes, flags));
    TRY_VOID(state_detail::take_pod(bytes, size));
    if (flags != 0) {
      return fail("saved {} '{}' has flags {:#x}, which this build does not know", kind, id, flags);
    }
    if (size > bytes.size()) {
      return fail("saved {} '{}' is cut short", kind, id);
    }
    record.payload.assign(bytes.begin(), bytes.begin() + size);
    bytes = bytes.subspan(size);
    Key key{std::move(kind), std::move(id)};
    if (!reader.records_.emplace(key, std::move(record)).second) {
      return fail("saved {} '{}' appears twice", key.first, key.second);
    }
  }
  return reader;
}

Result<std::span<const std::byte>> StateReader::find(std::string_view kind, std::string_view id, uint16_t known) const {
  const auto it = records_.find({std::string(kind), std::string(id)});
  if (it == records_.end()) {
    return fail("the saved state has no {} '{}'", kind, id);
  }
  if (it->second.version > known) {
    return fail("{} v{}, this build knows v{}", kind, it->second.version, known);
  }
  used_.insert(it->first);
  return std::span<const std::byte>(it->second.payload);
}

Result<void> StateReader::check_all_used() const {
  for (const auto& [key, record] : records_) {
    if (!used_.contains(key)) {
      return fail("the saved state has {} '{}', which this machine does not have", key.first, key.second);
    }
  }
  return {};
}

}  // namespace lodge
