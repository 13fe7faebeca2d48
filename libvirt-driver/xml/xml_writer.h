// XmlWriter: XML text in libvirt's look, which scripts search: two blanks for a level, single quotes.
//
// Called in document order; elements that got no content are closed by themselves ("<acpi/>"). Values, one thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lodge {

class XmlWriter {
 public:
  explicit XmlWriter(int level = 0) : base_(level) {}

  void begin(std::string_view name);
  void attribute(std::string_view name, std::string_view value);  // only right after begin() or another attribute
  void text(std::string_view text);                               // the only content of its element
  void raw(std::string_view markup);                              // whole lines that are XML already
  void blank_line() { raw("\n"); }
  enum class Empty : uint8_t { keep, drop };
  void end(Empty empty = Empty::keep);  // drop: as if it had not begun, if nothing was written in it

  // The same with attributes; whole elements.
  using Attributes = std::initializer_list<std::pair<std::string_view, std::string_view>>;
  void begin(std::string_view name, Attributes attributes);
  void empty(std::string_view name, Attributes attributes = {});
  void element(std::string_view name, std::string_view content, Attributes attributes = {});

  [[nodiscard]] const std::string& str() const { return out_; }

 private:
  struct Open {
    std::string name;
    size_t start = 0;           // where it begins in out_, the end of the parent's tag included
    bool ended_parent = false;  // it is the first child
    bool has_attributes = false;
    bool has_children = false;
    bool done = false;  // by its text
  };
  void close_tag();
  void indent(size_t depth);

  int base_;
  std::string out_;
  std::vector<Open> open_;
};

// The five characters and what a reader would change are escaped; what XML cannot hold (control
// characters, bad UTF-8) is left out.
[[nodiscard]] std::string escape_text(std::string_view text);
[[nodiscard]] std::string escape_attribute(std::string_view text);

}  // namespace lodge
