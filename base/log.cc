#include "base/log.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "base/fd.h"
#include "base/log_outputs.h"

namespace lodge {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
    case LogLevel::off: return spdlog::level::off;
  }
  return spdlog::level::off;
}

// One logger per process, made on first use so that tests need no set-up.
std::unique_ptr<spdlog::logger>& logger() {
  static std::unique_ptr<spdlog::logger> instance = [] {
    auto made = std::make_unique<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_level(spdlog::level::warn);
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    return made;
  }();
  return instance;
}

class RotatingSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  RotatingSink(Fd file, LogRoom room) : file_(std::move(file), std::move(room)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    (void)file_.write({line.data(), line.size()});
  }
  void flush_() override {}

  RotatingFile file_;
};

}  // namespace

void log_init(std::string_view name, LogLevel level) {
  if (!name.empty()) {
    logger()->set_pattern(fmt::format("%Y-%m-%dT%H:%M:%S.%e%z %l [{}] %v", name));
  }
  logger()->set_level(to_spdlog(level));
}

Result<void> log_to(const std::vector<LogPlace>& places) {
  std::vector<spdlog::sink_ptr> sinks;
  LogLevel lowest = LogLevel::off;
  for (const LogPlace& place : places) {
    if (place.path.empty()) {
      sinks.push_back(std::make_shared<spdlog::sinks::stderr_sink_mt>());
    } else {
      TRY_VOID_CONTEXT(open_file(place.path, O_WRONLY | O_CREAT | O_APPEND, 0600), "log");  // says best what is wrong
      try {
        sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(place.path));
      } catch (const spdlog::spdlog_ex& error) {
        return fail("log: {}", error.what());
      }
    }
    sinks.back()->set_level(to_spdlog(place.level));
    lowest = std::min(lowest, place.level);
  }
  auto made = std::make_unique<spdlog::logger>("", sinks.begin(), sinks.end());
  made->set_level(to_spdlog(lowest));
  made->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  made->flush_on(spdlog::level::debug);
  logger() = std::move(made);
  return {};
}

Result<void> limit_log(LogRoom room) {
  Fd file(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!file.valid()) {
    return fail_errno(errno, "duplicate standard error");
  }
  auto sink = std::make_shared<RotatingSink>(std::move(file), std::move(room));
  logger()->sinks() = {std::move(sink)};
  return {};
}

bool log_enabled(LogLevel level) { return logger()->should_log(to_spdlog(level)); }

void log_write(LogLevel level, std::string_view area, std::string_view text) {
  logger()->log(to_spdlog(level), "{}: {}", area, text);
}

bool GuestWarnings::admit() {
  count_.fetch_add(1, std::memory_order_relaxed);
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  if (second_.exchange(now.tv_sec, std::memory_order_relaxed) != now.tv_sec) {
    in_second_.store(0, std::memory_order_relaxed);
  }
  return in_second_.fetch_add(1, std::memory_order_relaxed) < kPerSecond;
}

}  // namespace lodge
