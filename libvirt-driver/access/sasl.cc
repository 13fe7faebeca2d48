#include "libvirt-driver/access/sasl.h"

#include <array>
#include <bit>
#include <mutex>

#include "base/log.h"

namespace lodge::access {
namespace {

constexpr unsigned kMaxBuffer = 65536;
constexpr unsigned kMaxStrength = 100'000;

void* make_mutex() { return new std::mutex; }
int lock_mutex(void* mutex) {
  static_cast<std::mutex*>(mutex)->lock();
  return SASL_OK;
}
int unlock_mutex(void* mutex) {
  static_cast<std::mutex*>(mutex)->unlock();
  return SASL_OK;
}
void free_mutex(void* mutex) { delete static_cast<std::mutex*>(mutex); }

// Called by the library: const char* text, as it declares it.
int log_text(void* /*context*/, int level, const char* text) {
  if (text != nullptr && level <= SASL_LOG_WARN) {
    log_warning("sasl", "{}", text);
  } else if (text != nullptr && level <= SASL_LOG_DEBUG) {  // beyond it, passwords may be in the text
    log_debug("sasl", "{}", text);
  }
  return SASL_OK;
}

// "10.0.0.1:16509" as the library wants it: "10.0.0.1;16509"
std::string sasl_address(std::string text) {
  if (const size_t colon = text.rfind(':'); colon != std::string::npos) {
    text[colon] = ';';
  }
  return text;
}

std::unexpected<CallError> auth_error(std::string text) {
  return std::unexpected(CallError(VIR_ERR_AUTH_FAILED, std::move(text), VIR_FROM_AUTH));
}

}  // namespace

Result<void> init_sasl() {
  static const std::array<sasl_callback_t, 2> callbacks{
      // SAFETY: the library calls it with the arguments that SASL_CB_LOG says.
      sasl_callback_t{SASL_CB_LOG, std::bit_cast<int (*)()>(&log_text), nullptr},
      sasl_callback_t{SASL_CB_LIST_END, nullptr, nullptr}};
  static bool done = false;
  if (done) {
    return {};
  }
  sasl_set_mutex(make_mutex, lock_mutex, unlock_mutex, free_mutex);
  if (const int code = sasl_server_init(callbacks.data(), "libvirt"); code != SASL_OK) {
    return fail("SASL does not start: {}; see /etc/sasl2/libvirt.conf", sasl_errstring(code, nullptr, nullptr));
  }
  done = true;
  return {};
}

Answer<std::unique_ptr<SaslSession>> SaslSession::create(const Peer& peer, const SaslRule& rule) {
  const bool in_clear = peer.transport == TransportKind::tcp;
  std::unique_ptr<SaslSession> made(new SaslSession(rule, in_clear));
  const std::string local = sasl_address(peer.local_address);
  const std::string remote = sasl_address(peer.address);
  int code = sasl_server_new("libvirt", nullptr, nullptr, local.empty() ? nullptr : local.c_str(),
                             remote.empty() ? nullptr : remote.c_str(), nullptr, SASL_SUCCESS_DATA, &made->connection_);
  if (code != SASL_OK) {
    made->connection_ = nullptr;
    return auth_error(fmt::format("SASL cannot begin: {}", sasl_errstring(code, nullptr, nullptr)));
  }
  sasl_security_properties_t wanted{};
  // Nobody is let in without a name. On unix sockets and TLS the bytes need no further encryption; in the clear they must
  // have one, and passwords may not be sent.
  wanted.security_flags = SASL_SEC_NOANONYMOUS;
  if (in_clear) {
    wanted.security_flags |= SASL_SEC_NOPLAINTEXT;
    wanted.min_ssf = static_cast<unsigned>(rule.min_ssf_in_clear);
    wanted.max_ssf = kMaxStrength;
    wanted.maxbufsize = kMaxBuffer;
  }
  code = sasl_setprop(made->connection_, SASL_SEC_PROPS, &wanted);
  if (code == SASL_OK && peer.transport == TransportKind::tls) {
    const auto outside = static_cast<sasl_ssf_t>(peer.strength);
    code = sasl_setprop(made->connection_, SASL_SSF_EXTERNAL, &outside);
  }
  if (code != SASL_OK) {
    return made->failed("cannot begin", code);
  }
  return made;
}

SaslSession::~SaslSession() { sasl_dispose(&connection_); }

std::unexpected<CallError> SaslSession::failed(std::string_view what, int code) const {
  return auth_error(
      fmt::format("SASL {}: {} ({})", what, sasl_errstring(code, nullptr, nullptr), sasl_errdetail(connection_)));
}

Answer<std::string> SaslSession::mechanisms() {
  const char* list = nullptr;
  const int code = sasl_listmech(connection_, nullptr, "", ",", "", &list, nullptr, nullptr);
  if (code == SASL_OK && list != nullptr && *list != '\0') {
    return std::string(list);
  }
  if (in_clear_) {
    return auth_error(fmt::format(
        "none of this host's SASL mechanisms encrypts with {} bits or more, which plain TCP needs (tcp_min_ssf); "
        "use TLS or ssh, or set up Kerberos (gssapi)",
        rule_.min_ssf_in_clear));
  }
  return auth_error(
      "this host has no SASL mechanism; see mech_list in /etc/sasl2/libvirt.conf and the package libsasl2-modules");
}

Answer<SaslSession::Step> SaslSession::start(const std::string& mechanism, const std::optional<std::string>& data) {
  if (started_) {
    return auth_error("SASL has started already");
  }
  started_ = true;
  const char* out = nullptr;
  unsigned size = 0;
  const int code = sasl_server_start(connection_, mechanism.c_str(), data ? data->data() : nullptr,
                                     data ? static_cast<unsigned>(data->size()) : 0, &out, &size);
  return stepped(code, out, size);
}

Answer<SaslSession::Step> SaslSession::step(const std::optional<std::string>& data) {
  if (!started_) {
    return auth_error("SASL has not started yet");
  }
  const char* out = nullptr;
  unsigned size = 0;
  const int code = sasl_server_step(connection_, data ? data->data() : nullptr,
                                    data ? static_cast<unsigned>(data->size()) : 0, &out, &size);
  return stepped(code, out, size);
}

Answer<SaslSession::Step> SaslSession::stepped(int code, const char* data, unsigned size) {
  if (code != SASL_OK && code != SASL_CONTINUE) {
    log_warning("sasl", "a login failed: {} ({})", sasl_errstring(code, nullptr, nullptr), sasl_errdetail(connection_));
    return auth_error("authentication failed");  // no more to whoever tries names
  }
  Step step;
  step.complete = code == SASL_OK;
  if (data != nullptr) {
    step.data.emplace(data, size);
  }
  if (step.complete) {
    TRY_VOID(agreed());
  }
  return step;
}

Answer<void> SaslSession::agreed() {
  const void* value = nullptr;
  if (const int code = sasl_getprop(connection_, SASL_SSF, &value); code != SASL_OK) {
    return failed("agreed on no strength", code);
  }
  strength_ = static_cast<int>(*static_cast<const sasl_ssf_t*>(value));
  if (in_clear_ && strength_ < rule_.min_ssf_in_clear) {
    return auth_error(fmt::format("the encryption agreed on has {} bits; plain TCP needs {} (tcp_min_ssf)", strength_,
                                  rule_.min_ssf_in_clear));
  }
  if (const int code = sasl_getprop(connection_, SASL_MAXOUTBUF, &value); code != SASL_OK) {
    return failed("agreed on no packet size", code);
  }
  max_out_ = *static_cast<const unsigned*>(value);
  if (encrypts() && max_out_ == 0) {
    return auth_error("SASL agreed on empty packets");
  }
  return {};
}

Answer<std::string> SaslSession::name() const {
  const void* value = nullptr;
  const int code = sasl_getprop(connection_, SASL_USERNAME, &value);
  if (code != SASL_OK || value == nullptr) {
    return auth_error("SASL knows no name of the client");
  }
  std::string name = static_cast<const char*>(value);
  if (!matches_any(rule_.allowed_names, name)) {
    log_warning("sasl", "'{}' is not in sasl_allowed_username_list", name);
    return auth_error("authentication failed");
  }
  return name;
}

Result<std::vector<uint8_t>> SaslSession::encode(std::span<const uint8_t> bytes) {
  std::vector<uint8_t> out;
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min<size_t>(bytes.size(), max_out_));
    const char* packet = nullptr;
    unsigned size = 0;
    const int code = sasl_encode(connection_, reinterpret_cast<const char*>(part.data()), static_cast<unsigned>(part.size()),
                                 &packet, &size);
    if (code != SASL_OK) {
      return fail("SASL does not encrypt: {}", sasl_errdetail(connection_));
    }
    out.insert(out.end(), packet, packet + size);
    bytes = bytes.subspan(part.size());
  }
  return out;
}

Result<std::vector<uint8_t>> SaslSession::decode(std::span<const uint8_t> bytes) {
  const char* clear = nullptr;
  unsigned size = 0;
  const int code = sasl_decode(connection_, reinterpret_cast<const char*>(bytes.data()), static_cast<unsigned>(bytes.size()),
                               &clear, &size);
  if (code != SASL_OK) {
    return fail("SASL does not decrypt: {}", sasl_errdetail(connection_));
  }
  return std::vector<uint8_t>(clear, clear + size);
}

}  // namespace lodge::access
