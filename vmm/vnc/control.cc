#include "vmm/vnc/control.h"

#include <algorithm>
#include <array>

#include "vmm/control/json_writer.h"

namespace lodge::vnc {
namespace {

using Kind = ArgumentKind;
constexpr size_t kMaxPassword = 8;  // the protocol looks at no more

struct Call {
  VncServer& server;
  const std::function<void()>& quit;
  const Arguments& arguments;
  DescriptorTable& descriptors;
  std::deque<Fd>& received;

  [[nodiscard]] const std::string* text(std::string_view name) const {
    const auto it = arguments.find(name);
    return it == arguments.end() ? nullptr : std::get_if<std::string>(&it->second);
  }
};

constexpr std::string_view kNothing = "{}";
using Answer = Result<std::string>;

Answer done(const Result<void>& outcome) {
  return outcome ? Answer(std::string(kNothing)) : std::unexpected(outcome.error());
}

Answer add_client(Call& call) {
  Fd socket = TRY(call.descriptors.take(*call.text("fdname")));
  const auto skip = call.arguments.find("skip-auth");
  return done(call.server.add_client(std::move(socket), skip != call.arguments.end() && std::get<bool>(skip->second)));
}

Answer closefd(Call& call) {
  Fd fd = TRY(call.descriptors.take(*call.text("fdname")));
  fd.reset();
  return done({});
}

Answer getfd(Call& call) {
  if (call.received.empty()) {
    return fail("getfd came without a descriptor; pass it with the message (SCM_RIGHTS)");
  }
  Fd fd = std::move(call.received.front());
  call.received.pop_front();
  return done(call.descriptors.put(*call.text("fdname"), std::move(fd)));
}

Answer nothing(Call&) { return done({}); }

Answer query_clients(Call& call) {
  JsonWriter writer;
  writer.begin_array();
  for (const VncServer::ClientInfo& client : call.server.clients()) {
    writer.begin_object().member("id", client.number).member("address", client.address);
    writer.member("state", client.entered ? "active" : "handshake").member("shared", client.shared).end_object();
  }
  return writer.end_array().take();
}

Answer query_commands(Call& call);

Answer quit(Call& call) {
  call.quit();
  return done({});
}

Answer set_password(Call& call) {
  const std::string* password = call.text("password");
  const auto expires = call.arguments.find("expires");
  const uint64_t when = expires == call.arguments.end() ? 0 : std::get<uint64_t>(expires->second);
  if (password != nullptr && password->size() > kMaxPassword) {
    return fail("set-password: the password has {} bytes; VNC knows passwords of {} at most", password->size(),
                kMaxPassword);
  }
  if (expires != call.arguments.end() && (when == 0 || when > INT64_MAX)) {
    return fail("set-password: expires is no number of seconds since 1970; leave it out for a password that stays");
  }
  call.server.set_password(password != nullptr ? std::optional(*password) : std::nullopt, static_cast<int64_t>(when));
  return done({});
}

constexpr std::array kClient{CommandArgument{"fdname", Kind::text, true}, CommandArgument{"skip-auth", Kind::flag, false}};
constexpr std::array kDescriptor{CommandArgument{"fdname", Kind::text, true}};
constexpr std::array kPassword{CommandArgument{"password", Kind::text_or_null, true},
                               CommandArgument{"expires", Kind::number, false}};

struct Row {
  CommandShape shape;
  Answer (*run)(Call& call);
};
constexpr std::array kRows{
    Row{{"add-client", "serve the client at the other end of a socket that getfd took (skip-auth: without password)",
         kClient},
        add_client},
    Row{{"closefd", "close a descriptor that getfd took", kDescriptor}, closefd},
    Row{{"getfd", "keep the descriptor that came with this message under a name", kDescriptor}, getfd},
    Row{{"qmp_capabilities", "does nothing; there is nothing to negotiate", {}}, nothing},
    Row{{"query-clients", "the clients, and whether they have come through the handshake", {}}, query_clients},
    Row{{"query-commands", "this table", {}}, query_commands},
    Row{{"quit", "end all clients and the program; the guest does not notice", {}}, quit},
    Row{{"set-password", "from now on (null: none, \"\": nobody comes in; expires: seconds since 1970)", kPassword},
        set_password}};

Answer query_commands(Call&) {
  JsonWriter writer;
  writer.begin_array();
  for (const Row& row : kRows) {
    writer.begin_object().member("name", row.shape.name).member("help", row.shape.help).end_object();
  }
  return writer.end_array().take();
}

Answer run(const Request& request, Call& call, std::string_view& error_class) {
  if (!request.problem.empty()) {
    return fail("{}", request.problem);
  }
  const auto* row = std::ranges::find(kRows, std::string_view(request.execute), [](const Row& r) { return r.shape.name; });
  if (row == kRows.end()) {
    error_class = "CommandNotFound";
    return fail("there is no command '{}'; query-commands lists them", request.execute);
  }
  TRY_VOID(check_arguments(row->shape, request.arguments));
  return row->run(call);
}

}  // namespace

RunRequest control_commands(VncServer& server, std::function<void()> quit) {
  return [&server, quit = std::move(quit)](const Request& request, DescriptorTable& descriptors, std::deque<Fd>& received,
                                           const Reply& reply) {
    Call call{server, quit, request.arguments, descriptors, received};
    std::string_view error_class = "GenericError";
    const Answer answer = run(request, call, error_class);
    reply(answer ? return_line(*answer, request.id) : error_line(error_class, answer.error().message, request.id));
  };
}

}  // namespace lodge::vnc
