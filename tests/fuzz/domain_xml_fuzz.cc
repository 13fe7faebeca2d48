// Domain XML: any text is refused or read; what was read is completed, prints, and reads back equal.
#include <algorithm>
#include <string_view>

#include "libvirt-driver/xml/domain_defaults.h"
#include "libvirt-driver/xml/domain_parse.h"
#include "libvirt-driver/xml/domain_print.h"

namespace {

void require(bool holds) {
  if (!holds) {
    __builtin_trap();
  }
}

// Without secrets and the live parts, then with all of them.
void round_trip(const lodge::DomainConfig& config) {
  using namespace lodge;
  const PrintOptions all{.live = true, .secure = true};
  const auto live = parse_domain(print_domain(config, all), {.live = true});
  require(live.has_value());
  require(*live == config);
  const std::string inactive = print_domain(config, {.secure = true});
  const auto again = parse_domain(inactive);
  require(again.has_value());
  require(print_domain(*again, {.secure = true}) == inactive);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lodge;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto config = parse_domain(text, {.live = true});
  if (config) {
    round_trip(*config);
    Defaults host;
    uint8_t next = 1;
    host.random = [&next](std::span<uint8_t> bytes) { std::ranges::fill(bytes, next++); };
    if (complete(*config, host)) {
      round_trip(*config);
      DomainConfig twice = *config;
      require(complete(twice, host).has_value());
      require(twice == *config);
      (void)check(*config);
      assign_aliases(*config);
      round_trip(*config);
    }
  }
  if (const auto device = parse_device(text, {.live = true})) {
    const auto again = parse_device(print_device(*device, {.live = true, .secure = true}), {.live = true});
    require(again && *again == *device);
    DomainConfig empty;
    if (add_device(empty, *device)) {
      (void)find_device(empty, *device);
      (void)update_device(empty, *device);
      (void)remove_device(empty, *device);
    }
  }
  return 0;
}
