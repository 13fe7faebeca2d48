// SaslSession: a login by Cyrus SASL (service "libvirt", /etc/sasl2/libvirt.conf) and the encryption that it may agree on.
//
// One thread at a time: login workers until the login is complete, the network thread from then on.
#pragma once

#include <sasl/sasl.h>

#include <memory>
#include <optional>
#include <string>

#include "libvirt-driver/access/access_rule.h"
#include "libvirt-driver/access/peer.h"
#include "libvirt-driver/access/security_layer.h"
#include "libvirt-driver/core/call_error.h"

namespace lodge::access {

// Makes the library ready, once, before other threads exist.
[[nodiscard]] Result<void> init_sasl();

class SaslSession : public SecurityLayer {
 public:
  struct Step {
    bool complete = false;
    std::optional<std::string> data;  // for the client; absent is not the same as empty
  };

  [[nodiscard]] static Answer<std::unique_ptr<SaslSession>> create(const Peer& peer, const SaslRule& rule);
  ~SaslSession() override;
  SaslSession(const SaslSession&) = delete;
  SaslSession& operator=(const SaslSession&) = delete;

  // "SCRAM-SHA-256,PLAIN". Error: none is possible on this connection.
  [[nodiscard]] Answer<std::string> mechanisms();
  [[nodiscard]] Answer<Step> start(const std::string& mechanism, const std::optional<std::string>& data);
  [[nodiscard]] Answer<Step> step(const std::optional<std::string>& data);

  // When complete. Error: the name is not allowed, or the encryption too weak.
  [[nodiscard]] Answer<std::string> name() const;
  // Whether further bytes must go through encode() and decode().
  [[nodiscard]] bool encrypts() const { return strength_ > 0; }
  [[nodiscard]] Result<std::vector<uint8_t>> encode(std::span<const uint8_t> bytes) override;
  [[nodiscard]] Result<std::vector<uint8_t>> decode(std::span<const uint8_t> bytes) override;

 private:
  SaslSession(const SaslRule& rule, bool in_clear) : rule_(rule), in_clear_(in_clear) {}
  [[nodiscard]] Answer<Step> stepped(int code, const char* data, unsigned size);
  [[nodiscard]] Answer<void> agreed();
  [[nodiscard]] std::unexpected<CallError> failed(std::string_view what, int code) const;

  const SaslRule& rule_;
  const bool in_clear_;
  sasl_conn_t* connection_ = nullptr;
  bool started_ = false;
  int strength_ = 0;      // bits; 0: no encryption
  unsigned max_out_ = 0;  // that encode() of the library takes at a time
};

}  // namespace lodge::access
