// Statistics of many domains in one call. All monitors are asked at once; what one has not told in time is left out, so no
// guest makes others wait.
#include <algorithm>
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/balloon.h"
#include "libvirt-driver/domains/device_counters.h"
#include "libvirt-driver/domains/image_size.h"
#include "libvirt-driver/domains/proc_stat.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

constexpr std::chrono::milliseconds kPatience(500);  // for all monitors together
constexpr uint32_t kOffered = VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_BALLOON |
                              VIR_DOMAIN_STATS_VCPU | VIR_DOMAIN_STATS_INTERFACE | VIR_DOMAIN_STATS_BLOCK |
                              VIR_DOMAIN_STATS_IOTHREAD;
constexpr uint32_t kNeedsMonitor = VIR_DOMAIN_STATS_BALLOON | VIR_DOMAIN_STATS_VCPU | VIR_DOMAIN_STATS_INTERFACE |
                                   VIR_DOMAIN_STATS_BLOCK | VIR_DOMAIN_STATS_IOTHREAD;

// One domain's part of the answer under way.
struct Asked {
  DomainView view;
  std::future<Answer<Json>> told;
};

void add_cpu(Params& params, const DomainView& view) {
  if (!view.active()) {
    return;
  }
  const CpuTime time = process_cpu_time(view.run->process.pid);
  params.push_back(ullong_param("cpu.time", time.total));
  params.push_back(ullong_param("cpu.user", time.user));
  params.push_back(ullong_param("cpu.system", time.system));
}

void add_balloon(Params& params, const DomainView& view, const Json& told) {
  const auto balloon = told.find("balloon");
  if (balloon != told.end() && balloon->is_object()) {
    for (const MemoryFigure& figure : balloon_figures(*balloon)) {
      params.push_back(ullong_param(figure.bulk_name, figure.value));
    }
  } else {
    params.push_back(ullong_param("balloon.current", view.config().current_memory));
  }
  params.push_back(ullong_param("balloon.maximum", view.config().memory));
  if (view.active()) {
    params.push_back(ullong_param("balloon.rss", process_memory(view.run->process.pid).rss_kib));
  }
}

void add_vcpus(Params& params, const DomainView& view, const Json& told) {
  const Vcpus& vcpus = view.config().vcpus;
  params.push_back(uint_param("vcpu.current", vcpus.current.value_or(vcpus.count)));
  params.push_back(uint_param("vcpu.maximum", vcpus.count));
  const auto cpus = told.find("cpus");
  if (!view.active() || cpus == told.end()) {
    return;
  }
  for (const Json& cpu : *cpus) {
    const ThreadStat stat = thread_stat(view.run->process.pid, integer_in<pid_t>(cpu, "thread-id"));
    const std::string name = fmt::format("vcpu.{}.", integer_in<uint32_t>(cpu, "cpu-index"));
    params.push_back(int_param(name + "state", VIR_VCPU_RUNNING));
    params.push_back(ullong_param(name + "time", stat.time));
    params.push_back(ullong_param(name + "wait", stat.wait));
  }
}

void add_interfaces(Params& params, const DomainView& view, const Json& told) {
  if (!view.active()) {
    return;
  }
  const auto& interfaces = view.live->devices.interfaces;
  params.push_back(uint_param("net.count", static_cast<uint32_t>(interfaces.size())));
  const Json& stats = member_in(told, "stats");
  for (size_t i = 0; i < interfaces.size(); ++i) {
    const std::string name = fmt::format("net.{}.", i);
    params.push_back(text_param(name + "name", interfaces[i].target.empty() ? interfaces[i].alias : interfaces[i].target));
    if (told.empty()) {
      continue;
    }
    const InterfaceCounters counters = interface_counters(stats, interfaces[i].alias);
    const auto add = [&](const char* field, int64_t value) {
      params.push_back(ullong_param(name + field, static_cast<uint64_t>(value)));
    };
    add("rx.bytes", counters.rx_bytes);
    add("rx.pkts", counters.rx_packets);
    add("rx.errs", counters.rx_errors);
    add("rx.drop", counters.rx_dropped);
    add("tx.bytes", counters.tx_bytes);
    add("tx.pkts", counters.tx_packets);
    add("tx.errs", counters.tx_errors);
    add("tx.drop", counters.tx_dropped);
  }
}

