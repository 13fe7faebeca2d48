// The elements of <metadata>, which belong to the applications whose namespaces they have. Pure functions, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "libvirt-driver/core/call_error.h"

namespace lodge {

// The element of the namespace `uri`, without that namespace's prefixes. `metadata`: as in DomainConfig.
// VIR_ERR_NO_DOMAIN_METADATA: there is none.
[[nodiscard]] Answer<std::string> metadata_element(const std::string& metadata, std::string_view uri);

// `metadata` with the element of `uri` replaced by `element` under the prefix `key`; without `element`, removed. "" when
// nothing is left. Errors: VIR_ERR_INVALID_ARG, key or uri cannot be; VIR_ERR_XML_DETAIL, element is malformed.
[[nodiscard]] Answer<std::string> change_metadata(const std::string& metadata, const std::string& uri,
                                                  const std::string& key, std::optional<std::string_view> element);

}  // namespace lodge
