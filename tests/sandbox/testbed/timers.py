"""Wakes the nested machine's timers when they have stopped.

Under emulated SVM tests were seen to stand still far beyond their own time limits, while other interrupts still worked, until a command
from outside came. That is what a lost interrupt of the local APIC's timer does: Linux programs the next one from the handler of the last.
A timer that is due before the one the kernel believes to be next makes it program the hardware again.
"""
import ctypes
import os

CLOCK_MONOTONIC = 1
TFD_NONBLOCK = os.O_NONBLOCK
TFD_CLOEXEC = os.O_CLOEXEC
TFD_TIMER_ABSTIME = 1


class _Itimerspec(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")]


class Watch:
    """A short timer from one look to the next: one that is not over by then never will be."""

    def __init__(self):
        self.library = ctypes.CDLL(None)
        self.timer = self.library.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)
        self.waiting = False

    def _set(self, nanoseconds, flags):
        value = _Itimerspec(0, 0, 0, nanoseconds)
        self.library.timerfd_settime(self.timer, flags, ctypes.byref(value), None)

    def look(self):
        """To be called at least some milliseconds apart; whether the timers had stopped."""
        stopped = False
        if self.waiting:
            try:
                os.read(self.timer, 8)
            except BlockingIOError:
                stopped = True
        if stopped:
            self._set(1, TFD_TIMER_ABSTIME)  # a nanosecond after boot: due before all others
            self.waiting = False
        else:
            self._set(1000000, 0)
            self.waiting = True
        return stopped
