#include <fmt/core.h>

#include <utility>

#include "libvirt-driver/xml/describe.h"

namespace lodge {
namespace {

void image(XmlFields& x, DiskSource& source) {
  x.element("source", [&] {
    switch (source.type) {
      case DiskType::file: x.attr("file", source.path); break;
      case DiskType::block: x.attr("dev", source.path); break;
      case DiskType::volume:
        x.attr("pool", source.pool);
        x.attr("volume", source.volume);
        break;
    }
    x.attr("startupPolicy", source.startup_policy);
    x.attr("index", source.index);
  });
}

// Elements nest as images lie on each other; an empty one says that there is none below. Depth: libxml2's limit.
void backing(XmlFields& x, DomainDisk& disk, size_t depth) {
  std::optional<bool> given;
  if (depth < disk.backing.size() || disk.backing_ends) {
    given = true;
  }
  x.optional("backingStore", given, [&](bool&) {
    if (x.reading()) {
      if (!x.has("source") && !x.has("format")) {
        disk.backing_ends = true;
        return;
      }
      disk.backing.emplace_back();
    } else if (depth == disk.backing.size()) {
      return;
    }
    BackingImage& here = disk.backing[depth];
    std::optional<uint32_t> index = std::exchange(here.source.index, std::nullopt);
    x.attr("type", here.source.type);
    x.attr("index", index);
    x.element("format", [&] { x.attr("type", here.format); });
    image(x, here.source);
    here.source.index = index;
    backing(x, disk, depth + 1);
  });
}

void rate(XmlFields& x, DiskLimits::Rate& rate, std::string_view what) {
  x.child(fmt::format("total_{}", what), rate.total);
  x.child(fmt::format("read_{}", what), rate.read);
  x.child(fmt::format("write_{}", what), rate.write);
}

void limits(XmlFields& x, DiskLimits& limits) {
  x.element("iotune", [&] {
    rate(x, limits.bytes, "bytes_sec");
    rate(x, limits.iops, "iops_sec");
    rate(x, limits.bytes_max, "bytes_sec_max");
    rate(x, limits.iops_max, "iops_sec_max");
    x.child("size_iops_sec", limits.iops_size);
    x.child("group_name", limits.group);
    rate(x, limits.bytes_max_length, "bytes_sec_max_length");
    rate(x, limits.iops_max_length, "iops_sec_max_length");
  });
}

void driver(XmlFields& x, DiskDriver& driver) {
  x.element("driver", [&] {
    x.attr("name", driver.name);
    x.attr("type", driver.format);
    x.attr("cache", driver.cache);
    x.attr("error_policy", driver.error_policy);
    x.attr("rerror_policy", driver.rerror_policy);
    x.attr("io", driver.io);
    x.attr("ioeventfd", driver.ioeventfd);
    x.attr("event_idx", driver.event_idx);
    x.attr("copy_on_read", driver.copy_on_read);
    x.attr("discard", driver.discard);
    x.attr("iothread", driver.iothread);
    x.attr("detect_zeroes", driver.detect_zeroes);
    x.attr("queues", driver.queues);
    x.attr("queue_size", driver.queue_size);
    describe_virtio(x, driver.virtio);
  });
}

}  // namespace

void describe(XmlFields& x, DomainDisk& disk) {
  x.attr("type", disk.source.type);
  x.attr("device", disk.device);
  x.attr("model", disk.model);
  x.attr("snapshot", disk.snapshot);
  driver(x, disk.driver);
  image(x, disk.source);
  backing(x, disk, 0);
  x.element("geometry", [&] {
    x.attr("cyls", disk.geometry.cylinders);
    x.attr("heads", disk.geometry.heads);
    x.attr("secs", disk.geometry.sectors);
    x.attr("trans", disk.geometry.trans);
  });
  x.element("blockio", [&] {
    x.attr("logical_block_size", disk.logical_block_size);
    x.attr("physical_block_size", disk.physical_block_size);
  });
  x.element("target", [&] {
    x.attr("dev", disk.target);
    x.attr("bus", disk.bus);
    x.attr("tray", disk.tray);
    x.attr("removable", disk.removable);
    x.attr("rotation_rate", disk.rotation_rate);
  });
  limits(x, disk.limits);
  x.flag("readonly", disk.readonly);
  x.flag("shareable", disk.shareable);
  x.child("serial", disk.serial);
  x.child("wwn", disk.wwn);
  x.child("vendor", disk.vendor);
  x.child("product", disk.product);
  describe_boot(x, disk);
  describe_info(x, disk);
}

}  // namespace lodge
