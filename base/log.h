// Structured logging: one line per event on standard error (or the log descriptor), "time level [guest] area: text".
//
// Levels say who must act: error = the administrator, now; warning = the administrator, some time; info = state changes a
// person following a guest wants; debug = developers. Guest mistakes go through guest_warning(): counted always, printed
// at most a few times a second per place, so that a hostile guest cannot fill the disk.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include <fmt/core.h>

namespace lodge {

enum class LogLevel : uint8_t { debug, info, warning, error, off };

// Starts logging to standard error for guest `name` (empty: none). Main thread, before other threads exist.
void log_init(std::string_view name, LogLevel level);
[[nodiscard]] bool log_enabled(LogLevel level);
// Writes one line. Thread-safe.
void log_write(LogLevel level, std::string_view area, std::string_view text);

template <class... Args>
void log_debug(std::string_view area, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::debug)) {
    log_write(LogLevel::debug, area, fmt::format(format, std::forward<Args>(args)...));
  }
}
template <class... Args>
void log_info(std::string_view area, fmt::format_string<Args...> format, Args&&... args) {
  log_write(LogLevel::info, area, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_warning(std::string_view area, fmt::format_string<Args...> format, Args&&... args) {
  log_write(LogLevel::warning, area, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_error(std::string_view area, fmt::format_string<Args...> format, Args&&... args) {
  log_write(LogLevel::error, area, fmt::format(format, std::forward<Args>(args)...));
}

// Counts guest mistakes of one device and prints the first few of each second. Any thread.
class GuestWarnings {
 public:
  // True when this one should be printed; always counts.
  [[nodiscard]] bool admit();
  [[nodiscard]] uint64_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  static constexpr uint32_t kPerSecond = 5;
  std::atomic<uint64_t> count_{0};
  std::atomic<int64_t> second_{-1};
  std::atomic<uint32_t> in_second_{0};
};

template <class... Args>
void guest_warning(GuestWarnings& warnings, std::string_view device, fmt::format_string<Args...> format, Args&&... args) {
  if (warnings.admit()) {
    log_write(LogLevel::warning, device, fmt::format(format, std::forward<Args>(args)...));
  }
}

}  // namespace lodge
