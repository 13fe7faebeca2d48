// EventHub: who wants to hear of what, and telling them. Any thread.
//
// Events are sent in the order in which they are emitted; a session that ends is forgotten. The numbers of the messages are
// those of remote_protocol.x: with a callback id for today's clients, without for those of before 2014 ("legacy").
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "libvirt-driver/rpc/call.h"

namespace lodge {

class EventHub {
 public:
  // `domain`: only this one's. The callback's id, unique for the session. Error: NO_SUPPORT for events that there are not.
  [[nodiscard]] Answer<int32_t> add(const std::shared_ptr<rpc::Session>& session, int32_t event,
                                    const std::optional<rpc::Uuid>& domain, bool legacy);
  // Error: INVALID_ARG if there is no such callback.
  [[nodiscard]] Answer<void> remove(const rpc::Session& session, int32_t callback);
  [[nodiscard]] Answer<void> remove_legacy(const rpc::Session& session, int32_t event);
  // How many legacy callbacks for the event this session has.
  [[nodiscard]] int32_t legacy_count(const rpc::Session& session, int32_t event) const;

  void lifecycle(const rpc::DomainName& domain, int32_t event, int32_t detail);
  // A message of protocol.h (DomainEventCallback...Msg); its callback_id is filled in.
  template <class Msg>
  void emit(int32_t event, Msg message) {
    const std::scoped_lock lock(mutex_);
    for (const Registration& registration : registrations_) {
      if (registration.event == event && (!registration.domain || *registration.domain == message.dom.uuid)) {
        message.callback_id = registration.callback;
        send(registration, rpc::encode(message));
      }
    }
  }
  // qemu-monitor-event: `name` of the event, `details` as JSON text.
  [[nodiscard]] int32_t add_monitor(const std::shared_ptr<rpc::Session>& session, const std::optional<rpc::Uuid>& domain,
                                    const std::optional<std::string>& name, uint32_t flags);
  void monitor_event(const rpc::DomainName& domain, const std::string& name, const std::string& details);
  [[nodiscard]] bool wants_monitor_events() const;

 private:
  static constexpr int32_t kMonitorEvent = -1;
  struct Registration {
    std::weak_ptr<rpc::Session> session;
    uint64_t session_id;
    int32_t event;
    int32_t callback;
    std::optional<rpc::Uuid> domain;
    bool legacy = false;
    std::optional<std::string> name;  // monitor events: a name, or with `flags` a pattern
    uint32_t flags = 0;
  };
  int32_t insert(const std::shared_ptr<rpc::Session>& session, Registration registration);
  static void send(const Registration& registration, std::vector<uint8_t> body);

  mutable std::mutex mutex_;
  std::vector<Registration> registrations_;
  int32_t next_ = 1;
};

}  // namespace lodge
