#include "libvirt-driver/xml/xml_writer.h"

namespace lodge {
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

std::string escape(std::string_view text, bool attribute) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t size = character(text);
    switch (size == 1 ? text[0] : '\0') {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '\'': out += "&apos;"; break;
      case '"': out += "&quot;"; break;
      case '\r': out += "&#13;"; break;
      case '\n': out += attribute ? "&#10;" : "\n"; break;
      case '\t': out += attribute ? "&#9;" : "\t"; break;
      default: out += text.substr(0, size);
    }
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return out;
}

}  // namespace

std::string escape_text(std::string_view text) { return escape(text, false); }
std::string escape_attribute(std::string_view text) { return escape(text, true); }

void XmlWriter::indent(size_t depth) { out_.append(2 * (depth + static_cast<size_t>(base_)), ' '); }

// The parent's start tag is ended by its first child.
void XmlWriter::close_tag() {
  if (!open_.empty() && !open_.back().has_children) {
    out_ += ">\n";
    open_.back().has_children = true;
  }
}

void XmlWriter::begin(std::string_view name) {
  const size_t before = out_.size();
  const bool first = !open_.empty() && !open_.back().has_children;
  close_tag();
  open_.push_back({.name = std::string(name), .start = before, .ended_parent = first});
  indent(open_.size() - 1);
  out_ += '<';
  out_ += name;
}

void XmlWriter::begin(std::string_view name, Attributes attributes) {
  begin(name);
  for (const auto& [key, value] : attributes) {
    attribute(key, value);
  }
}

void XmlWriter::empty(std::string_view name, Attributes attributes) {
  begin(name, attributes);
  end();
}

void XmlWriter::element(std::string_view name, std::string_view content, Attributes attributes) {
  begin(name, attributes);
  text(content);
  end();
}

void XmlWriter::attribute(std::string_view name, std::string_view value) {
  out_ += ' ';
  out_ += name;
  out_ += "='";
  out_ += escape_attribute(value);
  out_ += '\'';
  open_.back().has_attributes = true;
}

void XmlWriter::text(std::string_view text) {
  if (text.empty()) {
    return;
  }
  out_ += '>';
  out_ += escape_text(text);
  out_ += "</" + open_.back().name + ">\n";
  open_.back().done = true;
}

void XmlWriter::raw(std::string_view markup) {
  close_tag();
  out_ += markup;
}

void XmlWriter::end(Empty empty) {
  const Open done = open_.back();
  open_.pop_back();
  if (done.done) {
    return;
  }
  if (done.has_children) {
    indent(open_.size());
    out_ += "</" + done.name + ">\n";
  } else if (done.has_attributes || empty == Empty::keep) {
    out_ += "/>\n";
  } else {
    out_.resize(done.start);
    if (done.ended_parent) {
      open_.back().has_children = false;
    }
  }
}

}  // namespace lodge
