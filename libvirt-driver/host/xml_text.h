// XML that the host's documents are made of: indented by two, attributes in single quotes, as libvirt prints. A value.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace lodge::host {

// Text or an attribute's value: markup is escaped, what XML 1.0 cannot hold (control characters, bad UTF-8) is left out.
[[nodiscard]] std::string xml_escaped(std::string_view text);

class XmlText {
 public:
  using Attributes = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  void open(std::string_view element, Attributes attributes = {});
  void close(std::string_view element);
  void empty(std::string_view element, Attributes attributes = {});
  void text(std::string_view element, std::string_view value, Attributes attributes = {});
  void blank_line() { out_ += '\n'; }
  // Complete lines that are indented to where we are.
  void paste(std::string_view lines);

  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  void begin(std::string_view element, Attributes attributes);

  std::string out_;
  size_t depth_ = 0;
};

}  // namespace lodge::host
