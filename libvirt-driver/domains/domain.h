// Domain: one guest that is defined, runs, or both. Run: one life of a guest.
//
// What a query needs is copied out under a mutex that nobody holds while waiting, so queries never wait behind a job. What
// changes a domain takes its job first (begin_job); destroying does not, and ends the wait of whoever holds it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "libvirt-driver/domains/agent_link.h"
#include "libvirt-driver/domains/cgroup.h"
#include "libvirt-driver/domains/display.h"
#include "libvirt-driver/domains/monitor.h"
#include "libvirt-driver/domains/process.h"
#include "libvirt-driver/rpc/error.h"
#include "libvirt-driver/xml/domain_config.h"

namespace lodge {

using ConfigPtr = std::shared_ptr<const DomainConfig>;

// One life of a guest, from its start to the end of its monitor. Members without a remark are set before it is published.
struct Run {
  int32_t id = -1;
  std::string folder;  // sockets of this life, gone with it
  std::string log_file;
  Process process;
  Cgroup cgroup;
  std::shared_ptr<Monitor> monitor;  // null: its control socket cannot be reached
  uint64_t autodestroy_session = 0;  // ends with this client; 0: does not
  std::chrono::system_clock::time_point since = std::chrono::system_clock::now();

  std::atomic<int> pause_reason{0};       // VIR_DOMAIN_PAUSED_* of the next pause; 0: unknown
  std::atomic<int> stop_reason{0};        // VIR_DOMAIN_SHUTOFF_* once somebody or something ends it; 0: not known
  std::atomic<int64_t> refused_vcpu{-1};  // the last one that the guest would not let go
  std::atomic<int> agent_timeout{-1};     // s; VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_*

  AgentLink agent;
  Display display;

  // finished(): its monitor has ended and all is cleaned up.
  void finish();
  [[nodiscard]] bool wait_finished(std::chrono::milliseconds patience);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool finished_ = false;
};

// What a query sees.
struct DomainView {
  Uuid uuid{};
  std::string name;
  ConfigPtr persistent;  // null: transient
  ConfigPtr live;        // null: not active
  std::shared_ptr<Run> run;
  int32_t state = 0;  // VIR_DOMAIN_*
  int32_t reason = 0;
  bool autostart = false;
  std::map<std::string, int32_t> disk_errors;  // by target

  [[nodiscard]] bool active() const { return live != nullptr; }
  [[nodiscard]] int32_t id() const { return run != nullptr && live != nullptr ? run->id : -1; }
  // Live when it runs, else what is defined.
  [[nodiscard]] const DomainConfig& config() const { return live != nullptr ? *live : *persistent; }
  [[nodiscard]] rpc::DomainName rpc_name() const { return {name, uuid, id()}; }
};

class Domain : public std::enable_shared_from_this<Domain> {
 public:
  Domain(const Uuid& uuid, std::string name) { view_.uuid = uuid, view_.name = std::move(name); }

  [[nodiscard]] DomainView view() const {
    const std::scoped_lock lock(mutex_);
    return view_;
  }
  // Changes the view; `fn` must not wait.
  template <class Fn>
  auto change(Fn fn) {
    const std::scoped_lock lock(mutex_);
    return fn(view_);
  }

  // The right to change the domain, until it is destroyed.
  class Job {
   public:
    explicit Job(std::shared_ptr<Domain> domain) : domain_(std::move(domain)) {}
    Job(Job&&) = default;
    Job& operator=(Job&&) = default;
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;
    ~Job() {
      if (domain_) {
        domain_->end_job();
      }
    }

   private:
    std::shared_ptr<Domain> domain_;
  };
  // Waits for the job up to libvirt's 30 s. Error: OPERATION_TIMEOUT that names who has it. `what`: "start".
  [[nodiscard]] Answer<Job> begin_job(const std::string& what, std::chrono::seconds patience = std::chrono::seconds(30));
  // Name of the job under way and since when.
  struct JobInfo {
    std::string what;
    std::chrono::steady_clock::time_point since;
  };
  [[nodiscard]] std::optional<JobInfo> job() const;

  std::mutex status_mutex;  // for the writer of its status file

 private:
  void end_job();
  mutable std::mutex mutex_;
  std::condition_variable job_free_;
  std::optional<JobInfo> job_;
  DomainView view_;
};

using DomainPtr = std::shared_ptr<Domain>;

}  // namespace lodge
