"""The cases of the bare-metal guests: what is started and what is looked at on the host."""
import json
import socket
import subprocess
import threading
import time

CASES = {}


class Skip(Exception):
    pass


def case(function):
    CASES[function.__name__] = function
    return function


def family(name, **variants):
    """One case for each set of options: name_variant."""
    def register(function):
        for variant, options in variants.items():
            CASES[f"{name}_{variant}"] = lambda run, options=options: function(run, **options)
        return function
    return register


@case
def multiboot(run):
    modules = [run.file("one", bytes(n * 7 & 255 for n in range(5000))),
               run.file("two", bytes((n * 7 + 1) & 255 for n in range(12)))]
    run.run("multiboot", "--module", modules[0], "--module", modules[1] + " arg1 arg", words='first second=2 "third one"')
    run.run("multiboot", "--module", modules[0], "--module", modules[1] + " arg1 arg", words='first second=2 "third one"',
            machine="pc")


def xorshift(count):
    state, out = 0x2545F491, bytearray()
    for _ in range(count):
        state ^= state << 13 & 0xFFFFFFFF
        state ^= state >> 17
        state ^= state << 5 & 0xFFFFFFFF
        out.append(state >> 8 & 255)
    return bytes(out)


@case
def serial(run):
    run.run("serial", "--serial", "file=" + run.path("com2"))
    with open(run.path("com2"), "rb") as com2:
        run.check(com2.read() == xorshift(65536), "the 64 KiB written to COM2 are not those in the file")


def connect(path):
    end = time.monotonic() + 10
    pause = threading.Event()
    while True:
        try:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(60)
            client.connect(path)
            return client
        except OSError:
            client.close()
            if time.monotonic() > end:
                raise
            pause.wait(0.01)


@case
def serial_echo(run):
    process = run.start("serial", "--serial", "socket=" + run.path("s"), words="echo")
    with connect(run.path("s")) as client:
        def expect(wanted):
            got = b""
            while len(got) < len(wanted):
                part = client.recv(65536)
                if not part:
                    break
                got += part
            run.check(got == wanted, f"the guest sent {got[:40]!r}, expected {wanted[:40]!r}")
        client.sendall(b"s")  # the guest waits for it: output is dropped while nobody is connected
        expect(b"?")
        client.sendall(b"typed before the FIFO was cleared")
        expect(b".")  # the FIFO was cleared; what comes after must arrive
        client.sendall(b"\0")
        expect(b"!?")
        text = bytes(1 + n % 250 for n in range(3000))
        client.sendall(text + b"\0")
        expect(bytes(byte + 1 for byte in text))
    run.finish(process)


MACHINES = dict(microvm=dict(machine="microvm"), pc=dict(machine="pc"))


def disk(run, name="disk", size=4 << 20):
    return run.file(name, bytes(size))


@family("pci", **MACHINES)
def pci(run, machine):
    options = ["--disk", f"path={disk(run)},queues=2"]
    run.run("pci", *options, machine=machine, words="pc" if machine == "pc" else "")


@family("virtio_blk",
        split=dict(), packed=dict(disk_options=",ring=packed", words="packed"), split_pc=dict(machine="pc", words="pc"),
        plain=dict(words="noevent noindirect"), packed_plain=dict(disk_options=",ring=packed", words="packed noevent noindirect"),
        legacy=dict(machine="pc", words="pc legacy"), legacy_only=dict(machine="pc", disk_options=",version=legacy", words="pc legacy"),
        legacy_plain=dict(machine="pc", words="pc legacy noevent noindirect"),
        no_cache=dict(disk_options=",cache=none"), directsync=dict(disk_options=",cache=directsync"))
def virtio_blk(run, machine="microvm", disk_options="", words=""):
    path = disk(run)
    run.run("virtio_blk", "--disk", f"path={path},queues=2,serial=SN-0123,discard=unmap{disk_options}", machine=machine, words=words)
    with open(path, "rb") as image:
        content = image.read()
    run.check(len(content) == 4 << 20, "the image changed its size")

    def pattern(seed, words):
        return b"".join(((seed * 0x01000193 + n) & 0xFFFFFFFF).to_bytes(4, "little") for n in range(words))
    for queue in (0, 1):
        base = 64 * queue * 512
        run.check(content[base:base + 8192] == pattern(1 + queue, 2048), f"what queue {queue} wrote is not in the image")
        zeroes = base + 18 * 512
        run.check(content[zeroes:zeroes + 2048] == bytes(2048), "written zeroes are not in the image")
    run.check(content[200 * 512:203 * 512] == pattern(3, 384), "the write in pieces is not in the image")
    run.check(content[4000 * 512:4002 * 512] == b"\x5a" * 1024, "the last write is not in the image")
    run.check(content[8191 * 512:] == bytes(512), "a write out of bounds changed the image")


