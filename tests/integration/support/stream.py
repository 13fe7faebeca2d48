"""Collects a byte stream in the background, so that its writer never blocks, and waits for text in it."""
import os
import re
import threading
import time


class Stream:
    """Everything read from a descriptor so far; wait_for() looks at what no earlier wait has consumed."""

    def __init__(self, descriptor, name):
        self.name = name
        self.descriptor = descriptor
        self.text = ""
        self.consumed = 0
        self.ended = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while True:
            try:
                data = os.read(self.descriptor, 65536)
            except OSError:  # EIO: the other end of a terminal is closed
                data = b""
            with self.changed:
                if data:
                    self.text += data.decode("utf-8", errors="replace").replace("\r", "")
                else:
                    self.ended = True
                self.changed.notify_all()
            if not data:
                return

    def wait_for(self, pattern, timeout):
        """The match of a regular expression in what is not consumed yet; consumes up to its end. Fails with the stream's tail."""
        expression = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        with self.changed:
            while True:
                match = expression.search(self.text, self.consumed)
                if match:
                    self.consumed = match.end()
                    return match
                remaining = deadline - time.monotonic()
                if self.ended or remaining <= 0:
                    why = "ended" if self.ended else f"had {timeout:g} s"
                    raise AssertionError(f"{self.name}: no match for {pattern!r} ({why}); its tail:\n{self.tail()}")
                self.changed.wait(remaining)

    def wait_end(self, timeout):
        """Waits until the writer has closed the stream; returns all of its text."""
        self.thread.join(timeout)
        return self.text

    def tail(self, lines=30):
        """The last lines."""
        return "\n".join(self.text.splitlines()[-lines:])
