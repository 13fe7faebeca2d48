"""What a PC has besides buses and disks: generation ID, notes for dumps, parallel ports, HPET; each with Linux's own driver."""
import base64
import re
import uuid

import pytest
from support import places
from support.control import ControlError
from support.daemon import Console, domain_xml
from support.uefi import BOOT_SECONDS as UEFI_SECONDS
from support.uefi import options as uefi_options
from support.wait import until

SAVE_SECONDS = 120
BOOT_SECONDS = 2 * places.BOOT_SECONDS
FIRST = "11223344-5566-7788-99aa-bbccddeeff00"
SECOND = "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf"
FORKED = "crng reseeded due to virtual machine fork"


def linux(vmm, base_image, machine, *extra, **more):
    """A guest with Debian's usual kernel, which has the drivers."""
    guest = vmm(machine=machine, kernel=places.PC_KERNEL, initrd=places.PC_INITRD, agent=True, memory=256,
                disks=[f"path={base_image},read_only=on"], extra=extra, **{"append": "ro", **more})
    guest.guest.wait_until_up(BOOT_SECONDS)
    return guest


def placed(machine):
    """The ID as it is in the guest's memory, and where."""
    told = machine.control.execute("query-vm-generation-id")
    assert told["address"] % 8 == 0
    data = machine.control.execute("pmemread", {"address": told["address"], "size": 16})["data"]
    return str(uuid.UUID(bytes_le=base64.b64decode(data))), told


@pytest.mark.parametrize("machine", ["pc", "microvm"])
def test_linux_learns_that_it_is_a_copy(vmm, base_image, tmp_path, machine):
    """Its driver binds; after a restore with another ID it makes new random numbers, with the same one it does not."""
    file = str(tmp_path / "guest.save")
    first = linux(vmm, base_image, machine, "--vmgenid", FIRST)
    assert first.guest.run("ls /sys/bus/acpi/drivers/vmgenid | grep QEMUVGID").strip() == "QEMUVGID:00"
    assert first.guest.run("dmesg | grep -E 'ACPI (BIOS )?Error' || true") == ""
    at, told = placed(first)
    assert at == told["guid"] == FIRST
    first.control.execute("save", {"path": file, "quit": True}, timeout=SAVE_SECONDS)
    assert first.wait_exit() == 0
    for wanted, forks in ((FIRST, 0), (SECOND, 1)):
        again = vmm(kernel=None, initrd=None, serial=None, memory=256, machine=machine,
                    extra=["--restore", file, "--vmgenid", wanted])
        again.guest.listening = True
        assert placed(again)[0] == wanted
        if forks:
            until(lambda: FORKED in again.guest.run("dmesg"), "Linux has noticed", places.COMMAND_SECONDS)
        assert again.guest.run("dmesg").count(FORKED) == forks
        again.kill()


def test_a_reset_places_it_again(vmm, base_image):
    """A kernel that is started anew finds the same ID; "auto" makes one."""
    machine = linux(vmm, base_image, "pc", "--vmgenid", "auto")
    before, told = placed(machine)
    assert before == told["guid"] and uuid.UUID(before).int
    machine.control.execute("system_reset")
    machine.guest.listening = False
    machine.guest.wait_until_up(BOOT_SECONDS)
    assert placed(machine)[0] == before
    assert machine.guest.run("dmesg").count(FORKED) == 0


@pytest.mark.parametrize("kind", ["bios", "uefi"])
def test_firmware_places_it(vmm, kind):
    """By the table loader, and tells where."""
    keys = ["--firmware", "bios,serial=on"] if kind == "bios" else uefi_options()
    machine = vmm(machine="pc", kernel=None, initrd=None, memory=256, extra=(*keys, "--vmgenid", FIRST, "--vmcoreinfo"))
    until(lambda: machine.control.execute("query-vm-generation-id")["address"], "the firmware has placed it", UEFI_SECONDS)
    assert placed(machine)[0] == FIRST


def test_linux_under_uefi_finds_it(vmm, base_image):
    """The table is the firmware's by then."""
    board = ("--clock", "hpet=on", "--parallel", "null")
    machine = vmm(machine="pc", kernel=places.PC_KERNEL, initrd=places.PC_INITRD, memory=512, agent=True, append="ro",
                  disks=[f"path={base_image},read_only=on"], extra=(*uefi_options(), "--vmgenid", FIRST, "--vmcoreinfo", *board))
    machine.guest.wait_until_up(UEFI_SECONDS)
    assert machine.guest.run("ls /sys/bus/acpi/drivers/vmgenid | grep QEMUVGID").strip() == "QEMUVGID:00"
    assert placed(machine)[0] == FIRST
    machine.guest.run("modprobe qemu_fw_cfg")
    assert machine.control.execute("query-vmcoreinfo")["told"]
    assert "hpet" in machine.guest.run("cat /sys/devices/system/clocksource/clocksource0/available_clocksource")
    machine.guest.run("modprobe parport_pc; modprobe lp; echo nowhere > /dev/lp0")
    assert machine.guest.run("dmesg | grep -E 'ACPI (BIOS )?Error' || true") == ""


