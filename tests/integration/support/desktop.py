"""A Linux guest with USB devices, its event files, and someone at its screen."""
import re
import struct

from . import places
from .viewer import Viewer
from .wait import until

SLOW = 4 * places.COMMAND_SECONDS
EV_KEY, EV_REL, EV_ABS = 1, 2, 3
REL_X, REL_Y, REL_WHEEL = 0, 1, 8
ABS_X, ABS_Y = 0, 1
BTN_LEFT, BTN_RIGHT = 0x110, 0x111
KEY_A, KEY_LEFTSHIFT, KEY_ESC = 30, 42, 1
NAMES = {"tablet": "Lodge Lodge USB Tablet", "mouse": "Lodge Lodge USB Mouse", "keyboard": "Lodge Lodge USB Keyboard"}


class Desktop:
    """The guest, what it has of KINDS, and the viewer."""

    def __init__(self, vmm, kinds=tuple(NAMES)):
        self.vmm = vmm
        self.kinds = kinds
        self.guest = vmm.guest
        self.files = {}
        self.viewer = None

    def find(self):
        """The event files, by what /proc says."""
        listing = self.guest.run("cat /proc/bus/input/devices")
        for kind in self.kinds:
            name = NAMES[kind]
            match = re.search(rf'N: Name="{re.escape(name)}"\n(?:[^\n]+\n)*?H: Handlers=[^\n]*(event\d+)', listing)
            assert match, f"there is no {kind}:\n{listing}"
            self.files[kind] = match.group(1)

    def watch(self):
        """From now on what comes is kept in the guest."""
        self.guest.run(
            "".join(
                f"cat /dev/input/{file} > /run/{kind}.events 2>/dev/null & echo $! > /run/{kind}.pid\n"
                for kind, file in self.files.items()
            )
        )

    def look(self):
        """Someone sits down at the screen."""
        self.viewer = Viewer(self.vmm.control)
        self.viewer.wait_for_pointer(True)

    def events(self, kind, count):
        """All events of the device so far, once there are so many: (type, code, value), without what only separates them."""

        def read():
            text = self.guest.run(f"od -An -v -t x1 /run/{kind}.events")
            data = bytes.fromhex(text.replace("\n", "").replace(" ", ""))
            events = [struct.unpack_from("<qqHHi", data, at)[2:] for at in range(0, len(data) - len(data) % 24, 24)]
            return [event for event in events if event[0] in (EV_KEY, EV_REL, EV_ABS)]

        until(lambda: len(read()) >= count, f"{count} events of the {kind}", SLOW)
        return read()
