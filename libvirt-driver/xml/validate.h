// Documents against libvirt's RelaxNG schemas. Any thread; the schema is read anew by each call.
#pragma once

#include <string>
#include <string_view>

#include "libvirt-driver/core/call_error.h"

namespace lodge {

// `schema_path`: a file such as /usr/share/libvirt/schemas/domain.rng. Errors: VIR_ERR_XML_INVALID_SCHEMA with libxml2's
// first complaint and its line; VIR_ERR_INTERNAL_ERROR when the schema cannot be read; those of XmlDocument::parse().
[[nodiscard]] Answer<void> validate_schema(std::string_view xml, const std::string& schema_path);

}  // namespace lodge
