// What the guest's agent does and tells.
#include <array>

#include "base/base64.h"
#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/agent.h"
#include "libvirt-driver/domains/guest_addresses.h"

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

// By the agent, or by the lease of one of its interfaces.
Answer<DomainGetHostnameRet> domain_get_hostname(Call& call, const DomainGetHostnameArgs& args) {
  constexpr uint32_t kLease = VIR_DOMAIN_GET_HOSTNAME_LEASE;
  constexpr uint32_t kAgent = VIR_DOMAIN_GET_HOSTNAME_AGENT;
  TRY_VOID(check_flags(args.flags, kLease | kAgent, "virDomainGetHostname"));
  if ((args.flags & kLease) == 0) {
    const Json answer = TRY(ask(call, args.dom, "guest-get-host-name"));
    return DomainGetHostnameRet{.hostname = text_in(answer, "host-name")};
  }
  const DomainView view = TRY(find(call, args.dom))->view();
  TRY(Driver::running(view));
  const std::vector<GuestAddress> known = leases(kLeaseFolder);
  for (const lodge::DomainInterface& interface : view.live->devices.interfaces) {
    for (const GuestAddress& lease : known) {
      if (lease.mac == to_xml(interface.mac) && !lease.hostname.empty()) {
        return DomainGetHostnameRet{.hostname = lease.hostname};
      }
    }
  }
  return call_error(VIR_ERR_NO_HOSTNAME, "no hostname found for domain '{}'", view.name);
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
  const DomainView view = TRY(find(call, args.dom))->view();
  for (const Json& entry : objects_in(TRY(ask(call, args.dom, "guest-get-fsinfo")))) {
    if (reply.info.size() >= 256) {
      break;
    }
    DomainFsinfo info{.mountpoint = text_in(entry, "mountpoint"),
                      .name = text_in(entry, "name"),
                      .fstype = text_in(entry, "type"),
                      .dev_aliases = {}};
    for (const Json& disk : objects_in(entry, "disk")) {
      const std::string target = disk_target(view, disk);
      if (!target.empty() && info.dev_aliases.size() < 256) {
        info.dev_aliases.push_back(target);
      }
    }
    reply.info.push_back(std::move(info));
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
};

}  // namespace

Bindings agent_calls() { return kCalls; }

}  // namespace lodge
