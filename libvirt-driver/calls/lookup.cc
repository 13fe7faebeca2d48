// Finding domains, and what they are in short.
#include <algorithm>
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/proc_stat.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

bool is_active(const DomainPtr& domain) { return domain->view().active(); }

Answer<ConnectListDomainsRet> connect_list_domains(Call& call, const ConnectListDomainsArgs& args) {
  ConnectListDomainsRet reply;
  for (const DomainPtr& domain : call.driver.domains().all()) {
    const int32_t id = domain->view().id();
    if (id >= 0 && static_cast<int64_t>(reply.ids.size()) < args.maxids) {
      reply.ids.push_back(id);
    }
  }
  return reply;
}

Answer<ConnectNumOfDomainsRet> connect_num_of_domains(Call& call, const ConnectNumOfDomainsArgs&) {
  const auto all = call.driver.domains().all();
  return ConnectNumOfDomainsRet{.num = static_cast<int32_t>(std::ranges::count_if(all, is_active))};
}

Answer<ConnectListDefinedDomainsRet> connect_list_defined_domains(Call& call, const ConnectListDefinedDomainsArgs& args) {
  ConnectListDefinedDomainsRet reply;
  for (const DomainPtr& domain : call.driver.domains().all()) {
    const DomainView view = domain->view();
    if (!view.active() && static_cast<int64_t>(reply.names.size()) < args.maxnames) {
      reply.names.push_back(view.name);
    }
  }
  return reply;
}

Answer<ConnectNumOfDefinedDomainsRet> connect_num_of_defined_domains(Call& call, const ConnectNumOfDefinedDomainsArgs&) {
  const auto all = call.driver.domains().all();
  return ConnectNumOfDefinedDomainsRet{
      .num = static_cast<int32_t>(std::ranges::count_if(all, [](const auto& domain) { return !is_active(domain); }))};
}

Answer<ConnectListAllDomainsRet> connect_list_all_domains(Call& call, const ConnectListAllDomainsArgs& args) {
  ConnectListAllDomainsRet reply;
  for (const DomainPtr& domain : call.driver.domains().all()) {
    const DomainView view = domain->view();
    if (matches_list_flags(view, args.flags)) {
      ++reply.ret;
      if (args.need_results != 0) {
        reply.domains.push_back(view.rpc_name());
      }
    }
  }
  return reply;
}

Answer<DomainLookupByIdRet> domain_lookup_by_id(Call& call, const DomainLookupByIdArgs& args) {
  return DomainLookupByIdRet{.dom = TRY(call.driver.domains().by_id(args.id))->view().rpc_name()};
}

Answer<DomainLookupByNameRet> domain_lookup_by_name(Call& call, const DomainLookupByNameArgs& args) {
  return DomainLookupByNameRet{.dom = TRY(call.driver.domains().by_name(args.name))->view().rpc_name()};
}

Answer<DomainLookupByUuidRet> domain_lookup_by_uuid(Call& call, const DomainLookupByUuidArgs& args) {
  return DomainLookupByUuidRet{.dom = TRY(call.driver.domains().by_uuid(args.uuid))->view().rpc_name()};
}

Answer<DomainGetInfoRet> domain_get_info(Call& call, const DomainGetInfoArgs& args) {
  const DomainView view = TRY(find(call, args.dom))->view();
  const DomainConfig& config = view.config();
  DomainGetInfoRet reply;
  reply.state = static_cast<uint32_t>(view.state);
  reply.max_mem = config.memory;
  reply.memory = config.current_memory;
  reply.nr_virt_cpu = config.vcpus.current.value_or(config.vcpus.count);
  if (view.active()) {
    reply.cpu_time = process_cpu_time(view.run->process.pid).total;
  }
  return reply;
}

Answer<DomainGetStateRet> domain_get_state(Call& call, const DomainGetStateArgs& args) {
  const DomainView view = TRY(find(call, args.dom))->view();
  return DomainGetStateRet{.state = view.state, .reason = view.reason};
}

Answer<DomainGetControlInfoRet> domain_get_control_info(Call& call, const DomainGetControlInfoArgs& args) {
  const DomainPtr domain = TRY(find(call, args.dom));
  const DomainView view = domain->view();
  if (!view.active()) {
    return call_error(VIR_ERR_OPERATION_INVALID, "domain is not running");
  }
  DomainGetControlInfoRet reply;
  reply.state = VIR_DOMAIN_CONTROL_OK;
  if (!view.run->monitor) {
    reply.state = VIR_DOMAIN_CONTROL_ERROR;
    reply.details = VIR_DOMAIN_CONTROL_ERROR_REASON_MONITOR;
  } else if (const auto job = domain->job()) {
    reply.state = VIR_DOMAIN_CONTROL_JOB;
    reply.state_time = static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - job->since).count());
  }
  return reply;
}

