"""virtlodged and libvirtd on the same terms: started in folders of their own, driven by the same binding, looked at in /proc."""
import os
import pathlib
import socket
import struct
import subprocess
import tempfile
import time

import libvirt
from bench import guests

USUAL_DEVICES = """<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/var/lib/none.img'/><target dev='vda' bus='virtio'/></disk>
    <interface type='ethernet'><model type='virtio'/></interface><console type='pty'/><memballoon model='virtio'/><rng model='virtio'>
    <backend model='random'>/dev/urandom</backend></rng>"""
REMOTE = 0x20008086
CONNECT_OPEN, LIST_ALL_DOMAINS = 1, 273


class Wire:
    """libvirt's protocol without a library, to time a call alone."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.serial = 0

    def call(self, procedure, payload):
        """The reply's payload."""
        self.socket.sendall(struct.pack(">IIIiIII", 28 + len(payload), REMOTE, 1, procedure, 0, self.serial, 0) + payload)
        self.serial += 1
        size, *_, status = struct.unpack(">IIIiIII", self._bytes(28))
        reply = self._bytes(size - 28)
        if status != 0:
            raise RuntimeError(f"call {procedure} failed: {reply!r}")
        return reply

    def open(self, uri):
        """What a client says first."""
        name = uri.encode()
        self.call(CONNECT_OPEN, struct.pack(">II", 1, len(name)) + name + bytes(-len(name) % 4) + struct.pack(">I", 0))
        return self

    def list_all(self):
        """How many domains there are, all of them told."""
        return struct.unpack(">I", self.call(LIST_ALL_DOMAINS, struct.pack(">II", 1, 0))[:4])[0]

    def _bytes(self, size):
        data = bytearray()
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise RuntimeError("the daemon has closed the connection")
            data += part
        return bytes(data)


class Daemon:
    """A running daemon and a connection to it; `with` ends both."""

    name, uri, socket_path, monitor = "", "", "", ""

    def __init__(self):
        self.holder = tempfile.TemporaryDirectory()
        self.folder = self.holder.name
        self.process = self.connection = None
        os.makedirs("/run/libvirt", exist_ok=True)

    def __enter__(self):
        libvirt.registerErrorHandler(lambda *_: None, None)
        with open(f"{self.folder}/output", "wb") as log:
            # as libvirtd's unit has it; without a limit libvirt closes a billion descriptors for each process it starts
            self.process = subprocess.Popen(["prlimit", "--nofile=8192:8192", *self.command()], stdout=log, stderr=log)
        end = time.monotonic() + 60
        while self.connection is None:
            try:
                self.connection = libvirt.open(self.uri)
            except libvirt.libvirtError:
                if time.monotonic() > end or self.process.poll() is not None:
                    said = pathlib.Path(self.folder, "output").read_text(errors="replace")[-500:]
                    raise RuntimeError(f"{self.name} does not serve: {said}") from None
                time.sleep(0.1)
        return self

    def __exit__(self, *_):
        for domain in self.connection.listAllDomains(1):
            domain.destroy()
        self.connection.close()
        self.process.terminate()
        self.process.wait()
        self.holder.cleanup()

    def command(self):
        """What starts it."""
        raise NotImplementedError

    def domain(self, code_32, code_16):
        """(domain type's attributes, the elements of <os> and <cpu>) of a guest whose first instruction is the code's."""
        raise NotImplementedError

    def define(self, name, code_32, code_16, devices, memory=128):
        """Defines a domain."""
        boot, cpu = self.domain(code_32, code_16)
        self.connection.defineXML(f"""<domain type='kvm'><name>{name}</name><memory unit='MiB'>{memory}</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type>{boot}</os><features><acpi/></features>{cpu}
  <on_reboot>destroy</on_reboot><devices>{devices}</devices></domain>""")

    def wire(self):
        """A connection of the bare protocol."""
        return Wire(self.socket_path).open(self.uri)

    def virsh(self, *words):
        """Output of a stock client's command."""
        return subprocess.run(["virsh", "-c", self.uri, *words], check=True, stdout=subprocess.PIPE, text=True).stdout

    def _tasks(self):
        return pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()

    def processor_ms(self):
        """Processor time of all its threads so far."""
        return sum(int((task / "schedstat").read_text().split()[0]) for task in self._tasks()) / 1e6

    def switches(self):
        """Context switches of all its threads so far."""
        return sum(int(line.split()[1]) for task in self._tasks() for line in (task / "status").read_text().splitlines()
                   if "ctxt_switches" in line)

    def memory(self):
        """(RSS, PSS) in MiB."""
        fields = dict(line.split(":") for line in pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()[1:])
        return tuple(int(fields[key].split()[0]) / 1024 for key in ("Rss", "Pss"))

    def monitors(self):
        """Processes that run guests of this daemon."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if words[0] == str(self.monitor).encode():
                    found.append(int(entry.name))
        return found


class Lodge(Daemon):
    """virtlodged of this tree."""

    name, uri, socket_path, monitor = "virtlodged", "lodge:///system", "/run/libvirt/virtlodged-sock", guests.VMM

    def command(self):
        config = pathlib.Path(self.folder, "virtlodged.conf")
        config.write_text("".join(f'{name}_dir = "{self.folder}/{name}"\n' for name in ("config", "run", "state", "log")) +
                          f'monitor_path = "{guests.VMM}"\nunix_sock_group = "root"\n')
        return [guests.TREE / "build/release/bin/virtlodged", "--config", config]

    def domain(self, code_32, _):
        return f"<kernel>{guests.multiboot(self.folder, code_32, code_32.hex() + '.elf')}</kernel>", ""


class Libvirt(Daemon):
    """libvirtd of Debian with its qemu driver. Its guest starts in the firmware, which QEMU reaches sooner than a kernel."""

    name, uri, socket_path, monitor = "libvirtd", "qemu:///system", "/run/libvirt/libvirt-sock", "/usr/bin/qemu-system-x86_64"

    def command(self):
        users = {"/etc/passwd": "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/bin/false", "/etc/group": "libvirt-qemu:x:64055:\nkvm:x:64056:"}
        for path, lines in users.items():  # as the package libvirt-daemon-system makes them
            text = pathlib.Path(path).read_text(encoding="utf-8")
            own = pathlib.Path("/run", pathlib.Path(path).name)
            own.write_text(text + "".join(line + "\n" for line in lines.splitlines() if line.split(":")[0] + ":" not in text), encoding="utf-8")
            subprocess.run(["mount", "--bind", own, path], check=True)
        pathlib.Path("/etc/libvirt/qemu.conf").write_text(
            'user="root"\ngroup="root"\nsecurity_driver="none"\ncgroup_controllers=[]\nnamespaces=[]\nremember_owner=0\nstdio_handler="file"\n')
        pathlib.Path("/etc/libvirt/libvirtd.conf").write_text('auth_unix_rw="none"\n')
        return ["libvirtd"]

    def domain(self, _, code_16):
        bios = pathlib.Path(guests.firmware(self.folder, code_16))
        return f"<loader type='rom'>{bios}</loader>", "<cpu mode='host-passthrough'><feature policy='disable' name='arch-capabilities'/></cpu>"
