// What the guest's agent does and tells.
#include <array>

#include "base/base64.h"
#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/agent.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr int64_t kNanoseconds = 1'000'000'000;

// A command to the agent of the domain that a client means, with the timeout that it has set.
Answer<Json> ask(Call& call, const DomainName& name, const char* command, const Json& arguments = Json::object()) {
  const DomainView view = TRY(find(call, name))->view();
  Json request{{"execute", command}};
  if (!arguments.empty()) {
    request["arguments"] = arguments;
  }
  const int timeout = view.run ? view.run->agent_timeout.load() : VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_DEFAULT;
  return agent_command(view, request, timeout);
}

Answer<DomainGetHostnameRet> domain_get_hostname(Call& call, const DomainGetHostnameArgs& args) {
  const Json answer = TRY(ask(call, args.dom, "guest-get-host-name"));
  return DomainGetHostnameRet{.hostname = text_in(answer, "host-name")};
}

Answer<DomainGetTimeRet> domain_get_time(Call& call, const DomainGetTimeArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainGetTime"));
  const Json answer = TRY(ask(call, args.dom, "guest-get-time"));
  if (!answer.is_number_integer()) {
    return call_error(VIR_ERR_INTERNAL_ERROR, "the agent's answer to guest-get-time is no number");
  }
  const auto time = answer.get<int64_t>();
  return DomainGetTimeRet{.seconds = time / kNanoseconds, .nseconds = static_cast<uint32_t>(time % kNanoseconds)};
}

Answer<void> domain_set_time(Call& call, const DomainSetTimeArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_DOMAIN_TIME_SYNC, "virDomainSetTime"));
  if (args.seconds > INT64_MAX / kNanoseconds || args.seconds < 0) {
    return call_error(VIR_ERR_OVERFLOW, "Time '{}' is too big for guest agent", args.seconds);
  }
  Json arguments = Json::object();
  if ((args.flags & VIR_DOMAIN_TIME_SYNC) == 0) {
    arguments["time"] = args.seconds * kNanoseconds + args.nseconds;
  }
  TRY(ask(call, args.dom, "guest-set-time", arguments));
  return {};
}

Json mountpoints_of(const List<std::string, 256>& mountpoints) {
  return mountpoints.empty() ? Json::object()
                             : Json{{"mountpoints", std::vector<std::string>(mountpoints.begin(), mountpoints.end())}};
}

Answer<DomainFsfreezeRet> domain_fsfreeze(Call& call, const DomainFsfreezeArgs& args) {
  const char* command = args.mountpoints.empty() ? "guest-fsfreeze-freeze" : "guest-fsfreeze-freeze-list";
  const Json answer = TRY(ask(call, args.dom, command, mountpoints_of(args.mountpoints)));
  return DomainFsfreezeRet{.filesystems = answer.is_number_integer() ? answer.get<int32_t>() : 0};
}

Answer<DomainFsthawRet> domain_fsthaw(Call& call, const DomainFsthawArgs& args) {
  const Json answer = TRY(ask(call, args.dom, "guest-fsfreeze-thaw"));
  return DomainFsthawRet{.filesystems = answer.is_number_integer() ? answer.get<int32_t>() : 0};
}

Answer<void> domain_fstrim(Call& call, const DomainFstrimArgs& args) {
  if (args.mount_point) {
    return call_error(VIR_ERR_ARGUMENT_UNSUPPORTED, "Specifying mount point is not supported for now");
  }
  TRY(ask(call, args.dom, "guest-fstrim", {{"minimum", args.minimum}}));
  return {};
}

Answer<void> domain_set_user_password(Call& call, const DomainSetUserPasswordArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_DOMAIN_PASSWORD_ENCRYPTED, "virDomainSetUserPassword"));
  const std::string password = args.password.value_or("");
  TRY(ask(call, args.dom, "guest-set-user-password",
          {{"username", args.user.value_or("")},
           {"password", to_base64(std::as_bytes(std::span(password)))},
           {"crypted", (args.flags & VIR_DOMAIN_PASSWORD_ENCRYPTED) != 0}}));
  return {};
}

Answer<DomainGetFsinfoRet> domain_get_fsinfo(Call& call, const DomainGetFsinfoArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainGetFSInfo"));
  DomainGetFsinfoRet reply;
  for (const Json& entry : TRY(ask(call, args.dom, "guest-get-fsinfo"))) {
    if (entry.is_object() && reply.info.size() < 256) {
      reply.info.push_back({.mountpoint = text_in(entry, "mountpoint"),
                            .name = text_in(entry, "name"),
                            .fstype = text_in(entry, "type"),
                            .dev_aliases = {}});
    }
  }
  reply.ret = static_cast<uint32_t>(reply.info.size());
  return reply;
}

Answer<DomainAgentSetResponseTimeoutRet> domain_agent_set_response_timeout(Call& call,
                                                                           const DomainAgentSetResponseTimeoutArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainAgentSetResponseTimeout"));
  if (args.timeout < VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK) {
    return call_error(VIR_ERR_INVALID_ARG, "guest agent timeout '{}' is less than the minimum '{}'", args.timeout,
                      static_cast<int>(VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK));
  }
  const auto run = TRY(Driver::running(TRY(find(call, args.dom))->view()));
  run->agent_timeout = args.timeout;
  return DomainAgentSetResponseTimeoutRet{.result = 0};
}

// Addresses as the agent tells them.
Answer<DomainInterfaceAddressesRet> domain_interface_addresses(Call& call, const DomainInterfaceAddressesArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainInterfaceAddresses"));
  if (args.source != VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT) {
    TRY(Driver::running(TRY(find(call, args.dom))->view()));
    return call_error(VIR_ERR_ARGUMENT_UNSUPPORTED,
                      "addresses come from the agent only in this version; use --source agent");
  }
  DomainInterfaceAddressesRet reply;
  for (const Json& entry : TRY(ask(call, args.dom, "guest-network-get-interfaces"))) {
    if (!entry.is_object()) {
      continue;
    }
    rpc::DomainInterface interface;
    interface.name = text_in(entry, "name");
    if (const std::string mac = text_in(entry, "hardware-address"); !mac.empty()) {
      interface.hwaddr = mac;
    }
    for (const Json& address : member_in(entry, "ip-addresses")) {
      if (address.is_object() && interface.addrs.size() < 2048) {
        interface.addrs.push_back({.type = text_in(address, "ip-address-type") == "ipv6" ? 1 : 0,
                                   .addr = text_in(address, "ip-address"),
                                   .prefix = integer_in<uint32_t>(address, "prefix")});
      }
    }
    if (reply.ifaces.size() < 2048) {
      reply.ifaces.push_back(std::move(interface));
    }
  }
  return reply;
}

constexpr std::array kCalls{
    bind<Proc::domain_get_hostname, domain_get_hostname>(),
    bind<Proc::domain_get_time, domain_get_time>(),
    bind<Proc::domain_set_time, domain_set_time>(),
    bind<Proc::domain_fsfreeze, domain_fsfreeze>(),
    bind<Proc::domain_fsthaw, domain_fsthaw>(),
    bind<Proc::domain_fstrim, domain_fstrim>(),
    bind<Proc::domain_set_user_password, domain_set_user_password>(),
    bind<Proc::domain_get_fsinfo, domain_get_fsinfo>(),
    bind<Proc::domain_agent_set_response_timeout, domain_agent_set_response_timeout>(),
    bind<Proc::domain_interface_addresses, domain_interface_addresses>(),
};

}  // namespace

Bindings agent_calls() { return kCalls; }

}  // namespace lodge
