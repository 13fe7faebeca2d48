"""`virsh screenshot` of the resolutions that a boot loader chooses by VBE: size and colours of the picture."""
import os
import subprocess

from support import places
from support.wait import until

MODULES = "/usr/lib/grub/i386-pc"
MODES = {"640x480x16": (0, 0, 255), "800x600x24": (0, 128, 0), "1280x1024x32": (170, 0, 85), "2560x1600x32": (255, 128, 0)}
TOLERANCE = 8  # of a colour that has 5 bits
DOMAIN = """<domain type='kvm'>
  <name>modes</name>
  <memory unit='MiB'>64</memory>
  <os><type>hvm</type><boot dev='fd'/></os>
  <features><acpi/><apic/></features>
  <clock offset='utc'><timer name='pit' tickpolicy='discard'/></clock>
  <devices>
    <disk type='file' device='floppy'><source file='{floppy}'/><target dev='fda' bus='fdc'/></disk>
    <video><model type='vga'/></video>
  </devices>
</domain>
"""


def grub_floppy(folder):
    """A floppy disk with GRUB, which shows each mode filled with its colour and waits for the return key."""
    script = ["insmod gfxterm_background"]
    for mode, colour in MODES.items():
        script += [f"set gfxmode={mode}", "terminal_output gfxterm", f"background_color #{bytes(colour).hex()}"]
        script += [f"echo {mode}", "read answer", "terminal_output console"]  # GRUB paints the background when it writes
    with open(f"{folder}/modes.cfg", "w", encoding="utf-8") as file:
        file.write("\n".join(script) + "\n")
    modules = "biosdisk vbe gfxterm gfxterm_background terminal echo read".split()
    subprocess.run(["grub-mkimage", "-O", "i386-pc", "-p", "/", "-c", f"{folder}/modes.cfg", "-o", f"{folder}/core.img", *modules], check=True)
    image = f"{folder}/modes.img"
    with open(image, "wb") as floppy:
        for part in (f"{MODULES}/boot.img", f"{folder}/core.img"):  # the core begins where the boot sector looks for it
            with open(part, "rb") as file:
                floppy.write(file.read())
        floppy.truncate(1440 << 10)
    return image


def picture(daemon, path):
    """Width, height and the colour near the lower right corner, where no text is."""
    width, height, pixels = daemon.screenshot("modes", path)
    at = ((height - 20) * width + width - 20) * 3
    return width, height, tuple(pixels[at : at + 3])


def test_four_resolutions(daemon, tmp_path):
    """High colour, true colour and 32 bits, up to the largest."""
    path = f"{daemon.folder}/modes.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(DOMAIN.format(floppy=grub_floppy(tmp_path)))
    daemon.virsh(f"define {path}")
    daemon.virsh("start modes")
    folder = f"{places.TREE}/build/test-logs"
    os.makedirs(folder, exist_ok=True)
    for mode, colour in MODES.items():
        width, height, _ = map(int, mode.split("x"))

        def shown(size=(width, height), colour=colour, path=f"{folder}/mode-{mode}.ppm"):
            seen = picture(daemon, path)
            return seen[:2] == size and all(abs(a - b) <= TOLERANCE for a, b in zip(seen[2], colour))

        until(shown, f"{mode} in its colour", 3 * places.BOOT_SECONDS)
        daemon.virsh("send-key modes KEY_ENTER")
    daemon.virsh("destroy modes")
    daemon.virsh("undefine modes")
