"""Fetches a Debian kernel package and unpacks it, without installing it, into the build folder."""
import glob
import hashlib
import lzma
import os
import re
import shutil
import struct
import subprocess
import tempfile
import zlib

from .places import Problem, progress, tool

# payload magic -> decompressor
FORMATS = (
    (b"\xfd7zXZ\x00", lambda data: lzma.LZMADecompressor().decompress(data)),
    (b"\x1f\x8b", lambda data: zlib.decompressobj(31).decompress(data)),
    (b"\x28\xb5\x2f\xfd", lambda data: filtered(["zstd", "-dc"], data)),
    (b"\x02\x21\x4c\x18", lambda data: filtered(["lz4", "-dc"], data)),
)


class Kernel:
    """An unpacked kernel: image (bzImage), vmlinux (ELF), modules (folder), release."""

    def __init__(self, folder):
        self.folder = folder
        self.modules = only(f"{folder}/lib/modules/*")
        self.release = os.path.basename(self.modules)
        self.image = f"{folder}/boot/vmlinuz-{self.release}"
        self.vmlinux = f"{folder}/boot/vmlinux"

    def module_files(self, names):
        """Paths of these modules and all they need, in loading order; what is built in is left out."""
        ordered = []
        for name in names:
            command = [tool("modprobe", "kmod"), "-d", self.folder, "-S", self.release, "--show-depends", name]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode != 0:
                raise Problem(f"kernel {self.release}: module {name}: {result.stderr.strip()}")
            for line in result.stdout.splitlines():
                word, _, path = line.partition(" ")
                path = path.split(" ")[0]
                if word == "insmod" and path not in ordered:
                    ordered.append(path)
        return ordered


def only(pattern):
    """The one path that matches."""
    found = glob.glob(pattern)
    if len(found) != 1:
        raise Problem(f"{pattern}: {len(found)} matches where one is expected; remove the folder and run again")
    return found[0]


def filtered(command, data):
    """Data sent through a decompressor program. Bytes after the compressed stream (its length) are not an error."""
    command[0] = tool(command[0], command[0])
    result = subprocess.run(command, input=data, capture_output=True)
    if not result.stdout:
        raise Problem(f"{command[0]}: {result.stderr.decode(errors='replace').strip()}")
    return result.stdout


def extract_vmlinux(image):
    """The uncompressed ELF inside a bzImage, found by its boot header."""
    with open(image, "rb") as file:
        data = file.read()
    if data[0x202:0x206] != b"HdrS":
        raise Problem(f"{image}: not a bzImage")
    start = ((data[0x1F1] or 4) + 1) * 512 + struct.unpack_from("<I", data, 0x248)[0]
    payload = data[start : start + struct.unpack_from("<I", data, 0x24C)[0]]
    for magic, decompress in FORMATS:
        if payload.startswith(magic):
            elf = decompress(payload)
            if not elf.startswith(b"\x7fELF"):
                raise Problem(f"{image}: its payload is not an ELF file")
            return elf
    raise Problem(f"{image}: payload compressed in an unknown way (it starts with {payload[:6].hex()})")


def package_of(meta_package):
    """The versioned package that a meta package stands for, as apt's lists have it now; None if they have it not."""
    output = subprocess.run(["apt-cache", "depends", meta_package], capture_output=True, text=True).stdout
    found = re.search(r"Depends: (linux-image-\S+)", output)
    return found and found.group(1)


def apt_update():
    """Refreshes apt's lists, as root."""
    progress("apt-get update")
    prefix = [] if os.geteuid() == 0 else [tool("sudo", "sudo")]
    subprocess.run([*prefix, "apt-get", "update", "-qq"], check=False)


def download(meta_package, folder):
    """Downloads the package that a meta package stands for into the folder; returns its path. Stale lists are refreshed once."""
    trouble = "apt's lists do not have it; Debian's main archive must be in /etc/apt/sources.list"
    for attempt in range(2):
        if attempt:
            apt_update()
        package = package_of(meta_package)
        if not package:
            continue
        progress(f"downloading {package}")
        options = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
        command = ["apt-get", *options, "download", "-qq", package]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if result.returncode == 0:
            return only(f"{folder}/*.deb")
        trouble = f"apt-get download failed: {result.stderr.strip()}"
    raise Problem(f"{meta_package}: {trouble}")


def kernel(meta_package, store, refresh=False):
    """The kernel of a meta package, unpacked under store; fetched when it is not there (or a newer one is wanted)."""
    with open(__file__, "rb") as own:
        builder = hashlib.sha256(own.read()).hexdigest()[:12]
    target = f"{store}/{meta_package}"
    mark = f"{target}/unpacked-by"
    if not refresh and os.path.exists(mark):
        with open(mark) as file:
            if file.read() == builder:
                return Kernel(target)
    os.makedirs(store, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store) as scratch:
        archive = download(meta_package, scratch)
        progress(f"unpacking {os.path.basename(archive)}")
        unpacked = f"{scratch}/unpacked"
        subprocess.run([tool("dpkg", "dpkg"), "-x", archive, unpacked], check=True)
        result = Kernel(unpacked)
        subprocess.run([tool("depmod", "kmod"), "-b", unpacked, result.release], check=True)
        with open(result.vmlinux, "wb") as file:
            file.write(extract_vmlinux(result.image))
        with open(f"{unpacked}/unpacked-by", "w") as file:
            file.write(builder)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(unpacked, target)
    return Kernel(target)