def end_of(run):
    with open(run.path("end")) as file:
        return json.load(file)


@case
def descriptors(run):
    """Nothing is opened by path: kernel, /dev/kvm, the disk, COM2 and its log come as descriptors; how it ended is in a file."""
    path = disk(run)
    with open(run.guests / "virtio_blk", "rb") as kernel, open("/dev/kvm", "r+b", buffering=0) as kvm, open(path, "r+b") as image, \
            open(run.path("console"), "wb") as console, open(run.path("console.log"), "wb") as log:
        files = [kernel, kvm, image, console, log]
        options = ["--kernel", "/nonexistent", "--kernel-fd", str(kernel.fileno()), "--kvm-fd", str(kvm.fileno()),
                   "--disk", f"fd={image.fileno()},queues=2,serial=SN-0123,discard=unmap,slot=5",
                   "--serial", f"file,fd={console.fileno()},log_fd={log.fileno()}", "--end-file", run.path("end")]
        run.run("virtio_blk", *options, pass_fds=[file.fileno() for file in files])
        run.check(end_of(run) == {"reason": "debug-exit", "exit": 33}, f"the end file says {end_of(run)}")
    with open(path, "rb") as image:
        run.check(image.read(1 << 20) != bytes(1 << 20), "nothing was written to the image")
    with open(run.path("com2"), "wb") as com2:
        run.run("serial", "--serial", f"file,fd={com2.fileno()},log={run.path('com2.log')}", pass_fds=[com2.fileno()])
    for name in ("com2", "com2.log"):
        with open(run.path(name), "rb") as file:
            run.check(file.read() == xorshift(65536), f"the 64 KiB written to COM2 are not those in {name}")


@case
def read_only_descriptor(run):
    with open(disk(run), "rb") as image:
        run.run("virtio_blk", "--disk", f"fd={image.fileno()},queues=2", pass_fds=[image.fileno()], status=1)
    run.check("does not allow writing" in run.log, "a disk whose descriptor is read-only was not refused")


@family("end_file", **MACHINES)
def end_file(run, machine):
    options = ["--end-file", run.path("end")]
    run.run("power", *options, machine=machine, words="off pc" if machine == "pc" else "off", status=0)
    run.check(end_of(run) == {"reason": "guest-shutdown", "exit": 0}, f"the end file says {end_of(run)}")
    run.run("power", *options, "--panic", machine=machine, words="panic", status=1)
    run.check(end_of(run) == {"reason": "guest-panic", "exit": 1}, f"the end file says {end_of(run)}")
    process = run.start("smp", *options, "--paused", "--control", run.path("control"), machine=machine)
    connect(run.path("control")).close()
    process.terminate()
    run.finish(process, status=143)
    run.check(end_of(run) == {"reason": "host-signal", "exit": 143}, f"the end file says {end_of(run)}")


class Monitor:
    """The control socket of a monitor that was started with --control."""

    def __init__(self, path):
        self.socket = connect(path)
        self.lines = self.socket.makefile("r")
        self.lines.readline()  # the greeting
        self.events = []

    def execute(self, command, descriptors=(), **arguments):
        message = json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n"
        socket.send_fds(self.socket, [message], descriptors)
        while "event" in (answer := json.loads(self.lines.readline())):
            self.events.append(answer)
        return answer

    def wait_for(self, event):
        while not self.events:
            self.events.append(json.loads(self.lines.readline()))
        come = self.events.pop(0)
        if come["event"] != event:
            raise AssertionError(f"{come} instead of {event}")
        return come["data"]


def plug(run, monitor, path, name="plugged"):
    with open(path, "r+b") as image:
        monitor.execute("getfd", [image.fileno()], fdname="image")
    answer = monitor.execute("device_add", driver="virtio-blk", id=name, path=path, fd="image", slot=5)
    run.check(answer == {"return": {}}, f"device_add answers {answer}")


