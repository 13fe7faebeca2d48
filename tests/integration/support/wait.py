"""Waits for a condition that cannot be waited for otherwise, by looking again and again."""
import threading
import time

from .places import COMMAND_SECONDS

PAUSE_SECONDS = 0.05


def until(check, what, timeout=COMMAND_SECONDS, pause_seconds=PAUSE_SECONDS):
    """Calls check() until it returns something true; returns that. Fails with `what` and check's last answer. A longer pause leaves a
    guest that works for minutes its time."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}; last: {answer!r}"
        pause.wait(pause_seconds)
