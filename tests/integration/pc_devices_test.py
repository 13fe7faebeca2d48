"""Devices of machine pc by domain XML and stock virsh: network cards of real machines and floppy drives."""
import random
import re
import subprocess

import pytest
from support import disks, places
from support.daemon import Console
from support.wait import until

BOOT_SECONDS = 2 * places.BOOT_SECONDS
SLOW = 2 * places.COMMAND_SECONDS
MAC = "52:54:00:0e:10:00"
HOT_MACS = {"e1000": "52:54:00:0e:10:01", "rtl8139": "52:54:00:0e:10:02"}
MODULES = {"e1000": "e1000", "rtl8139": "8139cp"}
BRIDGE = "lodge-br7"


def make_floppy(path, seed, size=1440):
    """A disk whose bytes are always the same for a seed."""
    with open(path, "wb") as file:
        file.write(random.Random(seed).randbytes(size * 1024))
    return path


def floppy(target, path="", more=""):
    """A floppy drive, with or without a disk in it."""
    source = f"<source file='{path}'/>" if path else ""
    return f"<disk type='file' device='floppy'>{source}<target dev='{target}' bus='fdc'/>{more}</disk>"


def interface(model, mac, more=""):
    """A network interface on a tap of its own."""
    return f"<interface type='ethernet'><mac address='{mac}'/><model type='{model}'/>{more}</interface>"


def bios_xml(name, devices, boot):
    """A domain that starts with a BIOS."""
    return f"""<domain type='kvm'><name>{name}</name><memory unit='MiB'>64</memory>
  <os firmware='bios'><type machine='pc'>hvm</type>{boot}<bios useserial='yes'/></os>
  <features><acpi/><apic/></features><devices>{devices}</devices></domain>"""


def write(daemon, name, text):
    """The text as a file for virsh."""
    path = f"{daemon.folder}/{name}.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


@pytest.fixture(scope="module")
def bridge():
    """One on the host."""
    subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
    subprocess.run(["ip", "addr", "add", "10.9.7.1/24", "dev", BRIDGE], check=True)
    subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
    yield BRIDGE
    subprocess.run(["ip", "link", "del", BRIDGE], check=True)


@pytest.fixture(scope="module")
def guest(daemon, base_image, shared_folder):
    """A Linux guest with an e1000, a floppy disk in the first drive, none in the second."""
    first = make_floppy(f"{shared_folder}/first.img", "first")
    daemon.define("old", kernel=places.PC_KERNEL, initrd=places.PC_INITRD, append=f"{places.APPEND} lodge.agent=1 ro", machine="pc", devices=f"""
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{base_image}'/><target dev='vda' bus='virtio'/><readonly/></disk>
      {floppy("fda", first)}{floppy("fdb")}{interface("e1000", MAC)}""")
    daemon.virsh("start old")
    console = Console("old")
    console.guest.wait_until_up()
    console.guest.run("dmesg -n 1; modprobe -a e1000 8139cp floppy", timeout=SLOW)  # the console is for answers
    console.guest.first = first
    yield console.guest
    console.close()


def device_of(guest, mac):
    """The name of the guest's network device with that address."""
    found = re.search(rf"^(\S+) {mac}$", guest.run("cd /sys/class/net; for n in *; do echo $n $(cat $n/address); done"), re.MULTILINE)
    return found.group(1) if found else None


def driver_of(guest, name):
    """The driver that serves it."""
    return guest.run(f"basename $(readlink -f /sys/class/net/{name}/device/driver)").strip()


def answers(guest, address):
    """Whether the host does."""
    return guest.try_run(f"ping -c 1 -W 1 {address}", timeout=SLOW)[0] == 0


def test_what_was_defined_is_told(daemon, guest):
    """The live definition: card, drives, controller, as libvirt's schema has them."""
    live = daemon.virsh("dumpxml old")
    assert "<model type='e1000'/>" in live
    assert "<alias name='fdc0-0-0'/>" in live and "<alias name='fdc0-0-1'/>" in live
    assert re.search(r"<controller type='fdc' index='0'>\s*<alias name='fdc0'/>", live)
    text = daemon.virsh("dumpxml old --inactive").replace("<name>old<", "<name>copy<")
    text = re.sub("<uuid>.*</uuid>", "", re.sub("<mac [^>]*>", "", text))
    daemon.virsh(f"define --validate {write(daemon, 'copy', text)}")
    daemon.virsh("undefine copy")
    assert "<value>floppy</value>" in daemon.virsh("domcapabilities") and "<value>fdc</value>" in daemon.virsh("domcapabilities")


