"""Guests on machine pc by the daemon and stock virsh: BIOS, IDE disks and CDs, screen, keys."""
import os
import re

import pytest
from support import disks, places
from support.daemon import Console, Events
from support.wait import until

BOOT_SECONDS = 2 * places.BOOT_SECONDS


LIT = b"\xaa\xaa\xaa"  # light grey, in which a PC begins to write


def pc_xml(name, devices="", boot="<boot dev='hd'/>", more=""):
    """A domain that starts with a BIOS."""
    return f"""<domain type='kvm'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <os{more}><type>hvm</type>{boot}</os>
  <features><acpi/><apic/></features>
  <devices>{devices}</devices>
</domain>
"""


def disk(path, target, bus="ide", device="disk"):
    """A disk of a file."""
    source = f"<source file='{path}'/>" if path else ""
    return f"<disk type='file' device='{device}'>{source}<target dev='{target}' bus='{bus}'/></disk>"


def write(daemon, name, text):
    """The text as a file for virsh."""
    path = f"{daemon.folder}/{name}.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def starts(daemon, name, text):
    """Defines and starts the domain."""
    daemon.virsh(f"define {write(daemon, name, text)}")
    daemon.virsh(f"start {name}")


class Serial:
    """A serial port that writes into a file."""

    def __init__(self, folder, name):
        self.path = f"{folder}/{name}.serial"
        self.xml = f"<serial type='file'><source path='{self.path}'/></serial>"

    def text(self):
        """What was written."""
        if not os.path.exists(self.path):
            return ""
        with open(self.path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for(self, text):
        """Waits until the guest has written it."""
        until(lambda: text in self.text(), f"{text} on the serial port", BOOT_SECONDS)


@pytest.fixture
def images(tmp_path):
    """Disks that boot and say so, and a CD that does not."""
    made = {name: disks.boot_sector(f"{tmp_path}/{name}.img", f"{name.upper()}-BOOTS") for name in ("first", "second", "third")}
    for name, mebibytes in (("one", 1), ("two", 2)):
        made[name] = disks.empty(f"{tmp_path}/{name}.iso", mebibytes)
    return made


def test_a_disk_boots_by_the_bios(daemon, tmp_path, images):
    """A domain without machine and kernel is a pc; what is printed is what was defined, fits libvirt's schema, and stays."""
    serial = Serial(tmp_path, "boots")
    starts(daemon, "boots", pc_xml("boots", disk(images["first"], "hda") + disk("", "hdc", device="cdrom") + serial.xml))
    serial.wait_for("FIRST-BOOTS")
    assert daemon.state("boots") == "running (booted)"
    live = daemon.virsh("dumpxml boots")
    assert "machine='pc'" in live
    assert "<alias name='ide0-0-0'/>" in live and "<alias name='ide0-1-0'/>" in live
    assert re.search(r"<controller type='ide' index='0'>\s*<alias name='ide'/>\s*"
                     r"<address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x1'/>", live)
    text = daemon.virsh("dumpxml boots --inactive")
    daemon.virsh(f"define --validate {write(daemon, 'again', text)}")
    assert daemon.virsh("dumpxml boots --inactive") == text
    daemon.virsh("destroy boots")
    daemon.virsh("undefine boots")


@pytest.mark.parametrize("boot, orders, expected", [
    ("<boot dev='hd'/>", (None, None, None), "FIRST-BOOTS"),
    ("", (3, 1, 2), "SECOND-BOOTS"),
    ("", (3, 2, 1), "THIRD-BOOTS"),
])
def test_the_order_decides(daemon, tmp_path, images, boot, orders, expected):
    """<boot dev=> takes the first disk, <boot order=> the one that is first in order."""
    serial = Serial(tmp_path, "order")
    devices = serial.xml
    for name, target, bus, order in zip(("first", "second", "third"), ("hda", "hdb", "vda"), ("ide", "ide", "virtio"), orders):
        devices += disk(images[name], target, bus).replace("</disk>", f"<boot order='{order}'/></disk>" if order else "</disk>")
    starts(daemon, "order", pc_xml("order", devices, boot))
    serial.wait_for(expected)
    daemon.virsh("destroy order")
    daemon.virsh("undefine order")


def test_the_bios_speaks_on_the_serial_port(daemon, tmp_path):
    """<bios useserial=> and <bootmenu>: with nothing to boot it says so, and offers its menu."""
    serial = Serial(tmp_path, "speaks")
    boot = "<bootmenu enable='yes' timeout='1'/><bios useserial='yes'/>"
    starts(daemon, "speaks", pc_xml("speaks", serial.xml, boot))
    serial.wait_for("No bootable device")
    daemon.virsh("destroy speaks")
    daemon.virsh("undefine speaks")


def test_refusals_name_the_element(daemon, images):
    """Secure Boot, and what is not hotplugged, in libvirt's words."""
    secure = pc_xml("refused", disk(images["first"], "hda"), more=" firmware='efi'",
                    boot="<firmware><feature enabled='yes' name='secure-boot'/></firmware>")
    assert "Secure Boot" in daemon.fails(f"define {write(daemon, 'refused', secure)}")
    starts(daemon, "refused", pc_xml("refused", disk(images["first"], "hda")))
    assert "disk bus 'ide' cannot be hotplugged." in daemon.fails(f"attach-disk refused {images['second']} hdb --targetbus ide")
    assert "cannot be hot unplugged" in daemon.fails("detach-disk refused hda")
    daemon.virsh("destroy refused")
    daemon.virsh("undefine refused")


def screen(daemon, name, folder):
    """The picture on it."""
    return daemon.screenshot(name, f"{folder}/screen.ppm")


def quiet_screen(daemon, name, folder):
    """How much is lit on the screen once the BIOS has written and waits."""
    seen = [0]

    def settled():
        seen.append(screen(daemon, name, folder)[2].count(LIT))
        return seen[-1] == seen[-2] != 0

    until(settled, "the BIOS waits", BOOT_SECONDS)
    return seen[-1]


KEYS = (("linux", "KEY_ESC"), ("linux", "1"), ("xt", "1"), ("atset1", "1"), ("atset2", "0x76"), ("atset3", "8"), ("os_x", "0x35"),
        ("xt_kbd", "1"), ("usb", "0x29"), ("win32", "VK_ESCAPE"), ("rfb", "1"))


def test_people_see_and_type(daemon, tmp_path):
    """The screen shows the BIOS, and the key that opens its menu does so in each code set."""
    screens = "<video><model type='vga'/></video><input type='tablet' bus='usb'/>"
    starts(daemon, "people", pc_xml("people", screens, "<bootmenu enable='yes' timeout='60000'/>"))
    assert "cannot translate" in daemon.fails("send-key people --codeset usb 250")
    assert "no such screen" in daemon.fails(f"screenshot people {tmp_path}/none --screen 1")
    for codeset, key in KEYS:
        lit = quiet_screen(daemon, "people", tmp_path)
        assert screen(daemon, "people", tmp_path)[:2] == (720, 400)
        daemon.virsh(f"send-key people --codeset {codeset} --holdtime 50 {key}")
        until(lambda before=lit: screen(daemon, "people", tmp_path)[2].count(LIT) > before, f"{codeset}: the menu is on the screen", BOOT_SECONDS)
        daemon.virsh("reset people")
    live = daemon.virsh("dumpxml people")
    assert "<input type='tablet' bus='usb'>" in live
    assert "slot='0x02'" in re.search(r"<video>.*?</video>", live, re.DOTALL).group(0)
    daemon.virsh("destroy people")
    daemon.virsh("undefine people")


@pytest.fixture(scope="module")
def cd_guest(daemon, base_image, shared_folder):
    """A Linux guest with a CD drive, and its console."""
    first = disks.empty(f"{shared_folder}/first.iso", 1)
    daemon.define("cd", append=f"{places.APPEND} lodge.agent=1 ro", machine="pc", devices=f"""
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{base_image}'/><target dev='vda' bus='virtio'/><readonly/></disk>
      {disk(first, 'hdc', device='cdrom')}""")
    daemon.virsh("start cd")
    console = Console("cd")
    console.guest.wait_until_up()
    console.guest.run("modprobe -a ata_piix sr_mod")
    until(lambda: console.guest.try_run("test -b /dev/sr0")[0] == 0, "the drive is there")
    console.guest.image = first
    yield console.guest
    console.close()


def size_in(guest):
    """Bytes of the CD that the guest sees."""
    return int(guest.run("blockdev --getsize64 /dev/sr0"))


def test_a_cd_is_changed_and_ejected(daemon, cd_guest, images):
    """change-media in all its ways: the guest reads the other CD, or none; definition and running guest are told apart."""
    events = Events(daemon, "cd")
    assert size_in(cd_guest) == 1 << 20
    assert daemon.virsh("domblkinfo cd hdc --human").count("1.000 MiB") >= 1
    daemon.virsh(f"change-media cd hdc {images['two']} --live")
    assert size_in(cd_guest) == 2 << 20
    assert images["two"] in daemon.virsh("domblklist cd")
    assert cd_guest.image in daemon.virsh("domblklist cd --inactive")
    events.stream.wait_for(r"tray-change.*ide0-1-0.*opened", places.COMMAND_SECONDS)
    events.stream.wait_for(r"tray-change.*ide0-1-0.*closed", places.COMMAND_SECONDS)
    events.close()
    daemon.virsh("change-media cd hdc --eject --live --config")
    assert cd_guest.try_run("dd if=/dev/sr0 of=/dev/null bs=2048 count=1")[0] != 0
    assert "does not currently have a source" in daemon.fails("domblkinfo cd hdc")
    assert "doesn't have media" in daemon.fails("change-media cd hdc --eject --live")
    daemon.virsh(f"change-media cd hdc {images['one']} --insert --config")
    daemon.virsh(f"change-media cd hdc {images['one']} --insert --live")
    assert size_in(cd_guest) == 1 << 20
    assert images["one"] in daemon.virsh("domblklist cd --inactive")
    assert "rd_operations" in daemon.virsh("domblkstat cd hdc") or "rd_req" in daemon.virsh("domblkstat cd hdc")


def test_a_locked_tray_needs_force(daemon, cd_guest, images):
    """While the guest has the CD open, a change is refused, unless it is forced."""
    cd_guest.run("(exec 3</dev/sr0; sleep 1000) & echo $! >/tmp/holder")
    assert "locked the tray" in daemon.fails(f"change-media cd hdc {images['two']} --live")
    daemon.virsh(f"change-media cd hdc {images['two']} --live --force")
    cd_guest.run("kill $(cat /tmp/holder); wait")
    assert size_in(cd_guest) == 2 << 20


def test_the_guest_opens_the_tray(daemon, cd_guest, images):
    """The event comes, the XML says so, also to a daemon that was not there; a new CD closes it."""
    events = Events(daemon, "cd")
    until(lambda: cd_guest.try_run("eject /dev/sr0")[0] == 0, "the guest ejects")
    events.stream.wait_for(r"tray-change.*ide0-1-0.*opened", places.COMMAND_SECONDS)
    events.close()
    assert "tray='open'" in daemon.virsh("dumpxml cd")
    daemon.stop()
    daemon.start()
    until(lambda: "tray='open'" in daemon.virsh("dumpxml cd"), "the tray is known")
    daemon.virsh(f"change-media cd hdc {images['one']} --live")
    assert "tray='open'" not in daemon.virsh("dumpxml cd")
    assert images["one"] in daemon.virsh("domblklist cd")
