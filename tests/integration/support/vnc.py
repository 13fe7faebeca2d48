"""Starts lodge-vnc beside a monitor and holds on to it."""
import os
import signal
import socket
import subprocess

from . import places
from .control import Control
from .rfb import Rfb
from .stream import Stream
from .wait import until

PROGRAM = f"{os.path.dirname(places.VMM)}/lodge-vnc"


def servers():
    """Processes of display servers, without those that they have for their clients."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as command, open(f"/proc/{entry}/stat", "rb") as stat:
                if command.read().split(b"\0")[0].decode() == PROGRAM:
                    found[int(entry)] = int(stat.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue
    return [process for process, parent in found.items() if parent not in found]


class Vnc:
    """One lodge-vnc process; clients come over TCP (address) or a unix socket (path)."""

    def __init__(self, folder, machine, port, *options, name="vnc"):
        self.path = f"{folder}/{name}.rfb"
        self.address = ("127.0.0.1", port)
        self.control_path = f"{folder}/{name}.control"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(self.control_path)
            listener.listen(8)
            self.command = [PROGRAM, "--monitor", machine.control_path, "--name", name, "--control-fd", str(listener.fileno())]
            self.command += ["--listen", f"127.0.0.1:{port}", "--listen", f"unix:{self.path}", *options]
            machine.connect().close()  # the monitor listens
            self.process = subprocess.Popen(
                self.command, stderr=subprocess.PIPE, pass_fds=[listener.fileno()], start_new_session=True, bufsize=0
            )
        self.errors = Stream(self.process.stderr.fileno(), "lodge-vnc's standard error")
        self.control = Control(self.control_path)

    def client(self, **options):
        """A client that has come in."""
        return self.connect().enter(**options)

    def connect(self, address=None):
        """A client that has said nothing yet."""
        return Rfb(address or self.address)

    def clients(self, state=None):
        """What query-clients says, of those in that state."""
        return [each for each in self.control.execute("query-clients") if state in (None, each["state"])]

    def wait_clients(self, number, timeout=places.COMMAND_SECONDS):
        """Waits until there are so many clients."""
        until(lambda: len(self.clients()) == number, f"{number} clients", timeout)

    def wait_exit(self, timeout=places.EXIT_SECONDS):
        """Waits for the process's end; returns its status."""
        return self.process.wait(timeout)

    def kill(self):
        """Ends the process and its clients'."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.control.close()
        self.errors.wait_end(places.EXIT_SECONDS)
        self.process.stderr.close()

    def report(self):
        """What a failed test wants to show."""
        return f"$ {' '.join(self.command)}\nexit status: {self.process.poll()}\n{self.errors.tail(60)}"
