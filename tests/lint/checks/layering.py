"""Arrows point down only: which folder may include which (docs/architecture.md)."""
import pathlib
import re

from checks import tracked

# folder prefix -> prefixes it may include; the longest matching prefix rules
MAY_SEE = {
    "base": ["base"],
    "devices/core": ["base", "devices/core"],
    "devices/pci": ["base", "devices/core", "devices/pci"],
    "devices/block": ["base", "devices/core", "devices/block"],
    "devices/net": ["base", "devices/core", "devices/net", "devices/virtio/queue_state.h"],
    "devices/legacy": ["base", "devices/core", "devices/legacy"],
    "devices/virtio": ["base", "devices/core", "devices/pci", "devices/block", "devices/net", "devices/virtio"],
    "devices/virtio/input": ["base", "devices/core", "devices/input", "devices/virtio"],
    "devices/virtio/gpu": ["base", "devices/core", "devices/display", "devices/virtio"],
    "devices": ["base", "devices"],
    "migration": ["base", "devices/core", "migration"],
    "vmm/cpu": ["base", "vmm/cpu", "vmm/kvm/kvm_abi.h"],
    "vmm/boot": ["base", "vmm/boot", "vmm/cpu"],
    "vmm/config": ["base", "vmm/config"],
    "vmm/kvm": ["base", "devices/core", "vmm/boot", "vmm/cpu", "vmm/kvm"],
    "vmm/display": ["base", "devices/display", "devices/input", "vmm/display"],
    "vmm/vnc": ["base", "devices/input", "vmm/control", "vmm/display", "vmm/sandbox", "vmm/vnc"],
    "vmm": ["base", "devices", "migration", "vmm"],
    "libvirt-driver": ["base", "vmm/control/protocol.h", "libvirt-driver"],
    "libvirt-driver/host": ["base", "vmm/kvm/kvm_abi.h", "libvirt-driver"],  # the kernel's header made right for C++
}
# Made by the build (libvirt-driver/rpc/generate.py).
GENERATED = ("libvirt-driver/rpc/protocol.h", "libvirt-driver/rpc/procedure_rows.h", "libvirt-driver/rpc/shape_checks.h")
# Who may name which outside header.
ONLY = {
    r"<liburing\.h>": ["base/io/"],
    r"<expected>": ["base/result.h"],
    r"<spdlog/": ["base/log.cc"],
    r"<nlohmann/": ["vmm/config/", "vmm/control/", "libvirt-driver/domains/"],
    r"<linux/kvm\.h>": ["vmm/kvm/kvm_abi.h"],
    r"<rfb/": ["vmm/vnc/"],
    r"<boost/": ["libvirt-driver/"],
    r"<gnutls/": ["libvirt-driver/access/", "vmm/vnc/"],
    r"<sasl/": ["libvirt-driver/access/"],
    r"<systemd/": ["libvirt-driver/access/", "libvirt-driver/domains/"],
}


def allowed(path, include):
    rule = max((key for key in MAY_SEE if path.startswith(key + "/")), key=len, default=None)
    if rule is None:
        return True
    return any(include == seen or include.startswith(seen + "/") for seen in MAY_SEE[rule])


def run(tree):
    complaints = []
    for path in tracked("*.cc", "*.h"):
        if path.startswith(("tests/", "benchmarks/")):
            continue
        for number, line in enumerate((tree / path).read_text().splitlines(), 1):
            if match := re.match(r'#include "([^"]+)"', line):
                include = match.group(1)
                if not (tree / include).exists() and include not in GENERATED:
                    complaints.append(f"{path}:{number}: {include} is not a path from the project's root")
                elif not allowed(path, include):
                    complaints.append(f"{path}:{number}: {pathlib.Path(path).parent} may not see {include}")
            for pattern, places in ONLY.items():
                if re.match(r"#include " + pattern, line) and not any(path.startswith(place) for place in places):
                    complaints.append(f"{path}:{number}: only {', '.join(places)} may include {pattern}")
    return complaints
