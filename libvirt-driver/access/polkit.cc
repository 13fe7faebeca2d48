#include "libvirt-driver/access/polkit.h"

#include <systemd/sd-bus.h>

#include <charconv>
#include <chrono>
#include <memory>

#include "base/fd.h"

namespace lodge::access {
namespace {

constexpr auto kPatience = std::chrono::seconds(120);  // someone may be typing a password
constexpr uint64_t kSliceUs = 200'000;
constexpr uint32_t kAllowInteraction = 1;
constexpr size_t kStartTimeField = 22;  // of proc(5), counted from 1

struct BusClose {
  void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
};
struct MessageClose {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Bus = std::unique_ptr<sd_bus, BusClose>;
using Message = std::unique_ptr<sd_bus_message, MessageClose>;

std::unexpected<CallError> unavailable(std::string_view what, std::string_view why) {
  return std::unexpected(CallError(VIR_ERR_AUTH_FAILED,
                                   fmt::format("polkit cannot be asked ({}: {}); are dbus and polkitd running?", what, why),
                                   VIR_FROM_POLKIT));
}

std::string errno_text(int negative) { return std::generic_category().message(-negative); }

// What came back, if it has come.
struct Reply {
  Message message;
  static int keep(sd_bus_message* message, void* reply, sd_bus_error* /*error*/) {
    static_cast<Reply*>(reply)->message.reset(sd_bus_message_ref(message));
    return 0;
  }
};

// (bba{ss}): authorized, challenge, details
Answer<void> read_verdict(sd_bus_message* reply, const std::string& action) {
  int authorized = 0;
  int challenge = 0;
  int code = sd_bus_message_enter_container(reply, SD_BUS_TYPE_STRUCT, "bba{ss}");
  if (code >= 0) {
    code = sd_bus_message_read(reply, "bb", &authorized, &challenge);
  }
  if (code >= 0) {
    code = sd_bus_message_enter_container(reply, SD_BUS_TYPE_ARRAY, "{ss}");
  }
  bool dismissed = false;
  const char* key = nullptr;
  const char* value = nullptr;
  while (code >= 0 && (code = sd_bus_message_read(reply, "{ss}", &key, &value)) > 0) {
    dismissed = dismissed || (std::string_view(key) == "polkit.dismissed" && *value != '\0');
  }
  if (code < 0) {
    return unavailable("its answer makes no sense", errno_text(code));
  }
  if (authorized != 0) {
    return {};
  }
  if (dismissed) {
    return std::unexpected(CallError(VIR_ERR_AUTH_CANCELLED, "user cancelled authentication process", VIR_FROM_POLKIT));
  }
  if (challenge != 0) {
    return std::unexpected(CallError(VIR_ERR_AUTH_UNAVAILABLE,
                                     fmt::format("no polkit agent available to authenticate action '{}'", action),
                                     VIR_FROM_POLKIT));
  }
  return std::unexpected(CallError(VIR_ERR_AUTH_FAILED,
                                   fmt::format("access denied by policy (polkit's action '{}')", action), VIR_FROM_POLKIT));
}

Answer<Message> make_question(sd_bus* bus, const PolkitSubject& subject, const std::string& action) {
  sd_bus_message* raw = nullptr;
  int code = sd_bus_message_new_method_call(bus, &raw, "org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
                                            "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
  if (code < 0) {
    return unavailable("make a call", errno_text(code));
  }
  Message question(raw);
  code = sd_bus_message_append(raw, "(sa{sv})sa{ss}us", "unix-process", 3U, "pid", "u", static_cast<uint32_t>(subject.pid),
                               "start-time", "t", subject.start_time, "uid", "i", static_cast<int32_t>(subject.uid),
                               action.c_str(), 0U, kAllowInteraction, "");
  if (code < 0) {
    return unavailable("make a call", errno_text(code));
  }
  return question;
}

}  // namespace

uint64_t process_start_time(pid_t pid) {
  const auto text = read_file(fmt::format("/proc/{}/stat", pid), 4096);
  if (!text) {
    return 0;
  }
  // The name, field 2, may hold anything; field 3 begins two characters behind its parenthesis.
  size_t at = text->rfind(')');
  for (size_t field = 2; field < kStartTimeField && at != std::string::npos; ++field) {
    at = text->find(' ', at + 1);
  }
  uint64_t value = 0;
  if (at != std::string::npos) {
    std::from_chars(text->data() + at + 1, text->data() + text->size(), value);
  }
  return value;
}

Answer<void> ask_polkit(const PolkitSubject& subject, const std::string& action, const std::function<bool()>& cancelled) {
  sd_bus* raw = nullptr;
  if (const int code = sd_bus_open_system(&raw); code < 0) {
    return unavailable("the system bus", errno_text(code));
  }
  const Bus bus(raw);  // when it goes, polkit forgets what is still asked
  const Message question = TRY(make_question(bus.get(), subject, action));
  Reply reply;
  const auto patience = std::chrono::duration_cast<std::chrono::microseconds>(kPatience);
  int code =
      sd_bus_call_async(bus.get(), nullptr, question.get(), Reply::keep, &reply, static_cast<uint64_t>(patience.count()));
  while (code >= 0 && !reply.message) {
    if (cancelled()) {
      return std::unexpected(CallError(VIR_ERR_AUTH_CANCELLED, "the client is gone", VIR_FROM_POLKIT));
    }
    code = sd_bus_process(bus.get(), nullptr);
    if (code == 0) {
      code = sd_bus_wait(bus.get(), kSliceUs);
    }
  }
  if (code < 0) {
    return unavailable("the call", errno_text(code));
  }
  if (sd_bus_message_is_method_error(reply.message.get(), nullptr) > 0) {
    const sd_bus_error* error = sd_bus_message_get_error(reply.message.get());
    return unavailable(action, error->message == nullptr ? error->name : error->message);
  }
  return read_verdict(reply.message.get(), action);
}

}  // namespace lodge::access
