"""A small VNC client: RFB 3.8 with the raw encoding, by hand, so that a test can also say what no good client would."""
import socket
import struct
import subprocess
import time

from .places import CONTROL_SECONDS

RAW, DESKTOP_SIZE, POINTER_MOTION, EXTENDED_KEY, EXTENDED_DESKTOP_SIZE = 0, -223, -257, -258, -308
SIZE_OK, SIZE_PROHIBITED, SIZE_TOO_MUCH, SIZE_BAD_LAYOUT = range(4)
SECURITY_NONE, SECURITY_VNC, SECURITY_VENCRYPT = 1, 2, 19
X509_NONE, X509_VNC = 260, 261
ESCAPE, RETURN = 0xFF1B, 0xFF0D
PIXEL_FORMAT = struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)  # 0x00RRGGBB, little-endian


class Refused(Exception):
    """The server does not let this client in."""


def encrypt(password, challenge):
    """What VNC authentication answers: DES, in whose key the bits of each of the password's bytes are the other way round."""
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode()[:8].ljust(8, b"\0"))
    words = ["openssl", "enc", "-des-ecb", "-nopad", "-K", key.hex(), "-provider", "legacy", "-provider", "default"]
    return subprocess.run(words, input=challenge, capture_output=True, check=True).stdout


