"""Frames between a client, the keeper of an instance and the agent inside it.

A frame is a header (payload length, kind, session) and a payload. Output and input are each held back by credit: a
sender keeps at most WINDOW bytes that the receiver has not acknowledged, so no party ever buffers without bound.
"""
import struct

HEADER = struct.Struct("!IBI")
WINDOW = 1 << 20
CHUNK = 1 << 16

HELLO = 1  # agent -> keeper: ready; no payload
START = 2  # client -> agent: a Request
STDIN = 3  # client -> agent: data; empty: end of file
SIGNAL = 4  # client -> agent: one byte, the signal's number; also to the command's descendants
RESIZE = 5  # client -> agent: rows and columns of the terminal, "!HH"
OUT_ACK = 6  # client -> agent: so many bytes of output are written, "!I"
IN_ACK = 7  # agent -> client: so many bytes of input are written, "!I"
STDOUT = 8  # agent -> client
STDERR = 9  # agent -> client
EXIT = 10  # agent -> client: "status N" or "error TEXT"
POWEROFF = 11  # keeper -> agent
STOP = 12  # client -> keeper: end this instance
STOPPED = 13  # keeper -> client: the instance has ended
TICK = 14  # keeper -> agent, now and then: look after the timers


def pack(kind, session, payload=b""):
    """One frame as bytes."""
    return HEADER.pack(len(payload), kind, session) + payload


class Request:
    """A command to run."""

    def __init__(self, argv, cwd, env, tty):
        self.argv = argv
        self.cwd = cwd
        self.env = env
        self.tty = tty


def pack_request(request):
    """A request as fields that end in NUL (no JSON: importing it costs the agent 0.2 s)."""
    fields = ["tty" if request.tty else "", request.cwd, str(len(request.argv)), *request.argv]
    fields += [f"{name}={value}" for name, value in request.env.items()]
    return b"".join(field.encode(errors="surrogateescape") + b"\0" for field in fields)


def unpack_request(payload):
    """The opposite of pack_request()."""
    fields = [field.decode(errors="surrogateescape") for field in payload.split(b"\0")[:-1]]
    arguments = 3 + int(fields[2])
    env = dict(field.split("=", 1) for field in fields[arguments:])
    return Request(fields[3:arguments], fields[1], env, bool(fields[0]))


class Parser:
    """Cuts a byte stream into frames."""

    def __init__(self):
        self.buffer = bytearray()

    def feed(self, data):
        """Takes the next bytes of the stream; yields (kind, session, payload) for each frame now complete."""
        self.buffer += data
        offset = 0
        while len(self.buffer) - offset >= HEADER.size:
            length, kind, session = HEADER.unpack_from(self.buffer, offset)
            end = offset + HEADER.size + length
            if len(self.buffer) < end:
                break
            yield kind, session, bytes(self.buffer[offset + HEADER.size : end])
            offset = end
        del self.buffer[:offset]
