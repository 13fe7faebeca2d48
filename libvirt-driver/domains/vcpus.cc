#include "libvirt-driver/domains/vcpus.h"

#include <libvirt/libvirt.h>

#include <algorithm>
#include <charconv>

#include "libvirt-driver/domains/affinity.h"
#include "libvirt-driver/domains/tuning.h"

namespace lodge {
namespace {

constexpr std::chrono::seconds kUnplugPatience{20};  // the guest moves its work away first

bool is_there(const DomainPtr& domain, uint32_t id) {
  const DomainView view = domain->view();
  if (!view.live) {
    return false;
  }
  const auto entries = all_vcpus(view.live->vcpus);
  return id < entries.size() && entries[id].enabled == YesNo::yes;
}

Answer<void> plug(Driver& driver, const DomainPtr& domain, Run& run, uint32_t id) {
  TRY(run.monitor->execute("cpu_add", {{"cpu-index", id}}));
  DomainConfig live = *domain->view().live;
  auto entries = all_vcpus(live.vcpus);
  uint32_t order = 0;
  for (const VcpuEntry& entry : entries) {
    order = std::max(order, entry.order.value_or(0));
  }
  entries[id].enabled = YesNo::yes;
  entries[id].hotpluggable = YesNo::yes;
  entries[id].order = order + 1;
  set_vcpu_entries(live.vcpus, std::move(entries), true);
  TRY_VOID(apply_affinity(live, run));
  TRY_VOID(apply_tuning(live, run));  // its thread is new
  driver.replace_live(domain, std::move(live));
  return {};
}

Answer<void> unplug(Driver& driver, const DomainPtr& domain, Run& run, uint32_t id) {
  run.refused_vcpu = -1;
  const auto refused = [&run, id] { return run.refused_vcpu.load() == static_cast<int64_t>(id); };
  TRY(run.monitor->execute("cpu_del", {{"cpu-index", id}}));
  if (!driver.wait_for_removal(kUnplugPatience, [&] { return !is_there(domain, id) || refused(); })) {
    return call_error(VIR_ERR_OPERATION_TIMEOUT,
                      "vcpu unplug request timed out. Unplug result must be manually inspected in the domain");
  }
  if (refused()) {
    return call_error(VIR_ERR_OPERATION_FAILED, "vcpu unplug request was rejected: the guest does not let go of vcpu '{}'",
                      id);
  }
  return {};
}

// In the order in which they shall change.
Answer<void> change(Driver& driver, const DomainPtr& domain, const std::vector<uint32_t>& ids, bool enabled) {
  for (const uint32_t id : ids) {
    const auto run = TRY(Driver::running(domain->view()));
    TRY_VOID(enabled ? plug(driver, domain, *run, id) : unplug(driver, domain, *run, id));
  }
  return {};
}

// The one that a client means, checked as libvirt does.
Answer<void> check_state(const std::vector<VcpuEntry>& entries, uint32_t id, bool enabled, std::string_view which) {
  if (id >= entries.size()) {
    return call_error(VIR_ERR_INVALID_ARG, "vcpu '{}' is not present in {} config", id, which);
  }
  if (id == 0) {
    return call_error(VIR_ERR_INVALID_ARG, "vCPU '0' can't be modified");
  }
  if (which == "live" && (entries[id].enabled == YesNo::yes) == enabled) {
    return call_error(VIR_ERR_INVALID_ARG, "vcpu '{}' is already in requested state", id);
  }
  if (which == "live" && !enabled && entries[id].hotpluggable != YesNo::yes) {
    return call_error(VIR_ERR_INVALID_ARG, "vcpu '{}' can't be hotunplugged", id);
  }
  return {};
}

}  // namespace

bool vcpus_come_and_go(const Vcpus& vcpus) {
  return current_vcpus(vcpus) < vcpus.count ||
         std::ranges::any_of(vcpus.entries, [](const VcpuEntry& entry) { return entry.hotpluggable == YesNo::yes; });
}

std::vector<VcpuEntry> all_vcpus(const Vcpus& vcpus) {
  std::vector<VcpuEntry> all(vcpus.count);
  for (uint32_t id = 0; id < vcpus.count; ++id) {
    all[id].id = id;
    all[id].enabled = vcpus.entries.empty() && id < current_vcpus(vcpus) ? YesNo::yes : YesNo::no;
  }
  for (const VcpuEntry& entry : vcpus.entries) {
    if (entry.id < all.size()) {
      all[entry.id] = entry;
    }
  }
  for (VcpuEntry& entry : all) {
    entry.enabled = entry.enabled == YesNo::yes ? YesNo::yes : YesNo::no;
    if (entry.enabled == YesNo::no) {
      entry.hotpluggable = YesNo::yes;
    } else if (entry.hotpluggable == YesNo::absent || entry.id == 0) {
      entry.hotpluggable = YesNo::no;
    }
  }
  return all;
}

void set_vcpu_entries(Vcpus& vcpus, std::vector<VcpuEntry> entries, bool ordered) {
  uint32_t order = 0;
  uint32_t enabled = 0;
  for (const VcpuEntry& entry : entries) {
    order = std::max(order, ordered ? entry.order.value_or(0) : 0);
  }
  for (VcpuEntry& entry : entries) {
    const bool there = entry.enabled == YesNo::yes;
    enabled += there ? 1 : 0;
    if (!there || !ordered) {
      entry.order.reset();
    } else if (!entry.order) {
      entry.order = ++order;
    }
  }
  vcpus.current = enabled == vcpus.count ? std::optional<uint32_t>() : enabled;
  vcpus.entries = std::move(entries);
}

void add_vcpus(Json& cpu, const Vcpus& vcpus) {
  cpu["count"] = current_vcpus(vcpus);
  if (!vcpus_come_and_go(vcpus)) {
    return;
  }
  Json present = Json::array();
  for (const VcpuEntry& entry : all_vcpus(vcpus)) {
    if (entry.enabled == YesNo::yes) {
      present.push_back(entry.id);
    }
  }
  cpu["max"] = vcpus.count;
  cpu["present"] = std::move(present);
}

void enter_vcpus(DomainConfig& live) {
  if (vcpus_come_and_go(live.vcpus)) {
    set_vcpu_entries(live.vcpus, all_vcpus(live.vcpus), true);
  }
}

bool forget_vcpu(DomainConfig& live, std::string_view alias) {
  constexpr std::string_view kPrefix = "vcpu";
  uint32_t id = 0;
  if (!alias.starts_with(kPrefix)) {
    return false;
  }
  const char* end = alias.data() + alias.size();
  if (const auto read = std::from_chars(alias.data() + kPrefix.size(), end, id); read.ec != std::errc() || read.ptr != end) {
    return false;
  }
  auto entries = all_vcpus(live.vcpus);
  if (id < entries.size()) {
    entries[id].enabled = YesNo::no;
    set_vcpu_entries(live.vcpus, std::move(entries), true);
  }
  return true;
}

Answer<void> set_vcpus_config(DomainConfig& config, uint32_t count, bool hotpluggable) {
  Vcpus& vcpus = config.vcpus;
  if (count > vcpus.count) {
    return call_error(VIR_ERR_INVALID_ARG,
                      "requested vcpus is greater than max allowable vcpus for the persistent domain: {} > {}", count,
                      vcpus.count);
  }
  if (vcpus.entries.empty() && !hotpluggable) {
    vcpus.current = count == vcpus.count ? std::optional<uint32_t>() : count;
    return {};
  }
  auto entries = all_vcpus(vcpus);
  uint32_t now = current_vcpus(vcpus);
  for (VcpuEntry& entry : entries) {
    if (now < count && entry.enabled == YesNo::no) {
      entry.enabled = YesNo::yes;
      entry.hotpluggable = hotpluggable ? YesNo::yes : YesNo::no;
      ++now;
    }
  }
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (now > count && entry->enabled == YesNo::yes) {
      entry->enabled = YesNo::no;
      entry->hotpluggable = YesNo::yes;
      --now;
    }
  }
  set_vcpu_entries(vcpus, std::move(entries), false);
  return {};
}