@pytest.mark.parametrize("machine", ["pc", "microvm"])
def test_linux_tells_where_its_note_is(vmm, base_image, tmp_path, machine):
    """The driver of fw_cfg writes it; it is an ELF note with Linux's name for it, also after a save; a reset forgets it."""
    file = str(tmp_path / "guest.save")
    guest = linux(vmm, base_image, machine, "--vmcoreinfo")
    assert not guest.control.execute("query-vmcoreinfo")["told"]
    guest.guest.run("modprobe qemu_fw_cfg && test -e /sys/firmware/qemu_fw_cfg/by_name/etc/vmcoreinfo")

    def note(where):
        told = where.control.execute("query-vmcoreinfo")
        assert told["told"] and 0 < told["size"] < 65536
        return base64.b64decode(where.control.execute("pmemread", {"address": told["address"], "size": told["size"]})["data"])

    data = note(guest)
    release = guest.guest.run("uname -r").strip()
    assert b"VMCOREINFO\0" in data[:32] and f"OSRELEASE={release}\n".encode() in data
    # The kernel's own word for the place: address and size in hexadecimal.
    told = guest.control.execute("query-vmcoreinfo")
    assert int(guest.guest.run("cat /sys/kernel/vmcoreinfo").split()[0], 16) == told["address"]
    guest.control.execute("save", {"path": file, "quit": True}, timeout=SAVE_SECONDS)
    assert guest.wait_exit() == 0
    again = vmm(kernel=None, initrd=None, serial=None, memory=256, machine=machine, extra=["--restore", file])
    assert note(again) == data
    again.control.execute("stop")
    again.control.execute("system_reset")
    assert not again.control.execute("query-vmcoreinfo")["told"]


def test_what_is_not_there_is_said(vmm):
    """Queries of devices that the guest has not."""
    machine = vmm(extra=["--paused"])
    for command, option in (("query-vm-generation-id", "--vmgenid"), ("query-vmcoreinfo", "--vmcoreinfo")):
        with pytest.raises(ControlError, match=option):
            machine.control.execute(command)


PLATFORM = """
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/><target dev='vda' bus='virtio'/><readonly/></disk>
      <parallel type='file'><source path='{paper}'/></parallel>
      <parallel type='pty'/>"""


HPET = "<clock offset='utc'><timer name='hpet' present='yes'/></clock>"


def define(daemon, name, changes, **options):
    """Defines a domain of domain_xml() with changes to its text, which libvirt's schema allows."""
    path = f"{daemon.folder}/{name}.xml"
    text = domain_xml(name, **options)
    for before, after in changes.items():
        text = text.replace(before, after)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    daemon.virsh(f"define --validate {path}")


@pytest.fixture(scope="module")
def board(daemon, base_image, shared_folder):
    """A Linux guest with all of it, by its XML."""
    define(daemon, "board", {"<acpi/>": "<acpi/><vmcoreinfo state='on'/>", "<devices>": f"{HPET}<devices>"},
           kernel=places.PC_KERNEL, initrd=places.PC_INITRD, machine="pc", append=f"{places.APPEND} lodge.agent=1 ro clocksource=hpet",
           head="<genid/>", devices=PLATFORM.format(image=base_image, paper=f"{shared_folder}/paper"))
    daemon.virsh("start board")
    console = Console("board")
    console.guest.wait_until_up(BOOT_SECONDS)
    console.guest.run("dmesg -n 1")
    yield console.guest
    console.close()
    daemon.virsh("destroy board")
    daemon.virsh("undefine board")


def test_the_definition_says_what_there_is(daemon, board):
    """The chosen ID stays; places and names are libvirt's; capabilities tell of it."""
    live, kept = daemon.virsh("dumpxml board"), daemon.virsh("dumpxml board --inactive")
    chosen = re.search(r"<genid>(.+)</genid>", kept).group(1)
    assert uuid.UUID(chosen).int and f"<genid>{chosen}</genid>" in live
    assert "<vmcoreinfo state='on'/>" in live and "<timer name='hpet' present='yes'/>" in live
    assert "<alias name='parallel0'/>" in live and "<alias name='parallel1'/>" in live
    assert re.search(r"<parallel type='pty'>\s*<source path='/dev/pts/\d+'/>\s*<target port='1'/>", live)
    assert re.search(r"<parallel type='pty'>\s*<target port='1'/>", kept)
    capabilities = daemon.virsh("domcapabilities --machine pc")
    assert "<vmcoreinfo supported='yes'/>" in capabilities and "<genid supported='yes'/>" in capabilities


