"""Every folder of the architecture is there with a README of its own; every device folder has the same file names."""
import pathlib

FOLDERS = ("base", "devices", "devices/core", "devices/pci", "devices/virtio", "devices/block", "devices/flash", "devices/net", "devices/legacy",
           "vmm", "vmm/kvm", "vmm/machine", "vmm/boot", "vmm/cpu", "vmm/config", "vmm/control", "vmm/sandbox", "vmm/display", "vmm/vnc", "migration",
           "libvirt-driver", "libvirt-driver/access", "libvirt-driver/config", "libvirt-driver/host", "configs", "tests",
           "tests/package", "tests/unit", "tests/guests", "tests/fuzz", "tests/sandbox",
           "tests/integration", "tests/lint", "benchmarks", "docs")
NO_STATE = {"debug_ports", "power", "pvpanic"}  # none to save; state of the two small power devices is in device.h


def run(tree):
    complaints = []
    for folder in FOLDERS:
        if not (tree / folder / "README.md").exists():
            complaints.append(f"{folder}/README.md is missing: purpose, threads, invariants, how to add one")
    for parent in ("devices/virtio", "devices/legacy"):
        for folder in sorted(path for path in pathlib.Path(tree / parent).iterdir() if path.is_dir()):
            for name in ("device.h", "state.h"):
                if not (folder / name).exists() and not (name == "state.h" and folder.name in NO_STATE):
                    complaints.append(f"{folder.relative_to(tree)}/{name} is missing")
    return complaints
