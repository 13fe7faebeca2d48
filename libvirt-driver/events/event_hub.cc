#include "libvirt-driver/events/event_hub.h"

#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <regex>

namespace lodge {
namespace {

// Messages of an event, by its VIR_DOMAIN_EVENT_ID_*; legacy 0: there is none. `before`: bytes in front of the domain.
struct EventMessage {
  int32_t callback;
  int32_t legacy = 0;
  size_t before = 4;
};
constexpr std::array kMessages{
    EventMessage{318, 107},     // lifecycle
    EventMessage{319, 169},     // reboot
    EventMessage{320, 170},     // rtc change
    EventMessage{321, 171},     // watchdog
    EventMessage{322, 172},     // I/O error
    EventMessage{323, 173},     // graphics
    EventMessage{324, 195},     // I/O error with reason
    EventMessage{325, 224},     // control error
    EventMessage{326, 241},     // block job
    EventMessage{327, 248},     // disk change
    EventMessage{328, 268},     // tray change
    EventMessage{329, 269, 8},  // pm wakeup
    EventMessage{330, 270, 8},  // pm suspend
    EventMessage{331, 276},     // balloon change
    EventMessage{332, 292, 8},  // pm suspend to disk
    EventMessage{333, 311},     // device removed
    EventMessage{339},          // block job 2
    EventMessage{346},          // tunable
    EventMessage{348},          // agent lifecycle
    EventMessage{354},          // device added
    EventMessage{359},          // migration iteration
    EventMessage{363},          // job completed
    EventMessage{367},          // device removal failed
    EventMessage{379},          // metadata change
    EventMessage{385},          // block threshold
    EventMessage{423},          // memory failure
    EventMessage{438},          // memory device size change
};
static_assert(kMessages.size() == VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE + 1);
constexpr int32_t kMonitorEventMessage = 6;  // qemu program

bool name_matches(const std::optional<std::string>& wanted, uint32_t flags, const std::string& name) {
  if (!wanted) {
    return true;
  }
  const bool no_case = (flags & VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_NOCASE) != 0;
  if ((flags & VIR_CONNECT_DOMAIN_QEMU_MONITOR_EVENT_REGISTER_REGEX) != 0) {
    try {
      const auto options = std::regex::extended | (no_case ? std::regex::icase : std::regex::extended);
      return std::regex_search(name, std::regex(*wanted, options));
    } catch (const std::regex_error&) {
      return false;
    }
  }
  return no_case ? ::strcasecmp(wanted->c_str(), name.c_str()) == 0 : *wanted == name;
}

}  // namespace

int32_t EventHub::insert(const std::shared_ptr<rpc::Session>& session, Registration registration) {
  registration.session = session;
  registration.session_id = session->id();
  const std::scoped_lock lock(mutex_);
  std::erase_if(registrations_, [](const Registration& other) { return other.session.expired(); });
  registration.callback = next_++;
  registrations_.push_back(std::move(registration));
  return registrations_.back().callback;
}

Answer<int32_t> EventHub::add(const std::shared_ptr<rpc::Session>& session, int32_t event,
                              const std::optional<rpc::Uuid>& domain, bool legacy) {
  if (event < 0 || static_cast<size_t>(event) >= kMessages.size() ||
      (legacy && kMessages[static_cast<size_t>(event)].legacy == 0)) {
    return call_error(VIR_ERR_INVALID_ARG, "unsupported event ID {}", event);
  }
  return insert(
      session,
      {.session = {}, .session_id = 0, .event = event, .callback = 0, .domain = domain, .legacy = legacy, .name = {}});
}

int32_t EventHub::add_monitor(const std::shared_ptr<rpc::Session>& session, const std::optional<rpc::Uuid>& domain,
                              const std::optional<std::string>& name, uint32_t flags) {
  return insert(session, {.session = {},
                          .session_id = 0,
                          .event = kMonitorEvent,
                          .callback = 0,
                          .domain = domain,
                          .name = name,
                          .flags = flags});
}

Answer<void> EventHub::remove(const rpc::Session& session, int32_t callback) {
  const std::scoped_lock lock(mutex_);
  const auto gone = std::erase_if(registrations_, [&](const Registration& registration) {
    return registration.session_id == session.id() && registration.callback == callback;
  });
  if (gone == 0) {
    return call_error(VIR_ERR_INVALID_ARG, "domain event callback {} not registered", callback);
  }
  return {};
}

Answer<void> EventHub::remove_legacy(const rpc::Session& session, int32_t event) {
  const std::scoped_lock lock(mutex_);
  const auto it = std::ranges::find_if(registrations_, [&](const Registration& registration) {
    return registration.session_id == session.id() && registration.legacy && registration.event == event;
  });
  if (it == registrations_.end()) {
    return call_error(VIR_ERR_INVALID_ARG, "domain event {} not registered", event);
  }
  registrations_.erase(it);
  return {};
}

int32_t EventHub::legacy_count(const rpc::Session& session, int32_t event) const {
  const std::scoped_lock lock(mutex_);
  return static_cast<int32_t>(std::ranges::count_if(registrations_, [&](const Registration& registration) {
    return registration.session_id == session.id() && registration.legacy && registration.event == event;
  }));
}

void EventHub::lifecycle(const rpc::DomainName& domain, int32_t event, int32_t detail) {
  emit(VIR_DOMAIN_EVENT_ID_LIFECYCLE,
       rpc::DomainEventCallbackLifecycleMsg{.callback_id = 0, .dom = domain, .event = event, .detail = detail});
}

void EventHub::send(const Registration& registration, std::vector<uint8_t> body) {
  const auto session = registration.session.lock();
  if (!session) {
    return;
  }
  const EventMessage& message = kMessages[static_cast<size_t>(registration.event)];
  if (registration.legacy) {
    body.erase(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(message.before));
  }
  session->send_event(rpc::Program::remote, registration.legacy ? message.legacy : message.callback, std::move(body));
}

void EventHub::monitor_event(const rpc::DomainName& domain, const std::string& name, const std::string& details) {
  timeval now{};
  ::gettimeofday(&now, nullptr);
  const std::scoped_lock lock(mutex_);
  for (const Registration& registration : registrations_) {
    const auto session = registration.session.lock();
    if (registration.event != kMonitorEvent || !session || (registration.domain && *registration.domain != domain.uuid) ||
        !name_matches(registration.name, registration.flags, name)) {
      continue;
    }
    session->send_event(rpc::Program::qemu, kMonitorEventMessage,
                        rpc::encode(rpc::DomainMonitorEventMsg{.callback_id = registration.callback,
                                                               .dom = domain,
                                                               .event = name,
                                                               .seconds = now.tv_sec,
                                                               .micros = static_cast<uint32_t>(now.tv_usec),
                                                               .details = details}));
  }
}

bool EventHub::wants_monitor_events() const {
  const std::scoped_lock lock(mutex_);
  return std::ranges::any_of(registrations_,
                             [](const Registration& registration) { return registration.event == kMonitorEvent; });
}

}  // namespace lodge
