"""Network boot from a network of the host's libvirt: DHCP, pxelinux, the Debian installer's kernel and initrd by its TFTP server, to the
first dialog; seen by `virsh screenshot`, and kept as a picture (build/test-logs/installer.ppm)."""
import os
import shutil
import tempfile

import pytest
from support import places, textscreen
from support.libvirtd import Libvirtd
from support.wait import until

INSTALLER = "/usr/lib/debian-installer/images/12/amd64/text"
NETWORK = """<network>
  <name>pxe</name>
  <forward mode='open'/>
  <bridge name='lodge-pxe' stp='off' delay='0'/>
  <ip address='192.168.77.1' netmask='255.255.255.0'>
    <tftp root='{root}'/>
    <dhcp><range start='192.168.77.100' end='192.168.77.120'/><bootp file='pxelinux.0'/></dhcp>
  </ip>
</network>
"""
DOMAIN = """<domain type='kvm'>
  <name>installer</name>
  <memory unit='MiB'>1024</memory>
  <os><type>hvm</type></os>
  <features><acpi/><apic/></features>
  <devices>
    <interface type='bridge'><source bridge='lodge-pxe'/><model type='virtio'/><boot order='1'/></interface>
    <video><model type='vga'/></video>
  </devices>
</domain>
"""
MENU = "default installer\nlabel installer\nkernel linux\nappend initrd=initrd.gz vga=normal fb=false mitigations=off quiet\n"


@pytest.fixture
def tftp_root():
    """What pxelinux and the installer need, where dnsmasq's own user reads it."""
    root = tempfile.mkdtemp(prefix="lodge-tftp-")
    os.chmod(root, 0o755)
    os.mkdir(f"{root}/pxelinux.cfg")
    for name in ("pxelinux.0", "linux", "initrd.gz"):
        os.symlink(f"{INSTALLER}/debian-installer/amd64/{name}", f"{root}/{name}")
    os.symlink(f"{INSTALLER}/debian-installer/amd64/boot-screens/ldlinux.c32", f"{root}/ldlinux.c32")
    with open(f"{root}/pxelinux.cfg/default", "w", encoding="utf-8") as file:
        file.write(MENU)
    yield root
    shutil.rmtree(root)


@pytest.fixture
def network(tmp_path, tftp_root):
    """The network, by a libvirtd of this test."""
    with open(f"{tmp_path}/network.xml", "w", encoding="utf-8") as file:
        file.write(NETWORK.format(root=tftp_root))
    service = Libvirtd(tmp_path)
    try:
        service.wait()
        made = service.ask("net-create", f"{tmp_path}/network.xml")
        assert made.returncode == 0, made.stderr
        yield
        assert service.ask("net-destroy", "pxe").returncode == 0
    finally:
        service.close()


def screen(daemon, path):
    """The text on the domain's screen."""
    width, height, pixels = daemon.screenshot("installer", path)
    whole = bytearray(width * height * 4)
    for colour in range(3):
        whole[colour::4] = pixels[colour::3]
    return "\n".join(textscreen.read(width, height, whole))


@pytest.mark.slow
def test_the_debian_installer_comes_over_a_libvirt_network(daemon, network, tmp_path):
    """From the BIOS to "Select a language"."""
    path = f"{daemon.folder}/installer.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(DOMAIN)
    daemon.virsh(f"define {path}")
    daemon.virsh("start installer")
    folder = f"{places.TREE}/build/test-logs"
    os.makedirs(folder, exist_ok=True)
    seen = [""]

    def there():
        seen[0] = screen(daemon, f"{folder}/installer.ppm")
        return "Select a language" in seen[0]

    try:
        until(there, "the installer's first dialog", 13 * places.BOOT_SECONDS, pause_seconds=3)
    finally:
        print(seen[0])
    assert "English" in seen[0]
    daemon.virsh("destroy installer")
    daemon.virsh("undefine installer")