void add_disks(Params& params, const DomainView& view, const Json& told) {
  const auto& disks = view.config().devices.disks;
  params.push_back(uint_param("block.count", static_cast<uint32_t>(disks.size())));
  const Json& stats = member_in(told, "stats");
  for (size_t i = 0; i < disks.size(); ++i) {
    const std::string name = fmt::format("block.{}.", i);
    const auto add = [&](const char* field, uint64_t value) { params.push_back(ullong_param(name + field, value)); };
    params.push_back(text_param(name + "name", disks[i].target));
    if (!disks[i].source.path.empty()) {
      params.push_back(text_param(name + "path", disks[i].source.path));
    }
    if (view.active() && !told.empty()) {
      const DiskCounters counters = disk_counters(stats, disks[i].alias);
      add("rd.reqs", static_cast<uint64_t>(counters.read_requests));
      add("rd.bytes", static_cast<uint64_t>(counters.read_bytes));
      add("rd.times", static_cast<uint64_t>(counters.read_time));
      add("wr.reqs", static_cast<uint64_t>(counters.write_requests));
      add("wr.bytes", static_cast<uint64_t>(counters.write_bytes));
      add("wr.times", static_cast<uint64_t>(counters.write_time));
      add("fl.reqs", static_cast<uint64_t>(counters.flush_requests));
      add("fl.times", static_cast<uint64_t>(counters.flush_time));
    }
    if (const auto size = image_size(disks[i].source.path)) {
      add("allocation", size->allocation);
      add("capacity", size->capacity);
      add("physical", size->physical);
    }
  }
}

void add_io_threads(Params& params, const DomainView& view, const Json& told) {
  const auto threads = told.find("iothreads");
  if (view.active() && threads != told.end()) {
    params.push_back(uint_param("iothread.count", static_cast<uint32_t>(threads->size())));
  }
}

Params params_of(const DomainView& view, uint32_t stats, const Json& told) {
  Params params;
  if ((stats & VIR_DOMAIN_STATS_STATE) != 0) {
    params.push_back(int_param("state.state", view.state));
    params.push_back(int_param("state.reason", view.reason));
  }
  if ((stats & VIR_DOMAIN_STATS_CPU_TOTAL) != 0) {
    add_cpu(params, view);
  }
  if ((stats & VIR_DOMAIN_STATS_BALLOON) != 0) {
    add_balloon(params, view, told);
  }
  if ((stats & VIR_DOMAIN_STATS_VCPU) != 0) {
    add_vcpus(params, view, told);
  }
  if ((stats & VIR_DOMAIN_STATS_INTERFACE) != 0) {
    add_interfaces(params, view, told);
  }
  if ((stats & VIR_DOMAIN_STATS_BLOCK) != 0) {
    add_disks(params, view, told);
  }
  if ((stats & VIR_DOMAIN_STATS_IOTHREAD) != 0) {
    add_io_threads(params, view, told);
  }
  return params;
}

Answer<ConnectGetAllDomainStatsRet> connect_get_all_domain_stats(Call& call, const ConnectGetAllDomainStatsArgs& args) {
  const bool enforce = (args.flags & VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS) != 0;
  if (enforce && (args.stats & ~kOffered) != 0) {
    return call_error(VIR_ERR_ARGUMENT_UNSUPPORTED, "Stats types bits 0x{:x} are not supported by this daemon or QEMU",
                      args.stats & ~kOffered);
  }
  const uint32_t stats = args.stats == 0 ? kOffered : args.stats & kOffered;
  constexpr uint32_t kOwnFlags = VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT | VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING |
                                 VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS;
  std::vector<DomainPtr> domains;
  if (args.doms.empty()) {
    domains = call.driver.domains().all();
  }
  for (const DomainName& name : args.doms) {
    domains.push_back(TRY(find(call, name)));
  }
  std::vector<Asked> asked;
  for (const DomainPtr& domain : domains) {
    Asked one{domain->view(), {}};
    if (!matches_list_flags(one.view, args.flags & ~kOwnFlags)) {
      continue;
    }
    if ((stats & kNeedsMonitor) != 0 && one.view.active() && one.view.run->monitor) {
      one.told = one.view.run->monitor->begin("query-all", Json::object(), {});
    }
    asked.push_back(std::move(one));
  }
  const auto until = std::chrono::steady_clock::now() + kPatience;
  ConnectGetAllDomainStatsRet reply;
  for (Asked& one : asked) {
    Json told = Json::object();
    if (one.told.valid() && one.told.wait_until(until) == std::future_status::ready) {
      if (auto answer = one.told.get(); answer && answer->is_object()) {
        told = std::move(*answer);
      }
    }
    Params params = params_of(one.view, stats, told);
    DomainStatsRecord record{.dom = one.view.rpc_name(), .params = {}};
    record.params.assign(std::make_move_iterator(params.begin()), std::make_move_iterator(params.end()));
    reply.ret_stats.push_back(std::move(record));
  }
  return reply;
}

constexpr std::array kCalls{
    bind<Proc::connect_get_all_domain_stats, connect_get_all_domain_stats>(),
};

}  // namespace

Bindings stats_calls() { return kCalls; }

}  // namespace lodge
