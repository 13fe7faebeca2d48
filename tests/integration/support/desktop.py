"""A Linux guest with USB devices for people, and someone at its screen."""
from .evdev import EventFiles
from .viewer import Viewer

NAMES = {"tablet": "Lodge Lodge USB Tablet", "mouse": "Lodge Lodge USB Mouse", "keyboard": "Lodge Lodge USB Keyboard"}


class Desktop(EventFiles):
    """Its event files, and the viewer. `kinds`: which of NAMES it has."""

    def __init__(self, vmm, kinds=tuple(NAMES)):
        super().__init__(vmm.guest, {kind: NAMES[kind] for kind in kinds})
        self.vmm = vmm
        self.viewer = None

    def look(self):
        """Someone sits down at the screen."""
        self.viewer = Viewer(self.vmm.control)
        self.viewer.wait_for_pointer(True)
