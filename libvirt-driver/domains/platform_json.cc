#include "libvirt-driver/domains/platform_json.h"

#include <algorithm>
#include <bit>

#include "libvirt-driver/domains/boot_json.h"
#include "libvirt-driver/domains/device_json.h"

namespace lodge {
namespace {

// As many as the monitor places.
constexpr uint32_t kParallelPorts = 2;

Answer<void> check_hpet(const DomainConfig& config) {
  if (!has_hpet(config.clock)) {
    return {};
  }
  constexpr std::string_view kPath = "/domain/clock/timer[@name='hpet']";
  if (is_microvm(config)) {
    return unsupported(kPath, "machine 'microvm' has no HPET; use machine='pc', or present='no'");
  }
  for (const Timer& timer : config.clock.timers) {
    if (timer.name == TimerName::hpet && timer.tick_policy != TickPolicy::absent &&
        timer.tick_policy != TickPolicy::discard) {
      return unsupported(fmt::format("{}/@tickpolicy", kPath),
                         fmt::format("ticks that were missed are lost; use 'discard', not '{}', or leave it out",
                                     xml_word(timer.tick_policy)));
    }
  }
  return {};
}

// What the kernel's timer can do: give ticks that were missed later, or not at all.
Answer<void> check_pit(const DomainConfig& config) {
  for (const Timer& timer : config.clock.timers) {
    if (timer.name == TimerName::pit &&
        (timer.tick_policy == TickPolicy::catchup || timer.tick_policy == TickPolicy::merge)) {
      return unsupported("/domain/clock/timer[@name='pit']/@tickpolicy",
                         fmt::format("KVM gives ticks that were missed later or drops them; use 'delay' or 'discard', not "
                                     "'{}'",
                                     xml_word(timer.tick_policy)));
    }
  }
  return {};
}

Answer<void> check_parallels(const DomainConfig& config) {
  for (const DomainParallel& parallel : config.devices.parallels) {
    if (is_microvm(config)) {
      return unsupported("/domain/devices/parallel", "machine 'microvm' has no parallel ports; use machine='pc'");
    }
    if (parallel.port.value_or(0) >= kParallelPorts) {
      return unsupported(
          "/domain/devices/parallel/target/@port",
          fmt::format("port {}: this version of Lodge has parallel ports 0 to {}", *parallel.port, kParallelPorts - 1));
    }
    const auto* isa = parallel.address ? std::get_if<IsaAddress>(&*parallel.address) : nullptr;
    if (isa != nullptr && (isa->iobase || isa->irq)) {
      return unsupported("/domain/devices/parallel/address", "a port's number says where it is; leave the address out");
    }
  }
  return {};
}

Answer<void> check_vsock(const DomainConfig& config) {
  for (const DomainVsock& vsock : config.devices.vsocks) {
    if (vsock.model == VsockModel::transitional) {
      return unsupported("/domain/devices/vsock/@model",
                         "it is younger than the virtio of transitional devices; use 'virtio'");
    }
    if (vsock.virtio.iommu == OnOff::on || vsock.virtio.ats == OnOff::on || vsock.virtio.packed == OnOff::on) {
      return unsupported("/domain/devices/vsock/driver", "the kernel serves it: neither 'iommu', 'ats' nor 'packed'");
    }
  }
  return {};
}

Answer<void> check_filesystems(const DomainConfig& config) {
  for (const DomainFilesystem& filesystem : config.devices.filesystems) {
    const auto refuse = [](std::string_view child, const std::string& why) {
      return unsupported(fmt::format("/domain/devices/filesystem{}", child), why);
    };
    if (filesystem.driver != FilesystemDriver::virtiofs) {
      return refuse("/driver/@type", "only <driver type='virtiofs'/> is there, with a virtiofsd beside the guest");
    }
    if (config.backing.access != MemoryAccess::shared) {
      return refuse("",
                    "virtiofs requires shared memory: <memoryBacking><source type='memfd'/><access mode='shared'/>"
                    "</memoryBacking>");
    }
    if (filesystem.readonly) {
      return refuse("/readonly",
                    "virtiofsd always lets the guest write; leave it out, and share a read-only mount of the folder");
    }
    if (filesystem.virtio.iommu == OnOff::on || filesystem.virtio.ats == OnOff::on ||
        filesystem.virtio.packed == OnOff::on) {
      return refuse("/driver", "virtiofsd serves it: neither 'iommu', 'ats' nor 'packed'");
    }
    constexpr uint32_t kLeastQueue = 4;
    constexpr uint32_t kMostQueue = 1024;
    if (const uint32_t size = filesystem.queue_size.value_or(kMostQueue);
        size < kLeastQueue || size > kMostQueue || !std::has_single_bit(size)) {
      return refuse("/driver/@queue", fmt::format("{}: use a power of two from {} to {}", size, kLeastQueue, kMostQueue));
    }
  }
  return {};
}

}  // namespace

bool has_hpet(const Clock& clock) {
  return std::ranges::any_of(clock.timers,
                             [](const Timer& timer) { return timer.name == TimerName::hpet && timer.present != YesNo::no; });
}

Answer<void> check_platform(const DomainConfig& config) {
  TRY_VOID(check_hpet(config));
  TRY_VOID(check_pit(config));
  TRY_VOID(check_parallels(config));
  TRY_VOID(check_filesystems(config));
  return check_vsock(config);
}

void add_platform(Json& machine, const DomainConfig& config, const MachineFds& fds) {
  if (config.genid) {
    machine["vmgenid"] = print_uuid(*config.genid);
  }
  if (config.features.vmcoreinfo == OnOff::on) {
    machine["vmcoreinfo"] = true;
  }
  if (has_hpet(config.clock)) {
    machine["clock"]["hpet"] = true;
  }
  for (const DomainVsock& vsock : config.devices.vsocks) {
    Json json{{"enabled", true}, {"cid", vsock.cid.value_or(0)}, {"vhost_fd", fds.vsock}};
    add_slot(json, vsock);
    machine["vsock"] = json;
  }
  for (const DomainFilesystem& filesystem : config.devices.filesystems) {
    const auto socket = fds.filesystems.find(filesystem.alias);
    Json json{{"id", filesystem.alias},
              {"tag", filesystem.tag},
              {"socket_fd", socket != fds.filesystems.end() ? socket->second : -1}};
    if (filesystem.queue_size) {
      json["queue_size"] = *filesystem.queue_size;
    }
    add_slot(json, filesystem);
    machine["filesystems"].push_back(json);
  }
}

}  // namespace lodge
