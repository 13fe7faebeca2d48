// DomainDisk: a disk of a domain as its XML tells it. A plain value.
#pragma once

#include "libvirt-driver/xml/device_types.h"

namespace lodge {

enum class DiskType : uint8_t { file, block, volume };
LODGE_XML_WORDS(DiskType, "dir network nvme vhostuser vhostvdpa", "file", "block", "volume");
enum class DiskDevice : uint8_t { disk, cdrom, floppy };
LODGE_XML_WORDS(DiskDevice, "lun", "disk", "cdrom", "floppy");
enum class DiskBus : uint8_t { absent, ide, fdc, scsi, virtio, usb, sata };
LODGE_XML_WORDS(DiskBus, "xen uml sd nvme", "", "ide", "fdc", "scsi", "virtio", "usb", "sata");
enum class DiskCacheMode : uint8_t { absent, none, writethrough, writeback, directsync, unsafe };
LODGE_XML_WORDS(DiskCacheMode, "", "", "none", "writethrough", "writeback", "directsync", "unsafe");
enum class DiskIo : uint8_t { absent, native, threads, io_uring };
LODGE_XML_WORDS(DiskIo, "", "", "native", "threads", "io_uring");
enum class DiskDiscardMode : uint8_t { absent, unmap, ignore };
LODGE_XML_WORDS(DiskDiscardMode, "", "", "unmap", "ignore");
enum class DetectZeroes : uint8_t { absent, off, on, unmap };
LODGE_XML_WORDS(DetectZeroes, "", "", "off", "on", "unmap");
enum class ErrorPolicy : uint8_t { absent, stop, report, ignore, enospace };
LODGE_XML_WORDS(ErrorPolicy, "", "", "stop", "report", "ignore", "enospace");
enum class ReadErrorPolicy : uint8_t { absent, stop, report, ignore };
LODGE_XML_WORDS(ReadErrorPolicy, "", "", "stop", "report", "ignore");
enum class StartupPolicy : uint8_t { absent, mandatory, requisite, optional };
LODGE_XML_WORDS(StartupPolicy, "", "", "mandatory", "requisite", "optional");
enum class Tray : uint8_t { absent, closed, open };
LODGE_XML_WORDS(Tray, "", "", "closed", "open");
enum class GeometryTrans : uint8_t { absent, none, automatic, lba };
LODGE_XML_WORDS(GeometryTrans, "", "", "none", "auto", "lba");
enum class SnapshotKind : uint8_t { absent, no, internal, external };
LODGE_XML_WORDS(SnapshotKind, "manual", "", "no", "internal", "external");
enum class DiskModel : uint8_t { absent, virtio, transitional, non_transitional };
LODGE_XML_WORDS(DiskModel, "", "", "virtio", "virtio-transitional", "virtio-non-transitional");

struct DiskDriver {
  std::string name;    // "qemu"
  std::string format;  // "raw", "qcow2"
  DiskCacheMode cache = DiskCacheMode::absent;
  ErrorPolicy error_policy = ErrorPolicy::absent;
  ReadErrorPolicy rerror_policy = ReadErrorPolicy::absent;
  DiskIo io = DiskIo::absent;
  OnOff ioeventfd = OnOff::absent;
  OnOff event_idx = OnOff::absent;
  OnOff copy_on_read = OnOff::absent;
  DiskDiscardMode discard = DiskDiscardMode::absent;
  std::optional<uint32_t> iothread;
  DetectZeroes detect_zeroes = DetectZeroes::absent;
  std::optional<uint32_t> queues;
  std::optional<uint32_t> queue_size;
  VirtioOptions virtio;
  friend bool operator==(const DiskDriver&, const DiskDriver&) = default;
};

// One image of a disk. All empty: no medium.
struct DiskSource {
  DiskType type = DiskType::file;
  std::string path;  // file or block device
  std::string pool;
  std::string volume;
  StartupPolicy startup_policy = StartupPolicy::absent;  // of the disk's own image only
  std::optional<uint32_t> index;                         // live: the node's number, from 1
  friend bool operator==(const DiskSource&, const DiskSource&) = default;
};

struct BackingImage {
  DiskSource source;
  std::string format;
  friend bool operator==(const BackingImage&, const BackingImage&) = default;
};

// Bytes or requests in a second; 0 = no limit. 1: sustained, _max: in a burst, _max_length: seconds of a burst.
struct DiskLimits {
  struct Rate {
    std::optional<uint64_t> total, read, write;
    friend bool operator==(const Rate&, const Rate&) = default;
  };
  Rate bytes, iops, bytes_max, iops_max, bytes_max_length, iops_max_length;
  std::optional<uint64_t> iops_size;
  std::string group;
  friend bool operator==(const DiskLimits&, const DiskLimits&) = default;
};

struct DiskGeometry {
  std::optional<uint32_t> cylinders, heads, sectors;
  GeometryTrans trans = GeometryTrans::absent;
  friend bool operator==(const DiskGeometry&, const DiskGeometry&) = default;
};

struct DomainDisk : DeviceInfo {
  DiskDevice device = DiskDevice::disk;
  DiskModel model = DiskModel::absent;
  SnapshotKind snapshot = SnapshotKind::absent;
  DiskDriver driver;
  DiskSource source;                  // its type is the disk's
  std::vector<BackingImage> backing;  // nearest first
  bool backing_ends = false;          // the chain is told to its end; false: the images' headers tell the rest
  DiskGeometry geometry;
  std::optional<uint32_t> logical_block_size;
  std::optional<uint32_t> physical_block_size;
  std::string target;  // "vda"
  DiskBus bus = DiskBus::absent;
  Tray tray = Tray::absent;
  OnOff removable = OnOff::absent;
  std::optional<uint32_t> rotation_rate;
  DiskLimits limits;
  bool readonly = false;
  bool shareable = false;
  std::string serial;
  std::string wwn;
  std::string vendor;
  std::string product;
  friend bool operator==(const DomainDisk&, const DomainDisk&) = default;

  [[nodiscard]] bool has_medium() const { return !source.path.empty() || !source.volume.empty(); }
};

}  // namespace lodge
