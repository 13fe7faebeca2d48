#include "libvirt-driver/domains/scope.h"

#include <fmt/format.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include <chrono>
#include <memory>

#include "base/fd.h"

namespace lodge {
namespace {

constexpr std::chrono::seconds kPatience{10};  // for systemd to do it
constexpr uint64_t kTurn = 50'000;             // us between looks

struct BusCloser {
  void operator()(sd_bus* bus) const { ::sd_bus_flush_close_unref(bus); }
};
struct MessageCloser {
  void operator()(sd_bus_message* message) const { ::sd_bus_message_unref(message); }
};
using Bus = std::unique_ptr<sd_bus, BusCloser>;
using Message = std::unique_ptr<sd_bus_message, MessageCloser>;

// As systemd escapes names of units (systemd.unit(5)).
std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (c == '.' && !out.empty());
    out += plain ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

bool systemd_runs() { return ::sd_booted() > 0; }

std::string scope_name(int32_t id, const std::string& name) {
  constexpr size_t kMost = 60;  // of 255, escapes included
  return fmt::format("machine-{}.scope", escape(fmt::format("lodge-{}-{}", id, name.substr(0, kMost))));
}

Result<std::string> cgroup_of(pid_t pid) {
  const std::string path = fmt::format("/proc/{}/cgroup", pid);
  const std::string text = TRY(read_file(path, 65536));
  const size_t begin = text.starts_with("0::") ? 0 : text.find("\n0::") + 1;
  if (text.compare(begin, 3, "0::") != 0) {
    return fail("{}: there is no version 2 group", path);
  }
  return text.substr(begin + 3, text.find('\n', begin) - begin - 3);
}

Result<void> start_scope(const std::string& unit, const std::string& guest, pid_t pid) {
  sd_bus* opened = nullptr;
  int code = ::sd_bus_open_system(&opened);
  if (code < 0) {
    return fail_errno(-code, "reach the system bus for the scope '{}'", unit);
  }
  const Bus bus(opened);
  sd_bus_error error = SD_BUS_ERROR_NULL;
  sd_bus_message* answer = nullptr;
  const std::string description = fmt::format("Lodge guest {}", guest);
  // Before: at the host's shutdown the scope goes after libvirt-guests has dealt with the guest.
  code = ::sd_bus_call_method(opened, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                              "org.freedesktop.systemd1.Manager", "StartTransientUnit", &error, &answer, "ssa(sv)a(sa(sv))",
                              unit.c_str(), "fail", 6, "Description", "s", description.c_str(), "Slice", "s",
                              "machine.slice", "PIDs", "au", 1, static_cast<uint32_t>(pid), "Delegate", "b", 1,
                              "CollectMode", "s", "inactive-or-failed", "Before", "as", 1, "virt-guest-shutdown.target", 0);
  const Message message(answer);
  if (code < 0) {
    const std::string why = error.message != nullptr ? error.message : "no reason given";
    ::sd_bus_error_free(&error);
    return fail("systemd does not make the scope '{}': {}", unit, why);
  }
  // The answer comes when the job is queued.
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!TRY(cgroup_of(pid)).ends_with(unit)) {
    if (std::chrono::steady_clock::now() > end) {
      return fail("systemd has not put process {} into '{}' for {} s", pid, unit, kPatience.count());
    }
    (void)::sd_bus_process(opened, nullptr);
    (void)::sd_bus_wait(opened, kTurn);
  }
  return {};
}

}  // namespace lodge
