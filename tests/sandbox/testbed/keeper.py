"""The keeper: one process per instance. Owns QEMU, joins clients with the agent, ends the instance when it should end.

It ends on request, on SIGTERM, when its owner dies, when nobody used it for idle seconds, or when QEMU ends.
"""
import itertools
import json
import os
import select
import shutil
import signal
import socket
import sys
import time

from . import l1_image, machine
from . import protocol as p
from .places import INSTANCES, LOGS, Problem
from .registry import bind_socket, describe

BOOT_SECONDS = 120
POWEROFF_SECONDS = 5
TICK_SECONDS = 1
BACKLOG = 64 << 20  # bytes towards one client; credit keeps it far below, so more means a broken client


class Peer:
    """A connection with what is still to be written to it."""

    def __init__(self, connection):
        self.connection = connection
        self.parser = p.Parser()
        self.pending = bytearray()
        self.session = None  # number of the command this client runs


class Keeper:
    """The event loop of one instance."""

    def __init__(self, name, config):
        self.name = name
        self.config = config
        self.folder = f"{INSTANCES}/{name}"
        self.log = f"{LOGS}/{name}.log"
        self.poller = select.poll()
        self.peers = {}  # descriptor -> Peer
        self.sessions = {}  # number -> Peer
        self.numbers = itertools.count(1)
        self.ready = False
        self.stop_at = None
        self.tick_at = 0.0
        self.stop_waiters = []
        self.idle_since = time.monotonic()
        self.agent = None
        self.process = None
        self.listener = None

    def run(self):
        """Boots, serves, cleans up; returns the exit status."""
        os.makedirs(self.folder, exist_ok=True)
        os.makedirs(LOGS, exist_ok=True)
        started = time.monotonic()
        try:
            image = l1_image.build()
            self.process, port = machine.start(image, self.config, self.folder, self.log)
            self.agent = self.add(port)
            self.listener = bind_socket(self.folder)
            self.poller.register(self.listener, select.POLLIN)
            wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            signal.set_wakeup_fd(wake_write)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, lambda *_: self.stop())
            self.poller.register(wake_read, select.POLLIN)
            qemu = os.pidfd_open(self.process.pid)
            self.poller.register(qemu, select.POLLIN)
            while self.step(wake_read, qemu):
                if not self.ready and time.monotonic() - started > BOOT_SECONDS:
                    raise Problem(f"the nested machine did not come up within {BOOT_SECONDS} s")
            if not self.ready and self.stop_at is None:
                raise Problem("the nested machine ended while it was starting")
            return 0
        except Problem as problem:
            self.report(f"{problem}; console log {self.log}, its tail:\n{machine.log_tail(self.log)}")
            return 1
        finally:
            if self.process:
                self.process.kill()
                self.process.wait()
            shutil.rmtree(self.folder, ignore_errors=True)
            for peer in self.stop_waiters:
                peer.connection.setblocking(True)
                peer.connection.send(p.pack(p.STOPPED, 0))
            prune_logs()

    def report(self, text):
        """Tells whoever started us, over standard output: one JSON line, "ready" or a failure."""
        print(json.dumps({"failed": text}), flush=True)

    def step(self, wake, qemu):
        """Waits for something and handles it; false when QEMU has ended."""
        now = time.monotonic()
        if self.stop_at is not None and now > self.stop_at:
            self.process.kill()
        idle = self.config["idle"]
        if idle and self.ready and not self.sessions and now - self.idle_since > idle:
            self.stop()
        if self.sessions and now > self.tick_at and not self.agent.pending:
            self.tick_at = now + TICK_SECONDS
            self.write(self.agent, p.pack(p.TICK, 0))
        for descriptor, events in self.poller.poll(500):
            if descriptor == qemu:
                return False
            if descriptor == wake:
                os.read(wake, 4096)
            elif descriptor == self.listener.fileno():
                connection, _ = self.listener.accept()
                connection.setblocking(False)
                self.add(connection)
            elif descriptor in self.peers:
                self.serve(self.peers[descriptor], events)
        return True

    def add(self, connection):
        """A new client, or the agent."""
        peer = Peer(connection)
        self.peers[connection.fileno()] = peer
        self.poller.register(connection, select.POLLIN)
        return peer

    def drop(self, peer):
        """A client is gone: so is its command."""
        if peer.connection.fileno() < 0:
            return
        if peer is self.agent:  # QEMU is about to end
            self.poller.unregister(peer.connection)
            return
        self.poller.unregister(peer.connection)
        del self.peers[peer.connection.fileno()]
        peer.connection.close()
        if peer.session in self.sessions:
            self.write(self.agent, p.pack(p.SIGNAL, peer.session, bytes([signal.SIGKILL])))

    def write(self, peer, data):
        """Queues bytes for a peer and sends what it takes now."""
        peer.pending += data
        self.flush(peer)
        if len(peer.pending) > BACKLOG:
            self.drop(peer)

    def flush(self, peer):
        """Sends what is queued."""
        if peer.connection.fileno() < 0:
            return
        try:
            while peer.pending:
                del peer.pending[: peer.connection.send(peer.pending[: p.CHUNK])]
        except BlockingIOError:
            pass
        except OSError:
            peer.pending.clear()
            self.drop(peer)
            return
        self.poller.modify(peer.connection, select.POLLIN | (select.POLLOUT if peer.pending else 0))

    def serve(self, peer, events):
        """A connection can be read or written."""
        if events & select.POLLOUT:
            self.flush(peer)
        if not events & (select.POLLIN | select.POLLHUP | select.POLLERR):
            return
        try:
            data = peer.connection.recv(4 * p.CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.drop(peer)
            return
        for frame in peer.parser.feed(data):
            if peer is self.agent:
                self.from_agent(*frame)
            else:
                self.from_client(peer, *frame)

    def from_agent(self, kind, number, payload):
        """A frame from inside."""
        if kind == p.HELLO:
            self.ready = True
            self.idle_since = time.monotonic()
            describe(self.folder, dict(self.config, pid=os.getpid(), qemu=self.process.pid, log=self.log))
            print(json.dumps({"ready": self.name}), flush=True)
            return
        client = self.sessions.get(number)
        if kind == p.EXIT:
            self.sessions.pop(number, None)
            self.idle_since = time.monotonic()
        if client:
            self.write(client, p.pack(kind, 0, payload))
        elif kind in (p.STDOUT, p.STDERR):
            self.write(self.agent, p.pack(p.OUT_ACK, number, len(payload).to_bytes(4, "big")))

    def from_client(self, peer, kind, _number, payload):
        """A frame from a client; its session number is ours to give."""
        if kind == p.STOP:
            self.stop_waiters.append(peer)
            self.stop()
            return
        if kind == p.START:
            if peer.session is not None:
                return
            peer.session = next(self.numbers)
            self.sessions[peer.session] = peer
        if peer.session is not None:
            self.write(self.agent, p.pack(kind, peer.session, payload))

    def stop(self):
        """Asks the machine to power off; step() ends it the hard way when it does not."""
        if self.stop_at is None:
            self.stop_at = time.monotonic() + (POWEROFF_SECONDS if self.ready else 0)
            if self.ready:
                self.write(self.agent, machine.POWEROFF)


def prune_logs(keep=20):
    """Removes all but the newest console logs."""
    logs = [entry.path for entry in os.scandir(LOGS) if entry.name.endswith(".log")]
    logs.sort(key=os.path.getmtime, reverse=True)
    for path in logs[keep:]:
        for victim in (path, path + ".qemu"):
            try:
                os.unlink(victim)
            except FileNotFoundError:
                pass


def main(name, config_text, owner):
    """Entry of the keeper process. owner: the process to die with, or 0."""
    if owner:
        machine.die_with_parent(signal.SIGTERM)
        if os.getppid() != owner:
            return 1
    return Keeper(name, json.loads(config_text)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
