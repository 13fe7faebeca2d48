"""libvirt's RPC protocol by hand: messages as no stock client sends them."""
import contextlib
import socket
import struct

from .places import COMMAND_SECONDS

REMOTE = 0x20008086
KEEPALIVE = 0x6B656570
CALL, REPLY, EVENT, STREAM = 0, 1, 2, 3
OK, ERROR, CONTINUE = 0, 1, 2
AUTH_LIST, SASL_INIT, SASL_START, AUTH_POLKIT = 66, 67, 68, 70
OPEN, GET_HOSTNAME, LIST_ALL_DOMAINS, CAPABILITIES = 1, 59, 273, 7


def message(procedure, payload=b"", program=REMOTE, version=1, kind=CALL, serial=0, status=OK, length=None):
    """The bytes of a message; `length` says another length than it has."""
    head = struct.pack(">IIiIII", program, version, procedure, kind, serial, status)
    return struct.pack(">I", len(head) + len(payload) + 4 if length is None else length) + head + payload


def text(value):
    """A string as XDR has it."""
    data = value.encode()
    return struct.pack(">I", len(data)) + data + bytes(-len(data) % 4)


OPEN_ARGUMENTS = struct.pack(">I", 1) + text("lodge:///system") + struct.pack(">I", 0)


class Client:
    """A connection over a unix socket (a path) or TCP (a port)."""

    def __init__(self, place, timeout=COMMAND_SECONDS):
        self.socket = socket.socket(socket.AF_UNIX if isinstance(place, str) else socket.AF_INET)
        self.socket.settimeout(timeout)
        self.socket.connect(place if isinstance(place, str) else ("127.0.0.1", place))
        self.serial = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Sends bytes as they are."""
        self.socket.sendall(data)

    def read(self, size):
        """That many bytes; fewer when the server closes."""
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while len(data) < size:
                part = self.socket.recv(size - len(data))
                if not part:
                    break
                data += part
        return data

    def receive(self):
        """(procedure, type, serial, status, payload) of the next message, None when the server has closed."""
        head = self.read(28)
        if len(head) < 28:
            return None
        length, _, _, procedure, kind, serial, status = struct.unpack(">IIIiIII", head)
        return procedure, kind, serial, status, self.read(length - 28)

    def call(self, procedure, payload=b"", **options):
        """(status, payload) of a call's reply."""
        self.serial += 1
        self.send(message(procedure, payload, serial=self.serial, **options))
        while True:
            answer = self.receive()
            assert answer is not None, "the server has closed the connection"
            if answer[1] == REPLY and answer[2] == self.serial:
                return answer[3], answer[4]

    def open(self):
        """Opens the connection as stock clients do."""
        assert self.call(AUTH_LIST)[0] == OK
        assert self.call(OPEN, OPEN_ARGUMENTS)[0] == OK
        return self

    def closed(self):
        """Waits until the server has closed it; what came before is thrown away."""
        with contextlib.suppress(ConnectionResetError):
            while self.socket.recv(65536):
                pass
        return True


def error_text(payload):
    """The message of an error reply."""
    size = struct.unpack(">I", payload[12:16])[0]
    return payload[16:16 + size].decode()
