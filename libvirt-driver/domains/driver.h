// Driver: what the daemon knows and does. One object; the handlers of calls/ are thin over it.
//
// Any thread, unless said otherwise. Functions that change a domain take its job themselves.
#pragma once

#include <atomic>
#include <functional>

#include "libvirt-driver/domains/domain_list.h"
#include "libvirt-driver/domains/logs.h"
#include "libvirt-driver/domains/store.h"
#include "libvirt-driver/events/event_hub.h"
#include "libvirt-driver/forward/services.h"
#include "libvirt-driver/host/host_service.h"

namespace boost::asio {
class io_context;
}

namespace lodge {

class NetworkPorts;

struct DriverOptions {
  DriverPaths paths;
  std::string uri = "lodge:///system";
  bool session = false;  // of one user, not of the host
  LogLimits logs;
  std::optional<Account> account;  // whom monitors run as; none: as we do
  DisplayOptions display;
  forward::HostServices services;
};

class Driver {
 public:
  using Post = std::function<void(std::function<void()>)>;  // runs it on a worker
  Driver(boost::asio::io_context& network, Post post, DriverOptions options);
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // Loads definitions and finds running guests again; starts what is to start with the host. Before the first client.
  [[nodiscard]] Result<void> load();

  [[nodiscard]] DomainList& domains() { return domains_; }
  [[nodiscard]] EventHub& events() { return events_; }
  [[nodiscard]] HostService& host() { return host_; }
  [[nodiscard]] NetworkPorts& networks() { return *networks_; }
  [[nodiscard]] const DriverOptions& options() const { return options_; }
  [[nodiscard]] const DriverPaths& paths() const { return options_.paths; }

  // define.cc
  [[nodiscard]] Answer<DomainPtr> define(std::string_view xml, uint32_t flags);
  [[nodiscard]] Answer<void> undefine(const DomainPtr& domain, uint32_t flags);
  [[nodiscard]] Answer<void> set_autostart(const DomainPtr& domain, bool autostart);
  [[nodiscard]] Answer<void> rename(const DomainPtr& domain, const std::string& name);
  // Replaces the persistent definition; under the domain's job.
  [[nodiscard]] Answer<void> replace_definition(const DomainPtr& domain, DomainConfig config);
  // Replaces what is told of the running guest, and its status file; under the domain's job.
  void replace_live(const DomainPtr& domain, DomainConfig config);
  // Checks and completes a definition as a client gave it.
  // Fills in what a definition leaves open, and checks it.
  [[nodiscard]] Answer<void> complete_definition(DomainConfig& config) const;
  [[nodiscard]] Answer<DomainConfig> read_definition(std::string_view xml, bool validate) const;

  // start.cc
  [[nodiscard]] Answer<DomainPtr> create(std::string_view xml, uint32_t flags, const std::shared_ptr<rpc::Session>& session);
  [[nodiscard]] Answer<void> start(const DomainPtr& domain, uint32_t flags, const std::shared_ptr<rpc::Session>& session);

  // stop.cc
  [[nodiscard]] Answer<void> destroy(const DomainPtr& domain, bool graceful);
  [[nodiscard]] Answer<void> shutdown(const DomainPtr& domain);  // the power button
  [[nodiscard]] Answer<void> suspend(const DomainPtr& domain);
  [[nodiscard]] Answer<void> resume(const DomainPtr& domain);
  [[nodiscard]] Answer<void> reset(const DomainPtr& domain);

  // The run of an active domain with a monitor that answers. Error: OPERATION_INVALID "domain is not running".
  [[nodiscard]] static Answer<std::shared_ptr<Run>> running(const DomainView& view);

  // Waits until `gone` holds, which is looked at whenever a guest has let go of a device. False: it did not in time.
  [[nodiscard]] bool wait_for_removal(std::chrono::milliseconds patience, const std::function<bool()>& gone);

  // display_start.cc. A request to the guest's display server, with a descriptor that goes before it by the name of its
  // argument "fdname".
  [[nodiscard]] Answer<Json> ask_display(const std::string& guest, const Run& run, const std::string& verb,
                                         const Json& arguments, std::optional<Fd> fd);

  // Brings the running guest's status file up to date.
  void write_status(const DomainPtr& domain);

  // Runs `fn` on a worker.
  void post(std::function<void()> fn) { post_(std::move(fn)); }

 private:
  friend class Starter;
  void watch(const DomainPtr& domain, const std::shared_ptr<Run>& run);  // for the end of its process
  void when_ended(Fd pidfd, std::function<void()> then);                 // on a worker
  // `log`: its standard error; `record` writes down that it is there.
  [[nodiscard]] Answer<void> start_display(Run& run, const DomainConfig& live, DisplayFiles files, int log,
                                           const std::function<Result<void>()>& record);
  void watch_display(const DomainPtr& domain, const std::shared_ptr<Run>& run);
  void display_ended(const DomainPtr& domain, const std::shared_ptr<Run>& run);
  void restart_display(const DomainPtr& domain, const std::shared_ptr<Run>& run);
  void connect(const DomainPtr& domain, const std::shared_ptr<Run>& run, Fd socket);
  // `may_wait`: for other daemons.
  void ended(const DomainPtr& domain, const std::shared_ptr<Run>& run, bool may_wait = true);
  void watchdog_event(Run& run, const rpc::DomainName& who, const std::string& action);
  void on_event(const DomainPtr& domain, const std::shared_ptr<Run>& run, const std::string& name, const Json& data);
  void mark(const DomainPtr& domain, const Run* run, int state, int reason);
  // The guest opened or closed a channel; all of them without a name.
  void channel_changed(const DomainPtr& domain, const std::string& channel, bool open);
  void note_refusal(Run& run, const std::string& alias);
  void device_deleted(const DomainPtr& domain, const std::string& alias);
  void ask_state(const DomainPtr& domain, const std::shared_ptr<Run>& run, bool starting);
  void find_again(StoredStatus status);
  void autostart_all();

  boost::asio::io_context& network_;
  Post post_;
  DriverOptions options_;
  DomainList domains_;
  EventHub events_;
  HostService host_;
  std::unique_ptr<NetworkPorts> networks_;
  std::atomic<int32_t> next_id_ = 1;
  std::mutex removal_mutex_;
  std::condition_variable removed_;
};

}  // namespace lodge
