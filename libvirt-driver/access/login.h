// Login: how one client proves who it is, as its socket's rule asks for. On login workers, one call at a time; the
// connection sees to that.
#pragma once

#include "libvirt-driver/access/polkit.h"
#include "libvirt-driver/access/sasl.h"

namespace lodge::access {

// A login that has succeeded.
struct Proof {
  std::string name;
  std::shared_ptr<SecurityLayer> layer;  // for all bytes behind the reply that tells the client; may be null
};

class Login {
 public:
  explicit Login(std::shared_ptr<const AccessRule> rule) : rule_(std::move(rule)) {}

  // When the client comes: what is only certain now.
  void begin(const Peer& peer);
  // Whether the connection itself is proof enough.
  [[nodiscard]] bool trusted(const Peer& peer) const;
  [[nodiscard]] const AccessRule& rule() const { return *rule_; }

  [[nodiscard]] Answer<std::string> sasl_init(const Peer& peer);
  [[nodiscard]] Answer<SaslSession::Step> sasl_start(const std::string& mechanism, const std::optional<std::string>& data);
  [[nodiscard]] Answer<SaslSession::Step> sasl_step(const std::optional<std::string>& data);
  // After a step that was complete.
  [[nodiscard]] Answer<Proof> sasl_proof();

  [[nodiscard]] Answer<Proof> polkit(const Peer& peer, const std::function<bool()>& cancelled);

 private:
  std::shared_ptr<const AccessRule> rule_;
  uint64_t start_time_ = 0;  // of the client's process
  std::shared_ptr<SaslSession> sasl_;
};

}  // namespace lodge::access