def test_the_guest_prints(board, shared_folder):
    """parport_pc finds the ports by ACPI, lp prints, and the file has every byte of it."""
    board.run("modprobe parport_pc; modprobe lp")
    found = board.run("dmesg | grep -E 'parport[01]: PC-style|lp[01]: using'")
    assert "parport0: PC-style at 0x378" in found and "parport1: PC-style at 0x278" in found
    assert "lp0: using parport0 (interrupt-driven)" in found or "lp0: using parport0 (polling)" in found
    assert "irq 7" in board.run("dmesg | grep 'parport0: PC-style'")
    text = "".join(f"line {number}\n" for number in range(200))
    board.run("for n in $(seq 0 199); do echo line $n; done > /dev/lp0", timeout=2 * places.COMMAND_SECONDS)

    def paper():
        with open(f"{shared_folder}/paper", encoding="utf-8") as file:
            return file.read()

    until(lambda: paper() == text, "all is printed", places.COMMAND_SECONDS)


def test_a_terminal_gets_what_is_printed(daemon, board):
    """The second port's other side, which `virsh console` shows by its name."""
    board.run("modprobe parport_pc; modprobe lp")
    terminal = Console("board", "parallel1")
    number = board.start("printf 'to the terminal\\n' > /dev/lp1")
    terminal.stream.wait_for("to the terminal", places.COMMAND_SECONDS)
    assert board.result(number)[0] == 0
    terminal.close()


def test_linux_keeps_time_by_the_hpet(board):
    """It is the clock source; a second of it is one of the processor's clock, and its timer was used."""
    assert board.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource").strip() == "hpet"
    log = board.run("dmesg")
    assert re.search(r"hpet0: 3 comparators, 64-bit 100\.000000 MHz counter", log), log
    assert "ACPI: HPET 0x" in log
    first = float(board.run("cut -d' ' -f1 /proc/uptime"))
    until(lambda: float(board.run("cut -d' ' -f1 /proc/uptime")) > first + 3, "time passes", places.COMMAND_SECONDS)


def test_time_of_the_hpet_goes_on_after_a_restore(vmm, base_image, tmp_path):
    """Not back, and not on by the time that the guest was away."""
    file = str(tmp_path / "guest.save")
    machine = linux(vmm, base_image, "pc", "--clock", "hpet=on", append="ro clocksource=hpet")
    uptime = "cut -d' ' -f1 /proc/uptime"
    before = float(machine.guest.run(uptime))
    machine.control.execute("save", {"path": file, "quit": True}, timeout=SAVE_SECONDS)
    assert machine.wait_exit() == 0
    again = vmm(kernel=None, initrd=None, serial=None, memory=256, machine="pc", extra=["--restore", file])
    again.guest.listening = True
    assert again.guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource").strip() == "hpet"
    after = float(again.guest.run(uptime))
    assert after >= before
    until(lambda: float(again.guest.run(uptime)) > after + 1, "time passes", places.COMMAND_SECONDS)
    assert again.guest.run("dmesg | grep -E 'soft lockup|rcu: INFO|Marking clocksource' || true") == ""
    again.control.execute("system_reset")  # the 8254 has its interrupt again
    again.guest.listening = False
    again.guest.wait_until_up(BOOT_SECONDS)
    again.power_down()


def test_refusals_name_the_element(daemon):
    """What there is not on a machine."""
    daemon.define("refused", machine="microvm", devices="<parallel type='pty'/>")
    assert "/domain/devices/parallel" in daemon.fails("start refused")
    daemon.virsh("undefine refused")
    define(daemon, "refused", {}, machine="pc", devices="<parallel type='pty'><target port='2'/></parallel>")
    assert "parallel ports 0 to 1" in daemon.fails("start refused")
    daemon.virsh("undefine refused")
    define(daemon, "refused", {"<devices>": f"{HPET}<devices>"}, machine="microvm")
    assert "timer[@name='hpet']" in daemon.fails("start refused")
    daemon.virsh("undefine refused")
    path = f"{daemon.folder}/refused.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(domain_xml("refused", head="<genid>no-uuid</genid>"))
    assert "malformed genid element" in daemon.fails(f"define {path}")
