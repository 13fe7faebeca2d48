// Controllers, displays, and the small devices.
#include <fmt/core.h>

#include <type_traits>

#include "libvirt-driver/xml/describe.h"

namespace lodge {
namespace {

enum class AudioType : uint8_t { none };
LODGE_XML_WORDS(AudioType, "alsa coreaudio jack oss pulseaudio sdl spice file dbus", "none");

void one_listen(XmlFields& x, GraphicsListen& listen) {
  x.attr("type", listen.type);
  switch (listen.type) {
    case ListenType::address: x.attr("address", listen.address); break;
    case ListenType::network:
      x.attr("address", listen.address);
      x.attr("network", listen.network);
      break;
    case ListenType::socket: x.attr("socket", listen.socket); break;
    case ListenType::none: break;
  }
}

// The attributes of <graphics> that repeat its first <listen>, as libvirt writes them for old readers.
struct FirstListen {
  std::string listen;
  std::string socket;
};

void read_listens(XmlFields& x, DomainGraphics& graphics, const FirstListen& first) {
  x.list("listen", graphics.listens, [&](GraphicsListen& listen) { one_listen(x, listen); });
  if (!graphics.listens.empty()) {
    const GraphicsListen& element = graphics.listens.front();
    if (!first.listen.empty() && element.type == ListenType::address && first.listen != element.address) {
      x.wrong("@listen",
              fmt::format("'{}' must match the address '{}' of the first <listen>", first.listen, element.address));
    }
  } else {
    GraphicsListen& listen = graphics.listens.emplace_back();
    listen.type = first.socket.empty() ? ListenType::address : ListenType::socket;
    listen.address = first.socket.empty() ? first.listen : "";
    listen.socket = first.socket;
  }
}

void ports(XmlFields& x, DomainGraphics& graphics) {
  x.attr("port", graphics.port);
  if (graphics.type == GraphicsType::spice) {
    x.attr("tlsPort", graphics.tls_port);
  }
  x.attr("autoport", graphics.autoport);
  if (graphics.type == GraphicsType::vnc) {
    x.attr("websocket", graphics.websocket);
  }
  for (const auto& port : {graphics.port, graphics.tls_port, graphics.websocket}) {
    if (port && (*port < -1 || *port > 65535)) {
      x.wrong("", fmt::format("port {} is not from -1 to 65535", *port));
    }
  }
}

// A port that is not given is chosen at the start; libvirt tells spice's by autoport alone.
void complete_ports(DomainGraphics& graphics) {
  if (graphics.type == GraphicsType::spice && graphics.port.value_or(-1) == -1 && graphics.tls_port.value_or(-1) == -1) {
    graphics.port.reset();
    graphics.tls_port.reset();
    graphics.autoport = graphics.autoport == YesNo::absent ? YesNo::yes : graphics.autoport;
  } else if (graphics.port.value_or(0) <= 0 && graphics.listens.front().type != ListenType::socket) {
    graphics.port = -1;
    graphics.autoport = graphics.autoport == YesNo::absent ? YesNo::yes : graphics.autoport;
  } else if (graphics.port) {
    graphics.autoport = graphics.autoport == YesNo::absent ? YesNo::no : graphics.autoport;
  }
}

}  // namespace

void describe(XmlFields& x, DomainController& controller) {
  x.attr("type", controller.type);
  x.attr("index", controller.index);
  x.attr("model", controller.model);
  x.attr("ports", controller.ports);
  x.attr("vectors", controller.vectors);
  if (controller.type == ControllerType::pci) {
    x.element("model", [&] { x.attr("name", controller.model_name); });
    x.element("target", [&] {
      x.attr("chassisNr", controller.target.chassis_nr);
      x.attr("chassis", controller.target.chassis);
      if (x.reading()) {
        x.attr("port", controller.target.port);
      } else if (controller.target.port) {
        x.hex("port", *controller.target.port, 1);
      }
      x.attr("busNr", controller.target.bus_nr);
      x.attr("index", controller.target.index);
      x.attr("hotplug", controller.target.hotplug);
    });
  }
  x.element("driver", [&] {
    x.attr("queues", controller.queues);
    x.attr("cmd_per_lun", controller.cmd_per_lun);
    x.attr("max_sectors", controller.max_sectors);
    x.attr("ioeventfd", controller.ioeventfd);
    x.attr("iothread", controller.iothread);
    describe_virtio(x, controller.virtio);
  });
  describe_info(x, controller);
  if (controller.type == ControllerType::pci) {
    x.size_kib("pcihole64", controller.pcihole64_kib);
  }
}

void describe(XmlFields& x, DomainInput& input) {
  x.attr("type", input.type);
  x.attr("bus", input.bus);
  x.attr("model", input.model);
  x.element("driver", [&] { describe_virtio(x, input.virtio); });
  describe_info(x, input);
}

void describe(XmlFields& x, DomainGraphics& graphics) {
  x.attr("type", graphics.type);
  if (graphics.type == GraphicsType::egl_headless) {
    x.element("gl", [&] { x.attr("rendernode", graphics.render_node); });
    describe_alias(x, graphics);
    return;
  }
  FirstListen first;
  if (!x.reading() && !graphics.listens.empty()) {
    first = {.listen = graphics.listens.front().address, .socket = graphics.listens.front().socket};
  }
  if (x.reading() || first.socket.empty()) {
    ports(x, graphics);
    x.attr("listen", first.listen);
  }
  if (graphics.type == GraphicsType::vnc) {
    x.attr("socket", first.socket);
  }
  x.attr("keymap", graphics.keymap);
  if (graphics.type == GraphicsType::vnc) {
    x.attr("sharePolicy", graphics.share_policy);
    x.attr("powerControl", graphics.power_control);
  }
  x.empty_attr("passwd", graphics.no_login);
  x.attr("passwd", graphics.password);
  x.attr("passwdValidTo", graphics.password_valid_to);
  x.attr("connected", graphics.connected);
  if (x.reading()) {
    read_listens(x, graphics, first);
    complete_ports(graphics);
  } else {
    x.list("listen", graphics.listens, [&](GraphicsListen& listen) { one_listen(x, listen); });
  }
  x.element("audio", [&] { x.attr("id", graphics.audio); });
  if (graphics.type == GraphicsType::spice) {
    x.element("image", [&] { x.attr("compression", graphics.image_compression); });
    x.element("gl", [&] {
      x.attr("enable", graphics.gl);
      x.attr("rendernode", graphics.render_node);
    });
  }
  describe_alias(x, graphics);
}

void describe(XmlFields& x, DomainAudio& audio) {
  AudioType type = AudioType::none;
  x.attr("id", audio.id);
  x.attr("type", type);
}

void describe(XmlFields& x, DomainVideo& video) {
  x.element("driver", [&] { describe_virtio(x, video.virtio); });
  x.element("model", [&] {
    x.attr("type", video.model);
    x.attr("ram", video.ram_kib);
    x.attr("vram", video.vram_kib);
    x.attr("vram64", video.vram64_kib);
    x.attr("vgamem", video.vgamem_kib);
    x.attr("heads", video.heads);
    x.attr("primary", video.primary);
    x.attr("blob", video.blob);
    x.element("acceleration", [&] {
      x.attr("accel3d", video.accel3d);
      x.attr("accel2d", video.accel2d);
    });
    x.element("resolution", [&] {
      x.attr("x", video.resolution_x);
      x.attr("y", video.resolution_y);
    });
  });
  describe_info(x, video);
}

void describe(XmlFields& x, DomainWatchdog& watchdog) {
  x.attr("model", watchdog.model);
  x.attr("action", watchdog.action);
  describe_info(x, watchdog);
}

void describe(XmlFields& x, DomainBalloon& balloon) {
  x.attr("model", balloon.model);
  x.attr("autodeflate", balloon.autodeflate);
  x.attr("freePageReporting", balloon.free_page_reporting);
  x.element("stats", [&] { x.attr("period", balloon.stats_period); });
  describe_info(x, balloon);
  x.element("driver", [&] { describe_virtio(x, balloon.virtio); });
}

void describe(XmlFields& x, DomainRng& rng) {
  x.attr("model", rng.model);
  x.element("rate", [&] {
    x.attr("bytes", rng.rate_bytes);
    x.attr("period", rng.rate_period_ms);
  });
  std::optional<bool> given(true);
  x.optional("backend", given, [&](bool&) {
    x.attr("model", rng.backend);
    if (rng.backend == RngBackend::random) {
      x.text(rng.path);
    } else if (rng.backend == RngBackend::egd) {
      x.attr("type", rng.source.type);
      describe_source(x, rng.source);
    }
  });
  x.element("driver", [&] { describe_virtio(x, rng.virtio); });
  describe_info(x, rng);
}

void describe(XmlFields& x, DomainPanic& panic) {
  x.attr("model", panic.model);
  describe_info(x, panic);
}

void describe(XmlFields& x, DomainVsock& vsock) {
  x.attr("model", vsock.model);
  x.element("cid", [&] {
    x.attr("auto", vsock.auto_cid);
    x.attr("address", vsock.cid);
  });
  describe_info(x, vsock);
  x.element("driver", [&] { describe_virtio(x, vsock.virtio); });
}

void describe(XmlFields& x, DomainFilesystem& filesystem) {
  x.attr("type", filesystem.type);
  x.attr("accessmode", filesystem.access);
  x.element("driver", [&] {
    x.attr("type", filesystem.driver);
    x.attr("queue", filesystem.queue_size);
    describe_virtio(x, filesystem.virtio);
  });
  x.element("binary", [&] {
    DomainFilesystem::Binary& binary = filesystem.binary;
    x.attr("path", binary.path);
    x.attr("xattr", binary.xattr);
    x.element("cache", [&] { x.attr("mode", binary.cache); });
    x.element("sandbox", [&] { x.attr("mode", binary.sandbox); });
    x.element("lock", [&] {
      x.attr("posix", binary.posix_lock);
      x.attr("flock", binary.flock);
    });
    x.element("thread_pool", [&] { x.attr("size", binary.threads); });
    x.element("openfiles", [&] { x.attr("max", binary.open_files); });
  });
  x.element("source", [&] {
    x.attr("dir", filesystem.folder);
    x.attr("socket", filesystem.socket);
  });
  x.element("target", [&] { x.attr("dir", filesystem.tag); });
  x.flag("readonly", filesystem.readonly);
  describe_info(x, filesystem);
}

void describe(XmlFields& x, DomainDevices& devices) {
  const auto each = [&x](const char* name, auto& list) { x.list(name, list, [&x](auto& device) { describe(x, device); }); };
  x.child("emulator", devices.emulator);
  each("disk", devices.disks);
  each("controller", devices.controllers);
  each("filesystem", devices.filesystems);
  each("interface", devices.interfaces);
  each("serial", devices.serials);
  each("parallel", devices.parallels);
  each("console", devices.consoles);
  each("channel", devices.channels);
  each("input", devices.inputs);
  each("graphics", devices.graphics);
  each("audio", devices.audios);
  each("video", devices.videos);
  each("watchdog", devices.watchdogs);
  x.optional("memballoon", devices.memballoon, [&x](DomainBalloon& balloon) { describe(x, balloon); });
  each("rng", devices.rngs);
  each("panic", devices.panics);
  each("vsock", devices.vsocks);
}

std::string_view element_of(const Device& device) {
  constexpr auto kNames = std::to_array<std::string_view>({"disk", "controller", "interface", "serial", "parallel",
                                                           "console", "channel", "input", "graphics", "audio", "video",
                                                           "watchdog", "memballoon", "rng", "panic", "vsock", "filesystem"});
  static_assert(kNames.size() == std::variant_size_v<Device>);
  return kNames[device.index()];
}

}  // namespace lodge
