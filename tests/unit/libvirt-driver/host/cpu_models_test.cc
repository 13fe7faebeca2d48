#include "libvirt-driver/host/cpu_models.h"

#include <algorithm>

#include "tests/unit/libvirt-driver/host/cpu_map_tree.h"

namespace lodge {
namespace {

using Names = std::vector<std::string>;

std::string load_error(const HostTree& tree) {
  const auto models = CpuModels::load(tree.paths().cpu_map);
  REQUIRE(!models);
  return models.error().message();
}

}  // namespace

TEST_CASE("installed_map_is_read_in_its_order") {
  const auto models = CpuModels::load(HostPaths{}.cpu_map);
  REQUIRE(models);
  const auto names = cpu_model_names(*models, "x86_64").value();
  REQUIRE(names.size() > 40);
  CHECK(names.front() == "486");
  const auto place = [&names](const char* name) { return std::find(names.begin(), names.end(), name) - names.begin(); };
  CHECK(place("kvm64") < place("Conroe"));
  CHECK(place("EPYC-Milan") < static_cast<long>(names.size()));
  CHECK(models->model("EPYC-Milan")->vendor == "AMD");
  CHECK(models->has_vendor("Intel"));
  CHECK(!models->migratable()[models->feature("invtsc").value()]);
  CHECK(models->features()[models->feature("rdctl-no").value()].bits[0].msr);
  CHECK(!models->model("EPYC")->features[models->feature("monitor").value()]);  // removed='yes'
  CHECK(cpu_model_names(*models, "i686").value() == names);
}

TEST_CASE("model_names_of_other_architectures_are_none_and_of_unknown_ones_an_error") {
  const HostTree tree;
  const CpuModels models = small_map(tree);
  CHECK(cpu_model_names(models, "aarch64").value().empty());
  CHECK(cpu_model_names(models, "toaster").error().code == VIR_ERR_INVALID_ARG);
}

TEST_CASE("ancestors_aliases_and_removed_features") {
  const HostTree tree;
  const CpuModels models = small_map(tree);
  CHECK(models.names(models.model("grown")->features) == Names{"a", "b", "c", "d"});
  CHECK(models.names(models.model("shrunk")->features) == Names{"a", "b", "d"});
  CHECK(models.model("grown")->vendor == "One");
  CHECK(models.model("grown")->signatures.at(0).last_stepping == 7);
  CHECK(models.feature("emm") == models.feature("m"));
  CHECK(models.feature("z") == std::nullopt);
  CHECK(models.model("z") == nullptr);
}

TEST_CASE("facts_name_vendor_signature_and_features_whose_bits_are_all_there") {
  const HostTree tree;
  const CpuModels models = small_map(tree);
  CpuidData data = processor(0b101);
  data.leaves.push_back({7, 1, 0, 0x1, 0, 0});
  data.msrs.push_back({0x10a, 0x100000002});
  CpuFacts facts = models.facts(data);
  CHECK(facts.vendor == "One");
  CHECK(facts.signature->family == 6);
  CHECK(facts.signature->model == 85);
  CHECK(facts.signature->stepping == 6);
  CHECK(models.names(facts.features) == Names{"a", "c", "m"});
  data.leaves.back().ebx = 0x3;
  data.msrs.back().value = 2;
  facts = models.facts(data);
  CHECK(models.names(facts.features) == Names{"a", "c", "two-bits"});
  CHECK(models.facts(CpuidData{}).vendor.empty());
  CHECK(!models.facts(CpuidData{}).signature);
}

TEST_CASE("decoding_takes_the_model_of_the_signature_that_leaves_least_to_say") {
  const HostTree tree;
  const CpuModels models = small_map(tree);
  using Purpose = CpuModels::Purpose;
  const auto all = models.decode(models.facts(processor(0b1111)), Purpose::host).value();
  CHECK(all.model->name == "grown");
  CHECK(all.added.none());
  // A host has all of its model's features; a guest may lack some.
  const auto host = models.decode(models.facts(processor(0b0111)), Purpose::host).value();
  CHECK(host.model->name == "base");
  CHECK(models.names(host.added) == Names{"c"});
  const auto guest = models.decode(models.facts(processor(0b0110)), Purpose::guest).value();
  CHECK(guest.missing.count() + guest.added.count() == 2);
  CHECK(guest.model->vendor == "One");
  CHECK(models.decode(models.facts(processor(0b11111)), Purpose::host).value().model->name == "hidden");
  CHECK(models.decode(models.facts(processor(0b11111)), Purpose::guest).value().model->name == "grown");
}

TEST_CASE("decoding_uses_models_of_the_vendor_or_of_none") {
  const HostTree tree;
  const CpuModels models = small_map(tree);
  const auto other = models.decode(models.facts(processor(0b0011, "TwoTwoTwoTwo")), CpuModels::Purpose::host).value();
  CHECK(other.model->name == "old");
  const auto preferred = models.decode(models.facts(processor(0b1111)), CpuModels::Purpose::guest, "old").value();
  CHECK(preferred.model->name == "old");
  CHECK(models.names(preferred.added) == Names{"b", "c", "d"});
  const auto none = models.decode(models.facts(processor(0)), CpuModels::Purpose::host);
  REQUIRE(!none);
  CHECK(none.error().code == VIR_ERR_INTERNAL_ERROR);
}

TEST_CASE("broken_tsx_is_taken_away") {
  const auto models = CpuModels::load(HostPaths{}.cpu_map);
  REQUIRE(models);
  CpuidData data = processor(0, "GenuineIntel");
  data.leaves.push_back({7, 0, 0, 0x810, 0, 0});  // hle, rtm
  data.leaves[1].eax = 0x306f2;                   // model 63, stepping 2
  CHECK(models->facts(data).features.none());
  data.leaves[1].eax = 0x306f4;
  CHECK(models->names(models->facts(data).features) == Names{"hle", "rtm"});
}

TEST_CASE("broken_maps_are_refused_by_file_and_line") {
  const HostTree tree;
  CHECK(load_error(tree).find("libvirt0") != std::string::npos);
  const auto with = [&tree](const std::string& inside) {
    write_small_map(tree);
    tree.write("cpu_map/m.xml", "<cpus>\n" + inside + "</cpus>");
    return load_error(tree);
  };
  CHECK(with("<model name='x'><feature name='zz'/></model>").find("m.xml:2: model 'x' has feature 'zz'") !=
        std::string::npos);
  CHECK(with("<model name='x'><model name='y'/></model>").find("'y'") != std::string::npos);
  CHECK(with("<model name='x'/><model name='x'/>").find("defined twice") != std::string::npos);
  CHECK(with("<model/>").find("name") != std::string::npos);
  CHECK(with("<feature name='a'><cpuid eax_in='1' edx='1'/></feature>").find("defined twice") != std::string::npos);
  CHECK(with("<feature name='q'/>").find("no bits") != std::string::npos);
  CHECK(with("<feature name='q'><cpuid eax_in='1x'/></feature>").find("'1x'") != std::string::npos);
  CHECK(with("<model name='x'><signature family='6' model='1' stepping='a-3'/></model>").find("not a number") !=
        std::string::npos);
  CHECK(with("<model name='x'>").find("m.xml") != std::string::npos);
  write_small_map(tree);
  tree.write("cpu_map/index.xml", "<cpus><arch name='x86'><include filename='../f.xml'/></arch></cpus>");
  CHECK(load_error(tree).find("outside") != std::string::npos);
  tree.write("cpu_map/index.xml", "<!DOCTYPE cpus><cpus/>");
  CHECK(load_error(tree).find("document type") != std::string::npos);
  tree.write("cpu_map/index.xml", "<cpus/>");
  CHECK(load_error(tree).find("no x86 models") != std::string::npos);
}

TEST_CASE("processor_cpuid_tells_this_machines_vendor") {
  const auto models = CpuModels::load(HostPaths{}.cpu_map);
  REQUIRE(models);
  const auto data = processor_cpuid();
  REQUIRE(data);
  const CpuFacts facts = models->facts(*data);
  CHECK(facts.features[models->feature("lm").value()]);
  CHECK(facts.features[models->feature("fpu").value()]);
  CHECK(models->decode(facts, CpuModels::Purpose::host));
}

TEST_CASE("kvm_that_is_not_there_is_an_unsupported_configuration") {
  const HostTree tree;
  const CpuidSource source = kvm_cpuid(tree.paths());
  const auto data = source();
  REQUIRE(!data);
  CHECK(data.error().code == VIR_ERR_CONFIG_UNSUPPORTED);
  CHECK(data.error().detail.find(tree.paths().kvm) != std::string::npos);
}

}  // namespace lodge
