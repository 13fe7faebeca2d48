"""virtio-input: what people do at a screen arrives at Linux's driver, by the monitor's channel and by stock clients; devices come and go."""
import re

import pytest
from support import hotplug, places
from support.control import ControlError
from support.daemon import Console
from support.evdev import ABS_X, ABS_Y, BTN_LEFT, EV_ABS, EV_KEY, KEY_A, KEY_ESC, KEY_LEFTSHIFT, SLOW, EventFiles, check_people
from support.rfb import Rfb
from support.viewer import Viewer
from support.wait import until

NAMES = {kind: f"Lodge Virtio {kind.capitalize()}" for kind in ("tablet", "mouse", "keyboard")}
DEVICES = ("--video", "vga", "--input", "tablet,serial=PEN-1", "--input", "mouse,ring=packed", "--input", "keyboard,id=kbd")
LIT = r"printf '\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\021\0\001\0\001\0\0\0' > /dev/input/"  # EV_LED, LED_CAPSL, 1


@pytest.fixture(scope="module")
def desktop(shared_vmm, shared_root):
    """A guest with all three, and its event files."""
    vmm = shared_vmm(
        machine="pc", agent=True, kernel=places.PC_KERNEL, initrd=places.PC_INITRD, disks=[shared_root], extra=DEVICES
    )
    files = EventFiles(vmm.guest, NAMES)
    vmm.guest.run("modprobe virtio_input", timeout=SLOW)
    files.find()
    files.watch()
    return vmm, files


def test_linux_sees_what_they_are(desktop):
    """Names, ids, serial number, axes; the interrupts are message-signalled."""
    vmm, files = desktop
    listing = vmm.guest.run("cat /proc/bus/input/devices").split("\n\n")
    tablet = next(part for part in listing if NAMES["tablet"] in part)
    assert "Bus=0006 Vendor=0627 Product=0003 Version=0001" in tablet and "Uniq=PEN-1" in tablet and "B: ABS=3" in tablet
    keyboard = next(part for part in listing if NAMES["keyboard"] in part)
    assert "B: LED=7" in keyboard and "kbd" in keyboard and "B: EV=120003" in keyboard  # keys, LEDs, repetition
    assert re.search(r"PCI-MSI.*virtio\d+-events", vmm.guest.run("cat /proc/interrupts"))
    assert sorted(files.files) == sorted(NAMES)


def test_people_arrive(desktop):
    """At the right place, and the verb that sends keys as well."""
    vmm, files = desktop
    viewer = Viewer(vmm.control)
    viewer.wait_for_pointer(True)
    seen = check_people(files, viewer, [len(files.events(kind, 0)) for kind in NAMES])
    vmm.control.execute("send-key", {"keys": str(KEY_ESC), "hold-ms": 10})
    assert files.events("keyboard", seen[2] + 2)[-2:] == [(EV_KEY, KEY_ESC, 1), (EV_KEY, KEY_ESC, 0)]
    viewer.close()


def test_a_held_key_is_repeated_by_the_guest(desktop):
    """Which was told that the keyboard wants that."""
    vmm, files = desktop
    viewer = Viewer(vmm.control)
    before = len(files.events("keyboard", 0))
    size = int(vmm.guest.run("stat -c %s /run/keyboard.events"))
    viewer.key(KEY_A, True)
    hotplug.wait_for(vmm.guest, f"[ $(stat -c %s /run/keyboard.events) -gt {size + 4 * 24} ]")  # more than two events and their ends
    viewer.key(KEY_A, False)
    hotplug.wait_for(vmm.guest, f"tail -c 48 /run/keyboard.events | od -An -v -t x1 | grep -q ' 01 00 {KEY_A:02x} 00 00 00 00 00'")
    got = files.events("keyboard", before + 3)[before:]
    assert got[0] == (EV_KEY, KEY_A, 1) and got[-1] == (EV_KEY, KEY_A, 0)
    assert set(got[1:-1]) == {(EV_KEY, KEY_A, 2)}
    viewer.close()


def test_the_guest_lights_leds(desktop):
    """Its driver sends them over the status queue."""
    vmm, files = desktop
    before = vmm.control.execute("query-stats")["devices"]["kbd"]
    vmm.guest.run(f"{LIT}{files.files['keyboard']}")
    until(lambda: vmm.control.execute("query-stats")["devices"]["kbd"]["statuses"] == before["statuses"] + 1, "a status came", SLOW)
    assert vmm.control.execute("query-stats")["devices"]["kbd"]["guest-mistakes"] == 0


def test_it_goes_on_after_a_save(desktop, vmm, tmp_path):
    """In a new process, with what people do meanwhile."""
    old, files = desktop
    seen = [len(files.events(kind, 0)) for kind in NAMES]
    file = str(tmp_path / "guest.save")
    old.control.execute("save", {"path": file, "quit": True}, timeout=SLOW)
    assert old.wait_exit() == 0
    machine = vmm(machine="pc", kernel=None, initrd=None, serial=None, extra=["--restore", file])
    machine.guest.listening = True
    again = EventFiles(machine.guest, NAMES)
    again.files = files.files
    viewer = Viewer(machine.control)
    viewer.wait_for_pointer(True)
    check_people(again, viewer, seen)


