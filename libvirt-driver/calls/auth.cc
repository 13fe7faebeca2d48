// Logins: what is asked of a client before it may call anything else.
#include <array>

#include "base/log.h"
#include "libvirt-driver/access/login.h"
#include "libvirt-driver/calls/calls.h"

namespace lodge {
namespace {

using namespace rpc;  // the wire's structs

// A failed login ends the connection behind its reply: guessing costs a connection each.
template <class T>
Answer<T> refused(Call& call, CallError error) {
  log_warning("access", "{} is not let in: {}", peer_text(call.session->peer()), error.message());
  call.session->close_when_replied();
  return std::unexpected(std::move(error));
}

void let_in(Call& call, access::Proof proof) {
  log_info("access", "{} is let in as '{}'", peer_text(call.session->peer()), proof.name);
  call.proof = std::make_shared<access::Proof>(std::move(proof));
}

Answer<AuthListRet> auth_list(Call& call, const AuthListArgs&) {
  AuthListRet reply;
  const auto kind = call.session->authenticated() ? access::AuthKind::none : call.session->login().rule().auth;
  reply.types.push_back(static_cast<int32_t>(kind));
  return reply;
}

std::optional<std::string> optional_data(int32_t nil, const std::string& data) {
  return nil != 0 ? std::nullopt : std::optional(data);
}

// What a step gave, as START and STEP tell it.
template <class Ret>
Answer<Ret> sasl_reply(Call& call, Answer<access::SaslSession::Step> step) {
  if (!step) {
    return refused<Ret>(call, std::move(step).error());
  }
  Ret reply;
  reply.complete = step->complete ? 1 : 0;
  reply.nil = step->data ? 0 : 1;
  reply.data.assign(step->data.value_or(""));
  if (step->complete) {
    auto proof = call.session->login().sasl_proof();
    if (!proof) {
      return refused<Ret>(call, std::move(proof).error());
    }
    let_in(call, std::move(*proof));
  }
  return reply;
}

bool logged_in(const Call& call) { return call.session->authenticated(); }

CallError logged_in_error() { return {VIR_ERR_AUTH_FAILED, "this connection is authenticated already", VIR_FROM_AUTH}; }

Answer<AuthSaslInitRet> auth_sasl_init(Call& call, const AuthSaslInitArgs&) {
  if (logged_in(call)) {
    return std::unexpected(logged_in_error());
  }
  auto list = call.session->login().sasl_init(call.session->peer());
  if (!list) {
    return refused<AuthSaslInitRet>(call, std::move(list).error());
  }
  return AuthSaslInitRet{.mechlist = std::move(*list)};
}

Answer<AuthSaslStartRet> auth_sasl_start(Call& call, const AuthSaslStartArgs& args) {
  if (logged_in(call)) {
    return std::unexpected(logged_in_error());
  }
  return sasl_reply<AuthSaslStartRet>(call, call.session->login().sasl_start(args.mech, optional_data(args.nil, args.data)));
}

Answer<AuthSaslStepRet> auth_sasl_step(Call& call, const AuthSaslStepArgs& args) {
  if (logged_in(call)) {
    return std::unexpected(logged_in_error());
  }
  return sasl_reply<AuthSaslStepRet>(call, call.session->login().sasl_step(optional_data(args.nil, args.data)));
}

Answer<AuthPolkitRet> auth_polkit(Call& call, const AuthPolkitArgs&) {
  if (logged_in(call)) {
    return std::unexpected(logged_in_error());
  }
  auto proof = call.session->login().polkit(call.session->peer(), [&call] { return call.session->gone(); });
  if (!proof) {
    return refused<AuthPolkitRet>(call, std::move(proof).error());
  }
  let_in(call, std::move(*proof));
  return AuthPolkitRet{.complete = 1};
}

constexpr std::array kCalls{
    bind<Proc::auth_list, auth_list>(),
    bind<Proc::auth_sasl_init, auth_sasl_init>(),
    bind<Proc::auth_sasl_start, auth_sasl_start>(),
    bind<Proc::auth_sasl_step, auth_sasl_step>(),
    bind<Proc::auth_polkit, auth_polkit>(),
};

}  // namespace

Bindings auth_calls() { return kCalls; }

}  // namespace lodge
