// What changes of tuning have in common.
#pragma once

#include "libvirt-driver/calls/calls.h"

namespace lodge {

// A change of the live definition, the persistent one or both: `change` edits a definition, `apply` brings the live one to
// the host.
template <class Change, class Apply>
Answer<void> change_tuning(Call& call, const rpc::DomainName& name, uint32_t flags, const char* what, Change change,
                           Apply apply) {
  const DomainPtr domain = TRY(find(call, name));
  const auto job = TRY(domain->begin_job(what));
  const DomainView view = domain->view();
  const Affected which = TRY(affected(flags, view));
  DomainConfig config;
  if (which.config) {  // before anything is done
    config = *view.persistent;
    TRY_VOID(change(config));
    TRY_VOID(call.driver.complete_definition(config));
  }
  if (which.live) {
    const auto run = TRY(Driver::running(view));
    DomainConfig live = *view.live;
    TRY_VOID(change(live));
    TRY_VOID(apply(live, *run));
    call.driver.replace_live(domain, std::move(live));
  }
  if (which.config) {
    TRY_VOID(call.driver.replace_definition(domain, std::move(config)));
  }
  return {};
}

}  // namespace lodge
