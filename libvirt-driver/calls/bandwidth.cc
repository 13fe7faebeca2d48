// How fast a guest's interfaces may be (virsh domiftune).
#include "libvirt-driver/domains/bandwidth.h"

#include <algorithm>
#include <array>

#include "libvirt-driver/calls/change_tuning.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr uint32_t kChangeFlags = VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG;
constexpr uint32_t kQueryFlags = kChangeFlags | VIR_TYPED_PARAM_STRING_OKAY;

struct Field {
  const char* name;
  BandwidthRate lodge::DomainInterface::* rate;
  std::optional<uint64_t> BandwidthRate::* value;
};
constexpr std::array kFields{
    Field{VIR_DOMAIN_BANDWIDTH_IN_AVERAGE, &lodge::DomainInterface::inbound, &BandwidthRate::average},
    Field{VIR_DOMAIN_BANDWIDTH_IN_PEAK, &lodge::DomainInterface::inbound, &BandwidthRate::peak},
    Field{VIR_DOMAIN_BANDWIDTH_IN_BURST, &lodge::DomainInterface::inbound, &BandwidthRate::burst},
    Field{VIR_DOMAIN_BANDWIDTH_IN_FLOOR, &lodge::DomainInterface::inbound, &BandwidthRate::floor},
    Field{VIR_DOMAIN_BANDWIDTH_OUT_AVERAGE, &lodge::DomainInterface::outbound, &BandwidthRate::average},
    Field{VIR_DOMAIN_BANDWIDTH_OUT_PEAK, &lodge::DomainInterface::outbound, &BandwidthRate::peak},
    Field{VIR_DOMAIN_BANDWIDTH_OUT_BURST, &lodge::DomainInterface::outbound, &BandwidthRate::burst},
};

// By its MAC address or its tap.
template <class Config>
auto find_interface(Config& config, const std::string& device) -> Answer<decltype(config.devices.interfaces.data())> {
  for (auto& interface : config.devices.interfaces) {
    std::string given = device;
    std::ranges::transform(given, given.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if ((!interface.target.empty() && interface.target == device) || to_xml(interface.mac) == given) {
      return &interface;
    }
  }
  return call_error(VIR_ERR_INVALID_ARG, "cannot find interface '{}' in domain '{}'", device, config.name);
}

// A direction that is spoken of is set anew; without an average it has no limits.
Answer<void> change(lodge::DomainInterface& interface, std::span<const TypedParam> params) {
  BandwidthRate inbound;
  BandwidthRate outbound;
  bool in = false;
  bool out = false;
  for (const TypedParam& param : params) {
    const auto field = std::ranges::find_if(kFields, [&](const Field& known) { return param.field == known.name; });
    if (field == kFields.end()) {
      return call_error(VIR_ERR_INVALID_ARG, "parameter '{}' not supported", param.field);
    }
    const int64_t value = TRY(number_of(param));
    if (value < 0 || value > UINT32_MAX) {
      return call_error(VIR_ERR_INVALID_ARG, "value of '{}' is out of range [0, {}]", param.field, UINT32_MAX);
    }
    const bool inwards = field->rate == &lodge::DomainInterface::inbound;
    (inwards ? in : out) = true;
    BandwidthRate& rate = inwards ? inbound : outbound;  // by name: g++ 12 assigns to a copy of (a ? b : c).*d
    if (value != 0) {
      rate.*field->value = static_cast<uint64_t>(value);
    }
  }
  if (in) {
    interface.inbound = inbound.average || inbound.floor ? inbound : BandwidthRate();
  }
  if (out) {
    interface.outbound = outbound.average ? outbound : BandwidthRate();
  }
  return {};
}

Answer<void> domain_set_interface_parameters(Call& call, const DomainSetInterfaceParametersArgs& args) {
  TRY_VOID(check_flags(args.flags, kChangeFlags, "virDomainSetInterfaceParameters"));
  return change_tuning(
      call, args.dom, args.flags, "domiftune",
      [&](DomainConfig& config) -> Answer<void> { return change(*TRY(find_interface(config, args.device)), args.params); },
      [&](const DomainConfig& live, const Run&) -> Answer<void> {
        return apply_bandwidth(*TRY(find_interface(live, args.device)));
      });
}

Answer<DomainGetInterfaceParametersRet> domain_get_interface_parameters(Call& call,
                                                                        const DomainGetInterfaceParametersArgs& args) {
  TRY_VOID(check_flags(args.flags, kQueryFlags, "virDomainGetInterfaceParameters"));
  const ConfigPtr config = TRY(queried(args.flags, TRY(find(call, args.dom))->view()));
  const lodge::DomainInterface& interface = *TRY(find_interface(*config, args.device));
  Params params;
  for (const Field& field : kFields) {
    params.push_back(uint_param(field.name, static_cast<uint32_t>((interface.*field.rate.*field.value).value_or(0))));
  }
  return counted_params<DomainGetInterfaceParametersRet>(args.nparams, std::move(params));
}

constexpr std::array kCalls{
    bind<Proc::domain_set_interface_parameters, domain_set_interface_parameters>(),
    bind<Proc::domain_get_interface_parameters, domain_get_interface_parameters>(),
};

}  // namespace

Bindings bandwidth_calls() { return kCalls; }

}  // namespace lodge
