"""The monitor's side of a display channel (vmm/display/channel.h), so that a test says what the screen shows and sees what is typed."""
import fcntl
import os
import queue
import socket
import struct
import subprocess
import threading

from . import places
from .control import Control
from .vnc import PROGRAM

PICTURE_BYTES = 4096 * 4096 * 4
HELLO, FRAME, POINTER, REFRESH, KEY, MOVE, SIZE = 1, 2, 3, 16, 17, 18, 20
TAKES_SIZES = 1


class FakeMonitor:
    """lodge-vnc with a screen that the test paints. events: what was typed, as ("key", code, down) or ("move", right, down, wheel, buttons)
    or ("size", width, height); control: its control socket; log: what it said."""

    def __init__(self, folder, width, height, *options, passed=(), features=TAKES_SIZES):
        self.path = f"{folder}/vnc.rfb"
        self.log = f"{folder}/vnc.log"
        self.events = queue.Queue()
        self.lock = threading.Lock()
        self.file = os.memfd_create("picture", os.MFD_ALLOW_SEALING)
        os.ftruncate(self.file, PICTURE_BYTES)
        fcntl.fcntl(self.file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        self.paint(width, height, 0)
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, socket.socket(socket.AF_UNIX) as listener, open(self.log, "wb") as log:
            listener.bind(f"{folder}/vnc.control")
            listener.listen(8)
            words = [PROGRAM, "--display-fd", str(theirs.fileno()), "--listen", f"unix:{self.path}", "--control-fd", str(listener.fileno())]
            self.process = subprocess.Popen([*words, *options], pass_fds=[theirs.fileno(), listener.fileno(), *passed], stderr=log)
        self.control = Control(f"{folder}/vnc.control")
        socket.send_fds(self.socket, [struct.pack("<III", HELLO, 1, features)], [self.file])
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def listens(self):
        """Whether lodge-vnc takes connections: its socket is there a moment before."""
        accepts = "00010000"  # a flag of the kernel's list
        with open("/proc/net/unix", encoding="utf-8") as sockets:
            return any(words[3] == accepts and words[-1] == self.path for words in map(str.split, sockets))

    def paint(self, width, height, colour):
        """The screen has this size and is all of one colour."""
        with self.lock:
            self.size = width, height
            os.pwrite(self.file, struct.pack("<I", colour) * (width * height), 0)
            self.changed = True

    def say(self, packet):
        """A packet of the monitor's."""
        self.socket.send(packet)

    def _serve(self):
        shown = None
        while packet := self.socket.recv(64):
            kind, *numbers = struct.unpack(f"<I{len(packet) - 4}B", packet)
            if kind == REFRESH:
                with self.lock:
                    last = self.size[1] if self.changed else 0
                    answer = struct.pack("<7I", FRAME, *struct.unpack("<I", bytes(numbers)), *self.size, 0, last, shown != self.size)
                    self.changed, shown = False, self.size
                self.say(answer)
            elif kind == KEY:
                self.events.put(("key", *struct.unpack("<HH", bytes(numbers))))
            elif kind == MOVE:
                self.events.put(("move", *struct.unpack("<iiiI", bytes(numbers))))

            elif kind == SIZE:
                self.events.put(("size", *struct.unpack("<II", bytes(numbers))))

    def said(self):
        """What lodge-vnc has written."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def next(self, count):
        """So many events."""
        return [self.events.get(timeout=places.COMMAND_SECONDS) for _ in range(count)]

    def close(self):
        """The monitor's end; returns the status of lodge-vnc."""
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()
        self.control.close()
        os.close(self.file)
        return self.process.wait(places.EXIT_SECONDS)
