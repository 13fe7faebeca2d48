#include "libvirt-driver/host/identity.h"

#include "tests/unit/libvirt-driver/host/host_tree.h"

namespace lodge {
namespace {

std::optional<std::string> nobody(const std::string&) { return std::nullopt; }

const std::string kDmi = "sys/class/dmi/id/";

}  // namespace

TEST_CASE("host_name_prefers_a_name_with_a_domain") {
  const HostTree tree;
  const auto with_domain = [](const std::string& name) { return std::optional(name + ".example.org"); };
  tree.write("proc/sys/kernel/hostname", "alpha\n");
  CHECK(host_name(tree.paths(), with_domain).value() == "alpha.example.org");
  CHECK(host_name(tree.paths(), nobody).value() == "alpha");
  CHECK(host_name(tree.paths(), [](const std::string&) { return std::optional<std::string>("localhost"); }).value() ==
        "alpha");
  tree.write("proc/sys/kernel/hostname", "alpha.example.net\n");
  CHECK(host_name(tree.paths(), with_domain).value() == "alpha.example.net");
}

TEST_CASE("host_name_is_localhost_only_when_nothing_else_is_known") {
  const HostTree tree;
  tree.write("proc/sys/kernel/hostname", "localhost.localdomain\n");
  CHECK(host_name(tree.paths(), [](const std::string&) { return std::optional<std::string>("beta"); }).value() == "beta");
  CHECK(host_name(tree.paths(), nobody).value() == "localhost.localdomain");
  tree.write("etc/hostname", "gamma\n");
  CHECK(host_name(tree.paths(), nobody).value() == "gamma");
  tree.remove("proc");
  CHECK(host_name(tree.paths(), nobody).error().code == VIR_ERR_SYSTEM_ERROR);
}

TEST_CASE("uuids_that_firmware_left_unset_are_none") {
  CHECK(parse_host_uuid("00000000-0000-0000-0000-000000000000") == std::nullopt);
  CHECK(parse_host_uuid("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF") == std::nullopt);
  CHECK(parse_host_uuid("22222222-2222-2222-2222-222222222222") == std::nullopt);
  CHECK(parse_host_uuid("") == std::nullopt);
  CHECK(parse_host_uuid("Not Settable") == std::nullopt);
  CHECK(parse_host_uuid("0123456789abcdef0123456789abcde") == std::nullopt);
  CHECK(parse_host_uuid("0123456789abcdef0123456789abcdef0") == std::nullopt);
  const auto uuid = parse_host_uuid("01234567-89AB-cdef-0123-456789abcdef");
  REQUIRE(uuid);
  CHECK(uuid_text(*uuid) == "01234567-89ab-cdef-0123-456789abcdef");
  CHECK(parse_host_uuid("12121212-1212-1212-1212-121212121212"));
}

TEST_CASE("host_uuid_is_the_firmwares_then_the_machine_ids") {
  const HostTree tree;
  tree.write(kDmi + "product_uuid", "01234567-89ab-cdef-0123-456789abcdef\n");
  tree.write("etc/machine-id", "aaaaaaaabbbbccccddddeeeeeeeeeeee\n");
  CHECK(uuid_text(host_uuid(tree.paths()).value()) == "01234567-89ab-cdef-0123-456789abcdef");
  CHECK(uuid_text(host_uuid(tree.paths(), HostUuidSource::machine_id).value()) == "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
  tree.write(kDmi + "product_uuid", "00000000-0000-0000-0000-000000000000\n");
  CHECK(uuid_text(host_uuid(tree.paths()).value()) == "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
}

TEST_CASE("host_uuid_that_is_made_up_stays") {
  const HostTree tree;
  const auto failed = host_uuid(tree.paths());
  REQUIRE(!failed);
  CHECK(failed.error().detail.find("set host_uuid") != std::string::npos);
  tree.write("state/some", "");
  const auto first = host_uuid(tree.paths());
  REQUIRE(first);
  CHECK(host_uuid(tree.paths()).value() == *first);
  CHECK(tree.read("state/host-uuid") == uuid_text(*first) + "\n");
  CHECK(((*first)[6] >> 4) == 4);
  tree.write("state/host-uuid", "garbage");
  CHECK(host_uuid(tree.paths()).error().detail.find("remove it") != std::string::npos);
}

TEST_CASE("sysinfo_without_smbios_is_an_unsupported_configuration") {
  const HostTree tree;
  const auto xml = sysinfo_xml(tree.paths());
  REQUIRE(!xml);
  CHECK(xml.error().code == VIR_ERR_CONFIG_UNSUPPORTED);
}

TEST_CASE("sysinfo_tells_what_is_there_and_escapes_it") {
  const HostTree tree;
  tree.write(kDmi + "bios_vendor", "A & B <\x01\xff>\n");
  tree.write(kDmi + "product_name", "Box 'M\xc3\xbcller'\n");
  tree.write(kDmi + "chassis_serial", "\n");
  CHECK(sysinfo_xml(tree.paths()).value() ==
        "<sysinfo type='smbios'>\n"
        "  <bios>\n"
        "    <entry name='vendor'>A &amp; B &lt;&gt;</entry>\n"
        "  </bios>\n"
        "  <system>\n"
        "    <entry name='product'>Box &apos;M\xc3\xbcller&apos;</entry>\n"
        "  </system>\n"
        "</sysinfo>\n");
}

}  // namespace lodge
