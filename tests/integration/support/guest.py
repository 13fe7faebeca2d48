"""Runs scripts inside a guest that was booted with lodge.agent=1 on its kernel command line."""
import base64
import itertools
import re

from .places import BOOT_SECONDS, COMMAND_SECONDS


class ScriptError(AssertionError):
    """A script in the guest ended with another status than 0."""


class Guest:
    """The guest's agent, over a stream of its output and a function that sends it input."""

    def __init__(self, stream, send):
        self.stream = stream
        self.send = send
        self.ids = itertools.count(1)
        self.listening = False

    def wait_until_up(self, timeout=BOOT_SECONDS):
        """Waits until the agent listens."""
        if not self.listening:
            self.stream.wait_for(r"^LODGE-AGENT$", timeout)
            self.listening = True

    def start(self, script):
        """Sends a script; returns its number for result()."""
        self.wait_until_up()
        number = next(self.ids)
        self.send(f"{number} {base64.b64encode(script.encode()).decode()}\n".encode())
        return number

    def result(self, number, timeout=COMMAND_SECONDS):
        """(status, output) of a script that was started."""
        self.stream.wait_for(rf"^LODGE-BEGIN {number}$", timeout)
        begin = self.stream.consumed
        end = self.stream.wait_for(rf"^LODGE-END {number} (\d+)$", timeout)
        return int(end.group(1)), self.stream.text[begin : self.stream.consumed - len(end.group(0))].lstrip("\n")

    def try_run(self, script, timeout=COMMAND_SECONDS):
        """Runs a script; returns (status, output)."""
        return self.result(self.start(script), timeout)

    def run(self, script, timeout=COMMAND_SECONDS):
        """Runs a script that must succeed; returns its output."""
        status, output = self.try_run(script, timeout)
        if status != 0:
            raise ScriptError(f"guest: status {status} from:\n{script}\noutput:\n{output}")
        return output

    def sha256(self, path):
        """Checksum of a file or device in the guest."""
        return re.match(r"[0-9a-f]{64}", self.run(f"sha256sum {path}", timeout=4 * COMMAND_SECONDS)).group(0)
