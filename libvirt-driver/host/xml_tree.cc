#include "libvirt-driver/host/xml_tree.h"

#include <libxml/parser.h>

#include <algorithm>
#include <memory>
#include <mutex>

#include "libvirt-driver/host/files.h"

namespace lodge::host {
namespace {

constexpr size_t kMaxText = size_t{4} << 20;
constexpr int kMaxDepth = 64;

// SAFETY: libxml2's strings are UTF-8 bytes with a zero at the end, or null.
std::string_view chars(const xmlChar* text) { return text != nullptr ? reinterpret_cast<const char*>(text) : ""; }

bool convert(const xmlNode* node, XmlElement& out, int depth) {
  out.name = chars(node->name);
  out.line = xmlGetLineNo(node);
  for (const xmlAttr* attribute = node->properties; attribute != nullptr; attribute = attribute->next) {
    const std::unique_ptr<xmlChar, decltype(xmlFree)> value(xmlNodeListGetString(node->doc, attribute->children, 1),
                                                            xmlFree);
    out.attributes.emplace_back(chars(attribute->name), chars(value.get()));
  }
  for (const xmlNode* child = node->children; child != nullptr; child = child->next) {
    if (child->type == XML_TEXT_NODE || child->type == XML_CDATA_SECTION_NODE) {
      out.text += chars(child->content);
    } else if (child->type == XML_ELEMENT_NODE) {
      if (depth == kMaxDepth || !convert(child, out.children.emplace_back(), depth + 1)) {
        return false;
      }
    }
  }
  out.text = trimmed(out.text);
  return true;
}

}  // namespace

std::string_view XmlElement::attribute(std::string_view wanted) const {
  for (const auto& [key, value] : attributes) {
    if (key == wanted) {
      return value;
    }
  }
  return {};
}

bool XmlElement::has(std::string_view attribute) const {
  return std::any_of(attributes.begin(), attributes.end(),
                     [attribute](const auto& pair) { return pair.first == attribute; });
}

const XmlElement* XmlElement::child(std::string_view wanted) const {
  const auto found =
      std::find_if(children.begin(), children.end(), [wanted](const XmlElement& child) { return child.name == wanted; });
  return found == children.end() ? nullptr : &*found;
}

Answer<XmlElement> parse_xml(std::string_view text, std::string_view what) {
  if (text.size() > kMaxText) {
    return call_error(VIR_ERR_XML_ERROR, "{} has {} bytes; {} are possible", what, text.size(), kMaxText);
  }
  static std::once_flag once;  // libxml2 wants this before threads use it
  std::call_once(once, xmlInitParser);
  const std::unique_ptr<xmlParserCtxt, decltype(&xmlFreeParserCtxt)> parser(xmlNewParserCtxt(), &xmlFreeParserCtxt);
  if (!parser) {
    return call_error(VIR_ERR_NO_MEMORY, "for the XML parser");
  }
  const std::unique_ptr<xmlDoc, decltype(&xmlFreeDoc)> document(
      xmlCtxtReadMemory(parser.get(), text.data(), static_cast<int>(text.size()), nullptr, nullptr,
                        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING),
      &xmlFreeDoc);
  const xmlNode* root = document ? xmlDocGetRootElement(document.get()) : nullptr;
  if (root == nullptr) {
    const xmlError* error = xmlCtxtGetLastError(parser.get());
    const std::string_view message = error != nullptr && error->message != nullptr ? error->message : "no element";
    return call_error(VIR_ERR_XML_DETAIL, "{}:{}: {}", what, error != nullptr ? error->line : 1, trimmed(message));
  }
  if (document->intSubset != nullptr || document->extSubset != nullptr) {
    return call_error(VIR_ERR_XML_ERROR, "{} has a document type; leave it out", what);
  }
  XmlElement out;
  if (!convert(root, out, 0)) {
    return call_error(VIR_ERR_XML_ERROR, "{} has elements nested deeper than {}", what, kMaxDepth);
  }
  return out;
}

}  // namespace lodge::host
