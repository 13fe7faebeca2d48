"""A viewer of a guest's screen over the monitor's display channel (vmm/display/channel.h): what it types and where it points."""
import select
import socket
import struct
import time

from .places import CONTROL_SECONDS

POINTER = 3
KEY, MOVE, POSITION = 17, 18, 19


class Viewer:
    """One display channel."""

    def __init__(self, control):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.execute("getfd", {"fdname": "viewer"}, descriptors=[theirs.fileno()])
        control.execute("attach-display", {"fdname": "viewer"})
        theirs.close()
        self.absolute = None

    def close(self):
        """The viewer goes."""
        self.socket.close()

    def wait_for_pointer(self, absolute, timeout=CONTROL_SECONDS):
        """Until the monitor says that the guest takes places, or does not."""
        deadline = time.monotonic() + timeout
        while self.absolute != absolute:
            ready, _, _ = select.select([self.socket], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"the guest's pointer does not become {'absolute' if absolute else 'relative'}"
            packet = self.socket.recv(64)
            assert packet, "the monitor closed the channel"
            if struct.unpack_from("<I", packet)[0] == POINTER:
                self.absolute = struct.unpack("<II", packet)[1] == 1

    def key(self, code, down):
        """A key goes down or up, by Linux's number."""
        self.socket.send(struct.pack("<IHH", KEY, code, int(down)))

    def move(self, right, down, wheel=0, buttons=0):
        """Steps."""
        self.socket.send(struct.pack("<IiiiI", MOVE, right, down, wheel, buttons))

    def place(self, x, y, wheel=0, buttons=0):
        """A place, of 0x7FFF each way."""
        self.socket.send(struct.pack("<IHHiI", POSITION, x, y, wheel, buttons))
