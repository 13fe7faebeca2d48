"""The guest that the tests boot: Debian's cloud kernel, a small initramfs and a small root file system; and Debian's usual kernel, with
its own initramfs, for devices of which the cloud kernel knows nothing."""
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile

from . import cpio, debian_kernel
from .places import GUEST, STATE, TREE, Problem, progress, tool

META_PACKAGE = "linux-image-cloud-amd64"
PC_META_PACKAGE = "linux-image-amd64"
PARTS = f"{TREE}/tests/sandbox/guest"
ROOT_MEBIBYTES = 192

# The initramfs loads these, in this order; ext4 is built into the cloud kernel.
BOOT_MODULES = "virtio_pci virtio_blk virtio_net virtio_console virtio-rng virtio_balloon button evdev".split()
# The root file system has these besides.
PC_BOOT_MODULES = [*BOOT_MODULES, "crc32c_generic", "ext4"]
PC_ROOT_MODULES = (
    "ata_piix sd_mod sr_mod isofs floppy e1000 8139cp 8139too 8021q psmouse bochs virtio-gpu virtio_input xhci_pci uhci-hcd usbhid "
    "hid-generic usb-storage i6300esb ib700wdt qemu_fw_cfg parport_pc lp"
).split()
ROOT_MODULES = "ata_piix sd_mod sr_mod isofs vfat nls_cp437 nls_ascii efivarfs virtio_mmio virtio_input virtiofs loop tun veth bridge qemu_fw_cfg".split()
ROOT_MODULES += "vsock vmw_vsock_virtio_transport".split()

# program -> Debian package it is copied from
PROGRAMS = {
    "lsblk": "util-linux",
    "fstrim": "util-linux",
    "lscpu": "util-linux",
    "taskset": "util-linux",
    "ip": "iproute2",
    "tc": "iproute2",
    "ping": "iputils-ping",
    "ethtool": "ethtool",
    "fio": "fio",
    "iperf3": "iperf3",
    "mke2fs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
    "sha256sum": "coreutils",
    "dd": "coreutils",
    "sync": "coreutils",
    "dash": "dash",  # /bin/sh: busybox's own shell would run its applets in place of the programs above
    "bash": "bash",  # the shell on the console
    "truncate": "coreutils",
    "qemu-ga": "qemu-guest-agent",
    "eject": "eject",
}


