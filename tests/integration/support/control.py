"""Client of lodge-vmm's control socket: one JSON object a line, as QMP has it."""
import array
import itertools
import json
import select
import socket
import time

from .places import CONTROL_SECONDS


class ControlError(Exception):
    """The monitor answered with an error."""

    def __init__(self, command, error):
        super().__init__(f"{command}: {error.get('class')}: {error.get('desc')}")
        self.error_class = error.get("class")
        self.description = error.get("desc")


class Control:
    """One connection. Events that come in between are kept for wait_for_event()."""

    def __init__(self, path, timeout=CONTROL_SECONDS):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.buffer = b""
        self.events = []
        self.ids = itertools.count(1)
        self.greeting = self.receive(timeout)

    def close(self):
        """Ends the connection."""
        self.socket.close()

    def receive(self, timeout):
        """The next message, whatever it is."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.socket], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"control socket: no message within {timeout:g} s; events so far: {self.events}")
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError(f"control socket: closed by the monitor; events so far: {self.events}")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def send_raw(self, data, descriptors=()):
        """Bytes as they are, with file descriptors if any."""
        if descriptors:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            data = data[self.socket.sendmsg([data], rights) :]
        self.socket.sendall(data)

    def execute(self, command, arguments=None, descriptors=(), timeout=CONTROL_SECONDS):
        """Runs a command and returns what it returned; raises ControlError when it failed."""
        number = next(self.ids)
        message = {"execute": command, "id": number}
        if arguments is not None:
            message["arguments"] = arguments
        self.send_raw(json.dumps(message).encode() + b"\n", descriptors)
        deadline = time.monotonic() + timeout
        while True:
            answer = self.receive(max(0.0, deadline - time.monotonic()))
            if "event" in answer:
                self.events.append(answer)
            elif answer.get("id") == number:
                if "error" in answer:
                    raise ControlError(command, answer["error"])
                return answer["return"]
            else:
                raise AssertionError(f"control socket: answer to nothing we asked: {answer}")

    def wait_for_event(self, name, timeout=CONTROL_SECONDS):
        """The next event of this name, also one that has come already; each is returned once."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            message = self.receive(max(0.0, deadline - time.monotonic()))
            if "event" in message:
                self.events.append(message)