@family("hotplug", **MACHINES)
def hotplug(run, machine):
    """A guest that ignores a request, refuses one and follows the third; then another device comes to that slot."""
    process = run.start("hotplug", "--rng", "on,slot=4", "--control", run.path("control"), machine=machine,
                        words="pc" if machine == "pc" else "")
    monitor = Monitor(run.path("control"))
    run.wait_for_text("READY")
    plug(run, monitor, disk(run))
    run.wait_for_text("CAME")
    for word in ("IGNORED", "REFUSED", "GONE"):
        answer = monitor.execute("device_del", id="plugged")
        run.check(answer == {"return": {}}, f"device_del answers {answer}")
        run.wait_for_text(word)
        if word == "REFUSED":
            run.check(monitor.wait_for("DEVICE_UNPLUG_GUEST_ERROR") == {"device": "plugged"}, "another device refused")
    run.check(monitor.wait_for("DEVICE_DELETED") == {"device": "plugged"}, "another device went")
    plug(run, monitor, disk(run), "next")
    run.finish(process)


@family("cpu_hotplug", **MACHINES)
def cpu_hotplug(run, machine):
    """A vCPU comes; the guest refuses to let go of it, then follows; it comes again."""
    process = run.start("cpu_hotplug", "--cpus", "1,max=2", "--control", run.path("control"), machine=machine,
                        words="pc" if machine == "pc" else "")
    monitor = Monitor(run.path("control"))

    def change(verb, told):
        answer = monitor.execute(verb, **{"cpu-index": 1})
        run.check(answer == {"return": {}}, f"{verb} answers {answer}")
        if told:
            run.wait_for_text(told)

    run.wait_for_text("READY")
    change("cpu_add", "CAME")
    change("cpu_del", "REFUSED")
    run.check(monitor.wait_for("DEVICE_UNPLUG_GUEST_ERROR") == {"device": "vcpu1"}, "another device refused")
    change("cpu_del", "GONE")
    run.check(monitor.wait_for("DEVICE_DELETED") == {"device": "vcpu1"}, "another device went")
    change("cpu_add", None)
    run.finish(process)


@family("hotplug_busy", **MACHINES)
def hotplug_busy(run, machine):
    """A device is thrown out while its driver's queues are live."""
    process = run.start("hotplug", "--control", run.path("control"), machine=machine,
                        words="busy pc" if machine == "pc" else "busy")
    monitor = Monitor(run.path("control"))
    run.wait_for_text("READY")
    plug(run, monitor, disk(run))
    run.wait_for_text("CAME")
    monitor.execute("device_del", id="plugged")
    run.wait_for_text("GONE")
    run.check(monitor.wait_for("DEVICE_DELETED") == {"device": "plugged"}, "another device went")
    plug(run, monitor, disk(run))
    run.finish(process)


@case
def rtc(run):
    now = time.gmtime()
    run.run("rtc", machine="pc", words=f"{now.tm_year} {now.tm_hour * 60 + now.tm_min}")


@family("power_off", **MACHINES)
def power_off(run, machine):
    run.run("power", machine=machine, words="off pc" if machine == "pc" else "off", status=0)
    run.check(run.output.endswith("BYE\n"), "the guest did not come as far as its last word")


@family("panic", **MACHINES)
def panic(run, machine):
    run.run("power", "--panic", machine=machine, words="panic", status=1)
    run.check(run.output.endswith("BYE\n"), "the guest did not come as far as its last word")
    run.check(run.log.count("crashed") == 2 and run.log.count("rip") == 2, "the crashes and the registers are not in the log")


RESETS = dict(cf9=dict(machine="pc", words="pc cf9"), keyboard=dict(machine="pc", words="pc keyboard"),
              triple_fault=dict(machine="pc", words="pc triple"), register=dict(machine="microvm", words=""),
              triple_fault_microvm=dict(machine="microvm", words="triple"))


@family("reset", **RESETS)
def reset_restarts(run, machine, words):
    path = disk(run)
    run.run("power", "--disk", f"path={path}", "--on-reboot", "restart", machine=machine, words=words)
    run.check(run.output.count("boot number") == 4, "the guest did not boot four times")
    path = disk(run)
    run.run("power", "--disk", f"path={path}", "--on-reboot", "destroy", machine=machine, words=words, status=0)
    with open(path, "rb") as image:
        run.check(image.read(4) == b"\1\0\0\0", "the guest did not boot exactly once")


@family("smp", **MACHINES)
def smp(run, machine):
    run.run("smp", "--cpus", "2", machine=machine)


VARIANTS = dict(microvm=dict(), pc=dict(machine="pc", words="pc"), legacy=dict(machine="pc", words="pc legacy"))


@family("virtio_rng", **VARIANTS)
def virtio_rng(run, machine="microvm", words=""):
    run.run("virtio_small", "--rng", "on", machine=machine, words=words + " rng")