def test_the_card_has_a_network(daemon, guest):
    """Frames both ways, counters, a pulled cable by domif-setlink and by update-device."""
    name = device_of(guest, MAC)
    assert driver_of(guest, name) == "e1000"
    tap = re.search(rf"^ *(vnet\d+) +ethernet +- +e1000 +{MAC}", daemon.virsh("domiflist old"), re.MULTILINE).group(1)
    subprocess.run(["ip", "addr", "add", "10.9.8.1/24", "dev", tap], check=True)
    guest.run(f"ip link set {name} up; ip addr add 10.9.8.7/24 dev {name}", timeout=SLOW)
    until(lambda: answers(guest, "10.9.8.1"), "the host answers", SLOW)
    stats = daemon.virsh(f"domifstat old {tap}")
    assert all(int(re.search(rf"{tap} {word} (\d+)", stats).group(1)) > 0 for word in ("rx_packets", "tx_packets", "rx_bytes", "tx_bytes"))

    def carrier():
        return guest.run(f"cat /sys/class/net/{name}/carrier").strip()

    daemon.virsh(f"domif-setlink old {tap} down")
    until(lambda: carrier() == "0", "no carrier", SLOW)
    assert "down" in daemon.virsh(f"domif-getlink old {tap}")
    daemon.virsh(f"update-device old {write(daemon, 'up', interface('e1000', MAC, '<link state=%sup%s/>' % (chr(39), chr(39))))}")
    until(lambda: carrier() == "1", "carrier", SLOW)
    until(lambda: answers(guest, "10.9.8.1"), "the host answers again", SLOW)
    changed = write(daemon, "other", interface("virtio", MAC))
    assert "cannot modify network device model" in daemon.fails(f"update-device old {changed}")


@pytest.mark.parametrize("model", list(HOT_MACS))
def test_a_card_comes_and_goes(daemon, guest, bridge, model):
    """attach-interface, its use, detach-interface."""
    mac = HOT_MACS[model]
    daemon.virsh(f"attach-interface old bridge {bridge} --model {model} --mac {mac} --live")
    until(lambda: device_of(guest, mac), "the guest sees the card", SLOW)
    name = device_of(guest, mac)
    assert driver_of(guest, name) == MODULES[model]
    assert re.search(rf"vnet\d+ +bridge +{bridge} +{model} +{mac}", daemon.virsh("domiflist old"))
    guest.run(f"ip link set {name} up; ip addr add 10.9.7.7/24 dev {name}", timeout=SLOW)
    until(lambda: answers(guest, "10.9.7.1"), "the bridge answers", SLOW)
    daemon.virsh(f"detach-interface old bridge --mac {mac} --live")
    until(lambda: not device_of(guest, mac), "the guest has let go of it", SLOW)
    until(lambda: mac not in daemon.virsh("domiflist old"), "virsh knows it", SLOW)


def test_refusals_name_the_element(daemon, guest, bridge):
    """Cards that there are not, and what real cards have not."""
    refused = daemon.fails(f"attach-interface old bridge {bridge} --model ne2k_pci --live")
    assert "unsupported configuration" in refused and "/model/@type" in refused and "'rtl8139'" in refused
    fast = write(daemon, "fast", interface("e1000", HOT_MACS["e1000"], "<driver name='vhost'/>"))
    assert "/driver/@name" in daemon.fails(f"attach-device old {fast} --live")
    assert "Only 1 fdc controller" in daemon.fails(f"attach-disk old {guest.first} fdc --type floppy --targetbus fdc --live")
    assert "cannot be detached" in daemon.fails("detach-disk old fda --live")


def inside(guest, drive="fd0"):
    """The checksum of what the guest reads; its cache is of no use."""
    return guest.sha256(f"/dev/{drive}")


