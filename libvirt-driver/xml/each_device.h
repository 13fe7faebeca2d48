// One walk over all devices of a domain.
#pragma once

#include "libvirt-driver/xml/domain_config.h"

namespace lodge {

// Applies `f` to every device of DomainDevices (const or not), in libvirt's order.
template <class Devices, class F>
void each_device(Devices& devices, F&& f) {
  const auto all = [&f](auto& list) {
    for (auto& device : list) {
      f(device);
    }
  };
  all(devices.disks);
  all(devices.controllers);
  all(devices.interfaces);
  all(devices.serials);
  all(devices.parallels);
  all(devices.consoles);
  all(devices.channels);
  all(devices.inputs);
  all(devices.graphics);
  all(devices.audios);
  all(devices.videos);
  all(devices.watchdogs);
  if (devices.memballoon) {
    f(*devices.memballoon);
  }
  all(devices.rngs);
  all(devices.panics);
  all(devices.vsocks);
  all(devices.filesystems);
}

}  // namespace lodge