@family("virtio_balloon", **VARIANTS)
def virtio_balloon(run, machine="microvm", words=""):
    run.run("virtio_small", "--balloon", "on", machine=machine, words=words + " balloon")


@family("virtio_console", **VARIANTS)
def virtio_console(run, machine="microvm", words=""):
    process = run.start("virtio_small", "--console", "socket=" + run.path("s"), machine=machine, words=words + " console")
    with connect(run.path("s")) as client:
        client.sendall(b"hello there, " * 1000 + b"that is all.")
        wanted = (b"hello there, " * 1000 + b"that is all.").upper()
        got = b""
        while not got.endswith(b"."):
            part = client.recv(65536)
            if not part:
                break
            got += part
        got = got.removeprefix(b"ready\n")  # dropped when we connected after it
        run.check(got == wanted, f"the console echoed {got[:60]!r}..., {len(got)} bytes of {len(wanted)}")
    run.finish(process)


@family("virtio_net", packed=dict(net=",ring=packed", words="packed"), **VARIANTS)
def virtio_net(run, machine="microvm", words="", net=""):
    run.run("virtio_small", "--net", "none" + net, machine=machine, words=words + " net")


@family("virtio_net_tap", packed=dict(net=",ring=packed", words="packed"), **VARIANTS)
def virtio_net_tap(run, machine="microvm", words="", net=""):
    script = "ip tuntap add dev tap0 mode tap vnet_hdr && ip addr add 10.77.0.1/24 dev tap0 && ip link set tap0 up && exec \"$@\""
    prefix = ["unshare", "--net", "sh", "-c", script, "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode != 0:
        raise Skip("no network namespace with a tap can be made here")
    process = run.start("virtio_small", "--net", "tap=tap0" + net, machine=machine, words=words + " net tap", prefix=prefix)
    run.finish(process)


@family("garbage", packed=dict(options=",ring=packed"), **MACHINES)
def garbage(run, machine="microvm", options=""):
    run.run("garbage", "--serial", "file=" + run.path("com2"), "--disk", f"path={disk(run)},queues=2{options}",
            "--net", "none" + options, "--rng", "on", "--balloon", "on", "--console", "file=" + run.path("console"),
            "--channel", f"socket={run.path('channel')},name=org.lodge.test", "--debug-console",
            machine=machine, words="pc" if machine == "pc" else "")


@case
def ide(run):
    """A sector that is written word by word arrives without an exit of the guest's after the last one."""
    path = disk(run)
    run.run("ide", "--disk", f"path={path},bus=ide", machine="pc")
    sector = b"".join((i * 3 + 0x5a00).to_bytes(2, "little") for i in range(256))
    with open(path, "rb") as image:
        image.seek(5 * 512)
        run.check(image.read(1024) == 2 * sector, "the image has not what the guest wrote")


PLAIN_PC = "pci ps2 rtc hotplug"


@family("absent", microvm=dict(machine="microvm"), pc=dict(machine="pc", words=PLAIN_PC))
def absent(run, machine, words=""):
    """What the machine was not given answers at no port and is no PCI function; each device brings its own and no other's."""
    run.run("absent", machine=machine, words=words)
    for name, options in {"com2": ["--serial", "file=" + run.path("com2")], "pvpanic": ["--panic"], "net": ["--net", "none"], "debug": ["--debug-console"],
                          "disk": ["--disk", f"path={disk(run)}"], "usb": ["--usb", "xhci"], "fw_cfg": ["--vmcoreinfo"]}.items():
        run.run("absent", *options, machine=machine, words=f"{words} {name}")


@case
def absent_legacy(run):
    """The same for what only a pc has."""
    for name, options in {"ide": ["--disk", f"path={disk(run)},bus=ide"], "floppy": ["--floppy", "none"], "vga": ["--video", "vga"],
                          "cpus": ["--cpus", "1,max=2"], "hpet": ["--clock", "hpet=on"], "lpt": ["--parallel", "null"],
                          "lpt2": ["--parallel", "none", "--parallel", "null"]}.items():
        run.run("absent", *options, machine="pc", words=f"{PLAIN_PC} {name}")


@case
def platform(run):
    options = ("--vmgenid", "11223344-5566-7788-99aa-bbccddeeff00", "--vmcoreinfo")
    run.run("platform", *options)
    run.run("platform", *options, "--clock", "hpet=on", "--parallel", "file=" + run.path("paper"), machine="pc", words="pc")
    with open(run.path("paper"), "rb") as paper:
        run.check(paper.read() == b"printed by nobody's driver\n", "the file has not what was printed")
