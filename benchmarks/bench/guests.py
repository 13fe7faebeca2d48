"""Guests for measurements: a kernel of three instructions, a firmware of three, and Linux on the same terms for both monitors."""
import base64
import contextlib
import os
import pathlib
import re
import select
import signal
import struct
import subprocess
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parent.parent.parent
VMM = TREE / "build/release/bin/lodge-vmm"
GUEST = TREE / "build/guest"
# mov dx, 0xf4 / xor eax, eax / out dx, al / hlt / jmp back to hlt; 16-bit and 32-bit forms differ in the first
CODE_16 = bytes.fromhex("baf400 31c0 ee f4 ebfd".replace(" ", ""))
CODE_32 = bytes.fromhex("66baf400 31c0 ee f4 ebfd".replace(" ", ""))
MULTIBOOT_BEGIN = 0x100020  # of a kernel's code; its header is before it
IDLE_32 = bytes.fromhex("fa f4 ebfd".replace(" ", ""))


def multiboot(folder, code, name):
    """A flat Multiboot 1 kernel whose first instruction is the first of `code`."""
    load = MULTIBOOT_BEGIN - 32
    header = struct.pack("<8I", 0x1BADB002, 0x10000, (-(0x1BADB002 + 0x10000)) & 0xFFFFFFFF, load, load, 0, 0, MULTIBOOT_BEGIN)
    path = pathlib.Path(folder) / name
    path.write_bytes(header + code)
    return path


def firmware(folder, code=CODE_16):
    """A 64 KiB BIOS whose reset vector jumps to `code`."""
    image = bytearray(b"\xf4" * 65536)
    image[0x0000:len(code)] = code
    image[0xFFF0:0xFFF3] = b"\xe9" + struct.pack("<H", (0x10000 - 0xFFF3) & 0xFFFF)  # wraps to offset 0 of the segment
    path = pathlib.Path(folder) / f"bios-{code.hex()}.bin"
    path.write_bytes(image)
    return path


def lodge_linux(extra=(), append="", memory=512, machine="microvm"):
    return [VMM, "run", "--name", "bench", "--machine", machine, "--memory", str(memory), "--kernel", GUEST / "vmlinux",
            "--initrd", GUEST / "initrd.img", "--append", kernel_arguments(append), "--serial", "stdio", "--on-reboot", "destroy",
            *extra]


def qemu_linux(extra=(), append="", memory=512):
    return ["qemu-system-x86_64", "-machine", "microvm,accel=kvm,pcie=on,pit=off,pic=off,rtc=off,isa-serial=on,acpi=on",
            "-cpu", "host", "-m", str(memory), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", GUEST / "vmlinux", "-initrd", GUEST / "initrd.img", "-append", kernel_arguments(append),
            "-serial", "stdio", *extra]


def kernel_arguments(append):
    return f"console=ttyS0 quiet panic=-1 mitigations=off nokaslr {append}"


def script(text):
    return "lodge.run=" + base64.b64encode(text.encode()).decode()


@contextlib.contextmanager
def disks(mebibytes, source):
    """(root, data): a copy of the guest's root file system, and an image of so many MiB of `source`, which lies in memory: what is
    measured is the monitor."""
    with tempfile.TemporaryDirectory(dir=TREE / "build") as folder:
        root = pathlib.Path(folder) / "root.ext4"
        data = pathlib.Path("/dev/shm/lodge-bench.img")
        subprocess.run(["cp", "--sparse=always", GUEST / "root.ext4", root], check=True)
        subprocess.run(["dd", f"if={source}", f"of={data}", "bs=1M", f"count={mebibytes}", "status=none"], check=True)
        try:
            yield root, data
        finally:
            data.unlink(missing_ok=True)


class Run:
    """One guest; its console is read as it comes."""

    def __init__(self, command):
        self.start = time.monotonic()
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors)
        self.output = b""

    def wait_for(self, pattern, seconds):
        """The match in the console's text, and the time since the start."""
        deadline = time.monotonic() + seconds
        while True:
            if match := re.search(pattern, self.output):
                return match, time.monotonic() - self.start
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.process.stdout], [], [], max(left, 0))
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                self.errors.seek(0)
                raise RuntimeError(f"the guest of {self.process.args[0]} did not show {pattern!r}: "
                                   f"{self.output[-600:]!r} {self.errors.read()[-600:]!r}")
            self.output += data

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.process.stdin.close()
        self.errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
