"""A whole PC: from its BIOS to a boot sector, what it costs at rest, IDE disks by DMA, and its screen over VNC."""
import os
import pathlib
import re
import subprocess
import tempfile
import time

from bench import guests, memory, rfb
from bench.table import Row

NEEDS_LINUX_GUESTS = None  # two of four do
RAM = memory.MEMORY
# Prints a text to the first serial port and halts; boots by BIOS.
BOOT = bytes.fromhex("fa31c08ed8be207cac84c07406baf803eeebf5f4ebfd").ljust(0x20, b"\0") + b"BOOT-SECTOR\n\0"
REST = 10  # seconds of an idle guest
SCREEN = 8  # seconds of its screen
PORT = 5987


def lodge(*options, ram=RAM):
    return [guests.VMM, "run", "--name", "bench", "--machine", "pc", "--memory", str(ram), "--on-reboot", "destroy", *options]


def qemu(*options, ram=RAM):
    return ["qemu-system-x86_64", "-name", "bench,debug-threads=on", "-machine", "pc,accel=kvm",
            "-cpu", "host,arch-capabilities=off",  # this MSR cannot be set on a KVM without hardware behind it
            "-m", str(ram), "-nodefaults", "-no-user-config", "-no-reboot", *options]


def boot_disk(folder):
    path = pathlib.Path(folder) / "boot.img"
    path.write_bytes(BOOT.ljust(510, b"\0") + b"\x55\xaa" + bytes((1 << 20) - 512))
    return path


def with_bios(folder):
    """Both monitors' commands for a pc with a screen nobody looks at, whose BIOS starts a boot sector of an IDE disk."""
    disk = boot_disk(folder)
    return (lodge("--firmware", "bios", "--video", "vga", "--disk", f"path={disk},bus=ide", "--serial", "stdio"),
            qemu("-vga", "std", "-display", "none", "-drive", f"file={disk},format=raw,if=ide", "-serial", "stdio"))


def to_boot_sector(repeat):
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeat):
            for command, results in zip(with_bios(folder), (ours, theirs)):
                with guests.Run(command) as run:
                    _, seconds = run.wait_for(rb"BOOT-SECTOR", 120)
                    results.append(seconds * 1000)
    return Row("process start to the boot sector, through SeaBIOS and its VGA BIOS", "ms", "less", 0.6, ours, theirs)


