// AccessRule: how the clients of a listening socket prove who they are, and what they may do then. A value; any thread.
#pragma once

#include <cstdint>

#include "libvirt-driver/access/pattern.h"

namespace lodge::access {

enum class AuthKind : uint8_t { none, sasl, polkit };  // numbers of the protocol

struct SaslRule {
  int min_ssf_in_clear = 112;  // least strength of the encryption on plain TCP, bits
  Patterns allowed_names;
};

struct AccessRule {
  bool read_only = false;
  AuthKind auth = AuthKind::none;
  SaslRule sasl;
};

}  // namespace lodge::access