def test_a_floppy_disk_is_changed(daemon, guest, tmp_path):
    """change-media in all its ways, update-device, and what virsh tells of the drive."""
    second, third = make_floppy(f"{tmp_path}/second.img", "second"), make_floppy(f"{tmp_path}/third.img", "third")
    assert inside(guest) == disks.sha256(guest.first)
    assert "1.406 MiB" in daemon.virsh("domblkinfo old fda --human")
    assert int(re.search(r"rd_bytes (\d+)", daemon.virsh("domblkstat old fda")).group(1)) >= 1440 * 1024
    daemon.virsh(f"change-media old fda {second} --update --live")
    assert inside(guest) == disks.sha256(second)
    assert second in daemon.virsh("domblklist old") and guest.first in daemon.virsh("domblklist old --inactive")
    daemon.virsh("change-media old fda --eject --live")
    assert guest.try_run("dd if=/dev/fd0 of=/dev/null bs=512 count=1 2>/dev/null", timeout=SLOW)[0] != 0
    assert "does not currently have a source" in daemon.fails("domblkinfo old fda")
    assert "doesn't have media" in daemon.fails("change-media old fda --eject --live")
    daemon.virsh(f"change-media old fda {third} --insert --live")
    daemon.virsh(f"change-media old fda {third} --update --config")
    assert inside(guest) == disks.sha256(third)
    assert third in daemon.virsh("domblklist old --inactive")
    daemon.virsh(f"update-device old {write(daemon, 'back', floppy('fda', second))} --live")
    assert inside(guest) == disks.sha256(second)
    guest.run("dd if=/dev/zero of=/dev/fd0 bs=512 count=4 oflag=direct 2>/dev/null", timeout=SLOW)
    with open(second, "rb") as file:
        assert file.read(2048) == bytes(2048)
    wrong = disks.empty(f"{tmp_path}/large.img", 16)
    assert daemon.fails(f"change-media old fda {wrong} --update --live")
    assert second in daemon.virsh("domblklist old")


def test_the_empty_drive_takes_a_disk(daemon, guest, tmp_path):
    """Also one that attach-disk brings, and the daemon that comes after knows of it."""
    disk = make_floppy(f"{tmp_path}/late.img", "late")
    daemon.virsh(f"attach-disk old {disk} fdb --type floppy --targetbus fdc --live")
    assert inside(guest, "fd1") == disks.sha256(disk)
    daemon.stop()
    daemon.start()
    until(lambda: disk in daemon.virsh("domblklist old"), "the daemon knows it", SLOW)
    protect = write(daemon, "protect", floppy("fdb", disk, "<readonly/>"))
    assert "cannot modify field 'readonly'" in daemon.fails(f"update-device old {protect} --live")


def serial_of(tmp_path, name):
    """A serial port that writes into a file, and how to read it."""
    path = f"{tmp_path}/{name}.serial"

    def text():
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    return f"<serial type='file'><source path='{path}'/></serial>", text


@pytest.mark.parametrize("boot, order", [("<boot dev='fd'/>", ""), ("", "<boot order='1'/>")])
def test_a_floppy_disk_boots(daemon, tmp_path, boot, order):
    """By <boot dev=> and by <boot order=>."""
    serial, text = serial_of(tmp_path, "boots")
    disk = disks.boot_sector(f"{tmp_path}/boots.img", "FLOPPY-BOOTS")
    hard = disks.boot_sector(f"{tmp_path}/hard.img", "HARD-DISK-BOOTS")
    devices = f"<disk type='file' device='disk'><source file='{hard}'/><target dev='hda' bus='ide'/></disk>"
    devices += floppy("fda", disk, order) + serial
    daemon.virsh(f"define {write(daemon, 'boots', bios_xml('boots', devices, boot))}")
    daemon.virsh("start boots")
    until(lambda: "FLOPPY-BOOTS" in text(), "the floppy disk boots", BOOT_SECONDS)
    daemon.virsh("destroy boots")
    daemon.virsh("undefine boots")


@pytest.mark.parametrize("model", ["virtio", "e1000", "rtl8139"])
def test_a_card_boots(daemon, tmp_path, model):
    """The BIOS starts the model's own ROM, which knows the card; without a ROM it does not."""
    serial, text = serial_of(tmp_path, model)
    devices = interface(model, MAC, "<boot order='1'/>") + serial
    daemon.virsh(f"define {write(daemon, 'net', bios_xml('net', devices, ''))}")
    daemon.virsh("start net")
    until(lambda: re.search(rf"net0: {MAC} using ", text()), "the ROM drives the card", BOOT_SECONDS)
    daemon.virsh("destroy net")
    daemon.virsh("undefine net")
    serial, text = serial_of(tmp_path, "none")
    devices = interface(model, MAC, "<boot order='1'/><rom enabled='no'/>") + serial
    daemon.virsh(f"define {write(daemon, 'net', bios_xml('net', devices, ''))}")
    daemon.virsh("start net")
    until(lambda: "No bootable device" in text(), "there is nothing to boot", BOOT_SECONDS)
    assert "iPXE" not in text()
    daemon.virsh("destroy net")
    daemon.virsh("undefine net")
