// Cgroup: the control group of one guest (cgroups version 2), where shares and limits of the host are kept.
//
// With systemd it is a transient scope in machine.slice; otherwise a folder below /sys/fs/cgroup/machine. Its threads get
// groups of their own (vcpuN, emulator) only once one of them is limited. Without a version 2 hierarchy that can be written
// there is none: guests run, and what needs it is refused. Any thread; whoever changes one has the domain's job.
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libvirt-driver/core/call_error.h"
#include "libvirt-driver/xml/domain_config.h"

namespace lodge {

struct ThreadLimit {  // of processor time, in microseconds
  std::optional<uint64_t> period;
  std::optional<int64_t> quota;  // negative: none
};

class Cgroup {
 public:
  Cgroup() = default;  // none
  // Finds the one a status file tells of.
  explicit Cgroup(std::string path) : path_(std::move(path)) {}
  // Makes one for the process that is to be guest `name`, and puts it there. Not there: why, in the error.
  [[nodiscard]] static Result<Cgroup> create(int32_t id, const std::string& name, pid_t pid);

  // One more process. None without a group.
  [[nodiscard]] Result<void> add(pid_t pid) const;

  [[nodiscard]] bool exists() const { return !path_.empty(); }
  // Below the mount, "/machine.slice/..."; "" when there is none.
  [[nodiscard]] const std::string& path() const { return path_; }

  // cpu.weight; libvirt calls it shares.
  [[nodiscard]] Answer<uint64_t> shares() const;
  [[nodiscard]] Answer<void> set_shares(uint64_t shares) const;
  // Of all threads together.
  [[nodiscard]] Answer<void> set_limit(const ThreadLimit& limit) const;
  // Of some: `group` is "vcpu0" or "emulator".
  [[nodiscard]] Answer<void> set_thread_limit(const std::string& group, std::span<const pid_t> threads,
                                              const ThreadLimit& limit) const;
  [[nodiscard]] Answer<void> set_memory(const MemoryTune& tune) const;
  [[nodiscard]] Answer<void> set_io(const BlkioTune& tune) const;
  // Memory only of these nodes.
  [[nodiscard]] Answer<void> set_nodes(const IdSet& nodes) const;

  // Once the guest has ended.
  void remove() const;

 private:
  [[nodiscard]] std::string file(std::string_view name) const;
  [[nodiscard]] Answer<void> write(std::string_view name, const std::string& value) const;
  [[nodiscard]] Answer<void> need(std::string_view controller) const;

  std::string path_;
};

}  // namespace lodge
