"""virtlodged under test, and stock virsh talking to it at lodge:///system."""
import os
import pty
import signal
import subprocess
import termios

from . import places
from .guest import Guest
from .stream import Stream
from .wait import until

DAEMON = os.environ.get("LODGE_DAEMON", f"{places.TREE}/build/release/bin/virtlodged")
SOCKET = "/run/libvirt/virtlodged-sock"
URI = "lodge:///system"


class VirshFailed(AssertionError):
    """A virsh command ended with another status than 0."""


def monitors():
    """Processes of guests, by name."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            if len(words) > 3 and words[0].decode() == places.VMM:
                found[words[3].decode()] = int(entry)
    return found


class Daemon:
    """The daemon, with folders of its own and further settings; the socket is where stock clients look for it."""

    def __init__(self, folder, settings=""):
        self.folder = folder
        self.log = f"{folder}/virtlodged.log"
        self.config = f"{folder}/virtlodged.conf"
        self.process = None
        os.makedirs("/run/libvirt", exist_ok=True)
        folders = {name: f"{folder}/{name}" for name in ("config", "run", "state", "log")}
        with open(self.config, "w", encoding="utf-8") as file:
            for name, path in folders.items():
                file.write(f'{name}_dir = "{path}"\n')
            file.write(f'monitor_path = "{places.VMM}"\nunix_sock_group = "root"\n{settings}')
        self.start()

    def start(self):
        """Starts it and waits until it serves."""
        if os.path.exists(SOCKET):
            os.unlink(SOCKET)
        with open(self.log, "ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen([DAEMON, "--config", self.config, "--verbose"], stdout=log, stderr=log)
        until(lambda: "serves" in self.said(begin) or self.process.poll() is not None, "the daemon serves",
              places.CONTROL_SECONDS)
        assert self.process.poll() is None, self.said(begin)

    def said(self, begin=0):
        """Its log from there on."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            log.seek(begin)
            return log.read()

    def kill(self):
        """As a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """As systemd does it; guests live on."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(places.EXIT_SECONDS) == 0

    def close(self):
        """Ends all guests and the daemon."""
        if self.process.poll() is not None:
            self.start()
        for name in self.virsh("list --name").split():
            self.try_virsh(f"destroy {name}")
        self.stop()

    def try_virsh(self, command, *arguments, stdin=None):
        """(status, standard output, standard error) of a virsh command; `command` is cut at blanks."""
        done = subprocess.run(["virsh", "-c", URI, *command.split(), *arguments], capture_output=True, text=True, input=stdin,
                              timeout=places.COMMAND_SECONDS, check=False)
        return done.returncode, done.stdout, done.stderr

    def virsh(self, command, *arguments, stdin=None):
        """Output of a virsh command that must succeed."""
        status, output, errors = self.try_virsh(command, *arguments, stdin=stdin)
        if status != 0:
            raise VirshFailed(f"virsh {command} {' '.join(arguments)}: status {status}\n{output}{errors}\n{self.tail()}")
        return output

    def fails(self, command, *arguments):
        """Standard error of a virsh command that must fail."""
        status, output, errors = self.try_virsh(command, *arguments)
        assert status != 0, f"virsh {command} succeeded:\n{output}"
        return errors

    def tail(self):
        """The end of the daemon's log and of the guests'."""
        parts = [line for line in self.said().splitlines() if " debug " not in line][-20:]
        for name in sorted(os.listdir(f"{self.folder}/log")):
            with open(f"{self.folder}/log/{name}", encoding="utf-8", errors="replace") as log:
                parts += [f"-- {name}"] + log.read().splitlines()[-10:]
        return "\n".join(parts)

    def define(self, name, **options):
        """Defines a domain (see domain_xml)."""
        path = f"{self.folder}/{name}.xml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(domain_xml(name, **options))
        self.virsh(f"define {path}")
        return path

    def screenshot(self, name, path):
        """`virsh screenshot` into the file: width, height, pixels of three bytes."""
        self.virsh(f"screenshot {name} {path}")
        with open(path, "rb") as file:
            kind, size, depth, pixels = file.read().split(b"\n", 3)
        width, height = map(int, size.split())
        assert (kind, depth, len(pixels)) == (b"P6", b"255", width * height * 3)
        return width, height, pixels

    def state(self, name):
        """State and reason: running (booted)."""
        return self.virsh(f"domstate --reason {name}").strip()


class Console:
    """`virsh console` in a terminal of its own, with the guest's agent at the other end."""

    def __init__(self, name, *device):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(["virsh", "-c", URI, "console", "--force", name, *device], stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.stream = Stream(self.master, f"console of {name}")
        self.stream.wait_for("Escape character is", places.COMMAND_SECONDS)
        # only then does virsh take over the terminal; what is typed before is thrown away
        until(lambda: not termios.tcgetattr(self.master)[3] & termios.ECHO, "virsh has the terminal", places.COMMAND_SECONDS)
        self.guest = Guest(self.stream, lambda data: os.write(self.master, data))

    def close(self):
        """Leaves as a user does, by the escape character."""
        os.write(self.master, b"\x1d")
        self.process.wait(places.EXIT_SECONDS)
        os.close(self.master)


class Events:
    """`virsh event` at work; `where`: --config for a domain that does not run yet."""

    def __init__(self, daemon, name, where="--live"):
        read, out = os.pipe()
        self.process = subprocess.Popen(["stdbuf", "-oL", "virsh", "-c", URI, "event", "--all", "--loop", name], stdout=out, stderr=out)
        os.close(out)
        self.stream = Stream(read, "virsh event")
        until(lambda: "metadata-change" in self.stream.tail() or daemon.virsh(f"desc {name} {where} --title heard") is None, "virsh listens")

    def close(self):
        """Ends it."""
        self.process.kill()
        self.process.wait()


def domain_xml(name, kernel=places.KERNEL_ELF, initrd=places.INITRD, append="", memory=192, vcpus=1, machine="microvm",
               devices="", head=""):
    """A domain with one serial port."""
    initrd = f"<initrd>{initrd}</initrd>" if initrd else ""
    return f"""<domain type='kvm'>
  <name>{name}</name>
  {head}
  <memory unit='MiB'>{memory}</memory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='{machine}'>hvm</type>
    <kernel>{kernel}</kernel>{initrd}<cmdline>{append}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <devices>
    <console type='pty'/>
    {devices}
  </devices>
</domain>
"""
