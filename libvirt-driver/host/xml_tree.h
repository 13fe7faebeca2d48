// A document as plain values, read through libxml2 without network, entities or document types. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libvirt-driver/core/call_error.h"

namespace lodge::host {

struct XmlElement {
  std::string name;
  std::vector<std::pair<std::string, std::string>> attributes;
  std::vector<XmlElement> children;
  std::string text;  // of this element alone, without white space at its ends
  long line = 0;

  [[nodiscard]] std::string_view attribute(std::string_view name) const;  // "" when there is none
  [[nodiscard]] bool has(std::string_view attribute) const;
  [[nodiscard]] const XmlElement* child(std::string_view name) const;  // the first, or null
};

// VIR_ERR_XML_DETAIL for what is no XML ("WHAT:3: ..."), VIR_ERR_XML_ERROR for what is too long, too deep or has a document
// type.
[[nodiscard]] Answer<XmlElement> parse_xml(std::string_view text, std::string_view what);

}  // namespace lodge::host
