"""From process start to the first guest instruction, and to the guest's init."""
import subprocess
import tempfile
import time

from bench import guests
from bench.table import Row

NEEDS_LINUX_GUESTS = None  # one half does


def timed(command):
    start = time.monotonic()
    done = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, check=False, timeout=120)
    took = (time.monotonic() - start) * 1000
    if done.returncode != 1:  # what the guest's write of 0 to the exit port gives
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-300:]!r}")
    return took


def first_instruction(repeat):
    """The guest's first instruction ends the process, so the process's life is what is measured."""
    with tempfile.TemporaryDirectory() as folder:
        kernel = guests.multiboot(folder, guests.CODE_32, "exit.elf")
        bios = guests.firmware(folder)
        lodge = [guests.VMM, "run", "--machine", "microvm", "--memory", "128", "--kernel", kernel, "--debug-exit",
                 "--serial", "none", "--on-reboot", "destroy"]
        peer = ["qemu-system-x86_64", "-machine", "microvm,accel=kvm,pit=off,pic=off,rtc=off,isa-serial=off",
                "-cpu", "host,arch-capabilities=off",  # this MSR cannot be set on a KVM without hardware behind it
                "-m", "128", "-nodefaults", "-no-user-config", "-display", "none", "-bios", bios,
                "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
        timed(lodge), timed(peer)  # warm the page cache
        ours, theirs = [], []
        for _ in range(repeat * 4):
            ours.append(timed(lodge))
            theirs.append(timed(peer))
    return Row("process start to first guest instruction, and out", "ms", "less", 0.15, ours, theirs)


def to_init(repeat):
    ours, theirs = [], []
    for _ in range(repeat):
        for command, results in ((guests.lodge_linux(append="lodge.mode=initramfs"), ours),
                                 (guests.qemu_linux(append="lodge.mode=initramfs"), theirs)):
            with guests.Run(command) as run:
                _, seconds = run.wait_for(rb"LODGE-INIT", 120)
                results.append(seconds * 1000)
    return Row("process start to the guest's init (QEMU microvm, same vmlinux)", "ms", "less", 0.8, ours, theirs)


def measure(repeat):
    yield first_instruction(repeat)
    try:
        yield to_init(repeat)
    except RuntimeError as error:
        print(f"  Linux guests do not run here: {str(error)[:200]}")