def build(refresh=False):
    """Builds what is missing or out of date."""
    os.makedirs(GUEST, exist_ok=True)
    with open(f"{GUEST}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kernel = debian_kernel.kernel(META_PACKAGE, f"{STATE}/kernels", refresh)
        pc_kernel = debian_kernel.kernel(PC_META_PACKAGE, f"{STATE}/kernels", refresh)
        key = _key(kernel, pc_kernel)
        mark = f"{GUEST}/built-by"
        if os.path.exists(mark):
            with open(mark) as file:
                if file.read() == key:
                    return
        progress("building the test guest's initramfs")
        for name, source in (("vmlinuz", kernel.image), ("vmlinux", kernel.vmlinux), ("pc-vmlinuz", pc_kernel.image)):
            shutil.copyfile(source, f"{GUEST}/{name}.new")
            os.rename(f"{GUEST}/{name}.new", f"{GUEST}/{name}")
        initramfs(kernel, BOOT_MODULES).write(f"{GUEST}/initrd.img")  # not compressed: unpacking costs more than reading
        initramfs(pc_kernel, PC_BOOT_MODULES).write(f"{GUEST}/pc-initrd.img")
        progress("building the test guest's root file system")
        _write_root(((kernel, BOOT_MODULES + ROOT_MODULES), (pc_kernel, PC_BOOT_MODULES + PC_ROOT_MODULES)))
        with open(mark, "w") as file:
            file.write(key)


def _key(*kernels):
    """What the guest is made of, as one hash; the programs count by size and time."""
    key = hashlib.sha256(" ".join(kernel.release for kernel in kernels).encode())
    sources = [f"{PARTS}/{name}" for name in sorted(os.listdir(PARTS))]
    for source in [__file__, cpio.__file__, debian_kernel.__file__, *sources]:
        with open(source, "rb") as file:
            key.update(file.read())
    for program, package in (*PROGRAMS.items(), ("busybox", "busybox-static")):
        facts = os.stat(tool(program, package))
        key.update(f"{program} {facts.st_size} {facts.st_mtime_ns}".encode())
    return key.hexdigest()


def _applets(busybox):
    output = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout
    return [name for name in output.split() if name != "busybox"]


def _dependencies(kernel, names):
    """(relative module paths, modules.dep lines) of these modules and what they need."""
    files = [os.path.relpath(path, kernel.modules) for path in kernel.module_files(names)]
    with open(f"{kernel.modules}/modules.dep") as file:
        lines = [line for line in file if line.partition(":")[0] in files]
    return files, "".join(lines)


def initramfs(kernel, modules):
    """An archive that loads these modules."""
    busybox = tool("busybox", "busybox-static")
    archive = cpio.Archive()
    archive.copy("init", f"{PARTS}/initramfs_init", 0o755)
    archive.copy("bin/busybox", busybox, 0o755)
    for applet in _applets(busybox):
        archive.link(f"bin/{applet}", "busybox")
    archive.link("sbin", "bin")
    archive.character_device("dev/console", 5, 1)
    for folder in ("proc", "sys", "root", "tmp", "run"):
        archive.folder(folder)
    files, dependencies = _dependencies(kernel, modules)
    for file in files:
        archive.copy(f"lib/modules/{kernel.release}/{file}", f"{kernel.modules}/{file}")
    archive.file(f"lib/modules/{kernel.release}/modules.dep", dependencies.encode())
    archive.file("etc/modules", ("\n".join(modules) + "\n").encode())
    return archive


def libraries(program):
    """The shared libraries that a program loads, with its dynamic linker."""
    output = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
    missing = re.findall(r"(\S+) => not found", output)
    if missing:
        raise Problem(f"{program}: libraries not found: {' '.join(missing)}")
    return re.findall(r"(/\S+) \(0x", output)


def _copy_program(name, package, root):
    source = tool(name, package)
    shutil.copy(os.path.realpath(source), f"{root}/usr/bin/{name}")
    for library in libraries(source):
        target = root + (library if library.startswith("/usr/") else "/usr" + library)
        if not os.path.exists(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copy(os.path.realpath(library), target)


def write_file(path, text, mode=0o644):
    """A file with its folders."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)


def write_modules(kernel, names, root):
    """Into /usr/lib/modules."""
    modules = f"{root}/usr/lib/modules/{kernel.release}"
    files, dependencies = _dependencies(kernel, names)
    for path in files:
        os.makedirs(os.path.dirname(f"{modules}/{path}"), exist_ok=True)
        shutil.copy(f"{kernel.modules}/{path}", f"{modules}/{path}")
    write_file(f"{modules}/modules.dep", dependencies)


def _write_root(kernels):
    """root.ext4, made without mounting anything."""
    with tempfile.TemporaryDirectory(dir=GUEST) as scratch:
        root = f"{scratch}/root"
        for folder in "dev proc sys run tmp root mnt etc usr/bin usr/lib usr/lib64 var/log home".split():
            os.makedirs(f"{root}/{folder}")
        os.chmod(root, 0o755)
        for name, target in (("bin", "usr/bin"), ("sbin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("usr/sbin", "bin")):
            os.symlink(target, f"{root}/{name}")
        busybox = tool("busybox", "busybox-static")
        shutil.copy(busybox, f"{root}/usr/bin/busybox")
        for name, package in PROGRAMS.items():
            _copy_program(name, package, root)
        os.symlink("mke2fs", f"{root}/usr/bin/mkfs.ext4")
        os.symlink("dash", f"{root}/usr/bin/sh")
        for applet in _applets(busybox):
            if applet != "init" and not os.path.lexists(f"{root}/usr/bin/{applet}"):
                os.symlink("busybox", f"{root}/usr/bin/{applet}")
        for name in ("init", "lodge-agent", "lodge-poweroff", "shutdown", "chpasswd"):
            shutil.copy(f"{PARTS}/{name}", f"{root}/usr/bin/{name}")
        for name in ("fdformat", "vsock"):
            subprocess.run(["cc", "-static", "-O1", "-o", f"{root}/usr/bin/{name}", f"{PARTS}/{name}.c"], check=True)
        shutil.copy(f"{PARTS}/udhcpc.script", f"{root}/etc/udhcpc.script")
        write_file(f"{root}/etc/acpi/PWRF/00000080", "#!/bin/sh\nexec lodge-poweroff\n", 0o755)
        write_file(f"{root}/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        write_file(f"{root}/etc/shadow", "root::19000:0:99999:7:::\n", 0o600)
        write_file(f"{root}/etc/group", "root:x:0:\n")
        write_file(f"{root}/etc/inputrc", "set enable-bracketed-paste off\n")
        write_file(f"{root}/etc/hosts", "127.0.0.1 localhost guest\n")
        write_file(f"{root}/etc/os-release", 'NAME="Lodge test guest"\nID=lodge-test\nVERSION_ID="1"\nPRETTY_NAME="Lodge test guest 1"\n')
        os.symlink("/run", f"{root}/var/run")
        os.symlink("/run/resolv.conf", f"{root}/etc/resolv.conf")
        for kernel, names in kernels:
            write_modules(kernel, names, root)
        image = f"{GUEST}/root.ext4.new"
        if os.path.exists(image):
            os.unlink(image)
        command = [tool("mke2fs", "e2fsprogs"), "-q", "-t", "ext4", "-L", "lodge-root", "-m", "0", "-E", "root_owner=0:0"]
        command += ["-d", root, image, f"{ROOT_MEBIBYTES}M"]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode != 0:
            raise Problem(f"{GUEST}/root.ext4: mke2fs failed: {result.stderr.strip()}")
        os.rename(image, f"{GUEST}/root.ext4")
