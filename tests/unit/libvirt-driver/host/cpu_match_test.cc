#include "libvirt-driver/host/cpu_match.h"

#include <libvirt/libvirt.h>

#include <array>

#include "tests/unit/libvirt-driver/host/cpu_map_tree.h"

namespace lodge {
namespace {

struct Fixture {
  HostTree tree;
  CpuModels models = small_map(tree);
  CpuFacts host = models.facts(processor(0b1111));

  int compare(const std::string& xml, uint32_t flags = 0) const {
    const auto value = compare_cpu(models, host, xml, flags);
    INFO((value ? "" : value.error().message()));
    REQUIRE(value);
    return *value;
  }
  CallError compare_error(const std::string& xml, uint32_t flags = 0) const {
    const auto value = compare_cpu(models, host, xml, flags);
    REQUIRE(!value);
    return value.error();
  }
  std::string baseline(const std::vector<std::string>& xmls, uint32_t flags = 0,
                       const CpuFeatureSet* offered = nullptr) const {
    const auto xml = baseline_cpu(models, xmls, flags, offered);
    INFO((xml ? "" : xml.error().message()));
    REQUIRE(xml);
    return *xml;
  }
  int baseline_error(const std::vector<std::string>& xmls, uint32_t flags = 0) const {
    const auto xml = baseline_cpu(models, xmls, flags);
    REQUIRE(!xml);
    return xml.error().code;
  }
};

std::string host_cpu(const std::string& inside) { return "<cpu><arch>x86_64</arch>" + inside + "</cpu>"; }
std::string guest_cpu(const std::string& inside, const std::string& match = "exact") {
  return "<cpu mode='custom' match='" + match + "'>" + inside + "</cpu>";
}

}  // namespace

TEST_CASE_METHOD(Fixture, "comparing_tells_identical_superset_and_incompatible") {
  CHECK(compare(host_cpu("<model>grown</model>")) == VIR_CPU_COMPARE_IDENTICAL);
  CHECK(compare(host_cpu("<model>base</model>")) == VIR_CPU_COMPARE_SUPERSET);
  CHECK(compare(host_cpu("<model>base</model><feature name='c'/><feature name='d'/>")) == VIR_CPU_COMPARE_IDENTICAL);
  CHECK(compare(host_cpu("<model>base</model><feature name='e'/>")) == VIR_CPU_COMPARE_INCOMPATIBLE);
  CHECK(compare(host_cpu("<model>hidden</model>")) == VIR_CPU_COMPARE_INCOMPATIBLE);
  CHECK(compare("<cpu><arch>aarch64</arch><model>base</model></cpu>") == VIR_CPU_COMPARE_INCOMPATIBLE);
}

TEST_CASE_METHOD(Fixture, "comparing_follows_each_policy") {
  const auto wish = [](const std::string& policy, const std::string& name) {
    return guest_cpu("<model>base</model><feature policy='" + policy + "' name='" + name + "'/>");
  };
  CHECK(compare(wish("require", "e")) == VIR_CPU_COMPARE_INCOMPATIBLE);
  CHECK(compare(wish("force", "e")) == VIR_CPU_COMPARE_SUPERSET);
  CHECK(compare(wish("optional", "e")) == VIR_CPU_COMPARE_SUPERSET);
  CHECK(compare(wish("disable", "a")) == VIR_CPU_COMPARE_SUPERSET);
  CHECK(compare(wish("forbid", "d")) == VIR_CPU_COMPARE_INCOMPATIBLE);
  CHECK(compare(wish("forbid", "e")) == VIR_CPU_COMPARE_SUPERSET);
  CHECK(compare(guest_cpu("<model>base</model>", "strict")) == VIR_CPU_COMPARE_INCOMPATIBLE);
  CHECK(compare(guest_cpu("<model>grown</model>", "strict")) == VIR_CPU_COMPARE_IDENTICAL);
  CHECK(compare(guest_cpu("<model>hidden</model><feature policy='disable' name='e'/>")) == VIR_CPU_COMPARE_IDENTICAL);
}

TEST_CASE_METHOD(Fixture, "comparing_minds_the_vendor") {
  CHECK(compare(host_cpu("<model>base</model><vendor>One</vendor>")) == VIR_CPU_COMPARE_SUPERSET);
  CHECK(compare(host_cpu("<model>base</model><vendor>Two</vendor>")) == VIR_CPU_COMPARE_INCOMPATIBLE);
  CHECK(compare_error(host_cpu("<model>base</model><vendor>Six</vendor>")).code == VIR_ERR_OPERATION_FAILED);
}

TEST_CASE_METHOD(Fixture, "incompatible_is_an_error_with_the_reason_when_asked_for") {
  const uint32_t flag = VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE;
  const CallError error = compare_error(host_cpu("<model>hidden</model><feature name='f'/>"), flag);
  CHECK(error.code == VIR_ERR_CPU_INCOMPATIBLE);
  CHECK(error.message() == "the CPU is incompatible with host CPU: host CPU does not provide required features: e,f");
  CHECK(compare(host_cpu("<model>base</model>"), flag) == VIR_CPU_COMPARE_SUPERSET);
  CHECK(compare_error(host_cpu("<model>base</model>"), 8).code == VIR_ERR_INVALID_ARG);
}

TEST_CASE_METHOD(Fixture, "cpu_elements_that_are_wrong_are_refused") {
  CHECK(compare_error("<cpu>").code == VIR_ERR_XML_DETAIL);
  CHECK(compare_error("").code == VIR_ERR_XML_DETAIL);
  CHECK(compare_error("<domain/>").code == VIR_ERR_XML_ERROR);
  CHECK(compare_error("<!DOCTYPE cpu [<!ENTITY x 'y'>]><cpu>&x;</cpu>").code == VIR_ERR_XML_ERROR);
  CHECK(compare_error("<cpu mode='fast'><model>base</model></cpu>").code == VIR_ERR_XML_ERROR);
  CHECK(compare_error(guest_cpu("<model>base</model><feature policy='maybe' name='a'/>")).code == VIR_ERR_XML_ERROR);
  CHECK(compare_error(guest_cpu("<model>base</model><feature policy='require'/>")).code == VIR_ERR_XML_ERROR);
  CHECK(compare_error(guest_cpu("<feature name='a'/><feature name='a'/>")).code == VIR_ERR_XML_ERROR);
  CHECK(compare_error(host_cpu("<model>nonesuch</model>")).code == VIR_ERR_INTERNAL_ERROR);
  CHECK(compare_error(host_cpu("<model>base</model><feature name='zz'/>")).code == VIR_ERR_INTERNAL_ERROR);
  std::string deep = "<cpu>";
  for (int i = 0; i < 300; ++i) {
    deep += "<numa>";
  }
  for (int i = 0; i < 300; ++i) {
    deep += "</numa>";
  }
  CHECK(compare_error(deep + "</cpu>").code == VIR_ERR_XML_DETAIL);
}

TEST_CASE_METHOD(Fixture, "baseline_of_one_is_itself_and_of_several_what_they_share") {
  CHECK(baseline({host_cpu("<model>grown</model>")}) ==
        "<cpu mode='custom' match='exact'>\n  <model fallback='forbid'>grown</model>\n</cpu>\n");
  CHECK(baseline({host_cpu("<model>grown</model><vendor>One</vendor>"),
                  host_cpu("<model>base</model><vendor>One</vendor><feature name='c'/>")}) ==
        "<cpu mode='custom' match='exact'>\n"
        "  <model fallback='allow'>base</model>\n"
        "  <vendor>One</vendor>\n"
        "  <feature policy='require' name='c'/>\n"
        "</cpu>\n");
  CHECK(baseline({host_cpu("<model>grown</model>"), guest_cpu("<model>grown</model><feature policy='disable' name='d'/>")})
            .find("<feature policy='disable' name='d'/>") != std::string::npos);
}

TEST_CASE_METHOD(Fixture, "baseline_is_limited_to_what_the_hypervisor_offers") {
  const CpuFacts offered = models.facts(processor(0b0011));
  CHECK(baseline({host_cpu("<model>grown</model>")}, 0, &offered.features) ==
        "<cpu mode='custom' match='exact'>\n"
        "  <model fallback='forbid'>grown</model>\n"
        "  <feature policy='disable' name='c'/>\n"
        "  <feature policy='disable' name='d'/>\n"
        "</cpu>\n");
}

TEST_CASE_METHOD(Fixture, "baseline_expands_and_drops_what_cannot_migrate") {
  const std::string wide = host_cpu("<model>base</model><feature name='f'/>");
  CHECK(baseline({wide}).find("name='f'") != std::string::npos);
  CHECK(baseline({wide}, VIR_CONNECT_BASELINE_CPU_MIGRATABLE).find("name='f'") == std::string::npos);
  CHECK(baseline({wide}, VIR_CONNECT_BASELINE_CPU_MIGRATABLE | VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES) ==
        "<cpu mode='custom' match='exact'>\n"
        "  <model fallback='forbid'>base</model>\n"
        "  <feature policy='require' name='a'/>\n"
        "  <feature policy='require' name='b'/>\n"
        "</cpu>\n");
}

TEST_CASE_METHOD(Fixture, "baseline_refuses_what_has_nothing_in_common") {
  CHECK(baseline_error({}) == VIR_ERR_INVALID_ARG);
  CHECK(baseline_error({host_cpu("<model>base</model>")}, 64) == VIR_ERR_INVALID_ARG);
  CHECK(baseline_error({host_cpu("<vendor>One</vendor>")}) == VIR_ERR_INVALID_ARG);
  CHECK(baseline_error({"<cpu><arch>ppc64</arch><model>base</model></cpu>"}) == VIR_ERR_INVALID_ARG);
  CHECK(baseline_error({host_cpu("<model>base</model>"), host_cpu("<model>other</model>")}) == VIR_ERR_OPERATION_FAILED);
  CHECK(baseline_error({host_cpu("<model>base</model><vendor>Two</vendor>")}) == VIR_ERR_OPERATION_FAILED);
  CHECK(baseline_error({guest_cpu("<model>old</model><feature policy='disable' name='a'/>")}) == VIR_ERR_OPERATION_FAILED);
}

TEST_CASE_METHOD(Fixture, "host_model_describes_what_is_offered_and_can_migrate") {
  const auto cpu = host_model(models, models.facts(processor(0b101011))).value();
  CHECK(print_cpu(cpu) ==
        "<cpu mode='custom' match='exact'>\n"
        "  <model fallback='forbid'>shrunk</model>\n"
        "  <vendor>One</vendor>\n"
        "</cpu>\n");
  CHECK(missing_features(models, *models.model("hidden"), host) == std::vector<std::string>{"e"});
  CHECK(missing_features(models, *models.model("grown"), host).empty());
}

}  // namespace lodge
