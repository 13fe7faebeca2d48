"""virtlodged beside libvirt's qemu driver: starting a guest, lists and statistics of many, and what the daemons cost."""
import ctypes
import os
import select
import signal
import subprocess
import threading
import time

import libvirt
from bench import daemons, guests
from bench.table import Row

NEEDS_LINUX_GUESTS = True  # tiny ones, but with KVM
DEFINED = 1000
RUNNING = {"virtlodged": 100, "libvirtd": 10}  # a hundred QEMU guests take libvirtd half an hour to start in the test bed
IDLE_SECONDS = 30
START_SECONDS = 120  # for one start
PATIENCE = 20
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


class FirstByte:
    """A FIFO in place of the file that a guest's serial port writes to; tells when the first byte came."""

    def __init__(self, folder):
        self.path = f"{folder}/serial"
        os.mkfifo(self.path)
        os.chmod(self.path, 0o666)
        os.chmod(folder, 0o755)  # the monitor may run as another user
        self.reader = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)  # both ends: it never ends

    def after(self, start):
        """ms from the call of `start`, which may return later than the guest speaks, to the byte."""
        if select.select([self.reader], [], [], 0)[0]:
            raise RuntimeError(f"a guest speaks that was not started: {os.read(self.reader, 100)!r}")
        came = []

        def watch():
            if select.select([self.reader], [], [], START_SECONDS)[0]:
                came.append(time.monotonic())

        watcher = threading.Thread(target=watch)
        watcher.start()
        begin = time.monotonic()
        start()
        watcher.join()
        if not came or os.read(self.reader, 100) != b"X":
            raise RuntimeError("the guest did not say its X")
        return (came[0] - begin) * 1000

    def close(self):
        """Takes it away."""
        os.close(self.reader)
        os.unlink(self.path)


def first_instruction(both, repeat):
    """Rows from the start to the guest's first byte on its serial port, by the binding and by virsh. First starts are not counted."""
    ways = {"virDomainCreate": lambda daemon: daemon.connection.lookupByName("first").create(),
            "`virsh start`, virsh's own beginning included": lambda daemon: daemon.virsh("start", "first")}
    results = {(way, daemon.name): [] for way in ways for daemon in both}
    bytes_of = {daemon.name: FirstByte(daemon.folder) for daemon in both}
    for _ in range(repeat + 1):
        for way, start in ways.items():
            for daemon in both:
                byte = bytes_of[daemon.name]
                daemon.define("first", SERIAL_32, SERIAL_16, f"<serial type='file'><source path='{byte.path}'/></serial>")
                results[way, daemon.name].append(byte.after(lambda: start(daemon)))
                domain = daemon.connection.lookupByName("first")
                domain.destroy()
                domain.undefine()
    for byte in bytes_of.values():
        byte.close()
    for way in ways:
        ours, theirs = (results[way, daemon.name][1:] for daemon in both)
        yield Row(f"{way}, to the guest's first instruction", "ms", "less", 0.25, ours, theirs)


def lists(daemon, repeat):
    """(ms from the call LIST_ALL_DOMAINS to its whole reply; ms of the whole `virsh list --all`; of it, the daemon's processor time)."""
    calls, whole, processor = [], [], []
    wire = daemon.wire()
    wire.list_all()
    for _ in range(repeat * 4):
        begin = time.monotonic()
        count = wire.list_all()
        calls.append((time.monotonic() - begin) * 1000)
        if count != DEFINED:
            raise RuntimeError(f"{daemon.name} lists {count} domains, not {DEFINED}")
    for _ in range(repeat):
        before, begin = daemon.processor_ms(), time.monotonic()
        lines = daemon.virsh("list", "--all").count(" shut off\n")
        whole.append((time.monotonic() - begin) * 1000)
        processor.append(daemon.processor_ms() - before)
        if lines != DEFINED:
            raise RuntimeError(f"virsh lists {lines} domains of {daemon.name}, not {DEFINED}")
    return calls, whole, processor


def idle(daemon):
    """(percent of a processor, context switches a second) while nobody asks anything; RSS and PSS in MiB."""
    time.sleep(1)  # what the last calls left to do
    before, switches = daemon.processor_ms(), daemon.switches()
    time.sleep(IDLE_SECONDS)
    percent = (daemon.processor_ms() - before) / 10 / IDLE_SECONDS
    return percent, (daemon.switches() - switches) / IDLE_SECONDS, *daemon.memory()


