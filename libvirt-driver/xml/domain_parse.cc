#include "libvirt-driver/xml/domain_parse.h"

#include "libvirt-driver/xml/describe.h"
#include "libvirt-driver/xml/domain_print.h"

namespace lodge {
namespace {

// Devices of libvirt that Lodge has not.
constexpr std::string_view kOtherDevices =
    "hostdev sound redirdev redirfilter hub smartcard tpm iommu shmem memory lease nvram crypto "
    "pstore emulator";

template <size_t kIndex = 0>
bool choose(std::string_view element, Device& device) {
  if constexpr (kIndex == std::variant_size_v<Device>) {
    return false;
  } else {
    device.emplace<kIndex>();
    return element_of(device) == element || choose<kIndex + 1>(element, device);
  }
}

}  // namespace

Answer<DomainConfig> parse_domain(std::string_view xml, ParseOptions options) {
  const XmlDocument document = TRY(XmlDocument::parse(xml, "(domain_definition)", "domain"));
  DomainConfig config;
  XmlFields fields(document.root());
  describe(fields, config);
  TRY_VOID(fields.finish());
  if (!options.live) {
    drop_live(config);
  }
  return config;
}

Answer<Device> parse_device(std::string_view xml, ParseOptions options) {
  const XmlDocument document = TRY(XmlDocument::parse(xml, "(device_definition)"));
  const std::string name = document.root().name();
  Device device;
  if (!choose(name, device)) {
    if (has_word(kOtherDevices, name)) {
      return call_error(VIR_ERR_CONFIG_UNSUPPORTED, "devices of type '{}' are not offered", name);
    }
    return call_error(VIR_ERR_XML_ERROR, "unknown device type '{}'", name);
  }
  XmlFields fields(document.root());
  std::visit([&](auto& value) { describe(fields, value); }, device);
  TRY_VOID(fields.finish());
  if (!options.live) {
    drop_live(device);
  }
  return device;
}

}  // namespace lodge
