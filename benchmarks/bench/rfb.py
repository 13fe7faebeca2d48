"""As much of the RFB protocol (RFC 6143) as it takes to be shown whole pictures, as fast as the server likes."""
import socket
import struct
import time

RAW = 0
DESKTOP_SIZE = -223


class Client:
    """A client of a server that asks for no password."""

    def __init__(self, port, seconds):
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), seconds)
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self.take(12)
        self.socket.sendall(b"RFB 003.008\n")
        self.take(self.take(1)[0])
        self.socket.sendall(b"\1")
        self.take(4)
        self.socket.sendall(b"\1")  # others may look too
        self.width, self.height, _, name = struct.unpack(">HH16sI", self.take(24))
        self.take(name)
        self.socket.sendall(struct.pack(">BxHii", 2, 2, RAW, DESKTOP_SIZE))
        self.socket.sendall(struct.pack(">Bxxx4B3H3Bxxx", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))

    def take(self, size):
        data = bytearray(size)
        view = memoryview(data)
        while view:
            got = self.socket.recv_into(view)
            if got == 0:
                raise RuntimeError("the VNC server has closed the connection")
            view = view[got:]
        return bytes(data)

    def ask(self, incremental):
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def update(self):
        """The next update: how many pixels it brings."""
        while True:
            kind = self.take(1)[0]
            if kind == 0:
                break
            if kind != 2:  # a bell
                raise RuntimeError(f"a message of kind {kind}")
        pixels = 0
        for _ in range(struct.unpack(">xH", self.take(3))[0]):
            _, _, width, height, encoding = struct.unpack(">HHHHi", self.take(12))
            if encoding == DESKTOP_SIZE:
                self.width, self.height = width, height
            else:
                self.take(width * height * 4)
                pixels += width * height
        return pixels

    def frames(self, seconds):
        """Whole pictures in that time, in parts of one."""
        self.ask(False)
        self.update()
        pixels = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.ask(True)
            pixels += self.update()
        return pixels / (self.width * self.height)

    def close(self):
        self.socket.close()