Answer<DomainGetOsTypeRet> domain_get_os_type(Call& call, const DomainGetOsTypeArgs& args) {
  return DomainGetOsTypeRet{.type = TRY(find(call, args.dom))->view().config().os.type};
}

Answer<DomainIsActiveRet> domain_is_active(Call& call, const DomainIsActiveArgs& args) {
  return DomainIsActiveRet{.active = TRY(find(call, args.dom))->view().active() ? 1 : 0};
}

Answer<DomainIsPersistentRet> domain_is_persistent(Call& call, const DomainIsPersistentArgs& args) {
  return DomainIsPersistentRet{.persistent = TRY(find(call, args.dom))->view().persistent ? 1 : 0};
}

Answer<DomainIsUpdatedRet> domain_is_updated(Call& call, const DomainIsUpdatedArgs& args) {
  TRY(find(call, args.dom));
  return DomainIsUpdatedRet{.updated = 0};
}

Answer<DomainGetSecurityLabelRet> domain_get_security_label(Call& call, const DomainGetSecurityLabelArgs& args) {
  TRY(find(call, args.dom));
  return DomainGetSecurityLabelRet{};  // no security driver
}

Answer<DomainGetSecurityLabelListRet> domain_get_security_label_list(Call& call,
                                                                     const DomainGetSecurityLabelListArgs& args) {
  TRY(find(call, args.dom));
  return DomainGetSecurityLabelListRet{};
}

Answer<DomainGetMessagesRet> domain_get_messages(Call& call, const DomainGetMessagesArgs& args) {
  TRY(find(call, args.dom));
  return DomainGetMessagesRet{};
}

constexpr std::array kCalls{
    bind<Proc::connect_list_domains, connect_list_domains>(),
    bind<Proc::connect_num_of_domains, connect_num_of_domains>(),
    bind<Proc::connect_list_defined_domains, connect_list_defined_domains>(),
    bind<Proc::connect_num_of_defined_domains, connect_num_of_defined_domains>(),
    bind<Proc::connect_list_all_domains, connect_list_all_domains>(),
    bind<Proc::domain_lookup_by_id, domain_lookup_by_id>(),
    bind<Proc::domain_lookup_by_name, domain_lookup_by_name>(),
    bind<Proc::domain_lookup_by_uuid, domain_lookup_by_uuid>(),
    bind<Proc::domain_get_info, domain_get_info>(),
    bind<Proc::domain_get_state, domain_get_state>(),
    bind<Proc::domain_get_control_info, domain_get_control_info>(),
    bind<Proc::domain_get_os_type, domain_get_os_type>(),
    bind<Proc::domain_is_active, domain_is_active>(),
    bind<Proc::domain_is_persistent, domain_is_persistent>(),
    bind<Proc::domain_is_updated, domain_is_updated>(),
    bind<Proc::domain_get_security_label, domain_get_security_label>(),
    bind<Proc::domain_get_security_label_list, domain_get_security_label_list>(),
    bind<Proc::domain_get_messages, domain_get_messages>(),
};

}  // namespace

Bindings lookup_calls() { return kCalls; }

// Filters come in groups: within one any may hold, an empty one does not count, all must hold.
bool matches_list_flags(const DomainView& view, uint32_t flags) {
  const auto group = [flags](std::initializer_list<std::pair<uint32_t, bool>> filters) {
    bool asked = false;
    for (const auto& [flag, holds] : filters) {
      if ((flags & flag) != 0) {
        asked = true;
        if (holds) {
          return true;
        }
      }
    }
    return !asked;
  };
  const bool running = view.state == VIR_DOMAIN_RUNNING;
  const bool paused = view.state == VIR_DOMAIN_PAUSED;
  const bool off = view.state == VIR_DOMAIN_SHUTOFF;
  return group({{VIR_CONNECT_LIST_DOMAINS_ACTIVE, view.active()}, {VIR_CONNECT_LIST_DOMAINS_INACTIVE, !view.active()}}) &&
         group({{VIR_CONNECT_LIST_DOMAINS_PERSISTENT, view.persistent != nullptr},
                {VIR_CONNECT_LIST_DOMAINS_TRANSIENT, view.persistent == nullptr}}) &&
         group({{VIR_CONNECT_LIST_DOMAINS_RUNNING, running},
                {VIR_CONNECT_LIST_DOMAINS_PAUSED, paused},
                {VIR_CONNECT_LIST_DOMAINS_SHUTOFF, off},
                {VIR_CONNECT_LIST_DOMAINS_OTHER, !running && !paused && !off}}) &&
         group({{VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE, false}, {VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE, true}}) &&
         group({{VIR_CONNECT_LIST_DOMAINS_AUTOSTART, view.autostart},
                {VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART, !view.autostart}}) &&
         group({{VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT, false}, {VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT, true}}) &&
         group({{VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT, false}, {VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT, true}});
}

}  // namespace lodge
