"""The nested machine's kernel and initramfs, built once and kept under build/sandbox/."""
import fcntl
import glob
import hashlib
import os
import struct
import subprocess

from . import cpio, debian_kernel
from .places import HERE, STATE, progress, tool

META_PACKAGE = "linux-image-amd64"  # the cloud flavour has no 9p

# Loaded in this order before the root is mounted; the kernel loads any other one by itself when it is first used (ext4, bridge, loop ...).
MODULES = (
    "virtio_pci 9pnet_virtio 9p overlay virtio_console virtio_blk virtio_net "
    "ccp kvm-amd tun tap vhost_net vhost_vsock"
).split()


class L1Image:
    """What QEMU needs to start the nested machine."""

    def __init__(self, kernel, initramfs, preload):
        self.vmlinux = kernel.vmlinux
        self.modules = kernel.modules
        self.initramfs = initramfs
        self.preload = preload  # a library for QEMU


def build(refresh=False):
    """Builds what is missing; with refresh also looks for a newer kernel."""
    os.makedirs(STATE, exist_ok=True)
    with open(f"{STATE}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kernel = debian_kernel.kernel(META_PACKAGE, f"{STATE}/kernels", refresh)
        busybox = tool("busybox", "busybox-static")
        key = hashlib.sha256(kernel.release.encode())
        for source in (__file__, f"{HERE}/l1_init", busybox):
            with open(source, "rb") as file:
                key.update(file.read())
        initramfs = f"{STATE}/initramfs-{kernel.release}-{key.hexdigest()[:12]}.cpio"
        if not os.path.exists(initramfs):
            progress(f"building {os.path.basename(initramfs)}")
            for old in glob.glob(f"{STATE}/initramfs-*.cpio"):
                os.unlink(old)
            _write(initramfs, kernel, busybox)
        return L1Image(kernel, initramfs, _interrupt_lock())


def _interrupt_lock():
    """The library of interrupt_lock.c."""
    source = f"{HERE}/interrupt_lock.c"
    with open(source, "rb") as file:
        library = f"{STATE}/interrupt_lock-{hashlib.sha256(file.read()).hexdigest()[:12]}.so"
    if not os.path.exists(library):
        command = [tool("cc", "gcc"), "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", f"{library}.new", source]
        subprocess.run(command, check=True)
        os.rename(f"{library}.new", library)
    return library


def without_signature(module):
    """A module without the signature behind it: checking it takes the emulated processor long, and nothing demands it."""
    mark = b"~Module signature appended~\n"
    if not module.endswith(mark):
        return module
    trailer = len(module) - len(mark) - 12
    return module[: trailer - struct.unpack_from(">I", module, trailer + 8)[0]]


def _write(path, kernel, busybox):
    archive = cpio.Archive()
    archive.copy("init", f"{HERE}/l1_init", 0o755)
    archive.copy("bin/busybox", busybox, 0o755)
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if applet != "busybox":
            archive.link(f"bin/{applet}", "busybox")
    archive.character_device("dev/console", 5, 1)
    order = []
    for module in kernel.module_files(MODULES):
        name = os.path.basename(module)
        with open(module, "rb") as file:
            archive.file(f"modules/{name}", without_signature(file.read()))
        order.append(name)
    archive.file("modules/order", ("\n".join(order) + "\n").encode())
    archive.write(path)
