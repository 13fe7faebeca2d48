"""virtlodged beside libvirt's qemu driver: starting a guest, lists and statistics of many, and what the daemons cost."""
import ctypes
import os
import pathlib
import signal
import subprocess
import time

from bench import daemons, guests
from bench.table import Row

NEEDS_LINUX_GUESTS = True  # tiny ones, but with KVM
DEFINED = 1000
RUNNING = 100
IDLE_SECONDS = 10
# mov dx, 0x3f8 / mov al, 'X' / out dx, al / cli / hlt / jmp back to hlt
SERIAL_16 = bytes.fromhex("baf803 b058 ee fa f4 ebfd".replace(" ", ""))
SERIAL_32 = bytes.fromhex("66baf803 b058 ee fa f4 ebfd".replace(" ", ""))
CLONE_NEWNS = 0x20000


def own_mounts():
    """/run and libvirt's folders of our own, gone with this process: the host's daemons and guests are not touched."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise RuntimeError("unshare: it takes root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for path in ("/run", "/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt"):
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)


def watch(path, into):
    """Writes the time at which the file has its first byte; ends this process."""
    said = False
    end = time.monotonic() + 300
    while not said and time.monotonic() < end:
        try:
            said = os.stat(path).st_size > 0
        except OSError:
            pass  # the daemon makes it anew
        if not said:
            time.sleep(0.0002)
    os.write(into, repr(time.monotonic()).encode())
    os._exit(0 if said else 1)


def first_instruction(daemon, repeat):
    """From the call to the guest's first byte on its serial port, ms. The first start is not counted."""
    serial = pathlib.Path(f"{daemon.folder}/serial")
    results = []
    for _ in range(repeat * 2 + 1):
        serial.write_bytes(b"")
        daemon.define("first", SERIAL_32, SERIAL_16, f"<serial type='file'><source path='{serial}'/></serial>")
        domain = daemon.connection.lookupByName("first")
        out, into = os.pipe()
        watcher = os.fork()
        if watcher == 0:  # the call may return later than the guest runs, so another process watches
            watch(serial, into)
        begin = time.monotonic()
        domain.create()
        if os.waitpid(watcher, 0)[1] != 0:
            raise RuntimeError(f"{daemon.name}: the guest said nothing")
        results.append((float(os.read(out, 100)) - begin) * 1000)
        os.close(out), os.close(into)
        domain.destroy()
        domain.undefine()
    return results[1:]


def lists(daemon, repeat):
    """(ms from the call LIST_ALL_DOMAINS to its whole reply; ms of the daemon's processor time for `virsh list --all`)."""
    calls, processor = [], []
    wire = daemon.wire()
    wire.list_all()
    for _ in range(repeat * 4):
        begin = time.monotonic()
        count = wire.list_all()
        calls.append((time.monotonic() - begin) * 1000)
        if count < DEFINED:
            raise RuntimeError(f"{daemon.name} lists {count} domains")
    for _ in range(repeat):
        before = daemon.processor_ms()
        daemon.virsh("list", "--all")
        processor.append(daemon.processor_ms() - before)
    return calls, processor


def idle(daemon):
    """(percent of a processor, context switches a second) while nobody asks anything; RSS and PSS in MiB."""
    time.sleep(1)  # what the last calls left to do
    before, switches = daemon.processor_ms(), daemon.switches()
    time.sleep(IDLE_SECONDS)
    percent = (daemon.processor_ms() - before) / 10 / IDLE_SECONDS
    return percent, (daemon.switches() - switches) / IDLE_SECONDS, *daemon.memory()


def statistics_of_many(daemon, repeat, stop):
    """ms of one call for all statistics of RUNNING guests, one of them stopped by SIGSTOP if `stop`."""
    for number in range(RUNNING):
        daemon.define(f"run{number}", guests.IDLE_32, b"\xfa\xf4\xeb\xfd", "", memory=16)
        daemon.connection.lookupByName(f"run{number}").create()
    stopped = daemon.monitors()[0] if stop else None
    if stopped:
        os.kill(stopped, signal.SIGSTOP)
    results = []
    try:
        for _ in range(repeat * 2):
            begin = time.monotonic()
            records = daemon.connection.getAllDomainStats(0, 16)  # VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING is 1 << 4
            results.append((time.monotonic() - begin) * 1000)
            if len(records) != RUNNING:
                raise RuntimeError(f"{daemon.name} tells of {len(records)} guests")
    finally:
        if stopped:
            os.kill(stopped, signal.SIGCONT)
        for number in range(RUNNING):
            daemon.connection.lookupByName(f"run{number}").destroy()
    return results


def measure(repeat):
    """The rows."""
    own_mounts()
    with daemons.Lodge() as lodge, daemons.Libvirt() as peer:
        both = (lodge, peer)
        yield Row("virDomainCreate to the guest's first instruction", "ms", "less", 0.25,
                  *(first_instruction(daemon, repeat) for daemon in both))
        yield Row(f"statistics of {RUNNING} running guests in one call; of Lodge's, one is stopped", "ms", "less", 1.0,
                  statistics_of_many(lodge, repeat, True), statistics_of_many(peer, repeat, False))
        for daemon in both:
            for number in range(DEFINED):
                daemon.define(f"defined{number}", guests.IDLE_32, b"\xfa\xf4\xeb\xfd", daemons.USUAL_DEVICES)
        (ours, our_processor), (theirs, their_processor) = (lists(daemon, repeat) for daemon in both)
        yield Row(f"list of {DEFINED} defined domains, call to reply", "ms", "less", 1.0, ours, theirs, limit=20)
        yield Row(f"`virsh list --all` of {DEFINED}, processor time of the daemon", "ms", "less", 1.0, our_processor, their_processor)
        ours, theirs = idle(lodge), idle(peer)
        for index, (what, unit, limit) in enumerate((("processor time when idle", "%", 0.05), ("context switches when idle", "1/s", 1),
                                                     (f"RSS with {DEFINED} defined", "MiB", 20), (f"PSS with {DEFINED} defined", "MiB", 20))):
            yield Row(what, unit, "less", 1.0, [ours[index]], [theirs[index]], limit=limit)
