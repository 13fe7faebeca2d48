// Definitions: what is kept of a domain while it does not run.
#include <libvirt/libvirt.h>

#include "base/log.h"
#include "libvirt-driver/domains/driver.h"
#include "libvirt-driver/domains/image_format.h"
#include "libvirt-driver/domains/nvram.h"
#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/domain_parse.h"
#include "libvirt-driver/xml/domain_print.h"
#include "libvirt-driver/xml/validate.h"

namespace lodge {
namespace {

constexpr const char* kSchema = "/usr/share/libvirt/schemas/domain.rng";

}  // namespace

Answer<DomainConfig> Driver::read_definition(std::string_view xml, bool validate) const {
  if (validate) {
    TRY_VOID(validate_schema(xml, kSchema));
  }
  DomainConfig config = TRY(parse_domain(xml));
  TRY_VOID(complete_definition(config));
  return config;
}

Answer<void> Driver::complete_definition(DomainConfig& config) const {
  Defaults defaults;
  defaults.emulator = paths().monitor;
  defaults.machine = "pc";
  defaults.format_of = [](const DomainDisk& disk) { return probe_format(disk.source.path); };
  TRY_VOID(complete(config, defaults));
  if (is_uefi(config.os)) {
    TRY_VOID(complete_uefi(config, installed_uefi(firmware_folders()), paths().state + "/nvram"));
  }
  return check(config);
}

Answer<DomainPtr> Driver::define(std::string_view xml, uint32_t flags) {
  auto config = std::make_shared<DomainConfig>(TRY(read_definition(xml, (flags & VIR_DOMAIN_DEFINE_VALIDATE) != 0)));
  const auto [domain, fresh] = TRY(domains_.add(config->uuid, config->name));
  const auto job = domain->begin_job("define");
  if (!job) {
    return std::unexpected(job.error());
  }
  const bool was_persistent = domain->view().persistent != nullptr;
  if (const auto saved = save_definition(paths(), *config); !saved) {
    if (fresh) {
      domains_.remove(domain);
    }
    return std::unexpected(saved.error());
  }
  domain->change([&](DomainView& view) {
    view.persistent = config;
    if (fresh) {
      view.state = VIR_DOMAIN_SHUTOFF;
      view.reason = VIR_DOMAIN_SHUTOFF_UNKNOWN;
    }
  });
  events_.lifecycle(domain->view().rpc_name(), VIR_DOMAIN_EVENT_DEFINED,
                    was_persistent ? VIR_DOMAIN_EVENT_DEFINED_UPDATED : VIR_DOMAIN_EVENT_DEFINED_ADDED);
  return domain;
}

Answer<void> Driver::replace_definition(const DomainPtr& domain, DomainConfig config) {
  drop_live(config);
  TRY_VOID(check(config));
  TRY_VOID(save_definition(paths(), config));
  domain->change([&](DomainView& view) { view.persistent = std::make_shared<DomainConfig>(std::move(config)); });
  return {};
}

void Driver::replace_live(const DomainPtr& domain, DomainConfig config) {
  domain->change([&](DomainView& view) {
    if (view.live) {
      view.live = std::make_shared<DomainConfig>(std::move(config));
    }
  });
  write_status(domain);
}

Answer<void> Driver::undefine(const DomainPtr& domain, uint32_t flags) {
  const auto job = TRY(domain->begin_job("undefine"));
  const DomainView view = domain->view();
  if (!view.persistent) {
    return call_error(VIR_ERR_OPERATION_INVALID, "cannot undefine transient domain");
  }
  TRY_VOID(check_undefine_nvram(view.persistent->os, flags));
  TRY_VOID(remove_nvram(view.persistent->os, flags));
  TRY_VOID(remove_definition(paths(), view.name));
  domain->change([](DomainView& changed) {
    changed.persistent = nullptr;
    changed.autostart = false;
  });
  if (!view.active()) {
    domains_.remove(domain);
  }
  events_.lifecycle(view.rpc_name(), VIR_DOMAIN_EVENT_UNDEFINED, VIR_DOMAIN_EVENT_UNDEFINED_REMOVED);
  return {};
}

Answer<void> Driver::set_autostart(const DomainPtr& domain, bool autostart) {
  const auto job = TRY(domain->begin_job("autostart"));
  const DomainView view = domain->view();
  if (!view.persistent) {
    return call_error(VIR_ERR_OPERATION_INVALID, "cannot set autostart for transient domain");
  }
  TRY_VOID(set_autostart_link(paths(), view.name, autostart));
  domain->change([&](DomainView& changed) { changed.autostart = autostart; });
  return {};
}

Answer<void> Driver::rename(const DomainPtr& domain, const std::string& name) {
  const auto job = TRY(domain->begin_job("rename"));
  const DomainView view = domain->view();
  if (view.active()) {
    return call_error(VIR_ERR_OPERATION_INVALID, "cannot rename active domain");
  }
  if (!view.persistent) {
    return call_error(VIR_ERR_OPERATION_INVALID, "cannot rename a transient domain");
  }
  if (name == view.name) {
    return call_error(VIR_ERR_INVALID_ARG, "Can't rename domain to itself");
  }
  DomainConfig config = *view.persistent;
  config.name = name;
  TRY_VOID(check(config));
  TRY_VOID(domains_.rename(domain, name));
  auto saved = save_definition(paths(), config);
  if (saved && view.autostart) {
    saved = set_autostart_link(paths(), name, true);
  }
  if (!saved) {
    (void)remove_definition(paths(), name);
    (void)domains_.rename(domain, view.name);
    return saved;
  }
  if (const auto removed = remove_definition(paths(), view.name); !removed) {
    log_error("domain", "renamed '{}' to '{}', but: {}", view.name, name, removed.error().message());
  }
  domain->change([&](DomainView& changed) { changed.persistent = std::make_shared<DomainConfig>(std::move(config)); });
  events_.lifecycle(view.rpc_name(), VIR_DOMAIN_EVENT_UNDEFINED, VIR_DOMAIN_EVENT_UNDEFINED_RENAMED);
  events_.lifecycle(domain->view().rpc_name(), VIR_DOMAIN_EVENT_DEFINED, VIR_DOMAIN_EVENT_DEFINED_RENAMED);
  return {};
}

}  // namespace lodge
