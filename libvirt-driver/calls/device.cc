// Devices that are attached, detached and changed: in the definition, and live for virtio disks, NICs and CD drives.
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/domains/hotplug.h"
#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/domain_parse.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

enum class Change : uint8_t { attach, detach, update };

Answer<void> change_config(DomainConfig& config, const Device& device, Change change) {
  switch (change) {
    case Change::attach: return add_device(config, device);
    case Change::detach: return remove_device(config, device);
    case Change::update: return update_device(config, device);
  }
  return {};
}

// The definition is checked before the running guest is touched and written after it: whichever fails, both stay as they
// were.
Answer<void> change_device(Call& call, const DomainName& name, const std::string& xml, uint32_t flags, Change change) {
  constexpr uint32_t kKnown =
      VIR_DOMAIN_DEVICE_MODIFY_LIVE | VIR_DOMAIN_DEVICE_MODIFY_CONFIG | VIR_DOMAIN_DEVICE_MODIFY_FORCE;
  TRY_VOID(check_flags(flags, kKnown, "virDomainModifyDeviceFlags"));
  const DomainPtr domain = TRY(find(call, name));
  const auto job = TRY(domain->begin_job(change == Change::attach   ? "attach-device"
                                         : change == Change::detach ? "detach-device"
                                                                    : "update-device"));
  const DomainView view = domain->view();
  const Affected which = TRY(affected(flags, view));
  const Device device = TRY(parse_device(xml));
  DomainConfig config;
  if (which.config) {
    config = *view.persistent;
    TRY_VOID(change_config(config, device, change));
    TRY_VOID(call.driver.complete_definition(config));
  }
  if (which.live) {
    switch (change) {
      case Change::attach: TRY_VOID(attach_live(call.driver, domain, device)); break;
      case Change::detach: TRY_VOID(detach_live(call.driver, domain, device)); break;
      case Change::update:
        TRY_VOID(update_live(call.driver, domain, device, (flags & VIR_DOMAIN_DEVICE_MODIFY_FORCE) != 0));
        break;
    }
  }
  if (which.config) {
    TRY_VOID(call.driver.replace_definition(domain, std::move(config)));
  }
  return {};
}

Answer<void> domain_attach_device(Call& call, const DomainAttachDeviceArgs& args) {
  return change_device(call, args.dom, args.xml, VIR_DOMAIN_AFFECT_LIVE, Change::attach);
}
Answer<void> domain_attach_device_flags(Call& call, const DomainAttachDeviceFlagsArgs& args) {
  return change_device(call, args.dom, args.xml, args.flags, Change::attach);
}
Answer<void> domain_detach_device(Call& call, const DomainDetachDeviceArgs& args) {
  return change_device(call, args.dom, args.xml, VIR_DOMAIN_AFFECT_LIVE, Change::detach);
}
Answer<void> domain_detach_device_flags(Call& call, const DomainDetachDeviceFlagsArgs& args) {
  return change_device(call, args.dom, args.xml, args.flags, Change::detach);
}
Answer<void> domain_update_device_flags(Call& call, const DomainUpdateDeviceFlagsArgs& args) {
  return change_device(call, args.dom, args.xml, args.flags, Change::update);
}

Answer<void> domain_detach_device_alias(Call& call, const DomainDetachDeviceAliasArgs& args) {
  const DomainPtr domain = TRY(find(call, args.dom));
  const auto job = TRY(domain->begin_job("detach-device"));
  const DomainView view = domain->view();
  const Affected which = TRY(affected(args.flags, view));
  if (which.live) {
    TRY_VOID(detach_live(call.driver, domain, TRY(find_alias(*view.live, args.alias))));
  }
  if (which.config) {
    DomainConfig config = *view.persistent;
    TRY_VOID(remove_device(config, TRY(find_alias(config, args.alias))));
    TRY_VOID(call.driver.replace_definition(domain, std::move(config)));
  }
  return {};
}

constexpr std::array kCalls{
    bind<Proc::domain_attach_device, domain_attach_device>(),
    bind<Proc::domain_attach_device_flags, domain_attach_device_flags>(),
    bind<Proc::domain_detach_device, domain_detach_device>(),
    bind<Proc::domain_detach_device_flags, domain_detach_device_flags>(),
    bind<Proc::domain_detach_device_alias, domain_detach_device_alias>(),
    bind<Proc::domain_update_device_flags, domain_update_device_flags>(),
};

}  // namespace

Bindings device_calls() { return kCalls; }

}  // namespace lodge
