// Memory: how much, how much of it the balloon leaves, what the guest says of it.
#include <array>

#include "base/base64.h"
#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/balloon.h"
#include "libvirt-driver/domains/proc_stat.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr uint64_t kMaxPeek = 65536;

Answer<DomainGetMaxMemoryRet> domain_get_max_memory(Call& call, const DomainGetMaxMemoryArgs& args) {
  return DomainGetMaxMemoryRet{.memory = TRY(find(call, args.dom))->view().config().memory};
}

Answer<void> set_memory(Call& call, const DomainName& name, uint64_t kib, uint32_t flags) {
  TRY_VOID(check_flags(flags, VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG | VIR_DOMAIN_MEM_MAXIMUM,
                       "virDomainSetMemoryFlags"));
  const DomainPtr domain = TRY(find(call, name));
  const auto job = TRY(domain->begin_job("set-memory"));
  const DomainView view = domain->view();
  const Affected which = TRY(affected(flags, view));
  const bool maximum = (flags & VIR_DOMAIN_MEM_MAXIMUM) != 0;
  if (kib == 0) {
    return call_error(VIR_ERR_INVALID_ARG, "the memory of a domain must not be 0");
  }
  if (which.live) {
    if (maximum) {
      return call_error(VIR_ERR_OPERATION_INVALID, "cannot resize the maximum memory on an active domain");
    }
    if (kib > view.live->memory) {
      return call_error(VIR_ERR_INVALID_ARG, "cannot set memory higher than max memory");
    }
    const auto run = TRY(Driver::running(view));
    TRY(run->monitor->execute("balloon", {{"value", kib * 1024}}));
  }
  if (which.config) {
    DomainConfig config = *view.persistent;
    if (maximum) {
      config.memory = kib;
      config.current_memory = std::min(config.current_memory, kib);
    } else if (kib > config.memory) {
      return call_error(VIR_ERR_INVALID_ARG, "cannot set memory higher than max memory");
    } else {
      config.current_memory = kib;
    }
    TRY_VOID(call.driver.replace_definition(domain, std::move(config)));
  }
  return {};
}

Answer<void> domain_set_memory(Call& call, const DomainSetMemoryArgs& args) {
  return set_memory(call, args.dom, args.memory, VIR_DOMAIN_AFFECT_LIVE);
}
Answer<void> domain_set_max_memory(Call& call, const DomainSetMaxMemoryArgs& args) {
  return set_memory(call, args.dom, args.memory, VIR_DOMAIN_MEM_MAXIMUM);
}
Answer<void> domain_set_memory_flags(Call& call, const DomainSetMemoryFlagsArgs& args) {
  return set_memory(call, args.dom, args.memory, args.flags);
}

Answer<DomainMemoryStatsRet> domain_memory_stats(Call& call, const DomainMemoryStatsArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainMemoryStats"));
  const DomainView view = TRY(find(call, args.dom))->view();
  const auto run = TRY(Driver::running(view));
  DomainMemoryStatsRet reply;
  const auto add = [&](int32_t tag, uint64_t value) {
    if (reply.stats.size() < args.max_stats) {
      reply.stats.push_back({.tag = tag, .val = value});
    }
  };
  if (const auto balloon = run->monitor->execute("query-balloon")) {
    for (const MemoryFigure& figure : balloon_figures(*balloon)) {
      add(figure.tag, figure.value);
    }
  } else {
    add(VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON, view.live->memory);
  }
  add(VIR_DOMAIN_MEMORY_STAT_RSS, process_memory(run->process.pid).rss_kib);
  return reply;
}

Answer<void> domain_set_memory_stats_period(Call& call, const DomainSetMemoryStatsPeriodArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, "virDomainSetMemoryStatsPeriod"));
  const DomainPtr domain = TRY(find(call, args.dom));
  const auto job = TRY(domain->begin_job("set-memory-stats-period"));
  const DomainView view = domain->view();
  const Affected which = TRY(affected(args.flags, view));
  if (args.period < 0) {
    return call_error(VIR_ERR_INVALID_ARG, "the period {} is negative", args.period);
  }
  const auto period = static_cast<uint32_t>(args.period);
  const auto set = [period](DomainConfig& config) -> Answer<void> {
    if (!config.devices.memballoon || config.devices.memballoon->model == BalloonModel::none) {
      return call_error(VIR_ERR_OPERATION_INVALID, "the domain has no memory balloon");
    }
    config.devices.memballoon->stats_period = period == 0 ? std::optional<uint32_t>() : period;
    return {};
  };
  if (which.live) {
    DomainConfig live = *view.live;
    TRY_VOID(set(live));
    TRY(TRY(Driver::running(view))->monitor->execute("balloon_stats_period", {{"seconds", period}}));
    call.driver.replace_live(domain, std::move(live));
  }
  if (which.config) {
    DomainConfig config = *view.persistent;
    TRY_VOID(set(config));
    TRY_VOID(call.driver.replace_definition(domain, std::move(config)));
  }
  return {};
}

Answer<DomainMemoryPeekRet> domain_memory_peek(Call& call, const DomainMemoryPeekArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_MEMORY_VIRTUAL | VIR_MEMORY_PHYSICAL, "virDomainMemoryPeek"));
  if (args.flags != VIR_MEMORY_PHYSICAL) {
    return call_error(VIR_ERR_ARGUMENT_UNSUPPORTED, "only physical memory can be looked at (VIR_MEMORY_PHYSICAL)");
  }
  if (args.size > kMaxPeek) {
    return call_error(VIR_ERR_INVALID_ARG, "{} bytes are too many at once; {} are possible", args.size, kMaxPeek);
  }
  const auto run = TRY(Driver::running(TRY(find(call, args.dom))->view()));
  const Json memory = TRY(run->monitor->execute("pmemread", {{"address", args.offset}, {"size", args.size}}));
  DomainMemoryPeekRet reply;
  const std::string bytes = from_base64(text_in(memory, "data"));
  reply.buffer.assign(bytes.begin(), bytes.end());
  return reply;
}

constexpr std::array kCalls{
    bind<Proc::domain_get_max_memory, domain_get_max_memory>(),
    bind<Proc::domain_set_memory, domain_set_memory>(),
    bind<Proc::domain_set_max_memory, domain_set_max_memory>(),
    bind<Proc::domain_set_memory_flags, domain_set_memory_flags>(),
    bind<Proc::domain_memory_stats, domain_memory_stats>(),
    bind<Proc::domain_set_memory_stats_period, domain_set_memory_stats_period>(),
    bind<Proc::domain_memory_peek, domain_memory_peek>(),
};

}  // namespace

Bindings memory_calls() { return kCalls; }

}  // namespace lodge
