"""UEFI guests through stock virsh: firmware='efi', the file of variables from its first start to undefine --nvram."""
import os
import stat

from support import places, uefi
from support.daemon import Console, monitors

DOMAIN = """<domain type='kvm'><name>uefi</name><memory unit='MiB'>512</memory>
  <os firmware='efi'><type arch='x86_64' machine='pc'>hvm</type>
    <kernel>%s</kernel><initrd>%s</initrd><cmdline>%s lodge.agent=1 ro</cmdline></os>
  <features><acpi/><apic/></features>
  <devices><serial type='pty'/>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='%s'/><target dev='vda' bus='virtio'/><readonly/></disk>
  </devices></domain>"""


def define(daemon, xml):
    """virsh define."""
    path = f"{daemon.folder}/uefi.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(xml)
    daemon.virsh(f"define {path}")


def started(daemon, options=""):
    """The guest, when its agent listens."""
    daemon.virsh(f"start uefi {options}")
    console = Console("uefi")
    console.guest.wait_until_up(uefi.BOOT_SECONDS)
    return console


def test_a_guest_by_firmware_efi(daemon, base_image):
    """What is chosen is in the definition; variables outlive the guest until they are reset or removed."""
    said = daemon.virsh("domcapabilities --machine pc")
    assert "<value>efi</value>" in said and f"<value>{uefi.CODE}</value>" in said and "<value>pflash</value>" in said
    define(daemon, DOMAIN % (places.KERNEL, places.INITRD, places.APPEND, base_image))
    vars_file = f"{daemon.folder}/state/nvram/uefi_VARS.fd"
    text = daemon.virsh("dumpxml uefi")
    assert f"<loader readonly='yes' type='pflash'>{uefi.CODE}</loader>" in text
    assert f"<nvram template='{uefi.VARS}'>{vars_file}</nvram>" in text
    define(daemon, text)
    assert daemon.virsh("dumpxml uefi") == text
    assert not os.path.exists(vars_file)

    console = started(daemon)
    facts = os.stat(vars_file)
    assert stat.S_IMODE(facts.st_mode) == 0o600
    with open(f"/proc/{monitors()['uefi']}/status", encoding="utf-8") as file:
        assert f"Uid:\t{facts.st_uid}\t" in file.read()  # it belongs to whom the monitor runs as
    console.guest.run(uefi.write("kept"))
    console.close()
    daemon.virsh("destroy uefi")

    console = started(daemon)
    assert console.guest.run(uefi.read()).strip() == "kept"
    console.close()
    daemon.virsh("destroy uefi")

    console = started(daemon, "--reset-nvram")
    assert console.guest.try_run(uefi.read())[0] != 0
    console.close()
    daemon.virsh("destroy uefi")

    assert "cannot undefine domain with nvram" in daemon.fails("undefine uefi")
    daemon.virsh("undefine uefi --keep-nvram")
    assert os.path.exists(vars_file)
    define(daemon, text)
    daemon.virsh("undefine uefi --nvram")
    assert not os.path.exists(vars_file)
