#include "libvirt-driver/host/host_service.h"
#include "libvirt-driver/domains/uefi_firmware.h"

namespace lodge {

Answer<HostUuid> HostService::uuid() {
  const std::scoped_lock lock(mutex_);
  if (!uuid_) {
    uuid_ = TRY(host_uuid(paths_, uuid_source_));
  }
  return *uuid_;
}

Answer<std::shared_ptr<const CpuModels>> HostService::models() {
  const std::scoped_lock lock(mutex_);
  if (!models_) {
    models_ = std::make_shared<const CpuModels>(TRY(CpuModels::load(paths_.cpu_map)));
  }
  return models_;
}

CpuidSource HostService::kvm() {
  const std::scoped_lock lock(mutex_);
  if (!kvm_) {
    kvm_ = kvm_cpuid(paths_);
  }
  return kvm_;
}

Answer<HostFacts> HostService::facts() {
  const auto uuid = TRY(this->uuid());
  const auto models = TRY(this->models());
  HostFacts facts = TRY(host_facts(paths_, uuid, *models, processor_cpuid, kvm()));
  facts.emulator = emulator_;
  for (const UefiFirmware& firmware : installed_uefi(firmware_folders())) {
    facts.uefi.push_back(firmware.code);
  }
  return facts;
}

}  // namespace lodge
