// <domain> itself and how its memory and CPUs are tuned.
#include <fmt/core.h>

#include "libvirt-driver/xml/describe.h"

namespace lodge {
namespace {

void entries(XmlFields& x, const char* name, std::vector<NameValue>& entries) {
  x.list(name, entries, [&](NameValue& entry) {
    x.attr("name", entry.name);
    x.text(entry.value);
  });
}

void blkio(XmlFields& x, BlkioTune& tune) {
  x.element("blkiotune", [&] {
    x.child("weight", tune.weight);
    x.list("device", tune.devices, [&](BlkioDevice& device) {
      x.child("path", device.path);
      x.child("weight", device.weight);
      x.child("read_iops_sec", device.read_iops_sec);
      x.child("write_iops_sec", device.write_iops_sec);
      x.child("read_bytes_sec", device.read_bytes_sec);
      x.child("write_bytes_sec", device.write_bytes_sec);
    });
  });
}

void memory_tune(XmlFields& x, MemoryTune& tune) {
  x.element("memtune", [&] {
    x.size_kib("hard_limit", tune.hard_limit);
    x.size_kib("soft_limit", tune.soft_limit);
    x.size_kib("min_guarantee", tune.min_guarantee);
    x.size_kib("swap_hard_limit", tune.swap_hard_limit);
  });
}

void backing(XmlFields& x, MemoryBacking& backing) {
  x.element("memoryBacking", [&] {
    x.optional("hugepages", backing.hugepages, [&](std::vector<HugePage>& pages) {
      x.list("page", pages, [&](HugePage& page) {
        x.size_kib_attr("size", "unit", page.size);
        x.attr("nodeset", page.nodeset);
      });
    });
    x.flag("nosharepages", backing.nosharepages);
    x.flag("locked", backing.locked);
    x.element("source", [&] { x.attr("type", backing.source); });
    x.element("access", [&] { x.attr("mode", backing.access); });
    x.element("allocation", [&] {
      x.attr("mode", backing.allocation);
      x.attr("threads", backing.allocation_threads);
    });
    x.flag("discard", backing.discard);
  });
}

void vcpus(XmlFields& x, Vcpus& vcpus) {
  if (x.reading() || vcpus.count != 0) {
    x.element("vcpu", [&] {
      x.attr("placement", vcpus.placement);
      x.attr("cpuset", vcpus.cpuset);
      x.attr("current", vcpus.current);
      x.text(vcpus.count);
      if (x.reading() && vcpus.count == 0) {
        x.wrong("", "must be a number from 1");
      }
    });
  }
  x.element("vcpus", [&] {
    x.list("vcpu", vcpus.entries, [&](VcpuEntry& entry) {
      x.attr("id", entry.id);
      x.attr("enabled", entry.enabled);
      x.attr("hotpluggable", entry.hotpluggable);
      x.attr("order", entry.order);
    });
  });
}

void cpu_tune(XmlFields& x, CpuTune& tune) {
  x.element("cputune", [&] {
    x.child("shares", tune.shares);
    x.child("period", tune.period);
    x.child("quota", tune.quota);
    x.child("global_period", tune.global_period);
    x.child("global_quota", tune.global_quota);
    x.child("emulator_period", tune.emulator_period);
    x.child("emulator_quota", tune.emulator_quota);
    x.child("iothread_period", tune.iothread_period);
    x.child("iothread_quota", tune.iothread_quota);
    x.list("vcpupin", tune.vcpu_pins, [&](CpuPin& pin) {
      x.attr("vcpu", pin.id);
      x.attr("cpuset", pin.cpus);
    });
    x.element("emulatorpin", [&] { x.attr("cpuset", tune.emulator_pin); });
    x.list("iothreadpin", tune.iothread_pins, [&](CpuPin& pin) {
      x.attr("iothread", pin.id);
      x.attr("cpuset", pin.cpus);
    });
  });
}

void numa_tune(XmlFields& x, NumaTune& tune) {
  x.element("numatune", [&] {
    x.element("memory", [&] {
      x.attr("mode", tune.mode);
      x.attr("nodeset", tune.nodeset);
      x.attr("placement", tune.placement);
    });
    x.list("memnode", tune.nodes, [&](NumaNode& node) {
      x.attr("cellid", node.cell);
      x.attr("mode", node.mode);
      x.attr("nodeset", node.nodeset);
    });
  });
}

void sysinfo(XmlFields& x, std::optional<Sysinfo>& sysinfo) {
  x.optional("sysinfo", sysinfo, [&](Sysinfo& info) {
    std::string type = "smbios";
    x.attr("type", type);
    if (type != "smbios") {
      x.refuse("@type", fmt::format("'{}' is not offered; it must be smbios", type));
    }
    x.element("bios", [&] { entries(x, "entry", info.bios); });
    x.element("system", [&] { entries(x, "entry", info.system); });
    x.list("baseBoard", info.base_boards, [&](std::vector<NameValue>& board) { entries(x, "entry", board); });
    x.element("chassis", [&] { entries(x, "entry", info.chassis); });
    x.element("oemStrings", [&] { x.list("entry", info.oem_strings, [&](std::string& text) { x.text(text); }); });
  });
}

// Without a text it is chosen when the domain is defined.
void genid(XmlFields& x, std::optional<Uuid>& genid) {
  x.optional("genid", genid, [&](Uuid& id) {
    std::string text = x.reading() ? std::string() : print_uuid(id);
    x.text(text);
    if (x.reading() && !trimmed(text).empty()) {
      const auto parsed = parse_uuid(text);
      if (!parsed) {
        x.wrong("", "malformed genid element: it must be a UUID, or empty");
      }
      id = parsed.value_or(Uuid{});
    }
  });
}

// Labels would come from a security driver, which there is none of.
void no_labels(XmlFields& x) {
  std::vector<std::string> types;
  if (x.reading()) {
    x.list("seclabel", types, [&](std::string& type) {
      x.attr("type", type);
      x.ignore_attr("model");
      if (type != "none") {
        x.refuse("", "is not offered; only type='none' is accepted");
      }
    });
  }
}

}  // namespace

void describe(XmlFields& x, DomainConfig& config) {
  x.attr("type", config.virt_type);
  if (x.reading() || config.id >= 0) {
    x.attr("id", config.id);
  }
  x.child("name", config.name);
  x.child("uuid", config.uuid);
  genid(x, config.genid);
  x.child("title", config.title);
  x.child("description", config.description);
  x.verbatim("metadata", config.metadata);
  x.size_kib("maxMemory", config.max_memory);
  x.size_kib("memory", config.memory);
  x.size_kib("currentMemory", config.current_memory);
  blkio(x, config.blkio);
  memory_tune(x, config.memory_tune);
  backing(x, config.backing);
  vcpus(x, config.vcpus);
  x.child("iothreads", config.iothreads);
  x.element("iothreadids", [&] { x.list("iothread", config.iothread_ids, [&](uint32_t& id) { x.attr("id", id); }); });
  cpu_tune(x, config.cpu_tune);
  numa_tune(x, config.numa_tune);
  x.element("resource", [&] { x.child("partition", config.partition); });
  sysinfo(x, config.sysinfo);
  x.element("os", [&] { describe(x, config.os); });
  x.element("features", [&] { describe(x, config.features); });
  x.optional("cpu", config.cpu, [&](CpuConfig& cpu) { describe(x, cpu); });
  x.element("clock", [&] { describe(x, config.clock); });
  x.child("on_poweroff", config.on_poweroff);
  x.child("on_reboot", config.on_reboot);
  x.child("on_crash", config.on_crash);
  x.element("pm", [&] {
    x.element("suspend-to-mem", [&] { x.attr("enabled", config.suspend_to_mem); });
    x.element("suspend-to-disk", [&] { x.attr("enabled", config.suspend_to_disk); });
  });
  x.element("devices", [&] { describe(x, config.devices); });
  no_labels(x);
}

}  // namespace lodge
