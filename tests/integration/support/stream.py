"""A stream of text that something else writes: collected by a thread, waited on by patterns."""
import codecs
import os
import re
import threading
import time


def loosely(text):
    """A pattern for text on the BIOS's serial console, which moves the cursor in the middle of words."""
    return r"(?:\x1b\[[0-9;]*H)*".join(map(re.escape, text))


class Stream:
    """Everything read from a descriptor so far; wait_for() looks at what no earlier wait has consumed."""

    def __init__(self, descriptor, name):
        self.name = name
        self.descriptor = descriptor
        self.consumed = 0
        self.ended = False
        self.changed = threading.Condition()
        self.pieces = []  # of the text, as they came
        self.length = 0  # of all pieces
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        while not self.ended:
            try:
                data = os.read(self.descriptor, 65536)
            except OSError:  # EIO: the other end of a terminal is closed
                data = b""
            piece = decoder.decode(data).replace("\r", "")
            with self.changed:
                self.pieces.append(piece)
                self.length += len(piece)
                self.ended = not data
                self.changed.notify_all()

    @property
    def text(self):
        """All of it."""
        with self.changed:
            self.pieces = ["".join(self.pieces)]
            return self.pieces[0]

    def wait_for(self, pattern, timeout):
        """The match of a regular expression in what is not consumed yet; consumes up to its end. Fails with the stream's tail.

        The expression fits within a line: what was searched once is not searched again, or much text would take for ever.
        The match's positions are those in a part of the text.
        """
        expression = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        window = self.text  # what is still to be searched, from `start` of the whole text on; at first all, for the sake of ^
        start, begin, seen = 0, self.consumed, len(window)
        while True:
            match = expression.search(window, begin)
            if match:
                self.consumed = start + match.end()
                return match
            line = window.rfind("\n") + 1
            if line > begin:
                window, start, begin = window[line:], start + line, 0
            with self.changed:
                while self.length == seen:
                    remaining = deadline - time.monotonic()
                    if self.ended or remaining <= 0 or not self.changed.wait(remaining):
                        why = "ended" if self.ended else f"had {timeout:g} s"
                        raise AssertionError(f"{self.name}: no match for {pattern!r} ({why}); its tail:\n{self.tail()}")
                index, missing = len(self.pieces), self.length - seen
                while missing > 0:
                    index -= 1
                    missing -= len(self.pieces[index])
                fresh = "".join(self.pieces[index:])
                window += fresh[-(self.length - seen) :]
                seen = self.length

    def wait_end(self, timeout):
        """Waits until the writer has closed the stream; returns all of its text."""
        self.thread.join(timeout)
        return self.text

    def tail(self, lines=30):
        """The last lines."""
        return "\n".join(self.text.splitlines()[-lines:])
