"""USB: what people do at a screen arrives through xHCI at a tablet, a mouse and a keyboard, in Linux and in a BIOS."""
import re

import pytest
from support import disks, places
from support.desktop import NAMES, Desktop
from support.evdev import EV_KEY, KEY_A, KEY_ESC, SLOW, check_people
from support.wait import until

BOOT_SECONDS = 2 * places.BOOT_SECONDS
DEVICES = ("--video", "vga", "--usb", "xhci", "--usb-device", "tablet", "--usb-device", "mouse", "--usb-device", "keyboard")


@pytest.fixture(scope="module")
def desktop(shared_vmm, shared_root):
    """A guest with all three."""
    vmm = shared_vmm(
        machine="pc", agent=True, kernel=places.PC_KERNEL, initrd=places.PC_INITRD, disks=[shared_root], extra=DEVICES
    )
    desktop = Desktop(vmm)
    vmm.guest.run("modprobe -a xhci_pci usbhid hid-generic", timeout=SLOW)
    until(lambda: vmm.guest.run("cat /proc/bus/input/devices").count("Lodge Lodge USB") == 3, "the devices are there", SLOW)
    desktop.find()
    desktop.watch()
    desktop.look()
    return desktop


def test_linux_sees_the_devices(desktop):
    """Speeds and drivers; the kernel has nothing to complain of; the controller counts."""
    speeds = desktop.guest.run("cat /sys/bus/usb/devices/*-*/speed").split()
    assert speeds.count("12") == 3
    log = desktop.guest.run("dmesg")
    assert "xhci_hcd" in log
    assert not re.search(r"(xhci_hcd|usb \d).*(WARN|ERROR|error|died|halted|timeout|not responding)", log), log
    assert "PCI-MSI" in desktop.guest.run("grep xhci /proc/interrupts")
    stats = desktop.vmm.control.execute("query-stats")["devices"]["usb0"]
    assert stats["commands"] > 10 and stats["transfers"] > 30 and stats["guest-mistakes"] == 0


def test_people_arrive(desktop):
    """At the right place. The verb that sends keys reaches the USB keyboard, too."""
    seen = check_people(desktop, desktop.viewer, [len(desktop.events(kind, 0)) for kind in NAMES])
    desktop.vmm.control.execute("send-key", {"keys": str(KEY_ESC), "hold-ms": 10})
    assert desktop.events("keyboard", seen[2] + 2)[-2:] == [(EV_KEY, KEY_ESC, 1), (EV_KEY, KEY_ESC, 0)]


def test_nothing_runs_while_nobody_moves(desktop):
    """The controller does nothing of its own."""
    before = desktop.vmm.control.execute("query-stats")["devices"]["usb0"]
    begin = float(desktop.guest.run("cut -d' ' -f1 /proc/uptime"))
    until(lambda: float(desktop.guest.run("cut -d' ' -f1 /proc/uptime")) > begin + 2, "the guest's clock has gone on", SLOW)
    assert desktop.vmm.control.execute("query-stats")["devices"]["usb0"] == before


def test_a_device_sleeps_and_wakes(desktop):
    """Linux suspends the keyboard; a key wakes it, and is not lost."""
    guest = desktop.guest
    path = guest.run("grep -ls 'USB Keyboard' /sys/bus/usb/devices/*/product").strip().removesuffix("/product")
    guest.run("kill $(cat /run/keyboard.pid)")
    guest.run(f"echo 0 > {path}/power/autosuspend_delay_ms; echo auto > {path}/power/control")
    until(lambda: guest.run(f"cat {path}/power/runtime_status").strip() == "suspended", "the keyboard sleeps", SLOW)
    desktop.guest.run(f"cat /dev/input/{desktop.files['keyboard']} >> /run/keyboard.events 2>/dev/null & echo $! > /run/keyboard.pid")
    until(lambda: guest.run(f"cat {path}/power/runtime_status").strip() != "resuming", "it is decided", SLOW)
    before = len(desktop.events("keyboard", 0))
    desktop.viewer.key(KEY_A, True)
    desktop.viewer.key(KEY_A, False)
    got = [event for event in desktop.events("keyboard", before + 2)[before:] if event[2] != 2]
    assert got == [(EV_KEY, KEY_A, 1), (EV_KEY, KEY_A, 0)]
    guest.run(f"echo on > {path}/power/control")


