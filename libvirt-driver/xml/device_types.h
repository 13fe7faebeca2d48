// What devices of a domain have in common: aliases, addresses, virtio options, character device sources.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "libvirt-driver/xml/xml_values.h"

namespace lodge {

struct PciAddress {
  uint16_t domain = 0;
  uint8_t bus = 0;
  uint8_t slot = 0;
  uint8_t function = 0;
  OnOff multifunction = OnOff::absent;
  friend bool operator==(const PciAddress&, const PciAddress&) = default;
};
struct DriveAddress {
  uint32_t controller = 0;
  uint32_t bus = 0;
  uint32_t target = 0;
  uint32_t unit = 0;
  friend bool operator==(const DriveAddress&, const DriveAddress&) = default;
};
struct VirtioSerialAddress {
  uint32_t controller = 0;
  uint32_t bus = 0;
  std::optional<uint32_t> port;  // none: the next free one
  friend bool operator==(const VirtioSerialAddress&, const VirtioSerialAddress&) = default;
};
struct IsaAddress {
  std::optional<uint32_t> iobase;
  std::optional<uint32_t> irq;
  friend bool operator==(const IsaAddress&, const IsaAddress&) = default;
};
struct UsbAddress {
  uint32_t bus = 0;
  std::string port;  // "1.2"; "": the next free one
  friend bool operator==(const UsbAddress&, const UsbAddress&) = default;
};
using DeviceAddress = std::variant<PciAddress, DriveAddress, VirtioSerialAddress, IsaAddress, UsbAddress>;

struct DeviceInfo {
  std::string alias;                     // "" = none; of the user's own choice if it begins with "ua-"
  std::optional<DeviceAddress> address;  // none: to be chosen
  std::optional<uint32_t> boot_order;    // from 1
  friend bool operator==(const DeviceInfo&, const DeviceInfo&) = default;
};

// "0000:00:05.0"
[[nodiscard]] std::string to_string(const PciAddress& address);

struct VirtioOptions {
  OnOff iommu = OnOff::absent;
  OnOff ats = OnOff::absent;
  OnOff packed = OnOff::absent;
  OnOff page_per_vq = OnOff::absent;
  friend bool operator==(const VirtioOptions&, const VirtioOptions&) = default;
};

enum class CharType : uint8_t { pty, file, unix_socket, tcp, null, dev };
LODGE_XML_WORDS(CharType, "vc stdio pipe udp spicevmc spiceport nmdm qemu-vdagent dbus", "pty", "file", "unix", "tcp",
                "null", "dev");
enum class SocketMode : uint8_t { absent, connect, bind };
LODGE_XML_WORDS(SocketMode, "server client", "", "connect", "bind");
enum class CharProtocol : uint8_t { absent, raw, telnet };
LODGE_XML_WORDS(CharProtocol, "telnets tls", "", "raw", "telnet");

// Where the bytes of a character device go.
struct CharSource {
  CharType type = CharType::pty;
  std::string path;              // pty (live only), file, unix, dev
  OnOff append = OnOff::absent;  // file
  SocketMode mode = SocketMode::absent;
  std::string host;  // tcp
  std::string service;
  CharProtocol protocol = CharProtocol::absent;
  YesNo reconnect = YesNo::absent;
  std::optional<uint32_t> reconnect_seconds;
  std::string log_file;
  OnOff log_append = OnOff::absent;
  friend bool operator==(const CharSource&, const CharSource&) = default;
};

}  // namespace lodge
