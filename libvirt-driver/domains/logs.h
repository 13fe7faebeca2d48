// Files that a guest's monitor writes for as long as it runs: its log, and those of serial ports, consoles and channels. The
// daemon opens them, with the backups that a full one's text moves to (base/rotating_file.h); the monitor moves it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/xml/domain_config.h"

namespace lodge {

struct LogLimits {
  uint64_t max_size = 2 << 20;  // bytes
  uint32_t max_backups = 3;
};

struct OpenLog {
  Fd file;
  std::vector<Fd> backups;  // PATH.0 and on; none for what is no regular file
};

// `append` false: what the log and its backups have goes. Errors name the path.
[[nodiscard]] Result<OpenLog> open_log(const std::string& path, bool append, const LogLimits& limits);
// Text of the daemon's own, for a log that no monitor writes to yet.
[[nodiscard]] Result<void> write_log(const OpenLog& log, std::string_view text, const LogLimits& limits);
// Backups that were never needed, once the guest has ended: of its log and of what its definition names.
void remove_empty_backups(const std::string& log_file, const DomainConfig& live);

// Calls fn(alias, source) for each character device of a definition; a console that is a serial port's twin is none.
template <class Config, class Fn>
void for_each_char(Config& config, Fn fn) {
  for (auto& serial : config.devices.serials) {
    fn(serial.alias, serial.source);
  }
  for (auto& parallel : config.devices.parallels) {
    fn(parallel.alias, parallel.source);
  }
  for (auto& console : config.devices.consoles) {
    if (console.target == ConsoleTarget::virtio) {
      fn(console.alias, console.source);
    }
  }
  for (auto& channel : config.devices.channels) {
    fn(channel.alias, channel.source);
  }
}

}  // namespace lodge
