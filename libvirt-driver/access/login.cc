#include "libvirt-driver/access/login.h"

#include <unistd.h>

#include <chrono>
#include <map>
#include <mutex>

namespace lodge::access {
namespace {

constexpr std::string_view kManage = "org.libvirt.unix.manage";
constexpr std::string_view kMonitor = "org.libvirt.unix.monitor";
constexpr std::chrono::seconds kQuick(2);  // a rule answers at once; what takes longer asks a person
constexpr unsigned kSlowAtOnce = 2;        // questions of one user; a person answers one at a time

std::unexpected<CallError> out_of_turn(std::string_view what) {
  return std::unexpected(
      CallError(VIR_ERR_AUTH_FAILED, fmt::format("{} is not what this connection waits for", what), VIR_FROM_AUTH));
}

// A user's questions to polkit that take long: few, so that one user's prompts leave room for others.
class SlowQuestion {
 public:
  explicit SlowQuestion(uid_t uid) : uid_(uid), begin_(std::chrono::steady_clock::now()) {}
  ~SlowQuestion() {
    if (counted_) {
      const std::scoped_lock lock(mutex());
      if (--counts()[uid_] == 0) {
        counts().erase(uid_);
      }
    }
  }
  SlowQuestion(const SlowQuestion&) = delete;
  SlowQuestion& operator=(const SlowQuestion&) = delete;

  // Whether it has become one too many.
  bool too_many() {
    if (counted_ || refused_ || std::chrono::steady_clock::now() - begin_ < kQuick) {
      return refused_;
    }
    const std::scoped_lock lock(mutex());
    unsigned& count = counts()[uid_];
    counted_ = count < kSlowAtOnce;
    refused_ = !counted_;
    count += counted_ ? 1 : 0;
    return refused_;
  }
  [[nodiscard]] bool was_too_many() const { return refused_; }

 private:
  static std::mutex& mutex() {
    static std::mutex only;
    return only;
  }
  static std::map<uid_t, unsigned>& counts() {
    static std::map<uid_t, unsigned> only;
    return only;
  }
  const uid_t uid_;
  const std::chrono::steady_clock::time_point begin_;
  bool counted_ = false;
  bool refused_ = false;
};

}  // namespace

void Login::begin(const Peer& peer) {
  if (rule_->auth == AuthKind::polkit) {
    start_time_ = process_start_time(peer.pid);
  }
}

bool Login::trusted(const Peer& peer) const {
  switch (rule_->auth) {
    case AuthKind::none: return true;
    case AuthKind::sasl: return false;
    // polkit lets root do everything, and a user's own daemon has no secrets from that user.
    case AuthKind::polkit: return peer.transport == TransportKind::unix_socket && (peer.uid == 0 || peer.uid == ::geteuid());
  }
  return false;
}

Answer<std::string> Login::sasl_init(const Peer& peer) {
  if (rule_->auth != AuthKind::sasl || sasl_) {
    return out_of_turn("the beginning of a SASL login");
  }
  sasl_ = TRY(SaslSession::create(peer, rule_->sasl));
  return sasl_->mechanisms();
}

Answer<SaslSession::Step> Login::sasl_start(const std::string& mechanism, const std::optional<std::string>& data) {
  return sasl_ ? sasl_->start(mechanism, data) : out_of_turn("the start of a SASL login");
}

Answer<SaslSession::Step> Login::sasl_step(const std::optional<std::string>& data) {
  return sasl_ ? sasl_->step(data) : out_of_turn("a step of a SASL login");
}

Answer<Proof> Login::sasl_proof() { return Proof{TRY(sasl_->name()), sasl_->encrypts() ? sasl_ : nullptr}; }

Answer<Proof> Login::polkit(const Peer& peer, const std::function<bool()>& cancelled) {
  if (rule_->auth != AuthKind::polkit) {
    return out_of_turn("a question to polkit");
  }
  if (start_time_ == 0) {
    return std::unexpected(
        CallError(VIR_ERR_AUTH_FAILED, fmt::format("process {} cannot be looked at", peer.pid), VIR_FROM_POLKIT));
  }
  const std::string action(rule_->read_only ? kMonitor : kManage);
  SlowQuestion question(peer.uid);
  const auto answer = ask_polkit({peer.pid, start_time_, peer.uid}, action,
                                 [&question, &cancelled] { return cancelled() || question.too_many(); });
  if (question.was_too_many()) {
    return std::unexpected(CallError(
        VIR_ERR_AUTH_FAILED, fmt::format("user {} has {} questions of polkit to answer already", peer.uid, kSlowAtOnce),
        VIR_FROM_POLKIT));
  }
  TRY_VOID(answer);
  return Proof{fmt::format("user {}", peer.uid), nullptr};
}

}  // namespace lodge::access
