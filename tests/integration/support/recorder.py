"""The messages between a libvirt client and a daemon, written down: a proxy on a unix socket.

usage: recorder.py LISTEN UPSTREAM OUTPUT [FEATURE...]      until SIGINT or SIGTERM; LISTEN and UPSTREAM are sockets;
clients are told that the daemon has not the FEATUREs (VIR_DRV_FEATURE_*), so that they speak as with an old one

A line for each message that differs from those before: PROGRAM PROCEDURE call|reply|error|event HEX ("-": empty).
"""
import os
import re
import signal
import socket
import struct
import sys
import threading

PROCEDURES = os.path.join(os.path.dirname(__file__), "../../../libvirt-driver/rpc/procedures.txt")
PROGRAMS = {"remote": 0x20008086, "qemu": 0x20008087}
CALL, REPLY, MESSAGE, _, CALL_WITH_FDS, REPLY_WITH_FDS = range(6)
SUPPORTS_FEATURE = "CONNECT_SUPPORTS_FEATURE"
MAX_FDS = 32


def procedure_names():
    """{(program number, procedure number): (program, name)} of those whose shapes we describe."""
    names, program = {}, ""
    with open(PROCEDURES, encoding="utf-8") as table:
        for line in table:
            if line.startswith("program "):
                program = line.split()[1]
            elif (match := re.match(r"(\d+) (\w+) (\S+)", line)) and not match[3].startswith("forward"):
                names[PROGRAMS[program], int(match[1])] = (program, match[2])
    return names


class Messages:
    """Cuts one direction's bytes into messages."""

    def __init__(self):
        self.buffer = b""
        self.skip = 0  # the bytes that carry descriptors, behind their message

    def feed(self, data):
        """(program, procedure, type, serial, status, payload) of each message that is complete now."""
        self.buffer += data
        while True:
            jumped = min(self.skip, len(self.buffer))
            self.buffer, self.skip = self.buffer[jumped:], self.skip - jumped
            if len(self.buffer) < 28:
                return
            size, program, _, procedure, kind, serial, status = struct.unpack(">IIIiIII", self.buffer[:28])
            if len(self.buffer) < size:
                return
            payload, self.buffer = self.buffer[28:size], self.buffer[size:]
            if kind in (CALL_WITH_FDS, REPLY_WITH_FDS):
                self.skip = struct.unpack(">I", payload[:4])[0]
                payload = payload[4:]
            yield program, procedure, kind, serial, status, payload


class Recorder:
    """Listens at one socket for clients of the daemon at another. `lines` has what they said so far, in order.

    `without`: features (VIR_DRV_FEATURE_*) that clients are told the daemon has not, so that they speak as with an old one.
    """

    def __init__(self, listen, upstream, without=()):
        self.upstream = upstream
        self.without = without
        self.names = procedure_names()
        self.lines = {}
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(listen):
            os.unlink(listen)
        self.listener.bind(listen)
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Takes no more clients."""
        self.listener.close()

    def messages(self):
        """(program, procedure, call|reply|event, hex) of all so far."""
        with self.lock:
            return list(self.lines)

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            daemon = socket.socket(socket.AF_UNIX)
            daemon.connect(self.upstream)
            asked = {}  # serial of a question for a feature we deny
            threading.Thread(target=self._copy, args=(client, daemon, asked), daemon=True).start()
            threading.Thread(target=self._copy, args=(daemon, client, asked), daemon=True).start()

    def _copy(self, source, target, asked):
        messages = Messages()
        try:
            while True:
                data, fds, _, _ = socket.recv_fds(source, 1 << 20, MAX_FDS)
                if not data:
                    break
                for message in messages.feed(data):
                    data = self._note(message, asked, data)
                if fds:
                    socket.send_fds(target, [data], fds)
                    for fd in fds:
                        os.close(fd)
                else:
                    target.sendall(data)
        except OSError:
            pass  # the other side's thread has closed them
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _note(self, message, asked, data):
        """Writes a message down; gives the bytes to pass on instead of `data`."""
        program, number, kind, serial, status, payload = message
        if (program, number) not in self.names:
            return data
        name = self.names[program, number]
        word = {CALL: "call", CALL_WITH_FDS: "call", REPLY: "reply", REPLY_WITH_FDS: "reply", MESSAGE: "event"}.get(kind)
        if word is None:
            return data
        if status != 0:
            word = "error"
        if name[1] == SUPPORTS_FEATURE:
            if word == "call":
                asked[serial] = struct.unpack(">i", payload)[0]
            elif asked.get(serial) in self.without and data.endswith(payload):
                return data[:-4] + bytes(4)
        with self.lock:
            self.lines[(*name, word, payload.hex() or "-")] = None
        return data


def main():
    """Records until it is told to end."""
    recorder = Recorder(sys.argv[1], sys.argv[2], [int(word) for word in sys.argv[4:]])
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    with open(sys.argv[3], "w", encoding="utf-8") as file:
        file.writelines(" ".join(line) + "\n" for line in recorder.messages())


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
