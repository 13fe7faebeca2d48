// Domain XML from text. Pure functions, any thread.
//
// Errors: VIR_ERR_XML_DETAIL, malformed ("(domain_definition):3: Opening and ending tag mismatch ..."); VIR_ERR_XML_ERROR, a
// wrong value, with the path of its element, line and value; VIR_ERR_CONFIG_UNSUPPORTED, an element, attribute or value
// that Lodge does not offer, with its path and line. Nothing is left out in silence but what README.md lists.
#pragma once

#include <string_view>

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/xml/domain_config.h"

namespace lodge {

struct ParseOptions {
  bool live = false;  // keep what belongs to a running domain: id, aliases, ports and terminals that were chosen
};

// Of <domain>. What was given and nothing more: complete() fills in the rest.
[[nodiscard]] Answer<DomainConfig> parse_domain(std::string_view xml, ParseOptions options = {});

// Of one element of <devices>.
[[nodiscard]] Answer<Device> parse_device(std::string_view xml, ParseOptions options = {});

}  // namespace lodge