Answer<void> set_max_vcpus_config(DomainConfig& config, uint32_t count) {
  if (config.cpu && config.cpu->topology) {
    const auto& topology = *config.cpu->topology;
    if (uint64_t{topology.sockets} * topology.dies * topology.cores * topology.threads != count) {
      return call_error(VIR_ERR_INVALID_ARG, "CPU topology doesn't match the desired vcpu count");
    }
  }
  Vcpus& vcpus = config.vcpus;
  const uint32_t now = std::min(current_vcpus(vcpus), count);
  vcpus.count = count;
  if (vcpus.entries.empty()) {
    vcpus.current = now == count ? std::optional<uint32_t>() : now;
  } else {
    set_vcpu_entries(vcpus, all_vcpus(vcpus), false);
  }
  return {};
}

Answer<void> set_vcpu_state_config(DomainConfig& config, const IdSet& which, bool enabled) {
  auto entries = all_vcpus(config.vcpus);
  for (const uint32_t id : which.ids) {
    TRY_VOID(check_state(entries, id, enabled, "persistent"));
    entries[id].enabled = enabled ? YesNo::yes : YesNo::no;
    entries[id].hotpluggable = YesNo::yes;
  }
  set_vcpu_entries(config.vcpus, std::move(entries), false);
  return {};
}

Answer<void> set_vcpus_live(Driver& driver, const DomainPtr& domain, uint32_t count) {
  const DomainView view = domain->view();
  TRY(Driver::running(view));
  const Vcpus& vcpus = view.live->vcpus;
  if (count > vcpus.count) {
    return call_error(VIR_ERR_INVALID_ARG,
                      "requested vcpus is greater than max allowable vcpus for the live domain: {} > {}", count,
                      vcpus.count);
  }
  const auto entries = all_vcpus(vcpus);
  const bool more = count > current_vcpus(vcpus);
  size_t wanted = more ? count - current_vcpus(vcpus) : current_vcpus(vcpus) - count;
  std::vector<uint32_t> ids;
  for (size_t i = 0; i < entries.size() && wanted > 0; ++i) {
    const VcpuEntry& entry = more ? entries[i] : entries[entries.size() - 1 - i];
    if ((entry.enabled == YesNo::yes) != more && entry.hotpluggable == YesNo::yes) {
      ids.push_back(entry.id);
      --wanted;
    }
  }
  if (wanted > 0) {
    return call_error(VIR_ERR_CONFIG_UNSUPPORTED,
                      "failed to find appropriate hotpluggable vcpus to reach the desired target vcpu count");
  }
  return change(driver, domain, ids, more);
}

Answer<void> set_vcpu_state_live(Driver& driver, const DomainPtr& domain, const IdSet& which, bool enabled) {
  const DomainView view = domain->view();
  TRY(Driver::running(view));
  const auto entries = all_vcpus(view.live->vcpus);
  for (const uint32_t id : which.ids) {
    TRY_VOID(check_state(entries, id, enabled, "live"));
  }
  return change(driver, domain, which.ids, enabled);
}

}  // namespace lodge
