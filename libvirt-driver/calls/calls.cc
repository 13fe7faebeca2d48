#include "libvirt-driver/calls/calls.h"

namespace lodge {

std::vector<rpc::Binding> all_calls() {
  std::vector<rpc::Binding> all;
  for (const Bindings group : {auth_calls(),      connect_calls(),    host_calls(),       cpu_calls(),
                               lookup_calls(),    lifecycle_calls(),  definition_calls(), metadata_calls(),
                               vcpu_calls(),      vcpu_count_calls(), agent_info_calls(), power_management_calls(),
                               memory_calls(),    tuning_calls(),     device_calls(),     block_calls(),
                               interface_calls(), stats_calls(),      event_calls(),      console_calls(),
                               job_calls(),       agent_calls(),      monitor_calls(),    bandwidth_calls(),
                               screen_calls(),    graphics_calls()}) {
    all.insert(all.end(), group.begin(), group.end());
  }
  return all;
}

Answer<void> check_flags(uint32_t flags, uint32_t known, std::string_view function) {
  if ((flags & ~known) != 0) {
    return call_error(VIR_ERR_INVALID_ARG, "unsupported flags (0x{:x}) in function {}", flags & ~known, function);
  }
  return {};
}

Answer<Affected> affected(uint32_t flags, const DomainView& view) {
  Affected result{(flags & VIR_DOMAIN_AFFECT_LIVE) != 0, (flags & VIR_DOMAIN_AFFECT_CONFIG) != 0};
  if (!result.live && !result.config) {
    (view.active() ? result.live : result.config) = true;
  }
  if (result.live && !view.active()) {
    return call_error(VIR_ERR_OPERATION_INVALID, "domain is not running");
  }
  if (result.config && !view.persistent) {
    return call_error(VIR_ERR_OPERATION_INVALID, "transient domains do not have any persistent config");
  }
  return result;
}

Answer<ConfigPtr> queried(uint32_t flags, const DomainView& view) {
  if ((flags & VIR_DOMAIN_AFFECT_LIVE) != 0 && (flags & VIR_DOMAIN_AFFECT_CONFIG) != 0) {
    return call_error(VIR_ERR_INVALID_ARG,
                      "flags 'VIR_DOMAIN_AFFECT_LIVE' and 'VIR_DOMAIN_AFFECT_CONFIG' are mutually exclusive");
  }
  const Affected which = TRY(affected(flags & (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG), view));
  return which.live ? view.live : view.persistent;
}

Answer<int64_t> number_of(const rpc::TypedParam& param) {
  return std::visit(
      [&]<class T>(const T& value) -> Answer<int64_t> {
        if constexpr (std::is_arithmetic_v<T>) {
          return static_cast<int64_t>(value);
        } else if constexpr (std::same_as<T, rpc::TypedParam::Boolean>) {
          return value.value ? 1 : 0;
        } else {
          return call_error(VIR_ERR_INVALID_ARG, "parameter '{}' is a text, a number is needed", param.field);
        }
      },
      param.value);
}

}  // namespace lodge
