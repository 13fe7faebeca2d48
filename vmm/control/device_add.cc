#include "vmm/control/device_add.h"

#include <algorithm>
#include <array>

#include "vmm/config/json.h"
#include "vmm/control/command_call.h"

namespace lodge {
namespace {

void put(JsonWriter& writer, const ArgumentValue& value) {
  struct Visitor {
    JsonWriter& writer;
    void operator()(std::monostate) const { writer.raw("null"); }
    void operator()(bool v) const { writer.flag(v); }
    void operator()(int64_t v) const { writer.signed_number(v); }
    void operator()(uint64_t v) const { writer.number(v); }
    void operator()(double v) const { writer.raw(fmt::format("{:.1f}", v)); }  // no setting is one: it will be refused
    void operator()(const std::string& v) const { writer.text(v); }
    void operator()(const JsonText& v) const { writer.raw(v.text); }
  };
  std::visit(Visitor{writer}, value);
}

// What is not ours to look at, as the JSON object of the configuration.
std::string settings_of(const Arguments& arguments) {
  JsonWriter writer;
  writer.begin_object();
  for (const auto& [name, value] : arguments) {
    if (name != "driver" && name != "fd" && name != "fds" && name != "vhost_fds") {
      put(writer.key(name), value);
    }
  }
  return writer.end_object().take();
}

// The names under `argument`: one text or a list of them.
Result<std::vector<std::string>> names(const Arguments& arguments, std::string_view argument) {
  const auto it = arguments.find(argument);
  if (it == arguments.end()) {
    return std::vector<std::string>();
  }
  if (const auto* one = std::get_if<std::string>(&it->second)) {
    return std::vector<std::string>{*one};
  }
  if (auto list = text_list(it->second)) {
    return std::move(*list);
  }
  return fail("device_add: argument '{}' is not the name of a descriptor (or a list of them) that getfd passed", argument);
}

Result<std::vector<Fd>> take(CommandCall& call, const std::vector<std::string>& names) {
  std::vector<Fd> descriptors;
  descriptors.reserve(names.size());
  for (const std::string& name : names) {
    descriptors.push_back(TRY(call.context.descriptors.take(name)));
  }
  return descriptors;
}

// Settings first: a mistake in them costs no descriptor.
Result<void> add_disk(CommandCall& call, std::string_view bus) {
  DiskSettings disk = TRY(disk_from_json(settings_of(call.arguments)));
  if (call.arguments.contains("bus") && disk.bus != bus) {
    return fail("device_add: driver and bus are two different disks; this driver's is bus={}, leave it out", bus);
  }
  disk.bus = bus;
  const auto image = TRY(names(call.arguments, "fd"));
  if (image.size() > 1 || call.arguments.contains("fds") || call.arguments.contains("vhost_fds")) {
    return fail("device_add: a disk has one descriptor, fd");
  }
  std::vector<Fd> descriptors = TRY(take(call, image));
  call.target().add_disk(std::move(disk), descriptors.empty() ? Fd() : std::move(descriptors.front()), call.done());
  return {};
}

Result<void> add_net(CommandCall& call, NetModel model) {
  NetSettings net = TRY(net_from_json(settings_of(call.arguments)));
  if (call.arguments.contains("model") && net.model != model) {
    return fail("device_add: driver and model are two different cards; leave the model out");
  }
  net.model = model;
  if (call.arguments.contains("fd")) {
    return fail("device_add: a NIC's descriptors are fds, a list");
  }
  const auto tap_names = TRY(names(call.arguments, "fds"));
  const auto vhost_names = TRY(names(call.arguments, "vhost_fds"));
  std::vector<Fd> taps = TRY(take(call, tap_names));
  std::vector<Fd> vhosts = TRY(take(call, vhost_names));
  call.target().add_net(std::move(net), std::move(taps), std::move(vhosts), call.done());
  return {};
}

// Keyboards, mice and tablets: the driver says which.
Result<void> check_kind(const CommandCall& call, InputKind given, InputKind kind) {
  if (call.arguments.contains("kind") && given != kind) {
    return fail("device_add: driver and kind are two different devices; leave the kind out");
  }
  if (call.arguments.contains("fd") || call.arguments.contains("fds") || call.arguments.contains("vhost_fds")) {
    return fail("device_add: an input device has no descriptors");
  }
  return {};
}

Result<void> add_input(CommandCall& call, InputKind kind) {
  InputSettings input = TRY(input_from_json(settings_of(call.arguments)));
  TRY_VOID(check_kind(call, input.kind, kind));
  input.kind = kind;
  call.target().add_input(std::move(input), call.done());
  return {};
}

Result<void> add_usb_input(CommandCall& call, InputKind kind) {
  UsbDeviceSettings device = TRY(usb_device_from_json(settings_of(call.arguments)));
  TRY_VOID(check_kind(call, device.kind, kind));
  device.kind = kind;
  call.target().add_usb_device(std::move(device), call.done());
  return {};
}

constexpr std::array kInputs{
    std::pair{std::string_view("virtio-keyboard"), InputKind::keyboard},
    std::pair{std::string_view("virtio-mouse"), InputKind::mouse},
    std::pair{std::string_view("virtio-tablet"), InputKind::tablet},
};
constexpr std::array kUsbInputs{
    std::pair{std::string_view("usb-keyboard"), InputKind::keyboard},
    std::pair{std::string_view("usb-mouse"), InputKind::mouse},
    std::pair{std::string_view("usb-tablet"), InputKind::tablet},
};
constexpr std::array kDisks{
    std::pair{std::string_view("virtio-blk"), std::string_view("virtio")},
    std::pair{std::string_view("usb-storage"), std::string_view("usb")},
};
constexpr std::array kCards{
    std::pair{std::string_view("virtio-net"), NetModel::virtio},
    std::pair{std::string_view("e1000"), NetModel::e1000},
    std::pair{std::string_view("rtl8139"), NetModel::rtl8139},
};

}  // namespace

void device_add(CommandCall& call) {
  const std::string driver = call.text("driver");
  const auto is_driver = [&driver](const auto& known) { return known.first == driver; };
  Result<void> outcome;
  if (const auto* const disk = std::ranges::find_if(kDisks, is_driver); disk != kDisks.end()) {
    outcome = add_disk(call, disk->second);
  } else if (const auto* const card = std::ranges::find_if(kCards, is_driver); card != kCards.end()) {
    outcome = add_net(call, card->second);
  } else if (const auto* const input = std::ranges::find_if(kInputs, is_driver); input != kInputs.end()) {
    outcome = add_input(call, input->second);
  } else if (const auto* const usb = std::ranges::find_if(kUsbInputs, is_driver); usb != kUsbInputs.end()) {
    outcome = add_usb_input(call, usb->second);
  } else {
    outcome = fail(
        "device_add: there is no driver '{}'; use virtio-blk, usb-storage, virtio-net, e1000, rtl8139, or keyboard, mouse "
        "or tablet with virtio- or usb- before it",
        driver);
  }
  if (!outcome) {
    call.finish(outcome);
  }
}

}  // namespace lodge