class Rfb:
    """One client. After enter() it has a picture: width, height and pixels (bytes, four for each, 0x00RRGGBB)."""

    def __init__(self, address=None, connection=None, timeout=CONTROL_SECONDS):
        """address: (host, port) or a path; connection: a socket that is one already."""
        if connection is None:
            family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
            connection = socket.socket(family, socket.SOCK_STREAM)
            connection.settimeout(timeout)
            connection.connect(address)
        connection.settimeout(timeout)
        self.socket = connection
        self.width = self.height = 0
        self.pixels = bytearray()
        self.name = ""
        self.challenge = b""
        self.encodings = []  # pseudo encodings that the server has answered
        self.steps = False  # the server wants a mouse's steps
        self.sizes = []  # what ExtendedDesktopSize said: (whose wish, answer, width, height)

    def close(self):
        """Ends the connection."""
        self.socket.close()

    def read(self, size):
        """So many bytes."""
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise ConnectionError("the server closed the connection")
            data += piece
        return data

    def unpack(self, form):
        """Numbers, as struct has them."""
        return struct.unpack(form, self.read(struct.calcsize(form)))

    def security_types(self):
        """What the server offers after the version."""
        version = self.read(12)
        assert version == b"RFB 003.008\n", version
        self.socket.sendall(version)
        return list(self.read(self.unpack("B")[0]))

    def choose_vencrypt(self):
        """VeNCrypt 0.2; the subtypes."""
        assert self.security_types() == [SECURITY_VENCRYPT]
        self.socket.sendall(bytes([SECURITY_VENCRYPT]))
        assert self.read(2) == b"\0\2"
        self.socket.sendall(b"\0\2")
        assert self.read(1) == b"\0"
        return list(self.unpack(f">{self.unpack('B')[0]}I"))

    def start_tls(self, context):
        """The only subtype that there is, and TLS; returns it. ssl.SSLError: one of the two does not want the other."""
        (subtype,) = self.choose_vencrypt()
        self.socket.sendall(struct.pack(">I", subtype))
        assert self.read(1) == b"\1"
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        return subtype

    def enter_tls(self, context, password=None, **options):
        """The handshake with TLS."""
        subtype = self.start_tls(context)
        assert subtype == (X509_NONE if password is None else X509_VNC)
        return self.finish(SECURITY_NONE if password is None else SECURITY_VNC, password, **options)

    def enter(self, password=None, **options):
        """The handshake. Refused: the server does not let us in."""
        kinds = self.security_types()
        kind = SECURITY_NONE if password is None and SECURITY_NONE in kinds else SECURITY_VNC
        assert kind in kinds, kinds
        self.socket.sendall(bytes([kind]))
        return self.finish(kind, password, **options)

    def finish(self, kind, password, shared=True, encodings=(RAW, DESKTOP_SIZE)):
        """What comes after the choice."""
        if kind == SECURITY_VNC:
            self.challenge = self.read(16)
            self.socket.sendall(encrypt(password or "", self.challenge))
        if self.unpack(">I")[0] != 0:
            raise Refused(self.read(self.unpack(">I")[0]).decode())
        self.socket.sendall(bytes([shared]))
        self.width, self.height, _, length = self.unpack(">HH16sI")
        self.name = self.read(length).decode()
        self.pixels = bytearray(self.width * self.height * 4)
        self.socket.sendall(b"\0\0\0\0" + PIXEL_FORMAT)
        self.set_encodings(encodings)
        return self

    def set_encodings(self, encodings):
        """What the server may send."""
        self.socket.sendall(struct.pack(">BxH", 2, len(encodings)) + b"".join(struct.pack(">i", each) for each in encodings))

    def request(self, incremental=True):
        """Asks for the picture."""
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def receive(self):
        """One update. Returns the rectangles (x, y, width, height) that had pixels."""
        kind, rects = self.unpack(">BxH")
        assert kind == 0, f"message {kind}"
        drawn = []
        for _ in range(rects):
            x, y, width, height, encoding = self.unpack(">HHHHi")
            if encoding == RAW:
                self.draw(x, y, width, height)
                drawn.append((x, y, width, height))
            elif encoding in (DESKTOP_SIZE, EXTENDED_DESKTOP_SIZE):
                if encoding == EXTENDED_DESKTOP_SIZE:
                    self.read(self.unpack("Bxxx")[0] * 16)
                    self.sizes.append((x, y, width, height))
                if (self.width, self.height) != (width, height):
                    self.width, self.height = width, height
                    self.pixels = bytearray(width * height * 4)
            else:
                assert encoding in (POINTER_MOTION, EXTENDED_KEY), f"encoding {encoding}"
                self.encodings.append(encoding)
                if encoding == POINTER_MOTION:
                    self.steps = x == 0
        return drawn

    def draw(self, x, y, width, height):
        """Takes over a rectangle."""
        assert x + width <= self.width and y + height <= self.height, (x, y, width, height)
        for line in range(y, y + height):
            at = (line * self.width + x) * 4
            self.pixels[at : at + width * 4] = self.read(width * 4)

    def update(self, incremental=True):
        """Asks for the picture and waits until pixels have come, or another size."""
        self.request(incremental)
        while True:
            size = self.width, self.height
            if self.receive():
                return
            if (self.width, self.height) != size:
                self.request(False)

    def key(self, keysym, down):
        """A key that goes down or up."""
        self.socket.sendall(struct.pack(">BBxxI", 4, down, keysym))

    def press(self, *keysyms):
        """Keys, one after the other."""
        for keysym in keysyms:
            self.key(keysym, True)
            self.key(keysym, False)

    def scancode(self, code, keysym, down):
        """A key as QEMU's extension tells it."""
        self.socket.sendall(struct.pack(">BBHII", 255, 0, down, keysym, code))

    def pointer(self, mask, x, y):
        """The pointer's place and buttons."""
        self.socket.sendall(struct.pack(">BBHH", 5, mask, x, y))

    def want_size(self, width, height, screens=None):
        """SetDesktopSize, with one screen or with these, as (x, y, width, height)."""
        screens = [(0, 0, width, height)] if screens is None else screens
        message = struct.pack(">BxHHBx", 251, width, height, len(screens))
        self.socket.sendall(message + b"".join(struct.pack(">IHHHHI", number, *each, 0) for number, each in enumerate(screens)))

    def answer_to_size(self):
        """The next word of ExtendedDesktopSize that answers a wish of ours: (answer, width, height)."""
        while not (found := [each for each in self.sizes if each[0] == 1]):
            self.request()
            self.receive()
        self.sizes = []
        return found[0][1:]

    def colours(self):
        """How many pixels there are of each colour."""
        counts = {}
        for (pixel,) in struct.iter_unpack("<I", self.pixels):
            counts[pixel & 0xFFFFFF] = counts.get(pixel & 0xFFFFFF, 0) + 1
        return counts

    def wait_closed(self, timeout):
        """Waits until the server has closed the connection; what it sends is thrown away."""
        deadline = time.monotonic() + timeout
        self.socket.settimeout(timeout)
        try:
            while self.socket.recv(65536):
                assert time.monotonic() < deadline, f"still open after {timeout:g} s"
        except (ConnectionError, BrokenPipeError):
            pass
