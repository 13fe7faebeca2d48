"""UEFI (Debian's OVMF): it boots from IDE and virtio disks, and what it is told to keep is kept."""
import pytest
from support import disks, places, uefi
from support.uefi import BOOT_SECONDS


def firmware(vmm, *keys, extra=(), **more):
    """A pc that starts with UEFI."""
    more = {"kernel": None, "initrd": None, "memory": 512} | more
    return vmm(machine="pc", extra=(*uefi.options(*keys), *extra), **more)


def with_kernel(vmm, *keys, **more):
    """UEFI is handed the kernel: it boots fast, and the guest's agent listens in the end."""
    machine = firmware(vmm, *keys, kernel=places.KERNEL, initrd=places.INITRD, agent=True, **more)
    machine.guest.wait_until_up(BOOT_SECONDS)
    return machine


def test_without_a_disk_it_says_so(vmm):
    """On the first serial port, without being asked to; a reset starts it again."""
    machine = firmware(vmm)
    for _ in range(2):
        machine.wait_for_output("UEFI Interactive Shell|Boot Manager|BdsDxe: (failed|No bootable)", BOOT_SECONDS)
        machine.control.execute("system_reset")
    machine.wait_for_output("BdsDxe|UEFI Interactive Shell", BOOT_SECONDS)


@pytest.mark.parametrize("bus", ["virtio", "ide"])
def test_a_disk_with_a_system_partition_boots(vmm, tmp_path, root_disk, bus):
    """GRUB from \\EFI\\BOOT starts Linux, which finds a whole machine; of two disks that could be booted, the order decides."""
    boot = uefi.system_partition(str(tmp_path), "wanted", "lodge.agent=1")
    other = {"virtio": "ide", "ide": "virtio"}[bus]
    decoy = disks.copy_sparse(boot, f"{tmp_path}/decoy.img")
    machine = firmware(
        vmm,
        cpus=2,
        disks=[root_disk, f"path={decoy},bus={other}", f"path={boot},bus={bus},boot=1"],
    )
    machine.wait_for_output("GRUB-wanted", BOOT_SECONDS)
    machine.guest.wait_until_up(BOOT_SECONDS)
    log = machine.guest.run("dmesg")
    assert "efi: EFI v2" in log
    for trouble in ("ACPI Error", "ACPI BIOS Error", "can't claim BAR", "no compatible bridge window", "Firmware Bug"):
        assert trouble not in log, log
    assert machine.guest.run("nproc").strip() == "2"
    assert machine.guest.run("cat /sys/class/dmi/id/sys_vendor").strip() == "Lodge"
    machine.guest.run("modprobe -a ata_piix sd_mod; test -b /dev/vda")
    machine.power_down()


def test_variables_are_kept_in_their_file(vmm, tmp_path, root_disk):
    """What a guest writes is there in the next run, whose monitor is another; also when the first one was killed."""
    vars_file = uefi.new_vars(f"{tmp_path}/vars.fd")
    machine = with_kernel(vmm, f"vars={vars_file}", disks=[root_disk])
    machine.guest.run(uefi.write("kept"))
    assert machine.guest.run(uefi.read()) == "kept\n"
    machine.kill()
    machine = with_kernel(vmm, f"vars={vars_file}", disks=[root_disk])
    assert machine.guest.run(uefi.read()) == "kept\n"
    machine.power_down()


def test_without_a_file_they_are_forgotten(vmm, tmp_path, root_disk):
    """They last as long as the guest: over a reset and through a saved file, not into the next run."""
    saved = f"{tmp_path}/guest.save"
    machine = with_kernel(vmm, disks=[root_disk])
    machine.guest.run(uefi.write("in memory"))
    machine.control.execute("save", {"path": saved, "quit": True}, timeout=BOOT_SECONDS)
    assert machine.wait_exit() == 0
    again = vmm(machine="pc", kernel=None, initrd=None, serial=None, extra=["--restore", saved])
    again.guest.listening = True
    assert again.guest.run(uefi.read()) == "in memory\n"
    again.guest.run(uefi.write("after the restore", "LodgeAgain"))
    again.guest.listening = False
    again.control.execute("system_reset")
    again.guest.wait_until_up(BOOT_SECONDS)
    assert again.guest.run(uefi.read("LodgeAgain")) == "after the restore\n"
    again.kill()
    machine = with_kernel(vmm, disks=[root_disk])
    assert machine.guest.try_run(uefi.read())[0] != 0


def test_mistakes_are_named(vmm, tmp_path):
    """A file of variables that is missing, of another size, none at all, or in use."""
    noise = f"{tmp_path}/noise"
    with open(noise, "wb") as file:
        file.write(bytes(540672))
    small = uefi.new_vars(f"{tmp_path}/small")
    with open("/usr/share/OVMF/OVMF_VARS.fd", "rb") as source, open(small, "wb") as file:
        file.write(source.read())
    for path, what in (
        ("/nowhere", "cp /usr/share/OVMF/OVMF_VARS_4M.fd '/nowhere'"),
        (noise, "no file of UEFI variables"),
        (small, "do not belong"),
        (__file__, "multiple of 4 KiB"),
    ):
        machine = firmware(vmm, f"vars={path}")
        assert machine.wait_exit() == 1
        assert what in machine.errors.wait_end(places.EXIT_SECONDS)
        machine.kill()
    vars_file = uefi.new_vars(f"{tmp_path}/vars.fd")
    first = firmware(vmm, f"vars={vars_file}", extra=("--paused",))
    first.control.execute("query-status")
    second = firmware(vmm, f"vars={vars_file}")
    assert second.wait_exit() == 1
    assert vars_file in second.errors.wait_end(places.EXIT_SECONDS)
