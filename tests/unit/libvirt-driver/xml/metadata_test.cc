// Elements of <metadata>: set, read, replaced, removed, as `virsh metadata` does.
#include "libvirt-driver/xml/metadata.h"

#include <catch2/catch.hpp>

#include "libvirt-driver/xml/domain_parse.h"
#include "libvirt-driver/xml/domain_print.h"

namespace lodge {
namespace {

constexpr const char* kUri = "http://example.org/app";

std::string changed(const std::string& metadata, const std::string& uri, const std::string& key,
                    std::optional<std::string_view> element) {
  const auto text = change_metadata(metadata, uri, key, element);
  INFO((text ? "" : text.error().message()));
  REQUIRE(text);
  return *text;
}

}  // namespace

TEST_CASE("an element gets its namespace when it is set and loses it when it is read") {
  const std::string metadata = changed("", kUri, "app", "<info a='1'><part>text</part></info>");
  CHECK(metadata ==
        "<metadata>\n    <app:info xmlns:app=\"http://example.org/app\" a=\"1\">\n      <app:part>text</app:part>\n"
        "    </app:info>\n  </metadata>");
  CHECK(metadata_element(metadata, kUri) == "<info a=\"1\">\n  <part>text</part>\n</info>");
  DomainConfig config;
  config.virt_type = "kvm";
  config.metadata = metadata;
  const auto again = parse_domain(print_domain(config));
  REQUIRE(again);
  CHECK(again->metadata == metadata);
}

TEST_CASE("an element replaces the one of its namespace and leaves the others") {
  std::string metadata = changed("", kUri, "app", "<old/>");
  metadata = changed(metadata, "urn:other", "other", "<x/>");
  metadata = changed(metadata, kUri, "app", "<new/>");
  CHECK(metadata_element(metadata, kUri) == "<new/>");
  CHECK(metadata_element(metadata, "urn:other") == "<x/>");
  CHECK(metadata.find("old") == std::string::npos);
  metadata = changed(metadata, "urn:other", "", std::nullopt);
  CHECK(metadata_element(metadata, "urn:other").error().code == VIR_ERR_NO_DOMAIN_METADATA);
  CHECK(changed(metadata, kUri, "", std::nullopt).empty());
}

TEST_CASE("namespaces within an element are kept") {
  const std::string metadata = changed("", kUri, "app", "<a xmlns:b='urn:b'><b:c b:k='1'/></a>");
  CHECK(metadata_element(metadata, kUri) == "<a xmlns:b=\"urn:b\">\n  <b:c b:k=\"1\"/>\n</a>");
}

TEST_CASE("metadata that cannot be is refused") {
  CHECK(metadata_element("", kUri).error().message() == "metadata not found: Requested metadata element is not present");
  CHECK(change_metadata("", kUri, "app", "<a").error().code == VIR_ERR_XML_DETAIL);
  CHECK(change_metadata("", kUri, "a b", "<a/>").error().code == VIR_ERR_INVALID_ARG);
  CHECK(change_metadata("", kUri, "", "<a/>").error().code == VIR_ERR_INVALID_ARG);
  CHECK(change_metadata("", "", "app", "<a/>").error().code == VIR_ERR_INVALID_ARG);
  CHECK(change_metadata("", kUri, "b", "<a xmlns:b='urn:b'/>").error().code == VIR_ERR_INVALID_ARG);
}

}  // namespace lodge
