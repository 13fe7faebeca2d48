#include "libvirt-driver/xml/xml_fields.h"

#include <utility>

namespace lodge {
namespace {

// Bytes of a unit as libvirt names it; 0: there is no such unit.
uint64_t unit_bytes(std::string_view unit) {
  if (unit.empty()) {
    return 1024;
  }
  if (unit == "b" || unit == "byte" || unit == "bytes") {
    return 1;
  }
  constexpr std::string_view kPrefixes = "KMGTPE";
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  const size_t power = kPrefixes.find(static_cast<char>(unit[0] >= 'a' ? unit[0] - 'a' + 'A' : unit[0]));
  if (power == std::string_view::npos) {
    return 0;
  }
  std::string rest;
  for (const char c : unit.substr(1)) {
    rest.push_back(lower(c));
  }
  if (!rest.empty() && rest != "b" && rest != "ib") {
    return 0;
  }
  const uint64_t step = rest == "b" ? 1000 : 1024;
  uint64_t bytes = 1;
  for (size_t i = 0; i <= power; ++i) {
    bytes *= step;
  }
  return bytes;
}

// KiB of a number and its unit, rounded up; nullopt: no number, no unit, or more than 2^63 bytes.
std::optional<uint64_t> to_kib(std::string_view number, std::string_view unit) {
  uint64_t count = 0;
  const uint64_t bytes = unit_bytes(unit);
  uint64_t total = 0;
  if (bytes == 0 || !parse_number(number, count) || __builtin_mul_overflow(count, bytes, &total) || total >> 63 != 0) {
    return std::nullopt;
  }
  return total / 1024 + (total % 1024 != 0 ? 1 : 0);
}

}  // namespace

Answer<void> XmlFields::finish() {
  if (!error_ && reading()) {
    if (const auto rest = here().leftover()) {
      error_ = CallError(VIR_ERR_CONFIG_UNSUPPORTED, fmt::format("{} (line {}) is not offered", rest->path, rest->line));
    }
  }
  if (error_) {
    return std::unexpected(*error_);
  }
  return {};
}

void XmlFields::write_attribute(std::string_view name, const std::string& value) {
  if (!value.empty()) {
    writer_->attribute(name, value);
  }
}

void XmlFields::write_text(const std::string& value) { writer_->text(value); }

bool XmlFields::enter(std::string_view name) {
  if (!reading()) {
    writer_->begin(name);
    return true;
  }
  const auto node = here().child(name);
  if (node) {
    stack_.push_back(*node);
  }
  return node.has_value();
}

void XmlFields::leave(XmlWriter::Empty empty) {
  if (!reading()) {
    writer_->end(empty);
    return;
  }
  (void)finish();
  stack_.pop_back();
}

void XmlFields::size_kib(std::string_view name, std::optional<uint64_t>& kib) {
  if (!reading()) {
    if (kib) {
      enter(name);
      write_attribute("unit", "KiB");
      text(kib);
      leave(XmlWriter::Empty::keep);
    }
  } else if (enter(name)) {
    const std::string unit = read_attribute("unit").value_or("");
    const std::string number = here().text();
    kib = to_kib(number, unit);
    if (!kib) {
      wrong("", fmt::format("'{} {}' is no size; write a number with a unit such as KiB, MiB, GiB", shortened(number),
                            shortened(unit)));
    }
    leave(XmlWriter::Empty::keep);
  }
}

void XmlFields::size_kib(std::string_view name, uint64_t& kib) {
  std::optional<uint64_t> value = kib != 0 ? std::optional(kib) : std::nullopt;
  size_kib(name, value);
  kib = value.value_or(0);
}

void XmlFields::size_kib_attr(std::string_view name, std::string_view unit_name, std::optional<uint64_t>& kib) {
  if (!reading()) {
    if (kib) {
      attr(name, kib);
      write_attribute(unit_name, "KiB");
    }
  } else if (const auto number = read_attribute(name)) {
    kib = to_kib(*number, read_attribute(unit_name).value_or(""));
    if (!kib) {
      wrong(fmt::format("@{}", name), fmt::format("'{}' with its unit is no size", shortened(*number)));
    }
  }
}

void XmlFields::verbatim(std::string_view name, std::string& markup) {
  if (reading()) {
    if (const auto node = here().child(name)) {
      markup = node->markup(1);
    }
  } else if (!markup.empty()) {
    writer_->raw(fmt::format("  {}\n", markup));
  }
}

void XmlFields::ignore(std::string_view name) {
  if (reading()) {
    (void)read_all(name);
  }
}

void XmlFields::ignore_attr(std::string_view name) {
  if (reading()) {
    (void)read_attribute(name);
  }
}

bool XmlFields::has(std::string_view name) const { return reading() && here().child(name).has_value(); }

void XmlFields::fail(int code, std::string_view part, std::string_view what) {
  if (!error_ && reading()) {
    error_ = CallError(
        code, fmt::format("{}{}{} (line {}): {}", here().path(), part.empty() ? "" : "/", part, here().line(), what));
  }
}

std::string XmlFields::shortened(std::string_view text) {
  constexpr size_t kMost = 80;
  return text.size() <= kMost ? std::string(text) : fmt::format("{}...", text.substr(0, kMost));
}

}  // namespace lodge
