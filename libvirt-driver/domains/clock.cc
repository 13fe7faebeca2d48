#include "libvirt-driver/domains/clock.h"

#include <libvirt/libvirt.h>

#include <charconv>
#include <ctime>

#include "base/log.h"
#include "libvirt-driver/host/time_zone.h"

namespace lodge {
namespace {

// libvirt's: the host's local time follows the daemon's zone.
int64_t basis_offset(const Clock& clock, int64_t now) {
  const bool local = clock.offset == ClockOffset::localtime ||
                     (clock.offset == ClockOffset::variable && clock.basis == ClockBasis::localtime);
  return local ? local_seconds_east(now) : 0;
}

std::optional<std::string> adjustment_of(const std::shared_ptr<const DomainConfig>& config) {
  if (!config || config->clock.offset != ClockOffset::variable) {
    return std::nullopt;
  }
  return config->clock.adjustment;
}

}  // namespace

Answer<int64_t> clock_offset(const Clock& clock, int64_t now) {
  if (clock.offset == ClockOffset::timezone) {
    return seconds_east(clock.timezone, now);
  }
  int64_t adjustment = 0;  // "reset" is none
  std::from_chars(clock.adjustment.data(), clock.adjustment.data() + clock.adjustment.size(), adjustment);
  return basis_offset(clock, now) + adjustment;
}

void clock_changed(Driver& driver, const DomainPtr& domain, int64_t offset) {
  int64_t told = offset;
  const bool keeps = domain->change([&](DomainView& view) {
    if (!adjustment_of(view.live)) {
      return false;
    }
    auto changed = std::make_shared<DomainConfig>(*view.live);
    told -= basis_offset(changed->clock, ::time(nullptr));
    changed->clock.adjustment = fmt::format("{}", told);
    view.live = std::move(changed);
    return true;
  });
  driver.events().emit(
      VIR_DOMAIN_EVENT_ID_RTC_CHANGE,
      rpc::DomainEventCallbackRtcChangeMsg{.callback_id = 0, .dom = domain->view().rpc_name(), .offset = told});
  if (keeps) {
    driver.post([&driver, domain] { keep_adjustment(driver, domain); });
  }
}

void keep_adjustment(Driver& driver, const DomainPtr& domain) {
  const auto job = domain->begin_job("clock");
  if (!job) {
    log_warning("domain", "'{}': the new adjustment of its clock is not kept: {}", domain->view().name,
                job.error().message());
    return;
  }
  const DomainView view = domain->view();
  const auto adjustment = adjustment_of(view.live);
  if (!adjustment || !adjustment_of(view.persistent) || *adjustment == view.persistent->clock.adjustment) {
    return;
  }
  DomainConfig config = *view.persistent;
  config.clock.adjustment = *adjustment;
  if (const auto kept = driver.replace_definition(domain, std::move(config)); !kept) {
    log_error("domain", "'{}': the new adjustment of its clock is not kept: {}", view.name, kept.error().message());
  }
}

}  // namespace lodge