def timed_statistics(daemon, count):
    """ms of one call for all statistics of all running guests."""
    begin = time.monotonic()
    records = daemon.connection.getAllDomainStats(0, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING)
    took = (time.monotonic() - begin) * 1000
    states = [fields.get("state.state") for _, fields in records]
    if states != [libvirt.VIR_DOMAIN_RUNNING] * count:
        raise RuntimeError(f"{daemon.name} tells of {len(records)} guests, in states {set(states)}, not of {count} running ones")
    return took


def with_one_stopped(daemon, count, calls):
    """The same while one guest's monitor is stopped by SIGSTOP. If a call waits for it, the monitor goes on after PATIENCE seconds."""
    stopped = daemon.monitors()[0]
    results = []
    for _ in range(calls):
        os.kill(stopped, signal.SIGSTOP)
        rescue = threading.Timer(PATIENCE, os.kill, (stopped, signal.SIGCONT))
        rescue.start()
        try:
            results.append(timed_statistics(daemon, count))
        finally:
            rescue.cancel()
            os.kill(stopped, signal.SIGCONT)
    return results


def statistics_of_many(daemon, count, repeat):
    """(ms of each call, all guests well; ms of each with one stopped) for so many running guests."""
    for number in range(count):
        daemon.define(f"run{number}", guests.IDLE_32, b"\xfa\xf4\xeb\xfd", "<memballoon model='none'/>", memory=16)
        daemon.connection.lookupByName(f"run{number}").create()
    if len(daemon.monitors()) != count:
        raise RuntimeError(f"{daemon.name} has {len(daemon.monitors())} monitors for {count} guests")
    timed_statistics(daemon, count)
    well = [timed_statistics(daemon, count) for _ in range(repeat * 2)]
    stopped = with_one_stopped(daemon, count, repeat * 2 if daemon.name == "virtlodged" else 1)
    for number in range(count):
        domain = daemon.connection.lookupByName(f"run{number}")
        domain.destroy()
        domain.undefine()
    return well, stopped


def measure(repeat):
    """The rows."""
    own_mounts()
    with daemons.Lodge() as lodge, daemons.Libvirt() as peer:
        both = (lodge, peer)
        yield Row("RSS of the daemon as started", "MiB", "less", 1.0, *([daemon.memory()[0]] for daemon in both), limit=20)
        yield from first_instruction(both, repeat)
        (our_well, our_stopped), (their_well, their_stopped) = (statistics_of_many(daemon, RUNNING[daemon.name], repeat) for daemon in both)
        many = f"statistics in one call of {RUNNING[lodge.name]} running guests, of {RUNNING[peer.name]} of the peer's"
        yield Row(many, "ms", "less", 1.0, our_well, their_well)
        yield Row(f"{many}, one of each stopped (let go on after {PATIENCE} s)", "ms", "less", 1.0, our_stopped, their_stopped)
        for daemon in both:
            for number in range(DEFINED):
                daemon.define(f"defined{number}", guests.IDLE_32, b"\xfa\xf4\xeb\xfd", daemons.USUAL_DEVICES)
        ours, theirs = (lists(daemon, repeat) for daemon in both)
        for what, limit, *figures in ((f"list of {DEFINED} defined domains, call to reply", 20, ours[0], theirs[0]),
                                      (f"`virsh list --all` of {DEFINED}, all of it", None, ours[1], theirs[1]),
                                      (f"`virsh list --all` of {DEFINED}, processor time of the daemon", None, ours[2], theirs[2])):
            yield Row(what, "ms", "less", 1.0, *figures, limit=limit)
        ours, theirs = idle(lodge), idle(peer)
        for index, (what, unit, limit) in enumerate(((f"processor time in {IDLE_SECONDS} idle s", "%", 0.05), ("context switches when idle", "1/s", 1),
                                                     (f"RSS with {DEFINED} defined, after all of the above", "MiB", 20), ("PSS then", "MiB", 20))):
            yield Row(what, unit, "less", 1.0, [ours[index]], [theirs[index]], limit=limit)
