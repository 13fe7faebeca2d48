// Definitions as XML.
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/xml/domain_print.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

Answer<DomainDefineXmlRet> domain_define_xml(Call& call, const DomainDefineXmlArgs& args) {
  return DomainDefineXmlRet{.dom = TRY(call.driver.define(args.xml, 0))->view().rpc_name()};
}

Answer<DomainDefineXmlFlagsRet> domain_define_xml_flags(Call& call, const DomainDefineXmlFlagsArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_DOMAIN_DEFINE_VALIDATE, "virDomainDefineXMLFlags"));
  return DomainDefineXmlFlagsRet{.dom = TRY(call.driver.define(args.xml, args.flags))->view().rpc_name()};
}

Answer<void> domain_undefine(Call& call, const DomainUndefineArgs& args) {
  return call.driver.undefine(TRY(find(call, args.dom)), 0);
}

Answer<void> domain_undefine_flags(Call& call, const DomainUndefineFlagsArgs& args) {
  constexpr uint32_t kKnown = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                              VIR_DOMAIN_UNDEFINE_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_NVRAM |
                              VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_TPM |
                              VIR_DOMAIN_UNDEFINE_KEEP_TPM;
  TRY_VOID(check_flags(args.flags, kKnown, "virDomainUndefineFlags"));
  return call.driver.undefine(TRY(find(call, args.dom)), args.flags);
}

Answer<DomainGetXmlDescRet> domain_get_xml_desc(Call& call, const DomainGetXmlDescArgs& args) {
  TRY_VOID(check_flags(
      args.flags, VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_UPDATE_CPU | VIR_DOMAIN_XML_MIGRATABLE,
      "virDomainGetXMLDesc"));
  const DomainView view = TRY(find(call, args.dom))->view();
  const bool inactive = (args.flags & VIR_DOMAIN_XML_INACTIVE) != 0;
  PrintOptions options;
  options.secure = (args.flags & VIR_DOMAIN_XML_SECURE) != 0;
  options.migratable = (args.flags & VIR_DOMAIN_XML_MIGRATABLE) != 0;
  options.live = view.active() && !inactive;
  const DomainConfig& config = inactive && view.persistent ? *view.persistent : view.config();
  return DomainGetXmlDescRet{.xml = print_domain(config, options)};
}

Answer<DomainRenameRet> domain_rename(Call& call, const DomainRenameArgs& args) {
  TRY_VOID(check_flags(args.flags, 0, "virDomainRename"));
  TRY_VOID(call.driver.rename(TRY(find(call, args.dom)), args.new_name.value_or("")));
  return DomainRenameRet{.retcode = 0};
}

constexpr std::array kCalls{
    bind<Proc::domain_define_xml, domain_define_xml>(),     bind<Proc::domain_define_xml_flags, domain_define_xml_flags>(),
    bind<Proc::domain_undefine, domain_undefine>(),         bind<Proc::domain_undefine_flags, domain_undefine_flags>(),
    bind<Proc::domain_get_xml_desc, domain_get_xml_desc>(), bind<Proc::domain_rename, domain_rename>(),
};

}  // namespace

Bindings definition_calls() { return kCalls; }

}  // namespace lodge
