// The helpers below the documents: reading, writing, words and sets, schemas.
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "libvirt-driver/xml/uuid.h"
#include "libvirt-driver/xml/validate.h"
#include "libvirt-driver/xml/xml_reader.h"
#include "libvirt-driver/xml/xml_values.h"
#include "libvirt-driver/xml/xml_writer.h"

namespace lodge {
namespace {

// A file that goes away with the test.
struct TemporaryFile {
  explicit TemporaryFile(std::string_view text) {
    std::string name = (std::filesystem::temp_directory_path() / "lodge-xml-XXXXXX").string();
    const int fd = mkstemp(name.data());
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    close(fd);
    path = name;
  }
  ~TemporaryFile() { std::filesystem::remove(path); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  std::string path;
};

std::string ids(std::string_view text) {
  const auto set = parse_id_set(text);
  return set ? print_id_set(*set) : "none";
}

}  // namespace

TEST_CASE("a writer indents, closes empty elements and escapes") {
  XmlWriter writer;
  writer.begin("a");
  writer.begin("dropped");
  writer.begin("inner");
  writer.end(XmlWriter::Empty::drop);
  writer.end(XmlWriter::Empty::drop);
  writer.begin("b");
  writer.attribute("k", "<'&\">\n\t");
  writer.end();
  writer.begin("c");
  writer.text("x<y>\n'&'\r\x01");
  writer.end();
  writer.begin("kept");
  writer.end();
  writer.end();
  CHECK(
      writer.str() ==
      "<a>\n  <b k='&lt;&apos;&amp;&quot;&gt;&#10;&#9;'/>\n  <c>x&lt;y&gt;\n&apos;&amp;&apos;&#13;</c>\n  <kept/>\n</a>\n");
  XmlWriter only;
  only.begin("a");
  only.begin("dropped");
  only.end(XmlWriter::Empty::drop);
  only.end();
  CHECK(only.str() == "<a/>\n");
}

TEST_CASE("a reader tells what nobody asked for") {
  const auto document = XmlDocument::parse("<a k='1' l='2'>\n<b/>\n<c/>\n<x:y xmlns:x='urn:x'/></a>", "(test)", "a");
  REQUIRE(document);
  const XmlNode root = document->root();
  CHECK(root.leftover()->path == "/a/@k");
  CHECK(root.attribute("k") == "1");
  CHECK_FALSE(root.attribute("m"));
  CHECK(root.leftover()->path == "/a/@l");
  CHECK(root.attribute("l") == "2");
  CHECK(root.leftover()->path == "/a/b");
  CHECK(root.leftover()->line == 2);
  CHECK(root.child("b")->path() == "/a/b");
  CHECK(root.children("c").size() == 1);
  CHECK_FALSE(root.leftover());
  CHECK_FALSE(root.child("y"));
  CHECK(root.children().size() == 2);
}

TEST_CASE("a part of a document stands by itself") {
  const auto document =
      XmlDocument::parse("<a xmlns:n='urn:n'><b><n:c>  text </n:c><d>x <e> </e></d><f> </f></b></a>", "(test)");
  REQUIRE(document);
  const std::string text = document->root().child("b")->markup(0);
  CHECK(text == "<b xmlns:n=\"urn:n\">\n  <n:c>  text </n:c>\n  <d>x <e> </e></d>\n  <f> </f>\n</b>");
  const auto again = XmlDocument::parse(text, "(test)");
  REQUIRE(again);
  CHECK(again->root().markup(0) == text);
}

TEST_CASE("sets of numbers are read and printed in libvirt's way") {
  CHECK(ids("0") == "0");
  CHECK(ids("3,0-1") == "0-1,3");
  CHECK(ids("0-4,^2") == "0-1,3-4");
  CHECK(ids(" 0-3 , 4 ") == "0-4");
  CHECK(ids("16383") == "16383");
  for (const char* wrong : {"", "a", "1-", "-1", "2-1", "1,", ",1", "16384", "^1", "1-2-3", "0,^0", "^0-1"}) {
    INFO(wrong);
    CHECK(ids(wrong) == "none");
  }
}

TEST_CASE("UUIDs are read with and without dashes") {
  const auto uuid = parse_uuid("11111111-2222-4333-8444-5555555555aF");
  REQUIRE(uuid);
  CHECK(print_uuid(*uuid) == "11111111-2222-4333-8444-5555555555af");
  CHECK(parse_uuid(" 11111111222243338444555555555 5af") == std::nullopt);
  CHECK(parse_uuid("\t1111111122224333844455555555 55af") == std::nullopt);
  CHECK(parse_uuid(" 111111112222433384445555555555af\n") == uuid);
  for (const char* wrong : {"", "1", "-1111111122224333844455555555555af", "11111111-2222-4333-8444-5555555555ag",
                            "11111111-2222-4333-8444-5555555555af0"}) {
    INFO(wrong);
    CHECK_FALSE(parse_uuid(wrong));
  }
  const Uuid random = random_uuid({});
  CHECK(print_uuid(random) == "00000000-0000-4000-8000-000000000000");
}

TEST_CASE("numbers are decimal or hexadecimal and fit") {
  uint8_t byte = 7;
  CHECK(parse_number("0x1f", byte));
  CHECK(byte == 0x1f);
  CHECK(parse_number(" 10 ", byte));
  CHECK(byte == 10);
  for (const char* wrong : {"", "256", "-1", "0x", "0x-1", "1x", "+1", "0x100", "1 2"}) {
    INFO(wrong);
    CHECK_FALSE(parse_number(wrong, byte));
  }
  CHECK(byte == 10);
  int64_t quota = 0;
  CHECK(parse_number("-1", quota));
  CHECK(quota == -1);
}

TEST_CASE("a schema accepts what fits and tells the first complaint of what does not") {
  const TemporaryFile schema(R"(<element name="a" xmlns="http://relaxng.org/ns/structure/1.0">
    <attribute name="k"/><zeroOrMore><element name="b"><empty/></element></zeroOrMore></element>)");
  CHECK(validate_schema("<a k='1'><b/></a>", schema.path));
  const auto wrong = validate_schema("<a k='1'>\n<b/>\n<c/></a>", schema.path);
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().code == VIR_ERR_XML_INVALID_SCHEMA);
  CHECK(wrong.error().detail.find(schema.path) != std::string::npos);
  CHECK(wrong.error().detail.find("line 3: ") != std::string::npos);
  const auto malformed = validate_schema("<a", schema.path);
  REQUIRE_FALSE(malformed);
  CHECK(malformed.error().code == VIR_ERR_XML_DETAIL);
  const TemporaryFile broken("<element");
  const auto no_schema = validate_schema("<a/>", broken.path);
  REQUIRE_FALSE(no_schema);
  CHECK(no_schema.error().code == VIR_ERR_INTERNAL_ERROR);
  CHECK(validate_schema("<a/>", "/nowhere.rng").error().code == VIR_ERR_INTERNAL_ERROR);
}

TEST_CASE("what XML cannot hold is left out of it") {
  CHECK(escape_text("a\x01z") == "az");
  CHECK(escape_text("a\xffz\xc3") == "az");  // no UTF-8, and cut short
  CHECK(escape_text("\xed\xa0\x80") == "");  // half of a surrogate pair
  CHECK(escape_attribute("\xc3\xa4\n") == "\xc3\xa4&#10;");
}

}  // namespace lodge
