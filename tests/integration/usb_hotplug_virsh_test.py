"""Stock virsh attaches USB devices to a running guest and detaches them, at both controllers."""
import os
import re

import pytest
from support import disks, hotplug, places
from support.daemon import Console, Events
from support.desktop import NAMES
from support.evdev import SLOW
from support.wait import until

CONTROLLERS = {"qemu-xhci": "xhci_pci", "piix3-uhci": "uhci-hcd"}
TABLET = "<input type='tablet' bus='usb'/>"
MOUSE = "<input type='mouse' bus='usb'/>"


def write_xml(tmp_path, name, text):
    """A file for attach-device."""
    path = f"{tmp_path}/{name}.xml"
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


@pytest.fixture(scope="module", params=CONTROLLERS)
def guest(request, daemon, base_image):
    """A running guest that has a USB controller of this model with nothing at it."""
    name = f"u-{request.param}"
    daemon.define(name, kernel=places.PC_KERNEL, initrd=places.PC_INITRD, append=f"{places.APPEND} lodge.agent=1 ro", machine="pc", devices=f"""
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{base_image}'/><target dev='vda' bus='virtio'/><readonly/></disk>
      <controller type='usb' model='{request.param}' index='0'/>""")
    daemon.virsh(f"start {name}")
    console = Console(name)
    console.guest.wait_until_up(2 * places.BOOT_SECONDS)
    console.guest.run(f"modprobe -a {CONTROLLERS[request.param]} usbhid hid-generic usb-storage sd_mod", timeout=SLOW)
    console.guest.name = name
    yield console.guest
    console.close()
    daemon.virsh(f"destroy {name}")
    daemon.virsh(f"undefine {name}")


def test_a_tablet_by_attach_device(daemon, guest, tmp_path):
    """Live: alias, address, events; the definition stays as it is until --config says otherwise."""
    name = guest.name
    path = write_xml(tmp_path, "tablet", TABLET)
    seen = f"grep -q '{NAMES['tablet']}' /proc/bus/input/devices"
    events = Events(daemon, name)
    daemon.virsh(f"attach-device {name} {path} --live")
    hotplug.wait_for(guest, seen, SLOW)
    live = daemon.virsh(f"dumpxml {name}")
    found = re.search(r"<input type='tablet' bus='usb'>\s*<alias name='(input\d+)'/>\s*<address type='usb' bus='0' port='(\d)'/>", live)
    assert found, live
    assert "bus='usb'" not in daemon.virsh(f"dumpxml {name} --inactive")
    events.stream.wait_for(f"device-added.*{found.group(1)}", SLOW)
    daemon.virsh(f"detach-device {name} {path} --live")
    events.stream.wait_for(f"device-removed.*{found.group(1)}", SLOW)
    events.close()
    assert TABLET[:-2] not in daemon.virsh(f"dumpxml {name}")
    hotplug.wait_for(guest, f"! {seen}", SLOW)

    daemon.virsh(f"attach-device {name} {path} --live --config")
    hotplug.wait_for(guest, seen, SLOW)
    assert TABLET[:-2] in daemon.virsh(f"dumpxml {name} --inactive")
    daemon.virsh(f"detach-device-alias {name} {re.search(r'input[0-9]+', daemon.virsh(f'dumpxml {name}')).group(0)} --live")
    hotplug.wait_for(guest, f"! {seen}", SLOW)
    assert TABLET[:-2] in daemon.virsh(f"dumpxml {name} --inactive")
    daemon.virsh(f"detach-device {name} {path} --config")
    assert TABLET[:-2] not in daemon.virsh(f"dumpxml {name} --inactive")


