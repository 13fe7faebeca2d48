"""Memory beyond guest RAM: PSS of an idle monitor."""
from bench import guests
from bench.table import Row

NEEDS_LINUX_GUESTS = True
MEMORY = 256


def overhead(pid):
    """PSS in MiB of all mappings but the guest's RAM (the one of at least half its size)."""
    total = 0
    keep = True
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as smaps:
        for line in smaps:
            words = line.split()
            if words and "-" in words[0] and not words[0].endswith(":"):
                first, last = (int(part, 16) for part in words[0].split("-"))
                keep = last - first < MEMORY * 1024 * 1024 // 2
            elif line.startswith("Pss:") and keep:
                total += int(words[1])
    return total / 1024


def measure(repeat):
    ours, theirs = [], []
    hold = guests.script("echo READY; read x")
    for _ in range(max(repeat // 2, 2)):
        for command, results in ((guests.lodge_linux(append="lodge.mode=initramfs " + hold, memory=MEMORY), ours),
                                 (guests.qemu_linux(append="lodge.mode=initramfs " + hold, memory=MEMORY), theirs)):
            with guests.Run(command) as run:
                run.wait_for(rb"READY", 120)
                results.append(overhead(run.process.pid))
    yield Row("PSS beyond guest RAM, idle microvm (target for Lodge: 8 MiB)", "MiB", "less", 1.0, ours, theirs)
