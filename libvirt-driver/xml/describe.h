// The one description of a domain's XML, for reading and printing alike: each function names the fields of an element in
// libvirt's order of printing. For domain_parse.cc and domain_print.cc.
#pragma once

#include "libvirt-driver/xml/domain_config.h"
#include "libvirt-driver/xml/xml_fields.h"

namespace lodge {

void describe(XmlFields& x, DomainConfig& config);
void describe(XmlFields& x, DomainDevices& devices);
void describe(XmlFields& x, OsConfig& os);
void describe(XmlFields& x, Features& features);
void describe(XmlFields& x, CpuConfig& cpu);
void describe(XmlFields& x, Clock& clock);

void describe(XmlFields& x, DomainDisk& disk);
void describe(XmlFields& x, DomainController& controller);
void describe(XmlFields& x, DomainInterface& interface);
void describe(XmlFields& x, DomainSerial& serial);
void describe(XmlFields& x, DomainParallel& parallel);
void describe(XmlFields& x, DomainConsole& console);
void describe(XmlFields& x, DomainChannel& channel);
void describe(XmlFields& x, DomainInput& input);
void describe(XmlFields& x, DomainGraphics& graphics);
void describe(XmlFields& x, DomainAudio& audio);
void describe(XmlFields& x, DomainVideo& video);
void describe(XmlFields& x, DomainWatchdog& watchdog);
void describe(XmlFields& x, DomainBalloon& balloon);
void describe(XmlFields& x, DomainRng& rng);
void describe(XmlFields& x, DomainPanic& panic);
void describe(XmlFields& x, DomainVsock& vsock);
void describe(XmlFields& x, DomainFilesystem& filesystem);

// Parts that devices share.
void describe_alias(XmlFields& x, DeviceInfo& info);
void describe_address(XmlFields& x, DeviceInfo& info);
void describe_boot(XmlFields& x, DeviceInfo& info);
inline void describe_info(XmlFields& x, DeviceInfo& info) {
  describe_alias(x, info);
  describe_address(x, info);
}
void describe_virtio(XmlFields& x, VirtioOptions& options);  // attributes of <driver>
void describe_source(XmlFields& x, CharSource& source);      // <source>, <protocol>, <log>; the type is an attribute before

// The element that stands for a device: "disk".
[[nodiscard]] std::string_view element_of(const Device& device);

}  // namespace lodge
