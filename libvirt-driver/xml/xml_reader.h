// XmlDocument and XmlNode: a document of a client, read by libxml2 without network, entities or huge nesting.
//
// Every attribute and element that is asked for is marked as used; leftover() names the first that was not, so a parser can
// refuse what it does not know. Values; a document and its nodes belong to one thread at a time.
#pragma once

#include <libxml/tree.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libvirt-driver/core/call_error.h"

namespace lodge {

// An element. Valid as long as its document.
class XmlNode {
 public:
  explicit XmlNode(xmlNode* node) : node_(node) {}

  [[nodiscard]] std::string name() const;
  [[nodiscard]] long line() const;
  [[nodiscard]] std::string path() const;  // "/domain/devices/disk[2]"

  // nullopt if there is none. Only attributes and elements outside of any namespace are seen. Marks what it gives.
  [[nodiscard]] std::optional<std::string> attribute(std::string_view name) const;
  [[nodiscard]] std::optional<XmlNode> child(std::string_view name) const;   // the first one
  [[nodiscard]] std::vector<XmlNode> children(std::string_view name) const;  // in their order
  [[nodiscard]] std::vector<XmlNode> children() const;                       // all of no namespace
  [[nodiscard]] std::string text() const;                                    // of this element and all below it

  // The element with all below as text that stands by itself (namespaces declared), blanks between elements made anew:
  // two more for each level, `level` before the end tag. No line break at the end.
  [[nodiscard]] std::string markup(int level) const;

  struct Leftover {
    std::string path;  // "/domain/devices/disk[2]/driver/@shape"
    long line = 0;
  };
  // The first attribute or element of this one (not below) that nobody asked for. Foreign namespaces do not count, but
  // those of libvirt's hypervisors do ("qemu:commandline").
  [[nodiscard]] std::optional<Leftover> leftover() const;

 private:
  xmlNode* node_;
};

class XmlDocument {
 public:
  // `what` names the text in errors: "(domain_definition)". VIR_ERR_XML_DETAIL with line and libxml2's message when it is
  // malformed; VIR_ERR_XML_ERROR when it is longer than kMaxText, declares a document type, or its root is not `root`.
  [[nodiscard]] static Answer<XmlDocument> parse(std::string_view text, std::string_view what, std::string_view root = "");

  [[nodiscard]] XmlNode root() const { return XmlNode(xmlDocGetRootElement(doc_.get())); }
  [[nodiscard]] xmlDoc* get() const { return doc_.get(); }

  static constexpr size_t kMaxText = size_t{4} << 20;

 private:
  struct Free {
    void operator()(xmlDoc* doc) const { xmlFreeDoc(doc); }
  };
  explicit XmlDocument(xmlDoc* doc) : doc_(doc) {}
  std::unique_ptr<xmlDoc, Free> doc_;
};

}  // namespace lodge
