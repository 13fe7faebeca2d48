"""The CD that installs Debian on a whole PC: GRUB for BIOS and UEFI, Debian's usual kernel, an installer in its initramfs (guest/lodge-install),
and a Debian system of packages as an archive with the checksums of all its files."""
import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile

from . import apt, cpio, debian_kernel, guest_image
from .places import GUEST, STATE, Problem, progress, tool

ISO = f"{GUEST}/install.iso"

# Besides what is essential in Debian; no /sbin/init, which is the test guest's, because systemd takes long in the test bed.
PACKAGES = "grub2-common,grub-pc-bin,grub-efi-amd64-bin,efibootmgr,e2fsprogs,mount,iproute2,iputils-ping,kmod,eject,busybox-static"
# Room that copying would take, and nothing here needs; perl came for the sake of usrmerge. Beginnings of names.
LEFT_OUT = (
    "./dev/",
    *(f"./usr/share/{name}/" for name in "doc man info locale perl zoneinfo grub i18n".split()),
    *(f"./usr/lib/x86_64-linux-gnu/{name}" for name in "perl gconv/ libperl libdb-".split()),
    *(f"./usr/{name}" for name in "lib/grub/x86_64-efi/monolithic/ bin/perl bin/grub- sbin/grub-macbless games/ include/ src/".split()),
)

DRIVES = "crc32c_generic ext4 ata_piix sd_mod".split()
SYSTEM_PARTITION = "vfat nls_cp437 nls_ascii efivarfs".split()
INSTALLER_MODULES = [*DRIVES, "sr_mod", "isofs", *SYSTEM_PARTITION]
SYSTEM_MODULES = ["button", "evdev", *DRIVES, "virtio_pci", "virtio_net", "e1000", "8139cp"]  # of the system's initramfs

INSTALLER_TOOLS = {"sfdisk": "fdisk", "mke2fs": "e2fsprogs", "mkfs.vfat": "dosfstools", "eject": "eject"}

# d: the drives by DMA; p: by PIO only. UEFI reads the serial port itself, so there GRUB gets keys from it alone.
MENU = """serial --unit=0 --speed=115200
if [ "$grub_platform" = efi ]; then terminal_input console; else terminal_input serial; fi
terminal_output serial
set timeout=-1
menuentry "Install Debian" --hotkey=d {{ set more=; start }}
menuentry "Install Debian, without DMA" --hotkey=p {{ set more=libata.dma=0; start }}
function start {{
    linux /boot/vmlinuz console=ttyS0 quiet panic=-1 mitigations=off nokaslr lodge.mode=initramfs lodge.run={run} $more
    initrd /boot/installer.img
    boot
}}
"""


