// Connections: opening, features, what the daemon is.
#include <array>

#include "base/log.h"
#include "libvirt-driver/calls/calls.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

// VIR_DRV_FEATURE_* of libvirt's private driver.h, as clients ask for them.
enum Feature : int32_t {
  kFeatureFdPassing = 8,
  kFeatureTypedParamString = 9,
  kFeatureKeepalive = 10,
  kFeatureXmlMigratable = 11,
  kFeatureEventCallback = 14,
  kFeatureCloseCallback = 15,
  kFeatureNetworkUpdateOrder = 16,
};

constexpr uint64_t kLibVersion = 9'000'000;  // the protocol we speak is libvirt 9.0's

Answer<void> connect_open(Call& call, const ConnectOpenArgs& args) {
  const std::string uri = args.name.value_or("");
  const std::string& own = call.driver.options().uri;
  // What a client asks for is a path of ours: "lodge:///system", or the alias that names QEMU.
  const auto slash = uri.find(":///");
  const bool same_path = slash != std::string::npos && own.substr(own.find(":///")) == uri.substr(slash);
  if (!uri.empty() && !same_path) {
    return call_error(VIR_ERR_NO_CONNECT, "'{}'; this daemon serves {}", uri, own);
  }
  if (!call.session->open((args.flags & VIR_CONNECT_RO) != 0)) {
    return call_error(VIR_ERR_INTERNAL_ERROR, "connection already open");
  }
  return {};
}

Answer<void> connect_close(Call& call, const ConnectCloseArgs&) {
  call.session->close_when_replied();
  return {};
}

Answer<ConnectSupportsFeatureRet> connect_supports_feature(Call& call, const ConnectSupportsFeatureArgs& args) {
  ConnectSupportsFeatureRet reply;
  switch (args.feature) {
    case kFeatureKeepalive: call.session->start_keepalive(); [[fallthrough]];
    case kFeatureTypedParamString:
    case kFeatureXmlMigratable:
    case kFeatureEventCallback:
    case kFeatureCloseCallback:
    case kFeatureNetworkUpdateOrder: reply.supported = 1; break;
    case kFeatureFdPassing: reply.supported = call.session->peer().transport == TransportKind::unix_socket ? 1 : 0; break;
    default: reply.supported = 0; break;
  }
  return reply;
}

Answer<ConnectGetTypeRet> connect_get_type(Call&, const ConnectGetTypeArgs&) { return ConnectGetTypeRet{.type = "LODGE"}; }

Answer<ConnectGetVersionRet> connect_get_version(Call&, const ConnectGetVersionArgs&) {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned micro = 0;
  (void)std::sscanf(LODGE_VERSION, "%u.%u.%u", &major, &minor, &micro);
  return ConnectGetVersionRet{.hv_ver = major * 1'000'000ULL + minor * 1000ULL + micro};
}

Answer<ConnectGetLibVersionRet> connect_get_lib_version(Call&, const ConnectGetLibVersionArgs&) {
  return ConnectGetLibVersionRet{.lib_ver = kLibVersion};
}

Answer<ConnectGetUriRet> connect_get_uri(Call& call, const ConnectGetUriArgs&) {
  return ConnectGetUriRet{.uri = call.driver.options().uri};
}

Answer<ConnectIsSecureRet> connect_is_secure(Call& call, const ConnectIsSecureArgs&) {
  return ConnectIsSecureRet{.secure = call.session->secure() ? 1 : 0};
}

// Ours never goes away under a client; there is nothing to remember.
Answer<void> connect_register_close_callback(Call&, const ConnectRegisterCloseCallbackArgs&) { return {}; }
Answer<void> connect_unregister_close_callback(Call&, const ConnectUnregisterCloseCallbackArgs&) { return {}; }

// A proxy in front of us tells whose calls it passes on; only root may.
Answer<void> connect_set_identity(Call& call, const ConnectSetIdentityArgs& args) {
  if (call.session->peer().uid != 0) {
    return call_error(VIR_ERR_OPERATION_DENIED, "only root may speak for others");
  }
  for (const TypedParam& param : args.params) {
    if (const auto* text = std::get_if<std::string>(&param.value)) {
      log_debug("rpc", "client {} speaks for {}={}", call.session->id(), param.field, *text);
    }
  }
  return {};
}

constexpr std::array kCalls{
    bind<Proc::connect_open, connect_open>(),
    bind<Proc::connect_close, connect_close>(),
    bind<Proc::connect_supports_feature, connect_supports_feature>(),
    bind<Proc::connect_get_type, connect_get_type>(),
    bind<Proc::connect_get_version, connect_get_version>(),
    bind<Proc::connect_get_lib_version, connect_get_lib_version>(),
    bind<Proc::connect_get_uri, connect_get_uri>(),
    bind<Proc::connect_is_secure, connect_is_secure>(),
    bind<Proc::connect_register_close_callback, connect_register_close_callback>(),
    bind<Proc::connect_unregister_close_callback, connect_unregister_close_callback>(),
    bind<Proc::connect_set_identity, connect_set_identity>(),
};

}  // namespace

Bindings connect_calls() { return kCalls; }

}  // namespace lodge
