// Titles, descriptions and foreign elements of definitions.
#include <array>

#include "libvirt-driver/calls/calls.h"
#include "libvirt-driver/xml/metadata.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

Answer<DomainGetMetadataRet> domain_get_metadata(Call& call, const DomainGetMetadataArgs& args) {
  const DomainView view = TRY(find(call, args.dom))->view();
  const ConfigPtr config = TRY(queried(args.flags, view));
  std::string text;
  switch (args.type) {
    case VIR_DOMAIN_METADATA_DESCRIPTION: text = config->description; break;
    case VIR_DOMAIN_METADATA_TITLE: text = config->title; break;
    case VIR_DOMAIN_METADATA_ELEMENT: text = TRY(metadata_element(config->metadata, args.uri.value_or(""))); break;
    default: return call_error(VIR_ERR_INVALID_ARG, "unknown metadata type {}", args.type);
  }
  if (text.empty()) {
    return call_error(VIR_ERR_NO_DOMAIN_METADATA, "Requested metadata element is not present");
  }
  return DomainGetMetadataRet{.metadata = text};
}

Answer<void> set_in(DomainConfig& config, const DomainSetMetadataArgs& args) {
  switch (args.type) {
    case VIR_DOMAIN_METADATA_DESCRIPTION: config.description = args.metadata.value_or(""); return {};
    case VIR_DOMAIN_METADATA_TITLE:
      if (args.metadata && args.metadata->find('\n') != std::string::npos) {
        return call_error(VIR_ERR_XML_ERROR, "metadata title can't contain newlines");
      }
      config.title = args.metadata.value_or("");
      return {};
    case VIR_DOMAIN_METADATA_ELEMENT:
      config.metadata = TRY(change_metadata(config.metadata, args.uri.value_or(""), args.key.value_or(""), args.metadata));
      return {};
    default: return call_error(VIR_ERR_INVALID_ARG, "unknown metadata type {}", args.type);
  }
}

Answer<void> domain_set_metadata(Call& call, const DomainSetMetadataArgs& args) {
  TRY_VOID(check_flags(args.flags, VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG, "virDomainSetMetadata"));
  const DomainPtr domain = TRY(find(call, args.dom));
  const auto job = TRY(domain->begin_job("metadata"));
  const DomainView view = domain->view();
  const Affected which = TRY(affected(args.flags, view));
  if (which.config) {
    DomainConfig config = *view.persistent;
    TRY_VOID(set_in(config, args));
    TRY_VOID(call.driver.replace_definition(domain, std::move(config)));
  }
  if (which.live) {
    DomainConfig config = *view.live;
    TRY_VOID(set_in(config, args));
    call.driver.replace_live(domain, std::move(config));
  }
  call.driver.events().emit(
      VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
      DomainEventCallbackMetadataChangeMsg{.callback_id = 0, .dom = view.rpc_name(), .type = args.type, .nsuri = args.uri});
  return {};
}

constexpr std::array kCalls{
    bind<Proc::domain_get_metadata, domain_get_metadata>(),
    bind<Proc::domain_set_metadata, domain_set_metadata>(),
};

}  // namespace

Bindings metadata_calls() { return kCalls; }

}  // namespace lodge