def test_it_goes_on_after_a_save(desktop, vmm, tmp_path):
    """In a new process, with what people do meanwhile."""
    file = str(tmp_path / "guest.save")
    desktop.viewer.close()
    seen = [len(desktop.events(kind, 0)) for kind in NAMES]
    desktop.vmm.control.execute("save", {"path": file, "quit": True}, timeout=SLOW)
    assert desktop.vmm.wait_exit() == 0
    machine = vmm(machine="pc", kernel=None, initrd=None, serial=None, extra=["--restore", file])
    machine.guest.listening = True
    again = Desktop(machine)
    again.files = desktop.files
    again.look()
    check_people(again, again.viewer, seen)


def test_the_bios_takes_keys_from_usb(vmm, tmp_path):
    """SeaBIOS finds the keyboard, and its boot menu opens by a key of it."""
    machine = vmm(
        machine="pc",
        memory=256,
        kernel=None,
        initrd=None,
        disks=[f"path={disks.boot_sector(f'{tmp_path}/a.img', 'STARTED')},bus=ide"],
        extra=("--firmware", "bios,menu=on,menu_wait_ms=65535", "--debug-console", *DEVICES),
    )
    machine.errors.wait_for("USB keyboard initialized", BOOT_SECONDS)
    machine.errors.wait_for("Press ESC for boot menu", BOOT_SECONDS)
    stats = machine.control.execute("query-stats")["devices"]["usb0"]
    machine.control.execute("send-key", {"keys": str(KEY_ESC), "hold-ms": 100})
    machine.errors.wait_for("Select boot device|boot menu|1\\. ", BOOT_SECONDS)
    assert machine.control.execute("query-stats")["devices"]["usb0"]["transfers"] > stats["transfers"]


def test_a_disk_is_written_and_read(vmm, root_disk, tmp_path):
    """By Linux's usb-storage: what it writes is what the host sees, and its flushes reach the storage."""
    image = disks.empty(f"{tmp_path}/usb.img", 16)
    machine = vmm(
        machine="pc",
        agent=True,
        kernel=places.PC_KERNEL,
        initrd=places.PC_INITRD,
        disks=[root_disk, f"path={image},bus=usb,serial=STICK-1,id=stick"],
    )
    guest = machine.guest
    # Linux takes USB disks for such without a cache; the quirk makes it ask.
    guest.run("modprobe usb-storage quirks=0627:1004:p && modprobe -a xhci_pci sd_mod", timeout=SLOW)
    until(lambda: guest.try_run("test -b /dev/sda")[0] == 0, "the disk is there", SLOW)
    assert int(guest.run("cat /sys/block/sda/size")) * 512 == 16 << 20
    assert guest.run("cat /sys/block/sda/device/model").strip() == "USB DISK"
    guest.run("dd if=/dev/urandom of=/dev/sda bs=1M count=12 oflag=direct 2>/dev/null; sync", timeout=SLOW)
    guest.run("dd if=/dev/urandom of=/dev/sda bs=512 seek=30000 count=3 oflag=direct 2>/dev/null; sync", timeout=SLOW)
    assert guest.sha256("/dev/sda") == disks.sha256(image)
    guest.run("mke2fs -q -t ext4 /dev/sda && mount /dev/sda /mnt && echo kept > /mnt/file && sync && umount /mnt", timeout=SLOW)
    stats = machine.control.execute("query-stats")["devices"]["stick"]
    assert stats["flush-ops"] > 0 and stats["write-errors"] == 0 and stats["guest-mistakes"] == 0
    assert [disk["size"] for disk in machine.control.execute("query-block") if disk["device"] == "stick"] == [16 << 20]
    assert not re.search(r"(xhci_hcd|usb \d|sda).*(error|reset|died|timeout)", guest.run("dmesg"), re.I)


def test_the_bios_boots_from_usb(vmm, tmp_path):
    """Before the IDE disk, as the boot order says."""
    one = disks.boot_sector(f"{tmp_path}/one.img", "USB-BOOTS")
    two = disks.boot_sector(f"{tmp_path}/two.img", "IDE-BOOTS")
    machine = vmm(
        machine="pc",
        memory=256,
        kernel=None,
        initrd=None,
        disks=[f"path={two},bus=ide,boot=2", f"path={one},bus=usb,boot=1"],
        extra=("--firmware", "bios", "--debug-console"),
    )
    machine.wait_for_output("USB-BOOTS", BOOT_SECONDS)
