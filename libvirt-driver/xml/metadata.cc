#include "libvirt-driver/xml/metadata.h"

#include "libvirt-driver/xml/xml_reader.h"

namespace lodge {
namespace {

const xmlChar* chars(const std::string& text) { return reinterpret_cast<const xmlChar*>(text.c_str()); }

bool is_uri(const xmlNs* ns, std::string_view uri) {
  return ns != nullptr && ns->href != nullptr && uri == reinterpret_cast<const char*>(ns->href);
}

xmlNode* find_element(xmlNode* metadata, std::string_view uri) {
  for (xmlNode* child = metadata->children; child != nullptr; child = child->next) {
    if (child->type == XML_ELEMENT_NODE && is_uri(child->ns, uri)) {
      return child;
    }
  }
  return nullptr;
}

// Calls `f` for `top` and every element below it.
template <class F>
void each_element(xmlNode* top, F&& f) {
  for (xmlNode* node = top; node != nullptr;) {
    if (node->type == XML_ELEMENT_NODE) {
      f(node);
      if (node->children != nullptr) {
        node = node->children;
        continue;
      }
    }
    while (node != top && node->next == nullptr) {
      node = node->parent;
    }
    node = node == top ? nullptr : node->next;
  }
}

// Names first: declarations may go when nothing refers to them.
void drop_namespace(xmlNode* top, std::string_view uri) {
  each_element(top, [uri](xmlNode* node) {
    if (is_uri(node->ns, uri)) {
      node->ns = nullptr;
    }
    for (xmlAttr* attr = node->properties; attr != nullptr; attr = attr->next) {
      if (is_uri(attr->ns, uri)) {
        attr->ns = nullptr;
      }
    }
  });
  each_element(top, [uri](xmlNode* node) {
    for (xmlNs** ns = &node->nsDef; *ns != nullptr;) {
      if (is_uri(*ns, uri)) {
        xmlNs* gone = *ns;
        *ns = gone->next;
        xmlFreeNs(gone);
      } else {
        ns = &(*ns)->next;
      }
    }
  });
}

Answer<XmlDocument> read(const std::string& metadata) {
  return XmlDocument::parse(metadata.empty() ? "<metadata/>" : metadata, "(metadata_xml)", "metadata");
}

}  // namespace

Answer<std::string> metadata_element(const std::string& metadata, std::string_view uri) {
  const XmlDocument document = TRY(read(metadata));
  xmlNode* element = find_element(xmlDocGetRootElement(document.get()), uri);
  if (element == nullptr) {
    return call_error(VIR_ERR_NO_DOMAIN_METADATA, "Requested metadata element is not present");
  }
  // A copy declares what it uses of its parents' namespaces, so it can lose them alone.
  xmlNode* copy = xmlDocCopyNode(element, document.get(), 1);
  if (copy == nullptr) {
    return call_error(VIR_ERR_NO_MEMORY, "metadata");
  }
  drop_namespace(copy, uri);
  std::string text = XmlNode(copy).markup(0);
  xmlFreeNode(copy);
  return text;
}

Answer<std::string> change_metadata(const std::string& metadata, const std::string& uri, const std::string& key,
                                    std::optional<std::string_view> element) {
  if (uri.empty()) {
    return call_error(VIR_ERR_INVALID_ARG, "metadata: the namespace's uri is missing");
  }
  const XmlDocument document = TRY(read(metadata));
  xmlNode* root = xmlDocGetRootElement(document.get());
  while (xmlNode* before = find_element(root, uri)) {
    xmlUnlinkNode(before);
    xmlFreeNode(before);
  }
  if (element) {
    if (xmlValidateNCName(chars(key), 0) != 0) {
      return call_error(VIR_ERR_INVALID_ARG, "metadata: key '{}' is no prefix of a namespace", key);
    }
    const XmlDocument wanted = TRY(XmlDocument::parse(*element, "(metadata_xml)"));
    xmlNode* top = xmlDocGetRootElement(wanted.get());
    xmlNs* ns = xmlNewNs(top, chars(uri), chars(key));
    if (ns == nullptr) {
      return call_error(VIR_ERR_INVALID_ARG, "metadata: prefix '{}' is in use by the element for another namespace", key);
    }
    each_element(top, [ns](xmlNode* node) {
      if (node->ns == nullptr) {
        node->ns = ns;
      }
    });
    xmlNode* copy = xmlDocCopyNode(top, document.get(), 1);
    if (copy == nullptr || xmlAddChild(root, copy) == nullptr) {
      xmlFreeNode(copy);
      return call_error(VIR_ERR_NO_MEMORY, "metadata");
    }
  }
  return xmlFirstElementChild(root) == nullptr ? std::string() : XmlNode(root).markup(1);
}

}  // namespace lodge
