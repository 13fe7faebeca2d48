#include "libvirt-driver/xml/xml_writer.h"

namespace lodge {
namespace {

std::string escape(std::string_view text, bool attribute) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '\'': out += "&apos;"; break;
      case '"': out += "&quot;"; break;
      case '\r': out += "&#13;"; break;
      case '\n': out += attribute ? "&#10;" : "\n"; break;
      case '\t': out += attribute ? "&#9;" : "\t"; break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20) {
          out.push_back(c);
        }
    }
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
