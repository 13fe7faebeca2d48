"""A guest's event files: what its keyboards, mice and tablets tell."""
import re
import struct

from . import places
from .wait import until

SLOW = 4 * places.COMMAND_SECONDS
EV_KEY, EV_REL, EV_ABS = 1, 2, 3
REL_X, REL_Y, REL_WHEEL = 0, 1, 8
ABS_X, ABS_Y = 0, 1
BTN_LEFT, BTN_RIGHT = 0x110, 0x111
KEY_A, KEY_LEFTSHIFT, KEY_ESC = 30, 42, 1


class EventFiles:
    """Of devices with these names: {"tablet": NAME, ...}."""

    def __init__(self, guest, names):
        self.guest = guest
        self.names = names
        self.files = {}

    def find(self):
        """The event files, by what /proc says."""
        listing = self.guest.run("cat /proc/bus/input/devices")
        for kind, name in self.names.items():
            match = re.search(rf'N: Name="{re.escape(name)}"\n(?:[^\n]+\n)*?H: Handlers=[^\n]*(event\d+)', listing)
            assert match, f"there is no {kind}:\n{listing}"
            self.files[kind] = match.group(1)

    def watch(self):
        """From now on what comes is kept in the guest."""
        for kind, file in self.files.items():
            self.guest.run(f"cat /dev/input/{file} > /run/{kind}.events 2>/dev/null & echo $! > /run/{kind}.pid")
            listens = f"ls -l /proc/$(cat /run/{kind}.pid)/fd | grep -q /dev/input/{file}"
            until(lambda script=listens: self.guest.try_run(script)[0] == 0, f"somebody listens to the {kind}", SLOW)

    def events(self, kind, count):
        """All events of the device so far, once there are so many: (type, code, value), without what only separates them."""

        def read():
            text = self.guest.run(f"od -An -v -t x1 /run/{kind}.events")
            data = bytes.fromhex(text.replace("\n", "").replace(" ", ""))
            events = [struct.unpack_from("<qqHHi", data, at)[2:] for at in range(0, len(data) - len(data) % 24, 24)]
            return [event for event in events if event[0] in (EV_KEY, EV_REL, EV_ABS)]

        until(lambda: len(read()) >= count, f"{count} events of the {kind}", SLOW)
        return read()


def check_people(files, viewer, seen):
    """Places, steps and keys arrive as they were sent. `seen`: how many events of tablet, mouse and keyboard came before."""
    tablet, mouse, keyboard = seen
    viewer.place(100, 200)
    got = files.events("tablet", tablet + 2)[tablet:]
    assert got == [(EV_ABS, ABS_X, 100), (EV_ABS, ABS_Y, 200)]
    viewer.place(0x7FFF, 0, buttons=1)
    viewer.place(0x7FFF, 0, wheel=-1)
    got = files.events("tablet", tablet + 7)[tablet + 2 :]
    assert sorted(event for event in got if event[1] != 11) == sorted([  # without the wheel's fine steps
        (EV_KEY, BTN_LEFT, 1),
        (EV_ABS, ABS_X, 0x7FFF),
        (EV_ABS, ABS_Y, 0),
        (EV_KEY, BTN_LEFT, 0),
        (EV_REL, REL_WHEEL, 1),
    ])
    viewer.move(5, -300)
    got = files.events("mouse", mouse + 2)[mouse:]
    until(lambda: sum(value for _, code, value in files.events("mouse", 0)[mouse:] if code == REL_Y) == -300, "all steps", SLOW)
    got = files.events("mouse", 0)[mouse:]
    assert sum(value for _, code, value in got if code == REL_X) == 5
    for code, down in ((KEY_LEFTSHIFT, 1), (KEY_A, 1), (KEY_A, 0), (KEY_LEFTSHIFT, 0)):
        viewer.key(code, down)
    got = [event for event in files.events("keyboard", keyboard + 4)[keyboard:] if event[2] != 2]
    assert got == [(EV_KEY, KEY_LEFTSHIFT, 1), (EV_KEY, KEY_A, 1), (EV_KEY, KEY_A, 0), (EV_KEY, KEY_LEFTSHIFT, 0)]
    return [len(files.events(kind, 0)) for kind in files.names]