def test_a_disk_by_attach_disk(daemon, guest, tmp_path):
    """attach-disk --targetbus usb: the guest reads and writes it; its alias and address; domblklist."""
    name = guest.name
    image = disks.empty(f"{tmp_path}/stick.img", 4)
    daemon.virsh(f"attach-disk {name} {image} sda --targetbus usb --driver qemu --subdriver raw --live --config")
    hotplug.wait_for(guest, "[ -b /dev/sda ]", SLOW)
    assert re.search(rf"sda +{image}", daemon.virsh(f"domblklist {name}"))
    live = daemon.virsh(f"dumpxml {name}")
    assert re.search(r"<target dev='sda' bus='usb'/>\s*<alias name='usb-disk0'/>\s*<address type='usb' bus='0' port='\d'/>", live), live
    assert "<target dev='sda' bus='usb'/>" in daemon.virsh(f"dumpxml {name} --inactive")
    guest.run("echo by-virsh | dd of=/dev/sda bs=512 conv=sync oflag=direct 2>/dev/null", timeout=SLOW)
    with open(image, "rb") as file:
        assert file.read(9) == b"by-virsh\n"
    assert "already exists" in daemon.fails(f"attach-disk {name} {image} sda --targetbus usb --live")
    daemon.virsh(f"detach-disk {name} sda --live --config")
    until(lambda: "sda" not in daemon.virsh(f"domblklist {name}"), "it is gone", SLOW)
    assert "sda" not in daemon.virsh(f"dumpxml {name} --inactive")
    hotplug.wait_for(guest, "[ ! -e /sys/block/sda ]", SLOW)


def test_what_cannot_be_is_refused(daemon, guest, tmp_path):
    """A port that is taken or not there, and no port left; nothing changes."""
    name = guest.name
    before = daemon.virsh(f"dumpxml {name}")
    for port, message in (("16", "no such port"), ("1.1", "no such port")):
        path = write_xml(tmp_path, "port", f"<input type='mouse' bus='usb'><address type='usb' bus='0' port='{port}'/></input>")
        assert message in daemon.fails(f"attach-device {name} {path} --live")
    path = write_xml(tmp_path, "one", "<input type='mouse' bus='usb'><address type='usb' bus='0' port='1'/></input>")
    daemon.virsh(f"attach-device {name} {path} --live")
    assert "Duplicate USB address" in daemon.fails(f"attach-device {name} {path} --live")
    mouse = write_xml(tmp_path, "mouse", MOUSE)
    errors = ""
    for _ in range(16):
        status, _, errors = daemon.try_virsh(f"attach-device {name} {mouse} --live")
        if status != 0:
            break
    assert "No free USB port" in errors
    while "<input type='mouse' bus='usb'>" in daemon.virsh(f"dumpxml {name}"):
        daemon.virsh(f"detach-device {name} {mouse} --live")
    assert daemon.virsh(f"dumpxml {name}") == before
    assert "No such" in daemon.fails(f"attach-disk {name} /nonexistent sdb --targetbus usb --live --driver qemu --subdriver raw")
    assert daemon.virsh(f"dumpxml {name}") == before


def test_a_restarted_daemon_knows_what_came(daemon, guest, tmp_path):
    """And lets it go. The last test of its guest: the console ends with the daemon."""
    name = guest.name
    image = disks.empty(f"{tmp_path}/kept.img", 1)
    daemon.virsh(f"attach-disk {name} {image} sda --targetbus usb --driver qemu --subdriver raw --live")
    live = daemon.virsh(f"dumpxml {name}")
    daemon.stop()
    daemon.start()
    assert daemon.virsh(f"dumpxml {name}") == live
    daemon.virsh(f"detach-disk {name} sda --live")
    until(lambda: "sda" not in daemon.virsh(f"domblklist {name}"), "it is gone", SLOW)
    assert not hotplug.is_locked(image)


def test_a_guest_without_a_controller(daemon, base_image, tmp_path):
    """Live it is refused; the definition gets a controller with the device."""
    daemon.define("u-none", devices=f"""
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{base_image}'/><target dev='vda' bus='virtio'/><readonly/></disk>""")
    daemon.virsh("start u-none")
    path = write_xml(tmp_path, "tablet", TABLET)
    image = disks.empty(f"{tmp_path}/stick.img", 1)
    for command in (f"attach-device u-none {path} --live", f"attach-disk u-none {image} sda --targetbus usb --live"):
        assert "the running guest has no USB controller" in daemon.fails(command)
    assert "'usb'" not in daemon.virsh("dumpxml u-none")
    assert os.path.getsize(image) == 1 << 20
    daemon.virsh(f"attach-device u-none {path} --config")
    inactive = daemon.virsh("dumpxml u-none --inactive")
    assert "<controller type='usb' index='0'" in inactive and TABLET[:-2] in inactive
    daemon.virsh("destroy u-none")
    daemon.virsh("undefine u-none")
