// HostService: what the daemon knows of its host, looked up when it is first asked for. Any thread.
#pragma once

#include <memory>
#include <mutex>

#include "libvirt-driver/host/capabilities.h"

namespace lodge {

class HostService {
 public:
  explicit HostService(HostPaths paths, std::string emulator) : paths_(std::move(paths)), emulator_(std::move(emulator)) {}

  [[nodiscard]] const HostPaths& paths() const { return paths_; }
  [[nodiscard]] Answer<std::string> name() const { return host_name(paths_); }
  [[nodiscard]] Answer<HostUuid> uuid();
  // Before it is first asked for: what the configuration says of it.
  void set_uuid(std::optional<HostUuid> uuid, HostUuidSource source) {
    uuid_ = uuid;
    uuid_source_ = source;
  }
  // libvirt's map of processors; loaded once, some milliseconds.
  [[nodiscard]] Answer<std::shared_ptr<const CpuModels>> models();
  // Read anew: processors come and go.
  [[nodiscard]] Answer<HostFacts> facts();
  [[nodiscard]] CpuidSource kvm();

 private:
  const HostPaths paths_;
  const std::string emulator_;
  std::mutex mutex_;
  std::optional<HostUuid> uuid_;
  HostUuidSource uuid_source_ = HostUuidSource::smbios;
  std::shared_ptr<const CpuModels> models_;
  CpuidSource kvm_;
};

}  // namespace lodge
