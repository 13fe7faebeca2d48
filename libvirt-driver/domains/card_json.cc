#include "libvirt-driver/domains/card_json.h"

#include <fmt/ranges.h>

#include "libvirt-driver/domains/device_json.h"

namespace lodge {
namespace {

// What virtio has and cards of real machines have not.
Answer<void> refuse_virtio_options(const DomainInterface& interface, const std::string& path) {
  const InterfaceDriver& driver = interface.driver;
  const auto wants_virtio = [&](std::string_view attribute, std::string_view what) {
    return unsupported(fmt::format("{}/driver/@{}", path, attribute),
                       fmt::format("{} for model 'virtio' only, not '{}'", what, interface.model));
  };
  if (driver.name == NetDriver::vhost) {
    return wants_virtio("name", "vhost is");
  }
  if (driver.queues.value_or(1) > 1) {
    return wants_virtio("queues", "several queues are");
  }
  if (driver.virtio.packed == OnOff::on) {
    return wants_virtio("packed", "packed rings are");
  }
  return {};
}

}  // namespace

Answer<const offered::Card*> card_of(const DomainInterface& interface, std::string_view path) {
  const offered::Card* const card = offered::card(interface.model);
  const std::string here(path);
  if (card == nullptr) {
    std::vector<std::string> names;
    names.reserve(offered::kCards.size());
    for (const offered::Card& known : offered::kCards) {
      names.push_back(fmt::format("'{}'", known.model));
    }
    return unsupported(here + "/model/@type",
                       fmt::format("this version of Lodge has {}, not '{}'", fmt::join(names, ", "), interface.model));
  }
  if (!card->virtio) {
    TRY_VOID(refuse_virtio_options(interface, here));
  }
  if (interface.rom_bar == OnOff::on) {
    return unsupported(here + "/rom/@bar",
                       "a BIOS is given option ROMs by fw_cfg, not in a BAR; leave it out, or use 'off'");
  }
  return card;
}

std::string option_rom(const DomainInterface& interface) {
  if (interface.rom_enabled == YesNo::no) {
    return "";
  }
  if (!interface.rom_file.empty()) {
    return interface.rom_file;
  }
  const offered::Card* const card = offered::card(interface.model);
  return card != nullptr ? std::string(card->rom) : "";
}

}  // namespace lodge