def threads(pid):
    """(number, voluntary switches, seconds of processor time) of each thread but the vCPUs."""
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        if re.match(r"vcpu|CPU \d", name):
            continue
        switches = re.search(r"^voluntary_ctxt_switches:\s*(\d+)", (task / "status").read_text(), re.MULTILINE)
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        yield task.name, int(switches.group(1)), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def at_rest(repeat):
    """PSS and wake-ups of a pc whose boot sector has halted."""
    sizes, wakes = ([], []), ([], [])
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(max(repeat // 2, 2)):
            for command, size, wake in zip(with_bios(folder), sizes, wakes):
                with guests.Run(command) as run:
                    run.wait_for(rb"BOOT-SECTOR", 120)
                    time.sleep(1)
                    before = {thread: switches for thread, switches, _ in threads(run.process.pid)}
                    time.sleep(REST)
                    wake.append(sum(now - before.get(thread, 0) for thread, now, _ in threads(run.process.pid)))
                    size.append(memory.overhead(run.process.pid))
    yield Row("PSS beyond guest RAM, idle pc", "MiB", "less", None, *sizes, limit=12)
    yield Row(f"wake-ups of the monitor's own threads in {REST} idle seconds", "", "less", None, *wakes, limit=0)


def ide_reads(repeat):
    text = guests.script("modprobe -a ata_piix sd_mod; until test -b /dev/sda; do sleep 0.1; done; for i in 1 2 3; do "
                         "dd if=/dev/sda of=/dev/null bs=1M count=64 iflag=direct 2>&1; done; echo DD-END")
    boot = {"kernel": guests.GUEST / "vmlinux", "initrd": guests.GUEST / "initrd.img", "append": guests.kernel_arguments(text)}

    def options(dashes):
        return [word for name, value in boot.items() for word in (dashes + name, value)]

    ours, theirs = [], []
    with guests.disks(64, "/dev/urandom") as (root, data):
        for _ in range(max(repeat // 2, 2)):
            for command, results in (
                (lodge(*options("--"), "--serial", "stdio",
                       "--disk", f"path={root}", "--disk", f"path={data},bus=ide,cache=writeback", ram=512), ours),
                (qemu("-display", "none", *options("-"), "-serial", "stdio",
                      "-drive", f"file={root},format=raw,if=none,id=d0", "-device", "virtio-blk-pci,drive=d0",
                      "-drive", f"file={data},format=raw,if=ide,aio=io_uring,cache=writeback", ram=512), theirs),
            ):
                with guests.Run(command) as run:
                    run.wait_for(rb"DD-END", 240)
                    results += [64 / float(took) for took in re.findall(rb"copied, ([0-9.]+) s", run.output)]
    return Row("64 MiB of an IDE disk by DMA, in sequence, 1 MiB each", "MiB/s", "more", 1.0, ours, theirs)


def fill_kernel(folder):
    """benchmarks/guests/fill.s as a Multiboot kernel."""
    source = guests.TREE / "benchmarks/guests/fill.s"
    built, flat = pathlib.Path(folder) / "fill.o", pathlib.Path(folder) / "fill.bin"
    subprocess.run(["as", "--32", "-o", built, source], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "--oformat", "binary", "-Ttext", hex(guests.MULTIBOOT_BEGIN), "-o", flat, built],
                   check=True, stderr=subprocess.DEVNULL)
    return guests.multiboot(folder, flat.read_bytes(), "fill.elf")


def cost(pids):
    """Seconds of processor time of these processes, without vCPUs."""
    return sum(seconds for pid in pids for _, _, seconds in threads(pid))


def family(pid):
    """A process and those that it has for its clients."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def shown(pids):
    """Frames and processor time of each in SCREEN seconds of a client that always asks for more."""
    client = rfb.Client(PORT, 60)
    try:
        while client.width != 1024:  # the guest sets its mode
            client.ask(False)
            client.update()
        processes = pids()
        before = cost(processes)
        frames = client.frames(SCREEN)
        return frames / SCREEN, 1000 * (cost(processes) - before) / max(frames, 1)
    finally:
        client.close()


def screen(repeat):
    rates, costs = ([], []), ([], [])
    with tempfile.TemporaryDirectory() as folder:
        kernel = fill_kernel(folder)
        control = pathlib.Path(folder) / "control"
        for _ in range(max(repeat // 2, 2)):
            control.unlink(missing_ok=True)  # of the one before
            with guests.Run(lodge("--kernel", kernel, "--video", "vga", "--serial", "none", "--control", control)) as run:
                while not control.exists():
                    time.sleep(0.02)
                server = [guests.VMM.parent / "lodge-vnc", "--monitor", control, "--listen", f"127.0.0.1:{PORT}"]
                with guests.Run(server) as display:
                    rate, each = shown(lambda: [run.process.pid, *family(display.process.pid)])
                    rates[0].append(rate)
                    costs[0].append(each)
            with guests.Run(qemu("-kernel", kernel, "-vga", "std", "-vnc", f"127.0.0.1:{PORT - 5900}")) as run:
                rate, each = shown(lambda: [run.process.pid])
                rates[1].append(rate)
                costs[1].append(each)
    yield Row("frames of 1024x768 that change as a whole, to a VNC client", "1/s", "more", 1.0, *rates)
    yield Row("processor time for each of them, without the guest's", "ms", "less", 1.0, *costs)


def measure(repeat):
    yield to_boot_sector(repeat)
    yield from at_rest(repeat)
    try:
        yield ide_reads(repeat)
    except RuntimeError as error:
        print(f"  Linux guests do not run here: {str(error)[:200]}")
        return
    yield from screen(repeat)
