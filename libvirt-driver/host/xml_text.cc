#include "libvirt-driver/host/xml_text.h"

#include <cstdint>

namespace lodge::host {
namespace {

// Bytes of the UTF-8 character at the front, 0 when there is no valid one that XML may hold.
size_t character(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  if (lead < 0x80) {
    return lead >= 0x20 || lead == '\t' || lead == '\n' || lead == '\r' ? 1 : 0;
  }
  const size_t size = lead >= 0xc2 && lead < 0xe0 ? 2 : (lead & 0xf0) == 0xe0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
  if (size == 0 || text.size() < size) {
    return 0;
  }
  uint32_t point = lead & (0x7fU >> size);
  for (size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xc0) != 0x80) {
      return 0;
    }
    point = point << 6 | (byte & 0x3fU);
  }
  const bool shortest = size == 2 || (size == 3 ? point >= 0x800 : point >= 0x10000 && point <= 0x10ffff);
  const bool in_xml = (point < 0xd800 || point > 0xdfff) && point != 0xfffe && point != 0xffff;
  return shortest && in_xml ? size : 0;
}

}  // namespace

std::string xml_escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t size = character(text);
    switch (size == 1 ? text[0] : '\0') {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '\'': out += "&apos;"; break;
      case '"': out += "&quot;"; break;
      default: out += text.substr(0, size);
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return out;
}

void XmlText::begin(std::string_view element, Attributes attributes) {
  out_.append(depth_ * 2, ' ');
  out_ += '<';
  out_ += element;
  for (const auto& [name, value] : attributes) {
    out_ += ' ';
    out_ += name;
    out_ += "='";
    out_ += xml_escaped(value);
    out_ += '\'';
  }
}

void XmlText::open(std::string_view element, Attributes attributes) {
  begin(element, attributes);
  out_ += ">\n";
  ++depth_;
}

void XmlText::close(std::string_view element) {
  --depth_;
  out_.append(depth_ * 2, ' ');
  out_ += "</";
  out_ += element;
  out_ += ">\n";
}

void XmlText::empty(std::string_view element, Attributes attributes) {
  begin(element, attributes);
  out_ += "/>\n";
}

void XmlText::text(std::string_view element, std::string_view value, Attributes attributes) {
  begin(element, attributes);
  out_ += '>';
  out_ += xml_escaped(value);
  out_ += "</";
  out_ += element;
  out_ += ">\n";
}

void XmlText::paste(std::string_view lines) {
  while (!lines.empty()) {
    const size_t end = lines.find('\n');
    out_.append(depth_ * 2, ' ');
    out_ += lines.substr(0, end);
    out_ += '\n';
    lines = end == std::string_view::npos ? std::string_view{} : lines.substr(end + 1);
  }
}

}  // namespace lodge::host