def build(refresh=False):
    """Builds what is missing or out of date."""
    os.makedirs(GUEST, exist_ok=True)
    os.makedirs(STATE, exist_ok=True)
    with open(f"{GUEST}/install-lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kernel = debian_kernel.kernel(guest_image.PC_META_PACKAGE, f"{STATE}/kernels", refresh)
        base = _base(refresh)
        key = _key(kernel, base)
        mark = f"{GUEST}/install-built-by"
        if os.path.exists(mark) and os.path.exists(ISO):
            with open(mark) as file:
                if file.read() == key:
                    return
        progress("building the CD that installs Debian")
        with tempfile.TemporaryDirectory(dir=GUEST) as scratch:
            _write_iso(kernel, base, scratch)
        with open(mark, "w") as file:
            file.write(key)


def _key(kernel, base):
    key = hashlib.sha256(f"{kernel.release} {base}".encode())
    parts = [f"{guest_image.PARTS}/{name}" for name in sorted(os.listdir(guest_image.PARTS))]
    for source in [__file__, guest_image.__file__, cpio.__file__, *parts]:
        with open(source, "rb") as file:
            key.update(file.read())
    return key.hexdigest()


def _base(refresh):
    """Path of the archive of Debian's packages."""
    path = f"{STATE}/debian-base-{hashlib.sha256(PACKAGES.encode()).hexdigest()[:12]}.tar"
    if refresh or not os.path.exists(path):
        progress("making a Debian system of packages")
        command = [tool("mmdebstrap", "mmdebstrap"), "--variant=essential", "--format=tar", f"--include={PACKAGES}", "--dpkgopt=force-unsafe-io"]
        result = subprocess.run([*command, "bookworm", f"{path}.new", "-"], input=apt.sources(), capture_output=True, text=True)
        if result.returncode != 0:
            raise Problem(f"{path}: mmdebstrap failed: {result.stderr.strip()[-2000:]}")
        os.rename(f"{path}.new", path)
    return path


class System:
    """The Debian system as an archive, and the checksums of its files."""

    def __init__(self, path):
        self.tar = tarfile.open(path, "w", format=tarfile.GNU_FORMAT)
        self.sums = []

    def entry(self, info, content=None):
        """One entry; content: of a regular file."""
        if info.isreg():
            self.sums.append(f"{hashlib.sha256(content).hexdigest()}  {info.name.removeprefix('./')}\n")
        self.tar.addfile(info, io.BytesIO(content) if info.isreg() else None)

    def file(self, name, content, mode=0o644):
        """A regular file of root's."""
        info = tarfile.TarInfo(f"./{name}")
        info.size = len(content)
        info.mode = mode
        self.entry(info, content)

    def copy(self, name, source, mode=0o644):
        """A regular file with the content of one of ours."""
        with open(source, "rb") as file:
            self.file(name, file.read(), mode)

    def packages(self, base):
        """What Debian's packages brought."""
        with tarfile.open(base) as packages:
            for info in packages:
                if not info.name.startswith(LEFT_OUT) and info.name not in ("./etc/hostname", "./etc/fstab"):
                    self.entry(info, packages.extractfile(info).read() if info.isreg() else None)

    def close(self):
        """Adds the list of checksums, which is returned."""
        text = "".join(sorted(self.sums)).encode()
        self.file("var/lib/lodge.sha256", text)
        self.tar.close()
        return text


def _write_system(kernel, base, scratch):
    """debian.tar and debian.sha256 of the CD."""
    system = System(f"{scratch}/cd/debian.tar")
    system.packages(base)
    guest_image.write_modules(kernel, [*SYSTEM_MODULES, *SYSTEM_PARTITION], f"{scratch}/modules")
    modules = f"{scratch}/modules"
    os.symlink("usr/lib", f"{modules}/lib")
    subprocess.run([tool("depmod", "kmod"), "-b", modules, kernel.release], check=True, capture_output=True)
    for folder, _, files in sorted(os.walk(modules)):
        for name in sorted(files):
            path = f"{folder}/{name}"
            system.copy(os.path.relpath(path, modules), path)
    for name in ("init", "lodge-agent", "lodge-poweroff"):
        system.copy(f"usr/sbin/{name}", f"{guest_image.PARTS}/{name}", 0o755)
    system.file("etc/acpi/PWRF/00000080", b"#!/bin/sh\nexec lodge-poweroff\n", 0o755)
    system.file("etc/hostname", b"installed\n")
    _compressed(guest_image.initramfs(kernel, SYSTEM_MODULES), f"{scratch}/initrd.img")
    system.copy("boot/initrd.img", f"{scratch}/initrd.img")
    system.copy("boot/vmlinuz", kernel.image)
    with open(f"{scratch}/cd/debian.sha256", "wb") as file:
        file.write(system.close())


def _compressed(archive, path):
    """A BIOS reads by PIO: each byte that it need not read is time won."""
    with open(path, "wb") as file:
        file.write(subprocess.run([tool("zstd", "zstd"), "-q", "-19", "-c"], input=archive.ended(), capture_output=True, check=True).stdout)


def _write_installer(kernel, path):
    archive = guest_image.initramfs(kernel, INSTALLER_MODULES)
    for name in ("lodge-agent", "lodge-install"):
        archive.copy(f"bin/{name}", f"{guest_image.PARTS}/{name}", 0o755)
    archive.link("usr/bin", "/bin")
    copied = set()
    for name, package in INSTALLER_TOOLS.items():
        source = tool(name, package)
        archive.copy(f"tools/{name}", os.path.realpath(source), 0o755)
        for library in guest_image.libraries(source):
            if library not in copied:
                copied.add(library)
                archive.copy(library.lstrip("/"), os.path.realpath(library), 0o755)
    _compressed(archive, path)


def _write_iso(kernel, base, scratch):
    os.makedirs(f"{scratch}/cd/boot/grub")
    _write_system(kernel, base, scratch)
    _write_installer(kernel, f"{scratch}/cd/boot/installer.img")
    shutil.copy(kernel.image, f"{scratch}/cd/boot/vmlinuz")
    run = "ZXhlYyBsb2RnZS1hZ2VudAo="  # exec lodge-agent
    with open(f"{scratch}/cd/boot/grub/grub.cfg", "w") as file:
        file.write(MENU.format(run=run))
    tool("xorriso", "xorriso")
    command = [tool("grub-mkrescue", "grub-common"), "-o", f"{ISO}.new", "--locales=", "--fonts=", "--themes=", f"{scratch}/cd"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise Problem(f"{ISO}: grub-mkrescue failed: {result.stderr.strip()[-2000:]}")
    os.rename(f"{ISO}.new", ISO)
