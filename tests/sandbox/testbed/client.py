"""Runs one command in an instance: streams, signals, terminal, exit status."""
import fcntl
import os
import select
import signal
import struct
import sys
import termios
import time
import tty

from . import protocol as p
from . import registry
from .places import TREE, Problem

GRACE_SECONDS = 5  # from a polite signal to SIGKILL
TIMED_OUT = 124


def environment(extra):
    """The few variables a command gets."""
    result = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "USER": "root",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
    }
    result.update(extra)
    return result


class Run:
    """One command in an instance, seen from the host."""

    def __init__(self, name, argv, extra_environment, use_tty, timeout):
        self.connection = registry.connect(name)
        self.name = name
        self.parser = p.Parser()
        self.tty = use_tty
        self.timeout = timeout
        self.deadline = time.monotonic() + timeout if timeout else None
        self.kill_at = None
        self.status = None
        self.timed_out = False
        self.input_open = True
        self.input_unacknowledged = 0
        self.signals = []
        cwd = os.getcwd()
        inside = os.path.commonpath([cwd, TREE]) == TREE
        request = p.Request(argv, cwd if inside else TREE, environment(extra_environment), use_tty)
        self.send(p.START, p.pack_request(request))

    def send(self, kind, payload=b""):
        """One frame to the keeper."""
        self.connection.sendall(p.pack(kind, 0, payload))

    def run(self):
        """Until the command ends; returns its exit status."""
        saved = None
        if self.tty:
            saved = termios.tcgetattr(0)
            tty.setraw(0)
            self.send_size()
        try:
            wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            signal.set_wakeup_fd(wake_write)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                signal.signal(number, lambda got, _frame: self.signals.append(got))
            if self.tty:
                signal.signal(signal.SIGWINCH, lambda *_: self.send_size())
            while self.status is None:
                self.step(wake_read)
        finally:
            if saved:
                termios.tcsetattr(0, termios.TCSADRAIN, saved)
            self.connection.close()
        if self.timed_out:
            print(f"sandbox: the command ran longer than {self.timeout:g} s and was killed", file=sys.stderr)
            return TIMED_OUT
        return self.status

    def step(self, wake):
        """Waits for something and handles it."""
        readers = [self.connection, wake]
        if self.input_open and self.input_unacknowledged < p.WINDOW:
            readers.append(0)
        now = time.monotonic()
        times = [when - now for when in (self.deadline, self.kill_at) if when is not None]
        ready, _, _ = select.select(readers, [], [], max(0.0, min(times)) if times else None)
        if wake in ready:
            os.read(wake, 4096)
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.deadline, self.timed_out = None, True
            self.signals.append(signal.SIGTERM)
        if self.kill_at is not None and time.monotonic() >= self.kill_at:
            self.kill_at = time.monotonic() + GRACE_SECONDS
            self.send(p.SIGNAL, bytes([signal.SIGKILL]))
        while self.signals:
            self.send(p.SIGNAL, bytes([self.signals.pop(0)]))
            if self.kill_at is None:
                self.kill_at = time.monotonic() + GRACE_SECONDS
        if self.connection in ready:
            self.receive()
        if 0 in ready:
            self.pass_input()

    def receive(self):
        """Frames from the instance."""
        data = self.connection.recv(4 * p.CHUNK)
        if not data:
            log = f"build/sandbox/logs/{self.name}.log"
            raise Problem(f"instance {self.name} ended while the command ran; its console log is {log}")
        for kind, _, payload in self.parser.feed(data):
            if kind in (p.STDOUT, p.STDERR):
                self.write_out(1 if kind == p.STDOUT else 2, payload)
            elif kind == p.IN_ACK:
                self.input_unacknowledged -= struct.unpack("!I", payload)[0]
            elif kind == p.EXIT:
                word, _, value = payload.decode(errors="replace").partition(" ")
                if word != "status":
                    raise Problem(f"instance {self.name} cannot start the command: {value}")
                self.status = int(value)

    def write_out(self, descriptor, data):
        """Passes output on; nobody reading it any more ends the command, as a pipe would."""
        count = len(data)
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(descriptor, view) :]
            except BlockingIOError:
                select.select([], [descriptor], [], 1)
            except BrokenPipeError:
                self.signals.append(signal.SIGPIPE)
                break
        self.send(p.OUT_ACK, struct.pack("!I", count))

    def pass_input(self):
        """Passes our standard input on."""
        try:
            data = os.read(0, p.CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.send(p.STDIN, data)
        self.input_unacknowledged += len(data)
        self.input_open = bool(data)

    def send_size(self):
        """Tells the size of our terminal."""
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
        self.send(p.RESIZE, struct.pack("!HH", rows, columns))
