// <os>, <features>, <cpu>, <clock>.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "libvirt-driver/xml/describe.h"

namespace lodge {
namespace {

// Features that Lodge has not: libvirt's documents may say so. In libvirt's order.
constexpr auto kOffFeatures = std::to_array<std::string_view>({"hap", "pvspinlock", "pmu", "vmport", "smm"});
// The same with a list of switches inside; nothing of them is kept.
constexpr auto kOffGroups = std::to_array<std::string_view>({"hyperv", "kvm"});

void off_features(XmlFields& x, Features& features) {
  for (const std::string_view name : kOffFeatures) {
    if (x.reading() || std::ranges::find(features.off, name) != features.off.end()) {
      OnOff state = x.reading() ? OnOff::on : OnOff::off;
      bool given = !x.reading();
      x.element(name, [&] {
        given = true;
        x.attr("state", state);
        if (state != OnOff::off) {
          x.refuse("", "is not offered; only state='off' is accepted");
        }
      });
      if (x.reading() && given) {
        features.off.emplace_back(name);
      }
    }
  }
}

// Without a state it is on.
void vmcoreinfo(XmlFields& x, OnOff& state) {
  std::optional<OnOff> given;
  if (state != OnOff::absent) {
    given = state;
  }
  x.optional("vmcoreinfo", given, [&](OnOff& value) { x.attr("state", value); });
  if (given) {
    state = *given == OnOff::absent ? OnOff::on : *given;
  }
}

void off_groups(XmlFields& x) {
  for (const std::string_view group : kOffGroups) {
    if (!x.reading()) {
      return;
    }
    x.element(group, [&] {
      x.ignore_attr("mode");
      x.each_child([&] {
        OnOff state = OnOff::on;
        x.attr("state", state);
        if (state != OnOff::off) {
          x.refuse("", "is not offered; only state='off' is accepted");
        }
      });
    });
  }
}

void loader(XmlFields& x, OsConfig& os) {
  x.element("loader", [&] {
    x.attr("readonly", os.loader_readonly);
    x.attr("secure", os.loader_secure);
    x.attr("type", os.loader_type);
    x.attr("stateless", os.loader_stateless);
    x.attr("format", os.loader_format);
    x.text(os.loader);
  });
  x.element("nvram", [&] {
    x.attr("template", os.nvram_template);
    x.attr("format", os.nvram_format);
    x.text(os.nvram);
  });
}

void cell(XmlFields& x, GuestNumaCell& cell) {
  x.attr("id", cell.id);
  x.attr("cpus", cell.cpus);
  x.size_kib_attr("memory", "unit", cell.memory);
  x.attr("memAccess", cell.access);
  x.attr("discard", cell.discard);
  x.element("distances", [&] {
    x.list("sibling", cell.distances, [&](NumaDistance& distance) {
      x.attr("id", distance.id);
      x.attr("value", distance.value);
    });
  });
}

void timer(XmlFields& x, Timer& timer) {
  x.attr("name", timer.name);
  x.attr("present", timer.present);
  x.attr("tickpolicy", timer.tick_policy);
  x.attr("track", timer.track);
  x.attr("frequency", timer.frequency_hz);
  x.attr("mode", timer.mode);
  x.element("catchup", [&] {
    x.attr("threshold", timer.catchup_threshold);
    x.attr("slew", timer.catchup_slew);
    x.attr("limit", timer.catchup_limit);
  });
}

}  // namespace

void describe(XmlFields& x, OsConfig& os) {
  x.attr("firmware", os.firmware);
  x.element("type", [&] {
    x.attr("arch", os.arch);
    x.attr("machine", os.machine);
    x.text(os.type);
  });
  x.element("firmware", [&] {
    x.list("feature", os.firmware_features, [&](FirmwareFeature& feature) {
      x.attr("enabled", feature.enabled);
      x.attr("name", feature.name);
    });
  });
  loader(x, os);
  x.child("kernel", os.kernel);
  x.child("initrd", os.initrd);
  x.child("cmdline", os.cmdline);
  x.list("boot", os.boot, [&](BootDev& device) { x.attr("dev", device); });
  x.element("bootmenu", [&] {
    x.attr("enable", os.boot_menu);
    x.attr("timeout", os.boot_menu_timeout_ms);
  });
  x.element("bios", [&] {
    x.attr("useserial", os.useserial);
    x.attr("rebootTimeout", os.reboot_timeout_ms);
  });
  x.element("smbios", [&] { x.attr("mode", os.smbios); });
}

void describe(XmlFields& x, Features& features) {
  x.flag("acpi", features.acpi);
  std::optional<OnOff> apic;
  if (features.apic) {
    apic = features.apic_eoi;
  }
  x.optional("apic", apic, [&](OnOff& eoi) { x.attr("eoi", eoi); });
  features.apic = apic.has_value();
  features.apic_eoi = apic.value_or(OnOff::absent);
  x.flag("pae", features.pae);
  off_features(x, features);
  vmcoreinfo(x, features.vmcoreinfo);
  off_groups(x);
}

void describe(XmlFields& x, CpuConfig& cpu) {
  x.attr("mode", cpu.mode);
  x.attr("match", cpu.match);
  x.attr("check", cpu.check);
  x.attr("migratable", cpu.migratable);
  x.element("model", [&] {
    x.attr("fallback", cpu.fallback);
    x.attr("vendor_id", cpu.vendor_id);
    x.text(cpu.model);
  });
  x.child("vendor", cpu.vendor);
  x.optional("topology", cpu.topology, [&](CpuTopology& topology) {
    for (auto [name, value] : {std::pair{"sockets", &topology.sockets}, std::pair{"dies", &topology.dies},
                               std::pair{"cores", &topology.cores}, std::pair{"threads", &topology.threads}}) {
      x.attr(name, *value);
      if (*value == 0) {
        x.wrong(fmt::format("@{}", name), "must be a number from 1");
      }
    }
  });
  x.element("cache", [&] {
    x.attr("level", cpu.cache_level);
    x.attr("mode", cpu.cache);
  });
  x.element("maxphysaddr", [&] {
    x.attr("mode", cpu.maxphysaddr);
    x.attr("bits", cpu.maxphysaddr_bits);
  });
  x.list("feature", cpu.features, [&](CpuFeature& feature) {
    x.attr("policy", feature.policy);
    x.attr("name", feature.name);
  });
  x.element("numa", [&] { x.list("cell", cpu.numa, [&](GuestNumaCell& one) { cell(x, one); }); });
}

void describe(XmlFields& x, Clock& clock) {
  x.attr("offset", clock.offset);
  if (clock.offset == ClockOffset::timezone) {
    x.attr("timezone", clock.timezone);
  } else {
    x.attr("adjustment", clock.adjustment);
  }
  int64_t seconds = 0;
  if (x.reading() && !clock.adjustment.empty() && clock.adjustment != "reset" && !parse_number(clock.adjustment, seconds)) {
    x.wrong("@adjustment", fmt::format("'{}' is neither 'reset' nor a number of seconds", clock.adjustment));
  }
  if (clock.offset == ClockOffset::variable) {
    x.attr("basis", clock.basis);
  }
  x.list("timer", clock.timers, [&](Timer& one) { timer(x, one); });
}

}  // namespace lodge
