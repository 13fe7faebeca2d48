"""What people see while a pc starts: boot loaders and firmware on VGA text, by VNC; a stock client takes a picture of each, for people
to look at (build/test-logs/NAME.png)."""
import os
import subprocess

import pytest
from support import places, rfb, textscreen
from support.vnc import Vnc
from support.wait import until

BOOT_SECONDS = 3 * places.BOOT_SECONDS
GRUB = "/usr/lib/grub-rescue/grub-rescue"
MEMTEST = "/usr/lib/memtest86+/memtest86+x64.iso"
CONTROL_LEFT = 0xFFE3


class Screen:
    """A guest's screen, read by a VNC client."""

    def __init__(self, vmm, folder, name, *options, memory=128, **more):
        # Where guests run slowly a BIOS misses ticks; what comes of them later would keep the floppy drive's interrupt waiting.
        options = ("--firmware", "bios", "--video", "vga", "--clock", "lost_ticks=discard", *options)
        self.name = name
        self.machine = vmm(machine="pc", name=name, memory=memory, kernel=None, initrd=None, extra=options, **more)
        self.server = Vnc(str(folder), self.machine, 5990, "--share", "ignore", name=f"{name}-vnc")
        self.client = self.server.client()
        self.client.update(incremental=False)
        self.last = ""

    def text(self):
        """All that stands there. To wait for changes leaves the guest its time."""
        try:
            self.client.update()
        except TimeoutError:
            pass  # nothing has changed
        self.last = "\n".join(textscreen.read(self.client.width, self.client.height, self.client.pixels))
        return self.last

    def wait_for(self, words, timeout=BOOT_SECONDS):
        """Waits until the words are there."""
        until(lambda: words in self.text(), f"'{words}' on the screen", timeout)
        self.picture()

    def picture(self):
        """A stock client's."""
        folder = f"{places.TREE}/build/test-logs"
        os.makedirs(folder, exist_ok=True)
        display = f"127.0.0.1:{self.server.address[1] - 5900}"
        subprocess.run(["gvnccapture", "-q", display, f"{folder}/{self.name}.png"], check=True, timeout=places.COMMAND_SECONDS)

    def close(self):
        """Ends the server; the guest ends with the test."""
        print(f"-- the screen of {self.name}:\n{self.last}")
        self.client.close()
        self.server.kill()
        print(self.server.report())


@pytest.fixture
def screen(vmm, tmp_path):
    """screen(NAME, OPTION, ...) starts a guest."""
    started = []

    def start(name, *options, **more):
        started.append(Screen(vmm, tmp_path, name, *options, **more))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.mark.parametrize("name, option", [("floppy", "--floppy"), ("cdrom", "--cdrom")])
def test_grub(screen, name, option):
    """From a floppy disk and from a CD, to its prompt."""
    suffix = "floppy.img" if name == "floppy" else "cdrom.iso"
    seen = screen(f"grub-{name}", option, f"{GRUB}-{suffix},boot=1{',read_only=on' if name == 'floppy' else ''}")
    seen.wait_for("GNU GRUB")
    seen.client.press(ord("c"))
    seen.wait_for("grub>")


def test_memtest(screen):
    """It draws its screen and begins to test."""
    seen = screen("memtest", "--cdrom", f"{MEMTEST},boot=1")
    seen.wait_for("Memtest86+")
    seen.wait_for("Pass")
    assert "CPU" in seen.text()


@pytest.mark.parametrize("model", ["virtio", "e1000"])
def test_ipxe(screen, model):
    """Control and B lead to its prompt, which answers."""
    seen = screen(f"ipxe-{model}", "--net", f"none,model={model},boot=1")

    def prompt():
        """It asks for the keys for a moment only, and the BIOS keeps few keys: they are pressed as soon as it asks."""
        text = seen.text()
        if "Ctrl-B" in text and "iPXE>" not in text:
            for key, down in ((CONTROL_LEFT, True), (ord("b"), True), (ord("b"), False), (CONTROL_LEFT, False)):
                seen.client.key(key, down)
        return "iPXE>" in text

    until(prompt, "iPXE's prompt", BOOT_SECONDS)
    seen.client.press(*map(ord, "ifstat"), rfb.RETURN)
    seen.wait_for("net0: 52:54:00")