def test_a_keyboard_comes_and_goes(vmm, base_image):
    """On a microvm, by the monitor's commands."""
    machine = vmm(agent=True, disks=[f"path={base_image},read_only=on"], append="ro")
    guest = machine.guest
    guest.run("modprobe virtio_input")
    with pytest.raises(ControlError, match="no keyboard"):
        machine.control.execute("send-key", {"keys": "1", "hold-ms": 1})
    machine.control.execute("device_add", {"driver": "virtio-keyboard", "id": "extra", "slot": 9})
    hotplug.wait_for(guest, f"grep -q '{NAMES['keyboard']}' /proc/bus/input/devices")
    files = EventFiles(guest, {"keyboard": NAMES["keyboard"]})
    files.find()
    files.watch()
    machine.control.execute("send-key", {"keys": f"{KEY_LEFTSHIFT},{KEY_A}", "hold-ms": 1})
    assert len(files.events("keyboard", 4)) == 4
    hotplug.remove(machine, "extra")
    assert NAMES["keyboard"] not in guest.run("cat /proc/bus/input/devices")
    with pytest.raises(ControlError, match="no keyboard"):
        machine.control.execute("send-key", {"keys": "1", "hold-ms": 1})


def input_xml(kind, more=""):
    """The element."""
    return f"<input type='{kind}' bus='virtio'>{more}</input>"


def test_stock_clients_reach_them(daemon, base_image, tmp_path):
    """virsh send-key and a VNC client; the XML has addresses; virsh attaches and detaches one."""
    daemon.define("desk", kernel=places.PC_KERNEL, initrd=places.PC_INITRD, append=f"{places.APPEND} lodge.agent=1 ro", machine="pc", devices=f"""
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{base_image}'/><target dev='vda' bus='virtio'/><readonly/></disk>
      {input_xml('tablet')}{input_xml('keyboard', "<address type='pci' slot='0x0b'/>")}
      <graphics type='vnc'/><video><model type='vga'/></video>""")
    assert re.search(r"<input type='tablet' bus='virtio'>\s*<address type='pci'", daemon.virsh("dumpxml desk"))
    daemon.virsh("start desk")
    live = daemon.virsh("dumpxml desk")
    assert re.search(r"<input type='keyboard' bus='virtio'>\s*<alias name='input\d'/>\s*<address type='pci' [^>]*slot='0x0b'", live)
    console = Console("desk")
    guest = console.guest
    guest.wait_until_up(2 * places.BOOT_SECONDS)
    guest.run("modprobe virtio_input", timeout=SLOW)
    files = EventFiles(guest, {kind: NAMES[kind] for kind in ("tablet", "keyboard")})
    files.find()
    files.watch()
    daemon.virsh("send-key desk KEY_LEFTSHIFT KEY_A")
    assert files.events("keyboard", 4)[:2] == [(EV_KEY, KEY_LEFTSHIFT, 1), (EV_KEY, KEY_A, 1)]
    viewer = Rfb(("127.0.0.1", int(re.search(r"type='vnc' port='(\d+)'", live).group(1)))).enter()
    viewer.update(incremental=False)
    viewer.pointer(1, viewer.width - 1, 0)
    viewer.pointer(0, viewer.width - 1, 0)
    got = files.events("tablet", 3)
    assert (EV_ABS, ABS_X, 0x7FFF) in got and (EV_KEY, BTN_LEFT, 1) in got
    assert all(value == 0 for kind, code, value in got if (kind, code) == (EV_ABS, ABS_Y))
    viewer.close()
    path = f"{tmp_path}/mouse.xml"
    with open(path, "w", encoding="ascii") as file:
        file.write(input_xml("mouse"))
    daemon.virsh(f"attach-device desk {path} --live")
    hotplug.wait_for(guest, f"grep -q '{NAMES['mouse']}' /proc/bus/input/devices")
    assert "<input type='mouse' bus='virtio'>" in daemon.virsh("dumpxml desk")
    daemon.virsh(f"detach-device desk {path} --live")
    until(lambda: "<input type='mouse' bus='virtio'>" not in daemon.virsh("dumpxml desk"), "it is gone", SLOW)
    assert NAMES["mouse"] not in guest.run("cat /proc/bus/input/devices")
    with open(path, "w", encoding="ascii") as file:
        file.write("<input type='mouse' bus='ps2'/>")
    assert "cannot be hot plugged" in daemon.fails(f"attach-device desk {path} --live")
    console.close()
    daemon.virsh("destroy desk")
    daemon.virsh("undefine desk")
