// DomainConfig: a domain as its XML tells it, members in libvirt's order. A plain value: copy, compare, any thread.
//
// Optional members that are empty were not given; complete() (domain_defaults.h) fills in what libvirt fills in.
#pragma once

#include "libvirt-driver/xml/domain_devices.h"

namespace lodge {

using OptionalKib = std::optional<uint64_t>;

struct BlkioDevice {
  std::string path;
  std::optional<uint64_t> weight, read_iops_sec, write_iops_sec, read_bytes_sec, write_bytes_sec;
  friend bool operator==(const BlkioDevice&, const BlkioDevice&) = default;
};
struct BlkioTune {
  std::optional<uint32_t> weight;
  std::vector<BlkioDevice> devices;
  friend bool operator==(const BlkioTune&, const BlkioTune&) = default;
};
struct MemoryTune {
  OptionalKib hard_limit, soft_limit, min_guarantee, swap_hard_limit;
  friend bool operator==(const MemoryTune&, const MemoryTune&) = default;
};

enum class MemorySource : uint8_t { absent, file, anonymous, memfd };
LODGE_XML_WORDS(MemorySource, "", "", "file", "anonymous", "memfd");
enum class MemoryAccess : uint8_t { absent, shared, priv };
LODGE_XML_WORDS(MemoryAccess, "", "", "shared", "private");
enum class MemoryAllocation : uint8_t { absent, immediate, ondemand };
LODGE_XML_WORDS(MemoryAllocation, "", "", "immediate", "ondemand");
struct HugePage {
  OptionalKib size;
  IdSet nodeset;
  friend bool operator==(const HugePage&, const HugePage&) = default;
};
struct MemoryBacking {
  std::optional<std::vector<HugePage>> hugepages;  // without pages: of the host's usual size
  bool nosharepages = false;
  bool locked = false;
  MemorySource source = MemorySource::absent;
  MemoryAccess access = MemoryAccess::absent;
  MemoryAllocation allocation = MemoryAllocation::absent;
  std::optional<uint32_t> allocation_threads;
  bool discard = false;
  friend bool operator==(const MemoryBacking&, const MemoryBacking&) = default;
};

enum class Placement : uint8_t { absent, fixed };
LODGE_XML_WORDS(Placement, "auto", "", "static");
struct VcpuEntry {
  uint32_t id = 0;
  YesNo enabled = YesNo::absent;
  YesNo hotpluggable = YesNo::absent;
  std::optional<uint32_t> order;
  friend bool operator==(const VcpuEntry&, const VcpuEntry&) = default;
};
struct Vcpus {
  uint32_t count = 0;  // the most there can be; 0: not given
  std::optional<uint32_t> current;
  Placement placement = Placement::absent;
  IdSet cpuset;
  std::vector<VcpuEntry> entries;
  friend bool operator==(const Vcpus&, const Vcpus&) = default;
};

struct CpuPin {
  uint32_t id = 0;  // of the vCPU or I/O thread
  IdSet cpus;
  friend bool operator==(const CpuPin&, const CpuPin&) = default;
};
struct CpuTune {  // periods and quotas in microseconds; a negative quota is no limit
  std::optional<uint64_t> shares, period;
  std::optional<int64_t> quota;
  std::optional<uint64_t> global_period;
  std::optional<int64_t> global_quota;
  std::optional<uint64_t> emulator_period;
  std::optional<int64_t> emulator_quota;
  std::optional<uint64_t> iothread_period;
  std::optional<int64_t> iothread_quota;
  std::vector<CpuPin> vcpu_pins;
  IdSet emulator_pin;
  std::vector<CpuPin> iothread_pins;
  friend bool operator==(const CpuTune&, const CpuTune&) = default;
};

enum class NumaMode : uint8_t { absent, strict, preferred, interleave, restrictive };
LODGE_XML_WORDS(NumaMode, "", "", "strict", "preferred", "interleave", "restrictive");
struct NumaNode {
  uint32_t cell = 0;
  NumaMode mode = NumaMode::absent;
  IdSet nodeset;
  friend bool operator==(const NumaNode&, const NumaNode&) = default;
};
struct NumaTune {
  NumaMode mode = NumaMode::absent;
  IdSet nodeset;
  Placement placement = Placement::absent;
  std::vector<NumaNode> nodes;
  friend bool operator==(const NumaTune&, const NumaTune&) = default;
};

struct Sysinfo {  // smbios
  std::vector<NameValue> bios, system;
  std::vector<std::vector<NameValue>> base_boards;
  std::vector<NameValue> chassis;
  std::vector<std::string> oem_strings;
  friend bool operator==(const Sysinfo&, const Sysinfo&) = default;
};

enum class BootDev : uint8_t { hd, cdrom, network, fd };
LODGE_XML_WORDS(BootDev, "", "hd", "cdrom", "network", "fd");
enum class SmbiosMode : uint8_t { absent, emulate, host, sysinfo };
LODGE_XML_WORDS(SmbiosMode, "", "", "emulate", "host", "sysinfo");
enum class Firmware : uint8_t { absent, bios, efi };
LODGE_XML_WORDS(Firmware, "", "", "bios", "efi");
struct FirmwareFeature {
  YesNo enabled = YesNo::absent;
  std::string name;
  friend bool operator==(const FirmwareFeature&, const FirmwareFeature&) = default;
};
struct OsConfig {
  Firmware firmware = Firmware::absent;
  std::string type;     // "hvm"
  std::string arch;     // "x86_64"
  std::string machine;  // "lodge"
  std::vector<FirmwareFeature> firmware_features;
  std::string loader;
  YesNo loader_readonly = YesNo::absent;
  YesNo loader_secure = YesNo::absent;
  std::string loader_type;  // "rom", "pflash"
  YesNo loader_stateless = YesNo::absent;
  std::string loader_format;
  std::string nvram;
  std::string nvram_template;
  std::string nvram_format;
  std::string kernel, initrd, cmdline;
  std::vector<BootDev> boot;
  YesNo boot_menu = YesNo::absent;
  std::optional<uint32_t> boot_menu_timeout_ms;
  YesNo useserial = YesNo::absent;
  std::optional<int32_t> reboot_timeout_ms;
  SmbiosMode smbios = SmbiosMode::absent;
  friend bool operator==(const OsConfig&, const OsConfig&) = default;
};

struct Features {
  bool acpi = false;
  bool apic = false;
  OnOff apic_eoi = OnOff::absent;
  bool pae = false;
  OnOff vmcoreinfo = OnOff::absent;
  std::vector<std::string> off;  // features that are told to be off, in libvirt's order: "vmport"
  friend bool operator==(const Features&, const Features&) = default;
};

enum class CpuMode : uint8_t { absent, custom, host_model, host_passthrough, maximum };
LODGE_XML_WORDS(CpuMode, "", "", "custom", "host-model", "host-passthrough", "maximum");
enum class CpuMatch : uint8_t { absent, minimum, exact, strict };
LODGE_XML_WORDS(CpuMatch, "", "", "minimum", "exact", "strict");
enum class CpuCheck : uint8_t { absent, none, partial, full };
LODGE_XML_WORDS(CpuCheck, "", "", "none", "partial", "full");
enum class CpuFallback : uint8_t { absent, allow, forbid };
LODGE_XML_WORDS(CpuFallback, "", "", "allow", "forbid");
enum class CpuPolicy : uint8_t { absent, force, require, optional, disable, forbid };
LODGE_XML_WORDS(CpuPolicy, "", "", "force", "require", "optional", "disable", "forbid");
enum class CpuCacheMode : uint8_t { absent, emulate, passthrough, disable };
LODGE_XML_WORDS(CpuCacheMode, "", "", "emulate", "passthrough", "disable");
enum class PhysAddrMode : uint8_t { absent, emulate, passthrough };
LODGE_XML_WORDS(PhysAddrMode, "", "", "emulate", "passthrough");
struct CpuFeature {
  CpuPolicy policy = CpuPolicy::absent;
  std::string name;
  friend bool operator==(const CpuFeature&, const CpuFeature&) = default;
};
struct CpuTopology {
  uint32_t sockets = 1, dies = 1, cores = 1, threads = 1;
  friend bool operator==(const CpuTopology&, const CpuTopology&) = default;
};
struct NumaDistance {
  uint32_t id = 0;
  uint32_t value = 0;
  friend bool operator==(const NumaDistance&, const NumaDistance&) = default;
};
struct GuestNumaCell {
  std::optional<uint32_t> id;  // none: its place in the list
  IdSet cpus;
  OptionalKib memory;
  MemoryAccess access = MemoryAccess::absent;
  YesNo discard = YesNo::absent;
  std::vector<NumaDistance> distances;
  friend bool operator==(const GuestNumaCell&, const GuestNumaCell&) = default;
};
struct CpuConfig {
  CpuMode mode = CpuMode::absent;
  CpuMatch match = CpuMatch::absent;
  CpuCheck check = CpuCheck::absent;
  OnOff migratable = OnOff::absent;
  std::string model;
  CpuFallback fallback = CpuFallback::absent;
  std::string vendor_id;
  std::string vendor;
  std::optional<CpuTopology> topology;
  std::optional<uint32_t> cache_level;
  CpuCacheMode cache = CpuCacheMode::absent;
  PhysAddrMode maxphysaddr = PhysAddrMode::absent;
  std::optional<uint32_t> maxphysaddr_bits;
  std::vector<CpuFeature> features;
  std::vector<GuestNumaCell> numa;
  friend bool operator==(const CpuConfig&, const CpuConfig&) = default;
};

enum class ClockOffset : uint8_t { utc, localtime, timezone, variable };
LODGE_XML_WORDS(ClockOffset, "absolute", "utc", "localtime", "timezone", "variable");
enum class ClockBasis : uint8_t { absent, utc, localtime };
LODGE_XML_WORDS(ClockBasis, "", "", "utc", "localtime");
enum class TimerName : uint8_t { rtc, pit, hpet, tsc, kvmclock, hypervclock };
LODGE_XML_WORDS(TimerName, "platform armvtimer", "rtc", "pit", "hpet", "tsc", "kvmclock", "hypervclock");
enum class TickPolicy : uint8_t { absent, delay, catchup, merge, discard };
LODGE_XML_WORDS(TickPolicy, "", "", "delay", "catchup", "merge", "discard");
enum class TimerTrack : uint8_t { absent, boot, guest, wall, realtime };
LODGE_XML_WORDS(TimerTrack, "", "", "boot", "guest", "wall", "realtime");
enum class TimerMode : uint8_t { absent, automatic, native, emulate, paravirt, smpsafe };
LODGE_XML_WORDS(TimerMode, "", "", "auto", "native", "emulate", "paravirt", "smpsafe");
struct Timer {
  TimerName name = TimerName::rtc;
  YesNo present = YesNo::absent;
  TickPolicy tick_policy = TickPolicy::absent;
  TimerTrack track = TimerTrack::absent;
  std::optional<uint64_t> frequency_hz;
  TimerMode mode = TimerMode::absent;
  std::optional<uint64_t> catchup_threshold, catchup_slew, catchup_limit;
  friend bool operator==(const Timer&, const Timer&) = default;
};
struct Clock {
  ClockOffset offset = ClockOffset::utc;
  std::string adjustment;  // "reset" or seconds; "": none
  ClockBasis basis = ClockBasis::absent;
  std::string timezone;
  std::vector<Timer> timers;
  friend bool operator==(const Clock&, const Clock&) = default;
};

enum class LifecycleAction : uint8_t { absent, destroy, restart, preserve, rename_restart };
LODGE_XML_WORDS(LifecycleAction, "", "", "destroy", "restart", "preserve", "rename-restart");
enum class CrashAction : uint8_t { absent, destroy, restart, preserve, rename_restart, coredump_destroy, coredump_restart };
LODGE_XML_WORDS(CrashAction, "", "", "destroy", "restart", "preserve", "rename-restart", "coredump-destroy",
                "coredump-restart");

struct DomainDevices {
  std::string emulator;
  std::vector<DomainDisk> disks;
  std::vector<DomainController> controllers;
  std::vector<DomainInterface> interfaces;
  std::vector<DomainSerial> serials;
  std::vector<DomainParallel> parallels;
  std::vector<DomainConsole> consoles;
  std::vector<DomainChannel> channels;
  std::vector<DomainInput> inputs;
  std::vector<DomainGraphics> graphics;
  std::vector<DomainAudio> audios;
  std::vector<DomainVideo> videos;
  std::vector<DomainWatchdog> watchdogs;
  std::optional<DomainBalloon> memballoon;
  std::vector<DomainRng> rngs;
  std::vector<DomainPanic> panics;
  std::vector<DomainVsock> vsocks;
  std::vector<DomainFilesystem> filesystems;
  friend bool operator==(const DomainDevices&, const DomainDevices&) = default;
};

struct DomainConfig {
  std::string virt_type;  // "kvm"
  int32_t id = -1;        // of a running domain
  std::string name;
  Uuid uuid{};                // all zero: not given
  std::optional<Uuid> genid;  // virtual machine generation ID; all zero: to be chosen
  std::string title;
  std::string description;
  std::string metadata;         // "<metadata>...</metadata>" as it was given, indented for its place; "": none
  uint64_t max_memory = 0;      // KiB, as the other two; 0: not given
  uint64_t memory = 0;          // what the guest starts with
  uint64_t current_memory = 0;  // what the balloon leaves it
  BlkioTune blkio;
  MemoryTune memory_tune;
  MemoryBacking backing;
  Vcpus vcpus;
  std::optional<uint32_t> iothreads;
  std::vector<uint32_t> iothread_ids;
  CpuTune cpu_tune;
  NumaTune numa_tune;
  std::string partition;
  std::optional<Sysinfo> sysinfo;
  OsConfig os;
  Features features;
  std::optional<CpuConfig> cpu;
  Clock clock;
  LifecycleAction on_poweroff = LifecycleAction::absent;
  LifecycleAction on_reboot = LifecycleAction::absent;
  CrashAction on_crash = CrashAction::absent;
  YesNo suspend_to_mem = YesNo::absent;
  YesNo suspend_to_disk = YesNo::absent;
  DomainDevices devices;
  friend bool operator==(const DomainConfig&, const DomainConfig&) = default;
};

}  // namespace lodge
