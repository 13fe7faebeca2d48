#include "libvirt-driver/domains/input_json.h"

#include <array>

#include "libvirt-driver/domains/device_json.h"
#include "libvirt-driver/xml/describe.h"

namespace lodge {

Answer<std::string_view> ring_of(const VirtioOptions& options, std::string_view path) {
  const std::array refused{std::pair{std::string_view("iommu"), options.iommu},
                           std::pair{std::string_view("ats"), options.ats},
                           std::pair{std::string_view("page_per_vq"), options.page_per_vq}};
  for (const auto& [name, value] : refused) {
    if (value == OnOff::on) {
      return unsupported(fmt::format("{}/driver/@{}", path, name), "this version of Lodge has no such mode; leave it out");
    }
  }
  return options.packed == OnOff::on ? "packed" : "split";
}

Answer<Json> input_json(const DomainInput& input) {
  constexpr std::string_view kPath = "/domain/devices/input";
  if (!input.model.empty() && input.model != "virtio" && input.model != "virtio-non-transitional") {
    return unsupported(fmt::format("{}/@model", kPath),
                       fmt::format("virtio input devices are modern ones, not '{}'; use 'virtio'", input.model));
  }
  Json json{{"id", input.alias}, {"kind", xml_word(input.type)}, {"ring", TRY(ring_of(input.virtio, kPath))}};
  add_slot(json, input);
  return json;
}

Answer<void> add_inputs(Json& machine, const DomainConfig& config) {
  Json inputs = Json::array();
  for (const DomainInput& input : config.devices.inputs) {
    if (input.bus == InputBus::virtio) {
      inputs.push_back(TRY(input_json(input)));
    }
  }
  if (!inputs.empty()) {
    machine["inputs"] = inputs;
  }
  return {};
}

}  // namespace lodge
