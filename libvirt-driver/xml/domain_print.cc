#include "libvirt-driver/xml/domain_print.h"

#include <type_traits>

#include "libvirt-driver/xml/describe.h"
#include "libvirt-driver/xml/each_device.h"

namespace lodge {
namespace {

void drop(CharSource& source) {
  if (source.type == CharType::pty) {
    source.path.clear();
  }
}

template <class T>
void drop_chosen(T& device) {
  if constexpr (requires { device.source.type = CharType::pty; }) {
    drop(device.source);
  }
  if constexpr (std::is_same_v<T, DomainDisk>) {
    device.source.index.reset();
    for (BackingImage& image : device.backing) {
      image.source.index.reset();
    }
  } else if constexpr (std::is_same_v<T, DomainInterface>) {
    for (const char* chosen : {"vnet", "vif", "macvtap", "macvlan"}) {
      if (device.target.starts_with(chosen)) {
        device.target.clear();
        break;
      }
    }
    if (device.type == InterfaceType::network) {
      device.source.portid = {};
      device.source.bridge.clear();
    }
  } else if constexpr (std::is_same_v<T, DomainChannel>) {
    device.state = ChannelState::absent;
    if (device.source.type == CharType::unix_socket && is_chosen_socket(device.source.path)) {
      device.source.path.clear();
      device.source.mode = SocketMode::absent;
    }
  } else if constexpr (std::is_same_v<T, DomainVsock>) {
    if (device.auto_cid == YesNo::yes) {
      device.cid.reset();
    }
  } else if constexpr (std::is_same_v<T, DomainGraphics>) {
    if (device.autoport == YesNo::yes && device.type == GraphicsType::spice) {
      device.port.reset();
      device.tls_port.reset();
    } else if (device.autoport == YesNo::yes && device.port) {
      device.port = -1;
    }
    if (device.websocket_chosen) {
      device.websocket = -1;
      device.websocket_chosen = false;
    }
    for (GraphicsListen& listen : device.listens) {
      if (listen.type == ListenType::network) {
        listen.address.clear();
      }
      if (listen.type == ListenType::socket && is_chosen_socket(listen.socket)) {
        listen.socket.clear();
      }
    }
  }
}

template <class T>
void drop_alias(T& device) {
  if constexpr (std::is_base_of_v<DeviceInfo, T>) {
    if (!device.alias.starts_with("ua-")) {
      device.alias.clear();
    }
  }
}

template <class T>
void drop_secrets(T& device) {
  if constexpr (std::is_same_v<T, DomainGraphics>) {
    device.password.clear();
    device.no_login = false;
  }
}

template <class T>
void prepare(T& device, PrintOptions options) {
  if (!options.live) {
    drop_alias(device);
  }
  if (!options.live || options.migratable) {
    drop_chosen(device);
  }
  if (!options.secure && !options.migratable) {
    drop_secrets(device);
  }
}

}  // namespace

bool is_chosen_socket(std::string_view path) {
  return path.starts_with("/run/") && path.find("/libvirt/lodge/") != std::string_view::npos;
}

void drop_live(DomainConfig& config) {
  config.id = -1;
  each_device(config.devices, [](auto& device) {
    drop_alias(device);
    drop_chosen(device);
  });
}

void drop_live(Device& device) {
  std::visit(
      [](auto& value) {
        drop_alias(value);
        drop_chosen(value);
      },
      device);
}

std::string print_domain(const DomainConfig& config, PrintOptions options) {
  DomainConfig copy = config;
  if (!options.live) {
    copy.id = -1;
  }
  each_device(copy.devices, [options](auto& device) { prepare(device, options); });
  XmlWriter writer;
  writer.begin("domain");
  XmlFields fields(writer);
  describe(fields, copy);
  writer.end();
  return writer.str();
}

std::string print_device(const Device& device, PrintOptions options) {
  Device copy = device;
  XmlWriter writer;
  writer.begin(element_of(copy));
  XmlFields fields(writer);
  std::visit(
      [&](auto& value) {
        prepare(value, options);
        describe(fields, value);
      },
      copy);
  writer.end();
  return writer.str();
}

}  // namespace lodge
