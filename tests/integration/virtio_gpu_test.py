"""virtio-gpu: what Linux's driver, UEFI and a BIOS draw is what virsh and VNC clients see, on both machines; it survives a save."""
import itertools
import os
import re

import pytest
from support import disks, places, textscreen, uefi
from support.daemon import Console
from support.rfb import EXTENDED_DESKTOP_SIZE, RAW, SIZE_OK, Rfb
from support.wait import until

SLOW = 4 * places.COMMAND_SECONDS
ORANGE, BLUE = (255, 128, 0), (0, 0, 255)
EDID = "od -An -v -t x1 /sys/class/drm/card0-Virtual-1/edid"
QUIET = "echo 0 > /sys/class/vtconsole/vtcon1/bind 2>/dev/null; true"  # the kernel's console draws no more
WORDS = f"{places.APPEND} lodge.agent=1 ro"


def paint(width, height, upper, lower):
    """A script that fills the guest's framebuffer, 32 bits a pixel, with two colours; at once, since this kernel forgets to show some of
    many writes (under QEMU, too)."""

    def colour(red, green, blue):
        return f"\\{blue:03o}\\{green:03o}\\{red:03o}\\377"

    half = width * height // 2 * 4
    return f"""
        fill() {{ printf "$1" > /run/a; for i in $(seq 22); do cat /run/a /run/a > /run/b; mv /run/b /run/a
            [ $(stat -c %s /run/a) -lt {half} ] || break; done; head -c {half} /run/a; }}
        (fill '{colour(*upper)}'; fill '{colour(*lower)}') | dd of=/dev/fb0 bs={2 * half} iflag=fullblock 2>/dev/null; rm /run/a"""


def drive(guest, size):
    """Loads the driver and looks at what it found."""
    guest.run("modprobe virtio-gpu", timeout=SLOW)
    until(lambda: guest.try_run("test -e /dev/fb0")[0] == 0, "there is a framebuffer", SLOW)
    guest.run(QUIET)
    width, height = size
    assert guest.run("cat /sys/class/graphics/fb0/virtual_size; cat /sys/class/graphics/fb0/stride").split() == [f"{width},{height}", f"{width * 4}"]
    assert guest.run("head -n 1 /sys/class/drm/card0-Virtual-1/modes").strip() == f"{width}x{height}"
    edid = bytes.fromhex(guest.run(EDID).replace("\n", "").replace(" ", ""))
    assert len(edid) == 128 and sum(edid) % 256 == 0
    log = guest.run("dmesg")
    assert "features: -virgl +edid" in log
    assert not re.search(r"(drm|virtio_gpu|EDID).*(\*ERROR\*|corrupt|invalid|checksum|timed out)", log, re.I), log


def corners(picture):
    """Colours of the upper left and the lower right corner."""
    _, _, pixels = picture
    return tuple(pixels[:3]), tuple(pixels[-3:])


@pytest.mark.parametrize("machine", ["microvm", "pc"])
def test_what_linux_draws_is_seen(daemon, base_image, tmp_path, machine):
    """By `virsh screenshot` and over VNC; the size is the domain's; the XML has the address."""
    daemon.define("drawn", kernel=places.PC_KERNEL, initrd=places.PC_INITRD, append=WORDS, machine=machine, memory=256, devices=f"""
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{base_image}'/><target dev='vda' bus='virtio'/><readonly/></disk>
      <graphics type='vnc'/><video><model type='virtio'><resolution x='1024' y='768'/></model></video>""")
    assert re.search(r"<model type='virtio' heads='1' primary='yes'>\s*<resolution x='1024' y='768'/>\s*</model>\s*<address type='pci'",
                     daemon.virsh("dumpxml drawn"))
    daemon.virsh("start drawn")
    width, height, pixels = daemon.screenshot("drawn", f"{tmp_path}/black.ppm")
    assert not any(pixels) and (machine == "pc" or (width, height) == (1024, 768))  # a pc has a VGA meanwhile
    console = Console("drawn")
    console.guest.wait_until_up(2 * places.BOOT_SECONDS)
    drive(console.guest, (1024, 768))
    console.guest.run(paint(1024, 768, ORANGE, BLUE), timeout=SLOW)
    folder = f"{places.TREE}/build/test-logs"
    os.makedirs(folder, exist_ok=True)
    until(lambda: corners(daemon.screenshot("drawn", f"{folder}/virtio-gpu-{machine}.ppm")) == (ORANGE, BLUE), "both colours", SLOW)
    port = int(re.search(r"type='vnc' port='(\d+)'", daemon.virsh("dumpxml drawn")).group(1))
    viewer = Rfb(("127.0.0.1", port)).enter()
    viewer.update(incremental=False)
    assert (viewer.width, viewer.height) == (1024, 768)
    assert viewer.colours() == {0xFF8000: 1024 * 384, 0x0000FF: 1024 * 384}
    console.guest.run(paint(1024, 768, BLUE, ORANGE), timeout=SLOW)

    def turned():
        viewer.update()
        return viewer.pixels[:3] == bytes((255, 0, 0)) and viewer.pixels[-4:-1] == bytes((0, 128, 255))

    until(turned, "the other way round", SLOW)
    viewer.close()
    viewer = Rfb(("127.0.0.1", port)).enter(encodings=(RAW, EXTENDED_DESKTOP_SIZE))
    viewer.update(incremental=False)
    viewer.want_size(800, 600)
    modes = "head -n 1 /sys/class/drm/card0-Virtual-1/modes"
    until(lambda: console.guest.run(modes).strip() == "800x600", "the guest knows", SLOW)
    edid = bytes.fromhex(console.guest.run(EDID).replace("\n", "").replace(" ", ""))
    assert (edid[56] | edid[58] >> 4 << 8, edid[59] | edid[61] >> 4 << 8) == (800, 600) and sum(edid) % 256 == 0
    assert viewer.answer_to_size() == (SIZE_OK, 800, 600), "the kernel's console follows"
    viewer.close()
    console.close()
    daemon.virsh("destroy drawn")
    daemon.virsh("undefine drawn")


