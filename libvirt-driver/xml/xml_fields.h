// XmlFields: one description of an element's attributes and children serves reading and writing.
//
//   void describe(XmlFields& x, DomainRng& rng) {
//     x.attr("model", rng.model);
//     x.element("rate", [&] { x.attr("bytes", rng.rate_bytes); x.attr("period", rng.rate_period_ms); });
//   }
//
// Fields are named in the order in which libvirt prints them; they are read in any order. What is not given keeps the
// member's value, what has the value of "not given" is not written. Reading refuses whatever no field asked for. Errors
// are kept, the first one is told by finish(). One thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/xml/xml_reader.h"
#include "libvirt-driver/xml/xml_values.h"
#include "libvirt-driver/xml/xml_writer.h"

namespace lodge {

class XmlFields {
 public:
  explicit XmlFields(XmlNode root) : stack_{root} {}           // reads this element
  explicit XmlFields(XmlWriter& writer) : writer_(&writer) {}  // writes into the element that is open
  [[nodiscard]] bool reading() const { return writer_ == nullptr; }
  [[nodiscard]] bool failed() const { return error_.has_value(); }

  // After the last field of the root: the first error, or what was left over.
  [[nodiscard]] Answer<void> finish();

  template <class T>
  void attr(std::string_view name, T& value) {
    if (!reading()) {
      write_attribute(name, print_value(value));
    } else if (const auto text = read_attribute(name)) {
      take(fmt::format("@{}", name), *text, value);
    }
  }
  // An attribute that is there and has no text.
  void empty_attr(std::string_view name, bool& there) {
    if (!reading() && there) {
      writer_->attribute(name, "");
    } else if (reading()) {
      there = read_attribute(name) == "";
    }
  }
  // 0x and at least `digits` hexadecimal digits.
  template <XmlNumber T>
  void hex(std::string_view name, T& value, int digits) {
    if (!reading()) {
      write_attribute(name, fmt::format("0x{:0{}x}", value, digits));
    } else {
      attr(name, value);
    }
  }
  // The text of this element.
  template <class T>
  void text(T& value) {
    if (!reading()) {
      write_text(print_value(value));
    } else {
      take("", here().text(), value);
    }
  }
  // A child with more fields; written if any of them is.
  template <class Body>
  void element(std::string_view name, Body&& body) {
    if (enter(name)) {
      body();
      leave(XmlWriter::Empty::drop);
    }
  }
  // A child that means something even when it is empty.
  template <class T, class Body>
  void optional(std::string_view name, std::optional<T>& value, Body&& body) {
    if ((reading() || value) && enter(name)) {
      body(reading() ? value.emplace() : *value);
      leave(XmlWriter::Empty::keep);
    }
  }
  // <name>value</name>
  template <class T>
  void child(std::string_view name, T& value) {
    element(name, [&] { text(value); });
  }
  // <name/>
  void flag(std::string_view name, bool& value) {
    if ((reading() || value) && enter(name)) {
      value = true;
      leave(XmlWriter::Empty::keep);
    }
  }
  static constexpr size_t kMaxItems = 4096;
  // All children of this name.
  template <class T, class Body>
  void list(std::string_view name, std::vector<T>& values, Body&& body) {
    if (reading()) {
      for (const XmlNode& node : read_all(name)) {
        if (values.size() == kMaxItems) {
          wrong("", fmt::format("more than {} elements '{}'", kMaxItems, name));
          break;
        }
        stack_.push_back(node);
        body(values.emplace_back());
        leave(XmlWriter::Empty::keep);
      }
      return;
    }
    for (T& value : values) {
      enter(name);
      body(value);
      leave(XmlWriter::Empty::keep);
    }
  }
  // Reading: every child, whatever its name.
  template <class Body>
  void each_child(Body&& body) {
    for (const XmlNode& node : read_all("")) {
      stack_.push_back(node);
      body();
      leave(XmlWriter::Empty::keep);
    }
  }
  // <name unit='KiB'>1024</name>; sizes are in KiB, other units are read and rounded up.
  void size_kib(std::string_view name, std::optional<uint64_t>& kib);
  void size_kib(std::string_view name, uint64_t& kib);  // 0: not given
  // The number of an attribute whose unit, if not KiB, stands in the attribute `unit_name` beside it.
  void size_kib_attr(std::string_view name, std::string_view unit_name, std::optional<uint64_t>& kib);
  // The child as it stands, with all below it, never refused. "" : none.
  void verbatim(std::string_view name, std::string& markup);
  // Reading: this child is known and means nothing here.
  void ignore(std::string_view name);
  void ignore_attr(std::string_view name);
  // Reading: has the current element such a child?
  [[nodiscard]] bool has(std::string_view name) const;

  // Reading: an error about a part of the current element ("@type", "source", or "" for itself).
  void wrong(std::string_view part, std::string_view what) { fail(VIR_ERR_XML_ERROR, part, what); }
  void refuse(std::string_view part, std::string_view what) { fail(VIR_ERR_CONFIG_UNSUPPORTED, part, what); }

 private:
  template <class T>
  void take(std::string_view part, const std::string& text, T& value) {
    T read{};
    switch (parse_value(text, read)) {
      case ValueCheck::good: value = std::move(read); break;
      case ValueCheck::wrong: wrong(part, fmt::format("'{}' is not {}", shortened(text), value_kind<T>())); break;
      case ValueCheck::not_offered:
        refuse(part, fmt::format("'{}' is not offered; it must be {}", text, value_kind<T>()));
        break;
    }
  }
  [[nodiscard]] const XmlNode& here() const { return stack_.back(); }
  [[nodiscard]] std::optional<std::string> read_attribute(std::string_view name) const { return here().attribute(name); }
  [[nodiscard]] std::vector<XmlNode> read_all(std::string_view name) const { return here().children(name); }
  void write_attribute(std::string_view name, const std::string& value);
  void write_text(const std::string& value);
  bool enter(std::string_view name);
  void leave(XmlWriter::Empty empty);
  void fail(int code, std::string_view part, std::string_view what);
  static std::string shortened(std::string_view text);

  std::vector<XmlNode> stack_;
  XmlWriter* writer_ = nullptr;
  std::optional<CallError> error_;
};

}  // namespace lodge
