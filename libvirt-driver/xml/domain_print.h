// Domain XML as text in libvirt's look and order. Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>

#include "libvirt-driver/xml/domain_config.h"

namespace lodge {

struct PrintOptions {
  bool live = false;        // with id, aliases, and what was chosen for this run
  bool secure = false;      // with passwords
  bool migratable = false;  // secure, and without what another host has to choose for itself
};

[[nodiscard]] std::string print_domain(const DomainConfig& config, PrintOptions options = {});
[[nodiscard]] std::string print_device(const Device& device, PrintOptions options = {});

// Takes out what belongs to one run of a domain: id, aliases but those of the user, terminals of pty devices, ports that
// were chosen, names of taps, ports and bridges of networks, numbers of images, states of channels.
void drop_live(DomainConfig& config);
void drop_live(Device& device);

// Is it a socket that the daemon chose for a channel: in its folder of running domains ("/run/libvirt/lodge/", or of a
// session
// "/run/user/1000/libvirt/lodge/")? Such paths are chosen anew for each run.
[[nodiscard]] bool is_chosen_socket(std::string_view path);

}  // namespace lodge
