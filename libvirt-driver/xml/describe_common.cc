// What devices share, and the small character devices.
#include <fmt/core.h>

#include "libvirt-driver/xml/describe.h"

namespace lodge {
namespace {

enum class AddressType : uint8_t { pci, drive, virtio_serial, isa, usb, absent };
LODGE_XML_WORDS(AddressType, "ccid spapr-vio virtio-s390 ccw virtio-mmio dimm unassigned mdev", "pci", "drive",
                "virtio-serial", "isa", "usb", "");

DeviceAddress empty_address(AddressType type) {
  switch (type) {
    case AddressType::drive: return DriveAddress{};
    case AddressType::virtio_serial: return VirtioSerialAddress{};
    case AddressType::isa: return IsaAddress{};
    case AddressType::usb: return UsbAddress{};
    case AddressType::pci:
    case AddressType::absent: break;
  }
  return PciAddress{};
}

void fields(XmlFields& x, PciAddress& pci) {
  constexpr uint8_t kSlots = 32;
  constexpr uint8_t kFunctions = 8;
  x.hex("domain", pci.domain, 4);
  x.hex("bus", pci.bus, 2);
  x.hex("slot", pci.slot, 2);
  x.hex("function", pci.function, 1);
  x.attr("multifunction", pci.multifunction);
  if (pci.slot >= kSlots) {
    x.wrong("", fmt::format("Invalid PCI address {}. slot must be <= {}", to_string(pci), kSlots - 1));
  }
  if (pci.function >= kFunctions) {
    x.wrong("", fmt::format("Invalid PCI address {}. function must be <= {}", to_string(pci), kFunctions - 1));
  }
}

void fields(XmlFields& x, DriveAddress& drive) {
  x.attr("controller", drive.controller);
  x.attr("bus", drive.bus);
  x.attr("target", drive.target);
  x.attr("unit", drive.unit);
}

void fields(XmlFields& x, VirtioSerialAddress& serial) {
  x.attr("controller", serial.controller);
  x.attr("bus", serial.bus);
  x.attr("port", serial.port);
}

void fields(XmlFields& x, IsaAddress& isa) {
  for (auto [name, value] : {std::pair{"iobase", &isa.iobase}, std::pair{"irq", &isa.irq}}) {
    if (!x.reading() && *value) {
      x.hex(name, **value, 1);
    } else if (x.reading()) {
      x.attr(name, *value);
    }
  }
}

void fields(XmlFields& x, UsbAddress& usb) {
  x.attr("bus", usb.bus);
  x.attr("port", usb.port);
  if (usb.port.find_first_not_of("0123456789.") != std::string::npos) {
    x.wrong("@port", fmt::format("'{}' is no path of ports such as 1.2", usb.port));
  }
}

}  // namespace

std::string to_string(const PciAddress& address) {
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", address.domain, address.bus, address.slot, address.function);
}

void describe_alias(XmlFields& x, DeviceInfo& info) {
  x.element("alias", [&] { x.attr("name", info.alias); });
}

void describe_boot(XmlFields& x, DeviceInfo& info) {
  x.element("boot", [&] {
    x.attr("order", info.boot_order);
    if (x.reading() && info.boot_order.value_or(0) == 0) {
      x.wrong("@order", "must be a number from 1");
    }
  });
}

void describe_address(XmlFields& x, DeviceInfo& info) {
  x.optional("address", info.address, [&](DeviceAddress& address) {
    AddressType type = x.reading() ? AddressType::absent : static_cast<AddressType>(address.index());
    x.attr("type", type);
    if (x.reading() && type == AddressType::absent) {
      x.wrong("@type", "is missing");
    }
    if (x.reading()) {
      address = empty_address(type);
    }
    std::visit([&](auto& value) { fields(x, value); }, address);
  });
  // All zero is the host bridge: libvirt takes it as "choose one".
  const auto* pci = info.address ? std::get_if<PciAddress>(&*info.address) : nullptr;
  if (pci != nullptr && pci->domain == 0 && pci->bus == 0 && pci->slot == 0 && pci->function == 0) {
    info.address.reset();
  }
}

void describe_virtio(XmlFields& x, VirtioOptions& options) {
  x.attr("iommu", options.iommu);
  x.attr("ats", options.ats);
  x.attr("packed", options.packed);
  x.attr("page_per_vq", options.page_per_vq);
}

void describe_source(XmlFields& x, CharSource& source) {
  const bool is_socket = source.type == CharType::unix_socket || source.type == CharType::tcp;
  x.element("source", [&] {
    if (is_socket) {
      x.attr("mode", source.mode);
    }
    if (source.type == CharType::tcp) {
      x.attr("host", source.host);
      x.attr("service", source.service);
    } else if (source.type != CharType::null) {
      x.attr("path", source.path);
    }
    if (source.type == CharType::file) {
      x.attr("append", source.append);
    }
    if (is_socket) {
      x.element("reconnect", [&] {
        x.attr("enabled", source.reconnect);
        x.attr("timeout", source.reconnect_seconds);
      });
    }
  });
  if (source.type == CharType::tcp) {
    x.element("protocol", [&] { x.attr("type", source.protocol); });
  }
  x.element("log", [&] {
    x.attr("file", source.log_file);
    x.attr("append", source.log_append);
  });
}

void describe(XmlFields& x, DomainSerial& serial) {
  x.attr("type", serial.source.type);
  describe_source(x, serial.source);
  x.element("target", [&] {
    x.attr("type", serial.target);
    x.attr("port", serial.port);
    x.element("model", [&] { x.attr("name", serial.model); });
  });
  describe_info(x, serial);
}

void describe(XmlFields& x, DomainParallel& parallel) {
  x.attr("type", parallel.source.type);
  describe_source(x, parallel.source);
  x.element("target", [&] { x.attr("port", parallel.port); });
  describe_info(x, parallel);
}

void describe(XmlFields& x, DomainConsole& console) {
  x.attr("type", console.source.type);
  if (console.source.type == CharType::pty) {
    x.attr("tty", console.source.path);  // the same path as in <source>
  }
  describe_source(x, console.source);
  x.element("target", [&] {
    x.attr("type", console.target);
    x.attr("port", console.port);
  });
  describe_info(x, console);
}

void describe(XmlFields& x, DomainChannel& channel) {
  x.attr("type", channel.source.type);
  describe_source(x, channel.source);
  x.element("target", [&] {
    x.attr("type", channel.target);
    x.attr("name", channel.name);
    x.attr("state", channel.state);
  });
  describe_info(x, channel);
}

}  // namespace lodge
