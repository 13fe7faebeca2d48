#include "libvirt-driver/xml/xml_reader.h"

#include <libxml/parser.h>
#include <libxml/xmlmemory.h>

#include <algorithm>

namespace lodge {
namespace {

// libxml2's xmlChar is unsigned char; the texts are UTF-8.
std::string to_string(const xmlChar* text) {
  return text == nullptr ? std::string() : std::string(reinterpret_cast<const char*>(text));
}

std::string take_string(xmlChar* text) {
  std::string result = to_string(text);
  xmlFree(text);
  return result;
}

bool is_named(const xmlChar* name, std::string_view wanted) {
  return name != nullptr && wanted == reinterpret_cast<const char*>(name);
}

// _private is ours in every node and attribute: any value means "used".
char used_mark;

bool is_blank(const xmlNode* node) { return node->type == XML_TEXT_NODE && xmlIsBlankNode(node) != 0; }

// Blanks between elements go, so that formatting makes them anew; beside text they belong to it. No recursion: the depth
// of a document is bounded by libxml2, but the walk costs nothing more this way.
void drop_blanks(xmlNode* top) {
  xmlNode* node = top;
  while (node != nullptr) {
    bool has_text = false;
    for (xmlNode* child = node->children; child != nullptr; child = child->next) {
      has_text = has_text || (child->type != XML_ELEMENT_NODE && child->type != XML_COMMENT_NODE && !is_blank(child));
    }
    const bool has_element =
        node->children != nullptr && (node->children->next != nullptr || node->children->type != XML_TEXT_NODE);
    for (xmlNode* child = node->children; child != nullptr && !has_text && has_element;) {
      xmlNode* next = child->next;
      if (is_blank(child)) {
        xmlUnlinkNode(child);
        xmlFreeNode(child);
      }
      child = next;
    }
    if (node->type == XML_ELEMENT_NODE && node->children != nullptr && !has_text) {
      node = node->children;
      continue;
    }
    while (node != top && node->next == nullptr) {
      node = node->parent;
    }
    node = node == top ? nullptr : node->next;
  }
}

struct FirstError {
  std::string_view what;
  std::string message;
};

// The line that is being read and a pointer to the place in it, as clients of libvirt are used to see them.
std::string place_of(const xmlParserInput* input) {
  if (input == nullptr || input->base == nullptr || input->cur == nullptr) {
    return "";
  }
  constexpr ptrdiff_t kWidth = 80;
  const auto is_end = [](xmlChar c) { return c == '\n' || c == '\r'; };
  const xmlChar* cur = input->cur;
  while (cur > input->base && (*cur == 0 || is_end(*cur))) {
    --cur;
  }
  const xmlChar* at = std::min(cur + 1, input->cur);
  const xmlChar* begin = cur;
  while (begin > input->base && !is_end(begin[-1]) && cur - begin < kWidth - 1) {
    --begin;
  }
  std::string line;
  for (const xmlChar* c = begin; *c != 0 && !is_end(*c) && c - begin < kWidth; ++c) {
    line.push_back(static_cast<char>(*c));
  }
  return fmt::format("{}\n{}^", line, std::string(static_cast<size_t>(at - begin), '-'));
}

void note_error(void* data, xmlErrorPtr error) {
  auto* context = static_cast<xmlParserCtxt*>(data);
  auto* first = static_cast<FirstError*>(context->_private);
  if (error->level < XML_ERR_ERROR || !first->message.empty()) {
    return;
  }
  std::string_view text = error->message == nullptr ? "unreadable" : error->message;
  text = text.substr(0, text.find_last_not_of('\n') + 1);
  first->message = fmt::format("{}:{}: {}\n{}", first->what, error->line, text, place_of(context->input));
}

// Does the namespace change what a hypervisor of libvirt does?
bool is_hypervisor(const xmlNs* ns) {
  return ns != nullptr && to_string(ns->href).starts_with("http://libvirt.org/schemas/domain/");
}

}  // namespace

Answer<XmlDocument> XmlDocument::parse(std::string_view text, std::string_view what, std::string_view root) {
  if (text.size() > kMaxText) {
    return call_error(VIR_ERR_XML_ERROR, "{}: {} bytes are too many; at most {} are read", what, text.size(), kMaxText);
  }
  xmlInitParser();
  const std::unique_ptr<xmlParserCtxt, decltype(&xmlFreeParserCtxt)> context(xmlNewParserCtxt(), &xmlFreeParserCtxt);
  if (!context || context->sax == nullptr) {
    return call_error(VIR_ERR_NO_MEMORY, "parser of {}", what);
  }
  FirstError first{.what = what, .message = {}};
  context->_private = &first;
  context->sax->serror = &note_error;
  XmlDocument document(xmlCtxtReadMemory(context.get(), text.data(), static_cast<int>(text.size()), nullptr, nullptr,
                                         XML_PARSE_NONET | XML_PARSE_NOWARNING));
  if (!document.doc_ || !first.message.empty()) {
    return call_error(VIR_ERR_XML_DETAIL, "{}",
                      first.message.empty() ? fmt::format("{}:1: unreadable", what) : first.message);
  }
  if (document.doc_->intSubset != nullptr || document.doc_->extSubset != nullptr) {
    return call_error(VIR_ERR_XML_ERROR, "{}: a document type declaration is refused; remove <!DOCTYPE>", what);
  }
  const xmlNode* top = xmlDocGetRootElement(document.doc_.get());
  if (top == nullptr) {
    return call_error(VIR_ERR_INTERNAL_ERROR, "missing root element");
  }
  if (!root.empty() && (!is_named(top->name, root) || top->ns != nullptr)) {
    return call_error(VIR_ERR_XML_ERROR, "unexpected root element <{}>, expecting <{}>", to_string(top->name), root);
  }
  return document;
}

std::string XmlNode::name() const { return to_string(node_->name); }
long XmlNode::line() const { return xmlGetLineNo(node_); }
std::string XmlNode::path() const { return take_string(xmlGetNodePath(node_)); }
std::string XmlNode::text() const { return take_string(xmlNodeGetContent(node_)); }

std::optional<std::string> XmlNode::attribute(std::string_view name) const {
  for (xmlAttr* attr = node_->properties; attr != nullptr; attr = attr->next) {
    if (attr->ns == nullptr && is_named(attr->name, name)) {
      attr->_private = &used_mark;
      return take_string(xmlNodeGetContent(reinterpret_cast<xmlNode*>(attr)));  // an xmlAttr begins as an xmlNode
    }
  }
  return std::nullopt;
}

std::optional<XmlNode> XmlNode::child(std::string_view name) const {
  for (xmlNode* child = node_->children; child != nullptr; child = child->next) {
    if (child->type == XML_ELEMENT_NODE && child->ns == nullptr && is_named(child->name, name)) {
      child->_private = &used_mark;
      return XmlNode(child);
    }
  }
  return std::nullopt;
}

std::vector<XmlNode> XmlNode::children(std::string_view name) const {
  std::vector<XmlNode> found;
  for (xmlNode* child = node_->children; child != nullptr; child = child->next) {
    if (child->type == XML_ELEMENT_NODE && child->ns == nullptr && (name.empty() || is_named(child->name, name))) {
      child->_private = &used_mark;
      found.emplace_back(child);
    }
  }
  return found;
}

std::vector<XmlNode> XmlNode::children() const { return children(""); }

std::string XmlNode::markup(int level) const {
  const std::unique_ptr<xmlDoc, decltype(&xmlFreeDoc)> doc(xmlNewDoc(nullptr), &xmlFreeDoc);
  // A copy declares what it uses of the namespaces of its former parents.
  xmlNode* copy = doc ? xmlDocCopyNode(node_, doc.get(), 1) : nullptr;
  if (copy == nullptr) {
    return "";
  }
  xmlDocSetRootElement(doc.get(), copy);
  drop_blanks(copy);
  const std::unique_ptr<xmlBuffer, decltype(&xmlBufferFree)> buffer(xmlBufferCreate(), &xmlBufferFree);
  if (!buffer || xmlNodeDump(buffer.get(), doc.get(), copy, level, 1) < 0) {
    return "";
  }
  return to_string(xmlBufferContent(buffer.get()));
}

std::optional<XmlNode::Leftover> XmlNode::leftover() const {
  const auto tell = [](xmlNode* node, long line) {
    return Leftover{.path = take_string(xmlGetNodePath(node)), .line = line};
  };
  for (xmlAttr* attr = node_->properties; attr != nullptr; attr = attr->next) {
    if (attr->ns == nullptr && attr->_private == nullptr) {
      return tell(reinterpret_cast<xmlNode*>(attr), line());
    }
  }
  for (xmlNode* child = node_->children; child != nullptr; child = child->next) {
    if (child->type == XML_ELEMENT_NODE && child->_private == nullptr &&
        (child->ns == nullptr || is_hypervisor(child->ns))) {
      return tell(child, xmlGetLineNo(child));
    }
  }
  return std::nullopt;
}

}  // namespace lodge