def define_bios(daemon, model, boot):
    """A pc that starts with a BIOS and this display."""
    path = f"{daemon.folder}/bios.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"""<domain type='kvm'><name>bios</name><memory unit='MiB'>64</memory><os><type>hvm</type></os><devices>
          <disk type='file' device='disk'><source file='{boot}'/><target dev='hda' bus='ide'/></disk>
          <video>{model}</video></devices></domain>""")
    daemon.virsh(f"define {path}")


def test_a_bios_draws_on_it(daemon, tmp_path):
    """The display is a VGA until there is a driver: what a boot sector writes stands there, in the BIOS's text mode."""
    define_bios(daemon, "<model type='virtio'/>", disks.boot_sector(f"{tmp_path}/boot.img", "SEEN"))
    daemon.virsh("start bios")

    def text():
        width, height, pixels = daemon.screenshot("bios", f"{tmp_path}/bios.ppm")
        as_rfb = b"".join(pixels[at + 2 : at + 3] + pixels[at + 1 : at + 2] + pixels[at : at + 1] + b"\0" for at in range(0, len(pixels), 3))
        return "\n".join(textscreen.read(width, height, as_rfb)) if (width, height) == (720, 400) else ""

    until(lambda: "SEEN" in text() or "SeaBIOS" in text(), "the BIOS's screen", 2 * places.BOOT_SECONDS)
    daemon.virsh("destroy bios")
    daemon.virsh("undefine bios")


def test_refusals(daemon, tmp_path):
    """What it cannot do is said; capabilities tell what there is."""
    boot = disks.boot_sector(f"{tmp_path}/boot.img", "UP")
    for model, words in (("<model type='virtio' heads='2'/>", "one head"), ("<model type='cirrus'/>", "'vga', 'virtio' and 'none'")):
        define_bios(daemon, model, boot)
        assert words in daemon.fails("start bios")
        daemon.virsh("undefine bios")
    said = daemon.virsh("domcapabilities --machine microvm")
    assert re.search(r"<video supported='yes'>\s*<enum name='modelType'>\s*<value>virtio</value>\s*<value>none</value>", said)


_shots = itertools.count(1)


def screendump(machine):
    """The monitor's own picture: width, height, pixels."""
    path = f"{machine.folder}/shot{next(_shots)}.ppm"
    with open(path, "wb") as file:
        machine.control.execute("getfd", {"fdname": "shot"}, descriptors=[file.fileno()])
    machine.control.execute("screendump", {"fdname": "shot"})
    with open(path, "rb") as file:
        _, size, _, pixels = file.read().split(b"\n", 3)
    return *map(int, size.split()), pixels


@pytest.mark.parametrize("model", ["virtio,ring=packed", "virtio-vga"])
def test_the_picture_is_there_after_a_save(vmm, root_disk, tmp_path, model):
    """And the driver goes on drawing in the new process."""
    machine = vmm(machine="pc", agent=True, kernel=places.PC_KERNEL, initrd=places.PC_INITRD, disks=[root_disk],
                  extra=("--video", f"{model},width=800,height=600"))
    drive(machine.guest, (800, 600))
    machine.guest.run(paint(800, 600, BLUE, ORANGE), timeout=SLOW)
    until(lambda: corners(screendump(machine)) == (BLUE, ORANGE), "both colours", SLOW)
    stats = machine.control.execute("query-stats")["devices"]["video0"]
    assert stats["guest-mistakes"] == 0 and stats["flushes"] > 0 and stats["resource-bytes"] >= 800 * 600 * 4
    before = screendump(machine)
    saved = f"{tmp_path}/guest.save"
    machine.control.execute("save", {"path": saved, "quit": True}, timeout=SLOW)
    assert machine.wait_exit() == 0
    again = vmm(machine="pc", kernel=None, initrd=None, serial=None, extra=["--restore", saved])
    again.guest.listening = True
    assert screendump(again) == before
    again.guest.run(paint(800, 600, ORANGE, BLUE), timeout=SLOW)
    until(lambda: corners(screendump(again)) == (ORANGE, BLUE), "the other way round", SLOW)


@pytest.mark.parametrize("model", ["virtio", "virtio-vga"])
def test_uefi_draws_on_it(vmm, model):
    """Without a driver of Linux: OVMF has one for each."""
    machine = vmm(machine="pc", memory=512, kernel=None, initrd=None, extra=(*uefi.options("menu=on"), "--video", model))
    until(lambda: len(set(zip(*[iter(screendump(machine)[2])] * 3))) > 1, "more than one colour", uefi.BOOT_SECONDS)
    assert machine.control.execute("query-stats")["devices"]["video0"]["guest-mistakes"] == 0
