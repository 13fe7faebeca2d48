"""USB 1.1: the PIIX3's UHCI controller with a tablet, a keyboard and a disk, in Linux and in a BIOS."""
import hashlib
import re

import pytest
from support import disks, places
from support.desktop import Desktop
from support.evdev import ABS_X, ABS_Y, EV_ABS, EV_KEY, KEY_A, KEY_ESC, SLOW
from support.wait import until

BOOT_SECONDS = 2 * places.BOOT_SECONDS
UHCI = ("--video", "vga", "--usb", "piix3-uhci")
PEOPLE = (*UHCI, "--usb-device", "tablet", "--usb-device", "keyboard")


@pytest.fixture(scope="module")
def desktop(shared_vmm, shared_root):
    """A guest with a tablet and a keyboard."""
    machine = shared_vmm(machine="pc", agent=True, kernel=places.PC_KERNEL, initrd=places.PC_INITRD, disks=[shared_root], extra=PEOPLE)
    desktop = Desktop(machine, ("tablet", "keyboard"))
    machine.guest.run("modprobe -a uhci-hcd usbhid hid-generic", timeout=SLOW)
    until(lambda: machine.guest.run("cat /proc/bus/input/devices").count("Lodge Lodge USB") == 2, "the devices are there", SLOW)
    desktop.find()
    desktop.watch()
    desktop.look()
    return desktop


def people_arrive(desktop):
    """A place and a key, in addition to what there was."""
    tablet, keyboard = (len(desktop.events(kind, 0)) for kind in desktop.names)
    x = 300 + tablet  # what does not change is not told
    desktop.viewer.place(x, x + 1)
    assert desktop.events("tablet", tablet + 2)[tablet:] == [(EV_ABS, ABS_X, x), (EV_ABS, ABS_Y, x + 1)]
    desktop.viewer.key(KEY_A, True)
    desktop.viewer.key(KEY_A, False)
    got = [event for event in desktop.events("keyboard", keyboard + 2)[keyboard:] if event[2] != 2]
    assert got == [(EV_KEY, KEY_A, 1), (EV_KEY, KEY_A, 0)]


def test_linux_sees_the_devices(desktop):
    """Where PIIX3 has it, at full speed; the kernel has nothing to complain of."""
    assert "uhci_hcd" in desktop.guest.run("readlink /sys/bus/pci/devices/0000:00:01.2/driver")
    assert desktop.guest.run("cat /sys/bus/usb/devices/*-*/speed").split() == ["12", "12"]
    log = desktop.guest.run("dmesg")
    assert not re.search(r"(uhci_hcd|usb \d).*(WARN|ERROR|error|died|halted|timeout|not responding)", log), log
    stats = desktop.vmm.control.execute("query-stats")["devices"]["usb0"]
    assert stats["packets"] > 30 and stats["guest-mistakes"] == 0


def test_people_arrive(desktop):
    """Each at its device."""
    people_arrive(desktop)
    people_arrive(desktop)


def test_it_goes_on_after_a_save(desktop, vmm, tmp_path):
    """In a new process."""
    file = str(tmp_path / "guest.save")
    desktop.viewer.close()
    desktop.vmm.control.execute("save", {"path": file, "quit": True}, timeout=SLOW)
    assert desktop.vmm.wait_exit() == 0
    machine = vmm(machine="pc", kernel=None, initrd=None, serial=None, extra=["--restore", file])
    machine.guest.listening = True
    again = Desktop(machine, tuple(desktop.names))
    again.files = desktop.files
    again.look()
    people_arrive(again)


def test_a_disk_is_written_and_read(vmm, root_disk, tmp_path):
    """By packets of 64 bytes; what Linux writes is what the host sees."""
    image = disks.empty(f"{tmp_path}/usb.img", 4)
    machine = vmm(
        machine="pc",
        agent=True,
        kernel=places.PC_KERNEL,
        initrd=places.PC_INITRD,
        disks=[root_disk, f"path={image},bus=usb,id=stick"],
        extra=("--usb", "piix3-uhci"),
    )
    guest = machine.guest
    guest.run("modprobe -a usb-storage uhci-hcd sd_mod", timeout=SLOW)
    until(lambda: guest.try_run("test -b /dev/sda")[0] == 0, "the disk is there", SLOW)
    guest.run("dd if=/dev/urandom of=/dev/sda bs=64k count=4 oflag=direct 2>/dev/null; sync", timeout=SLOW)
    guest.run("dd if=/dev/urandom of=/dev/sda bs=512 seek=8001 count=3 oflag=direct 2>/dev/null; sync", timeout=SLOW)
    guest.run("dd if=/dev/sda of=/run/back bs=64k count=4 iflag=direct 2>/dev/null", timeout=SLOW)
    with open(image, "rb") as file:
        head = file.read(256 << 10)
    assert any(head) and guest.sha256("/run/back") == hashlib.sha256(head).hexdigest()
    stats = machine.control.execute("query-stats")["devices"]
    assert stats["stick"]["write-errors"] == 0 and stats["stick"]["guest-mistakes"] == 0 and stats["usb0"]["guest-mistakes"] == 0
    assert not re.search(r"(uhci_hcd|usb \d|sda).*(error|reset|died|timeout)", guest.run("dmesg"), re.I)


def test_the_bios_takes_keys_and_boots(vmm, tmp_path):
    """SeaBIOS's boot menu opens by a key of the USB keyboard, and boots the disk at the other port."""
    machine = vmm(
        machine="pc",
        memory=256,
        kernel=None,
        initrd=None,
        disks=[f"path={disks.boot_sector(f'{tmp_path}/a.img', 'USB-BOOTS')},bus=usb,boot=1"],
        extra=("--firmware", "bios,menu=on,menu_wait_ms=65535", "--debug-console", *UHCI, "--usb-device", "keyboard"),
    )
    machine.errors.wait_for("USB keyboard initialized", BOOT_SECONDS)
    machine.errors.wait_for("Press ESC for boot menu", BOOT_SECONDS)
    machine.control.execute("send-key", {"keys": str(KEY_ESC), "hold-ms": 200})
    machine.errors.wait_for("Select boot device|boot menu|1\\. ", BOOT_SECONDS)
    machine.control.execute("send-key", {"keys": "2", "hold-ms": 200})  # the key of the first entry
    machine.wait_for_output("USB-BOOTS", BOOT_SECONDS)
