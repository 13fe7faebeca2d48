// The handlers of calls, one file for each group of procedures: thin functions over Driver and host/. Each file gives its
// rows.
#pragma once

#include <libvirt/libvirt.h>

#include <initializer_list>
#include <span>
#include <vector>

#include "libvirt-driver/domains/driver.h"
#include "libvirt-driver/rpc/call.h"

namespace lodge {

using rpc::Call;
using Bindings = std::span<const rpc::Binding>;

[[nodiscard]] Bindings auth_calls();
[[nodiscard]] Bindings connect_calls();
[[nodiscard]] Bindings host_calls();
[[nodiscard]] Bindings cpu_calls();
[[nodiscard]] Bindings lookup_calls();
[[nodiscard]] Bindings lifecycle_calls();
[[nodiscard]] Bindings definition_calls();
[[nodiscard]] Bindings metadata_calls();
[[nodiscard]] Bindings vcpu_calls();
[[nodiscard]] Bindings vcpu_count_calls();
[[nodiscard]] Bindings agent_info_calls();
[[nodiscard]] Bindings power_management_calls();
[[nodiscard]] Bindings memory_calls();
[[nodiscard]] Bindings tuning_calls();
[[nodiscard]] Bindings device_calls();
[[nodiscard]] Bindings block_calls();
[[nodiscard]] Bindings interface_calls();
[[nodiscard]] Bindings bandwidth_calls();
[[nodiscard]] Bindings stats_calls();
[[nodiscard]] Bindings event_calls();
[[nodiscard]] Bindings console_calls();
[[nodiscard]] Bindings screen_calls();
[[nodiscard]] Bindings graphics_calls();
[[nodiscard]] Bindings job_calls();
[[nodiscard]] Bindings agent_calls();
[[nodiscard]] Bindings monitor_calls();

// All of them.
[[nodiscard]] std::vector<rpc::Binding> all_calls();

// The domain that a client means: by its UUID only, names may be stale.
[[nodiscard]] inline Answer<DomainPtr> find(Call& call, const rpc::DomainName& name) {
  return call.driver.domains().by_uuid(name.uuid);
}
// INVALID_ARG for flags that a call does not know, in libvirt's words.
[[nodiscard]] Answer<void> check_flags(uint32_t flags, uint32_t known, std::string_view function);

// Which of the two definitions VIR_DOMAIN_AFFECT_* flags mean.
struct Affected {
  bool live = false;
  bool config = false;
};
// Error: OPERATION_INVALID when the domain is not running or has no such definition.
[[nodiscard]] Answer<Affected> affected(uint32_t flags, const DomainView& view);
// The one definition that a query means.
[[nodiscard]] Answer<ConfigPtr> queried(uint32_t flags, const DomainView& view);

// Whether VIR_CONNECT_LIST_DOMAINS_* flags select it.
[[nodiscard]] bool matches_list_flags(const DomainView& view, uint32_t flags);

// Typed parameters.
using Params = std::vector<rpc::TypedParam>;
inline rpc::TypedParam int_param(std::string field, int32_t value) { return {std::move(field), value}; }
inline rpc::TypedParam uint_param(std::string field, uint32_t value) { return {std::move(field), value}; }
inline rpc::TypedParam llong_param(std::string field, int64_t value) { return {std::move(field), value}; }
inline rpc::TypedParam ullong_param(std::string field, uint64_t value) { return {std::move(field), value}; }
inline rpc::TypedParam bool_param(std::string field, bool value) {
  return {std::move(field), rpc::TypedParam::Boolean{value}};
}
inline rpc::TypedParam text_param(std::string field, std::string value) { return {std::move(field), std::move(value)}; }

// The two-call pattern: with `wanted` 0 the reply has only the count, else at most as many entries.
template <class Ret>
[[nodiscard]] Ret counted_params(int32_t wanted, Params params) {
  Ret reply;
  reply.nparams = static_cast<int32_t>(params.size());
  if (wanted > 0) {
    if (params.size() > static_cast<size_t>(wanted)) {
      params.resize(static_cast<size_t>(wanted));
    }
    reply.nparams = static_cast<int32_t>(params.size());
    reply.params.assign(params.begin(), params.end());
  }
  return reply;
}

// The number a parameter holds, whatever its type; INVALID_ARG for another field or a text.
[[nodiscard]] Answer<int64_t> number_of(const rpc::TypedParam& param);

}  // namespace lodge
